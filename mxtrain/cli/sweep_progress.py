"""How a sweep is watched while it goes on: a few lines on a terminal, a line for each trial elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.text import Text

from mxtrain.cli.notebook import NotebookOutput
from mxtrain.cli.progress import NOTEBOOK_WIDTH
from mxtrain.cli.room import Roomy
from mxtrain.cli.streams import messages
from mxtrain.cli.sweep_tables import told_params, told_value
from mxtrain.errors import printable
from mxtrain.numbers import duration

if TYPE_CHECKING:
    from mxtrain.sweeps import SweepResult, Watch

LINES = 200
"""Lines that are printed for a sweep at the most."""
_LABEL = len("running  ")
_ENDED = ("complete", "pruned", "failed")


@contextmanager
def watching(quiet: bool) -> "Iterator[Watch]":
    """What watches a sweep, for as long as it goes on."""
    console = messages()
    if quiet:
        yield lambda result: None
    elif console.is_terminal and not console.is_dumb_terminal:
        with Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False) as live:
            yield Screen(live).show
    else:
        yield Lines(console).show


@contextmanager
def watching_in_notebook() -> "Iterator[Watch]":
    """Show the progress of a sweep as the output of a notebook's cell."""
    output = NotebookOutput(NOTEBOOK_WIDTH)
    yield Screen(output.show).show


class Screen:
    """Draws the progress of a sweep: finished and running trials, and the best so far.

    Args:
        draw: a live display, or a function that draws elsewhere.
    """

    def __init__(self, draw: Live | Callable[[RenderableType], object]) -> None:
        self._draw = (lambda drawn: draw.update(drawn, refresh=True)) if isinstance(draw, Live) else draw
        self._begun_at = time.monotonic()
        self._ended_before: int | None = None

    def show(self, result: "SweepResult") -> None:
        ended = sum(len(result.counted(state)) for state in _ENDED)
        if self._ended_before is None:
            self._ended_before = ended
        bar = ProgressBar(total=result.total, completed=ended, width=48)
        lines = [_told("trials", self._counts(result, ended))]
        best = result.best
        if best is not None:
            lines.append(_told("best", f"trial {best['number']}  {told_value(result, best)}  {told_params(best)}"))
        lines += [
            _told("running", f"trial {row['number']}, epoch {row['epochs']}  {told_params(row)}")
            for row in result.counted("running")[:8]
        ]
        indented = Padding(bar, (0, 0, 0, _LABEL), expand=False)
        self._draw(Roomy(Group(indented, *lines)))

    def _counts(self, result: "SweepResult", ended: int) -> str:
        told = [f"{ended} of {result.total}"]
        told += [f"{len(rows)} {state}" for state in ("pruned", "failed") if (rows := result.counted(state))]
        here = ended - (self._ended_before or 0)
        if here > 0 and ended < result.total:
            left = (time.monotonic() - self._begun_at) / here * (result.total - ended)
            told.append(f"{duration(left)} left")
        return ", ".join(told)


def _told(label: str, value: str) -> Text:
    """One line, cut with an ellipsis where the terminal ends."""
    return Text.assemble((label.ljust(_LABEL), "dim"), value, no_wrap=True, overflow="ellipsis")


class Lines:
    """Prints a line for each trial that ends; of a long sweep, for every so many, and for each that fails."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: set[int] | None = None

    def show(self, result: "SweepResult") -> None:
        ended = {row["number"]: row for row in result.trials if row["state"] in _ENDED}
        if self._told is None:
            self._told = set(ended)
            if ended:
                self._console.print(f"{len(ended)} of {result.total} trials have ended already", soft_wrap=True)
        every = -(-result.total // LINES)
        for number in sorted(ended.keys() - self._told):
            self._told.add(number)
            row = ended[number]
            if number % every == 0 or row["state"] == "failed":
                self._console.print(printable(_line(result, row)), soft_wrap=True)


def _line(result: "SweepResult", row: dict[str, Any]) -> str:
    width = len(str(result.total - 1))
    outcome = row["error"].splitlines()[0] if row["state"] == "failed" else told_value(result, row)
    after = f" after epoch {row['epochs']}" if row["state"] == "pruned" else ""
    return f"trial {row['number']:>{width}} {row['state']}{after}  {outcome}  {told_params(row)}"
