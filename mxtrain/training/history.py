"""The metrics of a run that stands in a folder, read without touching it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mxtrain.atomic_io import read_file
from mxtrain.config import RunConfig
from mxtrain.config.fit_section import is_better
from mxtrain.training.callbacks import Row
from mxtrain.training.flattened import flattened
from mxtrain.training.json_text import is_finite_number, parse
from mxtrain.training.ledger import METRICS
from mxtrain.training.patience import Patience
from mxtrain.types import describe


def read_history(run_dir: Path) -> list[Row]:
    """The lines of metrics.jsonl that are whole and in order; a kill may have torn the last one."""
    return read_rows(run_dir)[0]


def read_rows(run_dir: Path) -> tuple[list[Row], str]:
    """Return the rows of metrics.jsonl up to the first damaged line, and what is wrong with that line, or ""."""
    rows: list[Row] = []
    try:
        lines = read_file(run_dir / METRICS).splitlines(keepends=True)
    except OSError:
        return rows, ""
    for number, line in enumerate(lines, 1):
        try:
            row = parse(line)
        except ValueError:
            is_torn = number == len(lines) and not line.endswith(b"\n")
            return rows, "" if is_torn else f"{METRICS}:{number}: is not JSON"
        if problem := _problem(row, rows):
            return rows, f"{METRICS}:{number}: {problem}"
        rows.append(row)
    return rows, ""


def _problem(row: Any, before: Sequence[Row]) -> str:
    """Return what is wrong with a row that follows others; "" if nothing is."""
    if not isinstance(row, dict):
        return f"must be a mapping, got {describe(row)}"
    if type(row.get("epoch")) is not int or row["epoch"] != len(before) + 1:
        return f"epoch: must be {len(before) + 1}, got {describe(row.get('epoch'))}"
    if missing := [name for name in (before[0] if before else ("iteration", "loss")) if name not in row]:
        return f"{missing[0]}: is missing"
    for name, value in flattened(row).items():
        if name != "diagnostics" and value is not None and not is_finite_number(value):
            return f"{name}: must be a finite number, got {describe(value)}"
    if "diagnostics" in row and not isinstance(row["diagnostics"], dict):
        return f"diagnostics: must be a mapping, got {describe(row['diagnostics'])}"
    nested = next((name for name, value in row.items() if name != "diagnostics" and isinstance(value, dict)), None)
    return f"{nested}: must be a finite number, got a mapping" if nested else ""


def final_epoch(config: RunConfig, history: Sequence[Row]) -> int:
    """The epoch whose parameters a run ends with: the best, where early stopping restores it, or else the last.

    >>> from mxtrain.config import run_from_dict
    >>> config = run_from_dict({
    ...     "data": {"source": "digits"}, "model": {"kind": "linear"}, "loss": "softmax_cross_entropy",
    ...     "optimizer": {"kind": "sgd"}, "fit": {"early_stopping": {"monitor": "loss", "patience": 2}}})
    >>> final_epoch(config, [{"epoch": 1, "loss": 3.0}, {"epoch": 2, "loss": 1.0}, {"epoch": 3, "loss": 2.0}])
    2
    """
    stopping = config.fit.early_stopping
    if stopping is None or not stopping.restore_best:
        return len(history)
    return Patience.after(history, stopping).epoch or len(history)


def stopped_early(config: RunConfig, history: Sequence[Row]) -> bool:
    """Whether early stopping has ended a run before its last epoch."""
    stopping, epochs = config.fit.early_stopping, len(history)
    if stopping is None or epochs >= config.fit.epochs:
        return False
    return Patience.after(history, stopping).is_over(epochs, stopping)


def monitored_metric(config: RunConfig, history: Sequence[Row]) -> str | None:
    """Return the metric by which the best epoch of a run is chosen; None if there is none.

    It is the metric of early stopping if that restores the best epoch, and so chooses the model; otherwise that of
    `checkpoint.best`; otherwise that of early stopping; otherwise `val_loss`, if there is a validation part.
    """
    stopping, best = config.fit.early_stopping, config.fit.checkpoint.best
    if stopping is not None and (stopping.restore_best or best is None):
        return stopping.monitor
    if best is not None:
        return best
    return "val_loss" if any("val_loss" in row for row in history) else None


def best_epoch(config: RunConfig, history: Sequence[Row]) -> Row | None:
    """Return the row of the best epoch by `monitored_metric`; an epoch without a value of it is never the best.

    >>> from mxtrain.config import run_from_dict
    >>> config = run_from_dict({
    ...     "data": {"source": "digits"}, "model": {"kind": "linear"}, "loss": "softmax_cross_entropy",
    ...     "optimizer": {"kind": "sgd"}, "fit": {"metrics": ["accuracy"], "checkpoint": {"best": "val_accuracy"}}})
    >>> best_epoch(config, [{"epoch": 1, "val_loss": 3.0, "val_accuracy": 0.9},
    ...                     {"epoch": 2, "val_loss": 1.0, "val_accuracy": 0.8}])["epoch"]
    1
    """
    metric = monitored_metric(config, history)
    rows = [row for row in history if metric is not None and row.get(metric) is not None]
    if metric is None or not rows:
        return None
    stopping = config.fit.early_stopping
    if stopping is not None and stopping.restore_best:
        epoch = Patience.after(rows, stopping).epoch
        return next((row for row in rows if row["epoch"] == epoch), None)
    found = rows[0]
    for row in rows[1:]:
        if is_better(metric, row[metric], than=found[metric]):
            found = row
    return found
