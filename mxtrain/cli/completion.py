"""Shell completion of files and folders, and the choice of a shell by name."""

import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
_OPTIONS = ("--install-completion", "--show-completion")
_CONFIGS = (".yaml", ".yml")
_BASH_RETURN = "    return 0\n"
_BASH_NO_SPACE = "    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace 2>/dev/null\n"
"""Bash appends a space to the only match; after a folder the path may continue. Bash before 4 has no `compopt`."""


def name_shell(arguments: Sequence[str]) -> None:
    """Let `--install-completion` and `--show-completion` accept the name of a shell as the next argument.

    Typer detects the shell from the parent process, or takes a name, but not both. Its script for bash is amended, so
    that no space follows a folder.
    """
    if any(option in _OPTIONS for option in arguments):
        from typer import _completion_shared

        script = _completion_shared.COMPLETION_SCRIPT_BASH
        amended = script.replace(_BASH_RETURN, _BASH_NO_SPACE + _BASH_RETURN)
        _completion_shared._completion_scripts["bash"] = amended
    if any(option in _OPTIONS and shell in SHELLS for option, shell in pairwise(arguments)):
        os.environ["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"


def complete_config(incomplete: str) -> list[str]:
    """Complete the path of a run file."""
    return _paths(incomplete, lambda path: path.suffix in _CONFIGS)


def complete_file(incomplete: str) -> list[str]:
    """Complete the path of a file."""
    return _paths(incomplete, lambda path: True)


def complete_folder(incomplete: str) -> list[str]:
    """Complete the path of a folder, such as that of a run."""
    return _paths(incomplete, lambda path: False)


def _paths(incomplete: str, is_wanted: Callable[[Path], bool]) -> list[str]:
    head, slash, start = incomplete.rpartition("/")
    folder = Path(os.path.expanduser(head + slash) or ".")  # noqa: PTH111 - only what is written is expanded
    try:
        found = sorted(path for path in folder.iterdir() if path.name.startswith(start))
        return [
            f"{head}{slash}{path.name}{'/' if path.is_dir() else ''}"
            for path in found
            if (path.is_dir() or is_wanted(path)) and (start.startswith(".") or not path.name.startswith("."))
        ]
    except OSError:
        return []
