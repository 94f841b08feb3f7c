"""Output drawn by Rich: errors on stderr, and displays that are redrawn on a terminal or in a notebook cell."""

import io
import sys
from dataclasses import dataclass
from html import escape
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from mxtrain.cli.streams import messages
from mxtrain.errors import ConfigError, ConfigProblem, MxtrainError, RunInterrupted, escape_unprintable
from mxtrain.redaction import redact


def print_error(error: MxtrainError) -> int:
    """Tell an error.

    Returns:
        The exit status that it stands for: 2 for a wrong config, 128 and the signal's number for a run that was told
        to stop, 1 for all else.
    """
    console = messages()
    if isinstance(error, ConfigError):
        for problem in error.problems:
            console.print(_styled_problem(problem), soft_wrap=True)
        return 2
    if isinstance(error, RunInterrupted):
        console.print(escape_unprintable(str(error)), soft_wrap=True)
        return 128 + error.signal
    message = escape_unprintable(redact(str(error)))
    console.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
    return 1


def _styled_problem(problem: ConfigProblem) -> Text:
    """The problem in bold; below it the line in plain, and the caret in red."""
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
    """One output of a cell, replaced as a whole whenever it is shown again.

    Args:
        width: in characters.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._handle: Any = None
        self._shown = ""

    def show(self, *parts: RenderableType) -> None:
        """Show these parts, one below the other."""
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
    """Leaves columns free at the right: there a terminal writes ^C, and breaks no line that has to be wiped out."""

    drawn: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from console.render(self.drawn, options.update_width(max(options.max_width - MARGIN_COLUMNS, 1)))
