"""Sphinx configuration of the documentation site; `make docs` builds it without network access."""

import re

import typer.cli
import typer.main
from sphinx.application import Sphinx

from mxtrain import __version__
from mxtrain.cli.main import app as command_line

project = "mxtrain"
copyright = "mxtrain contributors"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"mxtrain {release}"
html_copy_source = False

myst_heading_anchors = 4  # the anchors of GitHub, so that a link works in both places

autodoc_member_order = "bysource"
autodoc_mock_imports = ["jax", "torch"]  # of mxtrain.jax and mxtrain.torch; neither is needed here
autodoc_typehints = "none"  # docstrings state the types
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False


def link_to_repository(app: Sphinx, docname: str, source: list[str]) -> None:
    """Turn links to files outside of docs/ into their paths, because the site holds only docs/."""
    source[0] = re.sub(r"\[([^\]]+)\]\((?:\.\./)+(?:README|CONTRIBUTING|CHANGELOG|configs/)[^)]*\)", r"\1", source[0])


def append_commands(app: Sphinx, docname: str, source: list[str]) -> None:
    """Append the usage of every command to the page of the command line."""
    if docname != "reference/cli":
        return
    command = typer.main.get_command(command_line)
    context = command.make_context("mxtrain", ["--help"], resilient_parsing=True)
    for name in command.list_commands(context):
        text = typer.cli.get_docs_for_click(obj=command.get_command(context, name), ctx=context, call_prefix="mxtrain")
        source[0] += "\n" + re.sub(r"^#+", "##", text, flags=re.MULTILINE)


def escape_markup(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Show docstrings as they are written: backticks are code, and all other characters are text."""
    parts = re.split(r"(^ *>>>(?:.|\n)*?(?:^ *$|\Z)|``.+?``|`[^`]+`)", "\n".join(lines), flags=re.MULTILINE)
    for index, part in enumerate(parts):
        if index % 2 == 0:
            parts[index] = re.sub(r"([*|\\]|_(?=\W))", r"\\\1", part)
        elif part.startswith("`") and not part.startswith("``"):
            parts[index] = f"`{part}`"
    lines[:] = "".join(parts).split("\n")


def setup(app: Sphinx) -> None:
    """Connect the functions of this file."""
    app.connect("source-read", append_commands)
    app.connect("source-read", link_to_repository)
    app.connect("autodoc-process-docstring", escape_markup, priority=400)  # before Napoleon adds its own markup
