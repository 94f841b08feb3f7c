"""Progress of a run, and the summary printed at its end."""

import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from mxtrain.cli import streams
from mxtrain.cli.rich_output import MARGIN_COLUMNS, NotebookOutput, RightMargin, facts_table, plain_table, shown_path
from mxtrain.cli.streams import messages
from mxtrain.config import RunConfig
from mxtrain.errors import escape_unprintable
from mxtrain.formatting import format_count, format_duration, format_number
from mxtrain.optim.optimization_state import OptimizationState
from mxtrain.training import Callback, Row, RunInfo, TrainedRun
from mxtrain.training.early_stopping import is_better
from mxtrain.training.run_folder.history import (
    NOT_METRICS,
    best_epoch,
    final_epoch,
    monitored_metric,
    regression_advice,
    stopped_early,
)

REFRESH_SECONDS = 0.1
LINES = 100
"""Maximum number of epochs that get a line; in a longer run, every k-th epoch does."""
NOTEBOOK_WIDTH = 110
_HIDDEN_FIELDS = ("epoch", "iteration", "scheduled", "diagnostics")


@contextmanager
def show_progress(quiet: bool) -> Iterator[Sequence[Callback]]:
    """Show the progress of a run on stderr: a bar on a terminal, lines elsewhere."""
    console = messages()
    if quiet:
        yield ()
    elif console.is_terminal and not console.is_dumb_terminal:
        with _progress(console) as progress:
            yield (Bar(progress),)
    else:
        yield (Lines(console),)


@contextmanager
def show_progress_in_notebook() -> Iterator[Sequence[Callback]]:
    """Show the progress of a run as the output of a notebook cell."""
    console = Console(file=io.StringIO(), width=NOTEBOOK_WIDTH, color_system=None, force_jupyter=False)
    progress = _NotebookProgress(*_columns(console.width), console=console, auto_refresh=False)
    try:
        yield (Bar(progress, progress.write_line),)
    finally:
        progress.close()


def _progress(console: Console) -> Progress:
    """Create a bar that is drawn on request, without a thread, and erased at the end."""
    return _Line(*_columns(console.width), console=console, auto_refresh=False, transient=True, redirect_stdout=False)


def _columns(width: int) -> list[ProgressColumn]:
    """Return the columns that fit a width: below 80 neither bar nor batch, below 60 no validation."""
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
    """A progress bar with padding at its right, and only the columns that fit the current width of the terminal."""

    def refresh(self) -> None:
        columns = _columns(self.console.width)
        if len(columns) != len(self.columns):
            self.columns = tuple(columns)
        super().refresh()

    def get_renderable(self) -> RightMargin:
        return RightMargin(super().get_renderable())


class _NotebookProgress(Progress):
    """A progress bar below the lines so far, as one output of a notebook cell."""

    def __init__(self, *columns: ProgressColumn, **options: Any) -> None:
        super().__init__(*columns, **options)
        self._output = NotebookOutput(NOTEBOOK_WIDTH)
        self._lines: list[str] = []

    def write_line(self, text: str) -> None:
        self._lines.append(text)

    def refresh(self) -> None:
        is_drawn = any(task.fields["epoch"] for task in self.tasks)  # it is empty before the first batch
        self._output.show(*map(Text, self._lines), *([self.get_renderable()] if is_drawn else []))

    def close(self) -> None:
        """Show the lines without the bar."""
        self._output.show(*map(Text, self._lines))


class Bar(Callback):
    """Shows epoch, batch and loss ten times a second; for all other batches it only reads the clock.

    A line for each epoch stays above the bar; in runs of more than `LINES` epochs, for the first, the last and every
    k-th.

    Args:
        progress: the bar.
        write_line: writes a line above it; None writes to the console of the bar.
    """

    def __init__(self, progress: Progress, write_line: Callable[[str], object] | None = None) -> None:
        self.progress = progress
        self.write_line = write_line or self._print
        self.due = 0.0
        self.validation = ""

    def on_start(self, info: RunInfo) -> None:
        self.info = info
        self.advice = _Advice(info)
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
            self.write_line(escape_unprintable(note))

    def on_batch(self, state: OptimizationState, loss: Any) -> None:
        now = time.monotonic()
        if now >= self.due:
            self.due = now + REFRESH_SECONDS
            self._draw(state, loss)

    def on_epoch(self, state: OptimizationState, row: Row) -> None:
        metric = "val_accuracy" if "val_accuracy" in row else "val_loss"
        self.validation = _format(metric, row[metric]) if metric in row else ""
        self.advice.on_epoch(row)
        if _has_line(state.curr_epoch, self.info.config.fit.epochs):
            width = max(self.progress.console.width - MARGIN_COLUMNS, 1)
            self.write_line(_epoch_line(row, state.curr_epoch, self.info.config.fit.epochs, width))

    def on_end(self, seconds: float) -> None:
        if text := self.advice.text():
            self.write_line(text)

    def _print(self, text: str) -> None:
        self.progress.console.print(text, soft_wrap=True)

    def _draw(self, state: OptimizationState, loss: Any) -> None:
        epochs, batches = self.info.config.fit.epochs, self.info.batches
        self.progress.update(
            self.task,
            completed=(state.curr_epoch - 1) * batches + state.curr_batch,
            epoch=f"epoch {state.curr_epoch:>{len(str(epochs))}}/{epochs}",
            batch=f"batch {state.curr_batch:>{len(str(batches))}}/{batches}",
            # A sum over the batch; on a GPU, reading it waits for all that is under way.
            loss=f"loss {format_number(float(loss) / self._samples(state.curr_batch)):<7}",
            validation=self.validation,
        )
        self.progress.refresh()

    def _samples(self, batch: int) -> int:
        size = self.info.config.data.batch_size
        return min(size, self.info.samples[0] - (batch - 1) * size)


class Lines(Callback):
    """Prints a line for each epoch; in runs of more than `LINES` epochs, for the first, the last and every k-th."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def on_start(self, info: RunInfo) -> None:
        self.epochs = info.config.fit.epochs
        self.advice = _Advice(info)
        for note in info.notes:
            self._print(escape_unprintable(note))

    def on_epoch(self, state: OptimizationState, row: Row) -> None:
        self.advice.on_epoch(row)
        if _has_line(row["epoch"], self.epochs):
            self._print(_epoch_line(row, row["epoch"], self.epochs))

    def on_end(self, seconds: float) -> None:
        if text := self.advice.text():
            self._print(text)

    def _print(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)


class _Advice:
    """Collects the rows of a run for the suggestion at its end."""

    def __init__(self, info: RunInfo) -> None:
        self._info = info
        self._rows = list(info.history)

    def on_epoch(self, row: Row) -> None:
        self._rows.append(row)

    def text(self) -> str | None:
        return regression_advice(self._info.config, self._rows, self._info.target_moments)


def _has_line(epoch: int, epochs: int) -> bool:
    every = -(-epochs // LINES)
    return epoch % every == 0 or epoch in (1, epochs)


def _epoch_line(row: Row, epoch: int, epochs: int, width: int | None = None) -> str:
    """Format an epoch and its metrics, without rates and training metrics that do not fit into `width`."""
    names = [name for name in row if name not in _HIDDEN_FIELDS]
    rates = [name for name in names if name in ("η", "μ")]
    trained = [name for name in names if f"val_{name}" in row and name != "loss"]
    others = [name for name in names if name not in rates and name not in trained]
    dropped = [*reversed(rates), *reversed(trained), *reversed(others)]
    while True:
        values = "".join(f"  {_format(name, row[name])}" for name in names)
        line = f"epoch {epoch:>{len(str(epochs))}}/{epochs}{values}"
        if width is None or len(line) <= width or not names:
            return line
        names.remove(dropped.pop(0))


def _format(name: str, value: float | None) -> str:
    if value is None:
        return f"{name} null"
    return f"{name} {value:.4g}" if name in ("η", "μ") else f"{name} {format_number(value)}"


class Summary(Callback):
    """Collects the data of a run that its result does not hold: config, number of parameters and time."""

    config: RunConfig

    def __init__(self) -> None:
        self.parameters = 0
        self.first_epoch = 0
        self.seconds = 0.0

    def on_start(self, info: RunInfo) -> None:
        self.config = info.config
        self.parameters = info.parameters
        self.first_epoch = info.epochs

    def on_end(self, seconds: float) -> None:
        self.seconds = seconds

    def write_json(self, result: TrainedRun) -> None:
        """Write one JSON object to stdout."""
        streams.write_json(
            {
                "run_dir": str(result.run_dir),
                "epochs": result.state.curr_epoch,
                "iterations": result.state.curr_iter,
                "state": asdict(result.state),
                "metrics": self._model_metrics(result),
                "best": best_epoch(self.config, result.history),
                "best_metric": monitored_metric(self.config, result.history),
                "stopped_early": stopped_early(self.config, result.history),
                "parameters": self.parameters,
                "seconds": round(self.seconds, 6),
            }
        )

    def print_table(self, result: TrainedRun) -> None:
        """Print the metrics of the model's epoch and a summary of the run."""
        table = _metrics_table(self._model_metrics(result))
        streams.print_results(table, "", facts_table(self._facts(result)))

    def _model_metrics(self, result: TrainedRun) -> Row:
        return result.history[final_epoch(self.config, result.history) - 1]

    def _facts(self, result: TrainedRun) -> dict[str, str]:
        row, metric = best_epoch(self.config, result.history), monitored_metric(self.config, result.history)
        work = f"{format_count(result.state.curr_epoch, 'epoch')}, {format_count(result.state.curr_iter, 'iteration')}"
        start = f"since epoch {self.first_epoch}, of" if self.first_epoch else "for"
        return {
            **self._early_end(result),
            **({"best": _format_best(row, metric)} if row and metric else {}),
            "time": f"{format_duration(self.seconds)} {start} {work}",
            **_diagnostics(self._model_metrics(result), result.history),
            "parameters": f"{self.parameters:,}",
            "run": shown_path(result.run_dir),
        }

    def _early_end(self, result: TrainedRun) -> dict[str, str]:
        """Describe the end of a run whose model is not that of the last planned epoch."""
        history = result.history
        epochs, epoch, early = len(history), final_epoch(self.config, history), stopped_early(self.config, history)
        if not early and epoch == epochs:
            return {}
        where = f"stopped early, after epoch {epochs} of {self.config.fit.epochs}" if early else f"after epoch {epochs}"
        return {"ended": f"{where}; the model is that of epoch {epoch}"}


def _diagnostics(row: Row, history: list[Row]) -> dict[str, str]:
    """Describe the gradients of an epoch, and the batches that the whole run skipped."""
    found = row.get("diagnostics")
    if found is None:
        return {}
    skipped = sum(row["diagnostics"].get("skipped", 0) for row in history)
    return {
        "gradient": f"norm {format_number(found['grad_norm'])}, at most {format_number(found['grad_norm_max'])}",
        **({"skipped": f"{format_count(skipped, 'batch', 'batches')} with NaN or infinity"} if skipped else {}),
    }


def _format_best(row: Row, metric: str) -> str:
    """Describe the best epoch: its validation metrics, and the metric that it is best by."""
    names = [name for name in row if name.startswith("val_") and row[name] is not None]
    values = ", ".join(f"{name} {format_number(row[name])}" for name in dict.fromkeys([*names, metric]))
    extreme = "highest" if is_better(metric, 1.0, than=0.0) else "lowest"
    return f"epoch {row['epoch']}: {values} ({extreme} {metric})"


def _metrics_table(row: Row) -> Table:
    """Create a table of training and validation metrics side by side."""
    has_validation = "val_loss" in row
    parts = ("training", "validation") if has_validation else ("training",)
    table = plain_table(Column(f"epoch {row['epoch']}", style="dim"), *(Column(it, justify="right") for it in parts))
    for name in row:
        if name not in NOT_METRICS and not name.startswith("val_"):
            values = [row[name], row[f"val_{name}"]] if has_validation else [row[name]]
            table.add_row(name, *map(format_number, values))
    return table
