"""Output rendered by Rich: tables, errors on stderr, and output that is redrawn in a notebook cell."""

import io
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from mxtrain.cli.streams import messages, results
from mxtrain.errors import ConfigError, ConfigProblem, MxtrainError, RunInterrupted, UsageError, escape_unprintable
from mxtrain.formatting import redact


def plain_table(*columns: Column | str) -> Table:
    """Create a table without borders."""
    return Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")


def number_column(header: str) -> Column:
    """Create a right-aligned column whose cells are not wrapped."""
    return Column(header, justify="right", no_wrap=True)


def facts_table(facts: Mapping[str, str]) -> Table:
    """Create a table of names and values."""
    table = Table.grid(Column(style="dim"), Column(overflow="fold"), padding=(0, 2))
    for name, value in facts.items():
        table.add_row(name, escape_unprintable(value))
    return table


def shown_path(path: Path) -> str:
    """Return a path relative to the current folder if it is inside of it."""
    absolute = path.absolute()
    return str(absolute.relative_to(Path.cwd())) if absolute.is_relative_to(Path.cwd()) else str(path)


def table_or_lines(table: Table, lines: Callable[[], Table], *, wrap_cells: bool = True) -> Table:
    """Return a table if the terminal is wide enough for it, otherwise the result of `lines`.

    Args:
        table: the table.
        lines: creates a narrower form of the same data.
        wrap_cells: True if cells may be wrapped between words.
    """
    return table if is_narrow_enough(table, wrap_cells=wrap_cells) else lines()


def is_narrow_enough(table: Table, *, wrap_cells: bool = False) -> bool:
    """Return whether a table fits on the terminal; with `wrap_cells`, if its cells are wrapped between words."""
    console = results()
    unbounded = console.options.update(max_width=sys.maxsize)
    needed = Measurement.get(console, unbounded, table)
    return (needed.minimum if wrap_cells else needed.maximum) <= console.width


def print_error(error: MxtrainError) -> int:
    """Print an error on stderr.

    Returns:
        The exit status: 2 for a wrong request, 128 plus the signal's number for an interrupted run, 1 otherwise.
    """
    console = messages()
    if isinstance(error, ConfigError):
        for problem in error.problems:
            console.print(_styled_problem(problem), soft_wrap=True)
        return 2
    if isinstance(error, RunInterrupted):
        console.print(escape_unprintable(str(error)), soft_wrap=True)
        return 128 + error.signal
    # The problems of a table are listed one a line; a newline in any other message is part of a name.
    lines = str(error).split("\n") if hasattr(error, "problems") else [str(error)]
    message = "\n".join(escape_unprintable(redact(line)) for line in lines)
    console.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
    return 2 if isinstance(error, UsageError) else 1


def _styled_problem(problem: ConfigProblem) -> Text:
    """Style a problem: the message in bold, the line below it in plain, the caret in red."""
    head, *excerpt = problem.explain().split("\n")
    text = Text(head, style="bold")
    for line, style in zip(excerpt, ("not bold", "not bold red"), strict=False):
        text.append("\n").append(line, style=style)
    return text


def is_notebook() -> bool:
    """Return whether this code runs in a Jupyter kernel, whose streams are not terminals."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class NotebookOutput:
    """One output of a notebook cell, replaced as a whole each time it is shown.

    Args:
        width: in characters.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._handle: Any = None
        self._shown = ""

    def show(self, *parts: RenderableType) -> None:
        """Show some parts, one below the other."""
        text = self._text(parts)
        if text == self._shown:
            return
        self._shown = text
        html = f"<pre style='white-space: pre; margin: 0'>{escape(text)}</pre>"
        content = {"text/plain": text, "text/html": html}
        if self._handle is None:
            from IPython.display import display

            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)

    def _text(self, parts: tuple[RenderableType, ...]) -> str:
        file = io.StringIO()
        console = Console(file=file, width=self._width, color_system=None, force_jupyter=False, highlight=False)
        for part in parts:
            console.print(part, soft_wrap=True, markup=False, emoji=False)
        return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


MARGIN_COLUMNS = 3


@dataclass(frozen=True, slots=True)
class RightMargin:
    """Keeps columns at the right free, so that the ^C that a terminal writes does not wrap a line to be erased."""

    drawn: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from console.render(self.drawn, options.update_width(max(options.max_width - MARGIN_COLUMNS, 1)))
