"""How a run is watched while it goes on: a bar on a terminal, a line for each epoch elsewhere."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn, TimeRemainingColumn

from mxtrain.cli.room import Roomy
from mxtrain.cli.streams import messages
from mxtrain.errors import printable
from mxtrain.numbers import short
from mxtrain.state import OptimizationState
from mxtrain.training import Callback, Row, RunInfo

SECONDS_BETWEEN_DRAWINGS = 0.1
LINES = 100
"""Lines that are printed for a run at the most."""
_UNTOLD = ("epoch", "iteration", "diagnostics")


@contextmanager
def watching(quiet: bool) -> Iterator[Sequence[Callback]]:
    """What watches a run, for as long as the run goes on."""
    console = messages()
    if quiet:
        yield ()
    elif console.is_terminal and not console.is_dumb_terminal:
        with _progress(console) as progress:
            yield (Bar(progress),)
    else:
        yield (Lines(console),)


def _progress(console: Console) -> Progress:
    """A bar that is drawn when it is told to, by no thread of its own, and that leaves nothing behind."""
    return _Line(*_columns(console.width), console=console, auto_refresh=False, transient=True, redirect_stdout=False)


def _columns(width: int) -> list[ProgressColumn]:
    """What a terminal has room for: below 80 columns neither bar nor batch, below 60 no validation."""
    epoch, loss = (TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in ("epoch", "loss"))
    batch, validation = (
        TextColumn(f"{{task.fields[{name}]}}", style="dim", markup=False) for name in ("batch", "validation")
    )
    left = TimeRemainingColumn(compact=True)
    if width < 60:
        return [epoch, loss, left]
    if width < 80:
        return [epoch, loss, validation, left]
    return [epoch, BarColumn(bar_width=24), batch, loss, validation, left]


class _Line(Progress):
    """A progress that leaves room at its right."""

    def get_renderable(self) -> Roomy:
        return Roomy(super().get_renderable())


class Bar(Callback):
    """Draws epoch, batch and loss ten times a second; of all other batches it only looks at the clock."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.due = 0.0
        self.validation = ""

    def on_start(self, info: RunInfo) -> None:
        self.info = info
        self.task: TaskID = self.progress.add_task(
            "",
            total=info.config.fit.epochs * info.batches,
            completed=info.epochs * info.batches,
            epoch="",
            batch="",
            loss="",
            validation="",
        )
        for note in info.notes:
            self.progress.console.print(printable(note), soft_wrap=True)

    def on_batch(self, state: OptimizationState, loss: Any) -> None:
        now = time.monotonic()
        if now >= self.due:
            self.due = now + SECONDS_BETWEEN_DRAWINGS
            self._draw(state, loss)

    def on_epoch(self, state: OptimizationState, row: Row) -> None:
        metric = "val_accuracy" if "val_accuracy" in row else "val_loss"
        self.validation = f"{metric} {short(row[metric])}" if metric in row else ""

    def _draw(self, state: OptimizationState, loss: Any) -> None:
        epochs, batches = self.info.config.fit.epochs, self.info.batches
        self.progress.update(
            self.task,
            completed=(state.curr_epoch - 1) * batches + state.curr_batch,
            epoch=f"epoch {state.curr_epoch:>{len(str(epochs))}}/{epochs}",
            batch=f"batch {state.curr_batch:>{len(str(batches))}}/{batches}",
            # A sum over the batch; on a GPU, reading it waits for all that is under way.
            loss=f"loss {short(float(loss) / self._samples(state.curr_batch)):<7}",
            validation=self.validation,
        )
        self.progress.refresh()

    def _samples(self, batch: int) -> int:
        size = self.info.config.data.batch_size
        return min(size, self.info.samples[0] - (batch - 1) * size)


class Lines(Callback):
    """Prints a line for each epoch; of a long run, for every so many."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def on_start(self, info: RunInfo) -> None:
        self.epochs = info.config.fit.epochs
        self.every = -(-self.epochs // LINES)
        for note in info.notes:
            self.console.print(printable(note), soft_wrap=True)

    def on_epoch(self, state: OptimizationState, row: Row) -> None:
        epoch = row["epoch"]
        if epoch % self.every == 0 or epoch in (1, self.epochs):
            values = "  ".join(_told(name, row[name]) for name in row if name not in _UNTOLD)
            count = f"{epoch:>{len(str(self.epochs))}}/{self.epochs}"
            self.console.print(f"epoch {count}  {values}", soft_wrap=True)


def _told(name: str, value: float | None) -> str:
    return f"{name} {value:.4g}" if name in ("η", "μ") and value is not None else f"{name} {short(value)}"
