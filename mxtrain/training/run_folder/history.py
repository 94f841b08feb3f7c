"""History of a run: metrics.jsonl, the metrics log of checkpoints, the best epoch, and advice on a poor regression."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from mxtrain.atomic_io import extend_file, is_finite_number, open_file, parse_json, read_file, write_file
from mxtrain.config import RunConfig
from mxtrain.config.dotted_paths import flatten
from mxtrain.formatting import format_number
from mxtrain.training.callbacks import Row
from mxtrain.training.early_stopping import BestEpoch, is_better
from mxtrain.types import CLASS_LOSSES, Array, describe

METRICS = "metrics.jsonl"
"""The file of metrics for users; it replaces the metrics log of checkpoints if that is damaged."""


def to_line(row: Mapping[str, Any]) -> bytes:
    """Format a row as one line of JSON.

    >>> to_line({"epoch": 1, "η": 0.5})
    b'{"epoch": 1, "\\xce\\xb7": 0.5}\\n'
    """
    return json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"


@dataclass(slots=True)
class CheckpointMetricsLog:
    """The rows of all finished epochs, stored once for all checkpoints.

    A checkpoint records the length of the file that it needs, and the SHA-256 of that part. If each checkpoint held its
    rows, the size of all that a run writes would grow with the square of its epochs.

    Args:
        path: the file.
    """

    path: Path
    _epochs: int = 0
    _bytes: int = -1
    """The length of the file as this process wrote it; -1 before the first write."""
    _sum: Any = field(default_factory=sha256)

    def write_rows(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Append the rows that the file lacks, and flush it to the disk.

        Returns:
            The reference to the rows for a checkpoint: their number, their length in bytes, and their SHA-256.

        Raises:
            OSError: the file cannot be written; the rows of earlier checkpoints are unchanged.
        """
        if not self._can_grow_to(rows):
            self._epochs, self._bytes, self._sum = 0, -1, sha256()
        text = b"".join(map(to_line, rows[self._epochs :]))
        if self._bytes < 0:
            write_file(self.path, text)
        elif text:
            extend_file(self.path, self._bytes, text)
        self._sum.update(text)
        self._epochs, self._bytes = len(rows), max(self._bytes, 0) + len(text)
        return {"epochs": self._epochs, "bytes": self._bytes, "sha256": self._sum.hexdigest()}

    def read(self, reference: Mapping[str, Any]) -> tuple[list[Row], Path]:
        """Read the rows to which `write_rows` returned a reference.

        Returns:
            The rows, and the file that they are from: the log, or metrics.jsonl if the log is damaged.

        Raises:
            ValueError: neither file begins with the rows.
        """
        for path in (self.path, self.path.with_name(METRICS)):
            try:
                with open_file(path) as file:
                    is_long_enough = os.fstat(file.fileno()).st_size >= reference["bytes"]
                    text = file.read(reference["bytes"]) if is_long_enough else b""
            except OSError:
                continue
            if sha256(text).hexdigest() == reference["sha256"]:
                return [parse_json(line) for line in text.splitlines()], path
        raise ValueError(
            f"neither {self.path.name} nor {METRICS} holds the metrics of its {reference['epochs']} epochs: "
            "the SHA-256 differs"
        )

    def _can_grow_to(self, rows: Sequence[Row]) -> bool:
        """Return whether the file is as this process wrote it, so that rows can be appended."""
        try:
            return 0 <= self._bytes <= self.path.lstat().st_size and self._epochs <= len(rows)
        except OSError:
            return False


def read_history(run_dir: Path) -> list[Row]:
    """Return the rows of metrics.jsonl up to the first damaged line, such as a last line that a kill cut off."""
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
            row = parse_json(line)
        except ValueError:
            is_torn = number == len(lines) and not line.endswith(b"\n")
            return rows, "" if is_torn else f"{METRICS}:{number}: is not JSON"
        if problem := _row_problem(row, rows):
            return rows, f"{METRICS}:{number}: {problem}"
        rows.append(row)
    return rows, ""


_MAPPINGS = ("scheduled", "diagnostics")
"""The values in a row that are mappings: other scheduled numbers than η and μ, and the diagnostics."""


def _row_problem(row: Any, before: Sequence[Row]) -> str:
    """Return what is wrong with a row that follows others; "" if nothing is."""
    if not isinstance(row, dict):
        return f"must be a mapping, got {describe(row)}"
    if type(row.get("epoch")) is not int or row["epoch"] != len(before) + 1:
        return f"epoch: must be {len(before) + 1}, got {describe(row.get('epoch'))}"
    if missing := [name for name in (before[0] if before else ("iteration", "loss")) if name not in row]:
        return f"{missing[0]}: is missing"
    for name, value in flatten(row).items():
        if name not in _MAPPINGS and value is not None and not is_finite_number(value):
            return f"{name}: must be a finite number, got {describe(value)}"
    for name in _MAPPINGS:
        if name in row and not isinstance(row[name], dict):
            return f"{name}: must be a mapping, got {describe(row[name])}"
    nested = next((name for name, value in row.items() if name not in _MAPPINGS and isinstance(value, dict)), None)
    return f"{nested}: must be a finite number, got a mapping" if nested else ""


def final_epoch(config: RunConfig, history: Sequence[Row]) -> int:
    """Return the epoch of the final parameters: the best if early stopping restores it, otherwise the last.

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
    return BestEpoch.of(history, stopping).epoch or len(history)


def stopped_early(config: RunConfig, history: Sequence[Row]) -> bool:
    """Return whether early stopping has ended a run before its last epoch."""
    stopping, epochs = config.fit.early_stopping, len(history)
    if stopping is None or epochs >= config.fit.epochs:
        return False
    return BestEpoch.of(history, stopping).is_patience_exhausted(epochs, stopping)


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
        epoch = BestEpoch.of(rows, stopping).epoch
        return next((row for row in rows if row["epoch"] == epoch), None)
    found = rows[0]
    for row in rows[1:]:
        if is_better(metric, row[metric], than=found[metric]):
            found = row
    return found


LARGE_TARGET_SIZE = 5.0
"""Root mean square of targets above which standardizing them helps, because a network's first outputs are near 0."""
GOOD_FIT_R2 = 0.5
"""R² on the training part above which it counts as fitted well."""


def target_moments(config: RunConfig, targets: Array) -> tuple[float, float] | None:
    """Return the mean and the standard deviation of targets; None for classes, or without any target."""
    if config.equivalent_builtin_loss in CLASS_LOSSES or targets.ndim > 1 or not len(targets):
        return None
    largest = float(abs(targets).max()) or 1.0
    scaled = targets.astype(np.float64) / largest  # squares of numbers such as 1e200 overflow
    return float(scaled.mean()) * largest, float(scaled.std()) * largest


def regression_advice(config: RunConfig, history: Sequence[Row], moments: tuple[float, float] | None) -> str | None:
    """Return one line on what to try if the R² on the validation part is below 0; otherwise None.

    Args:
        config: the resolved config.
        history: the metrics of each finished epoch.
        moments: the mean and the standard deviation of the validation part's targets.
    """
    if moments is None or not history:
        return None
    epoch = final_epoch(config, history)
    row = history[epoch - 1]
    r2 = _r2(config, row, moments, "val_")
    if r2 is None or r2 >= 0:
        return None
    finding = f"R² on the validation part is {format_number(r2)}, below 0: worse than predicting the mean"
    return f"{finding}; {_remedy(config, history, moments)}"


def _remedy(config: RunConfig, history: Sequence[Row], moments: tuple[float, float]) -> str:
    mean, deviation = moments
    if not config.data.standardize_target and np.hypot(mean, deviation) > LARGE_TARGET_SIZE:
        size = f"targets of mean {format_number(mean)} and standard deviation {format_number(deviation)}"
        return f"the model starts near 0, far from {size}: set data.standardize_target: true"
    losses = [row["val_loss"] for row in history if row.get("val_loss") is not None]
    trained = _r2(config, history[-1], moments, "")
    if trained is not None and trained > GOOD_FIT_R2:
        return "the training part is fitted well: try early stopping, a larger optimizer.λ, or a smaller model"
    if losses and losses[-1] == min(losses) and len(losses) > 1:
        return "the loss was still falling: try more fit.epochs or a larger optimizer.η"
    return "the loss was no longer falling: try a smaller optimizer.η"


def _r2(config: RunConfig, row: Row, moments: tuple[float, float], part: str) -> float | None:
    """Return the R² of an epoch as measured, or computed from the loss, which is half the mean squared error."""
    if (measured := row.get(f"{part}r2")) is not None:
        return float(measured)
    loss, variance = row.get(f"{part}loss"), moments[1] ** 2
    if config.model.kind == "custom" or config.loss != "squared_error":
        return None
    if loss is None or variance == 0 or f"{part}r2" in row:
        return None
    return 1 - 2 * float(loss) / variance


NOT_METRICS = ("epoch", "iteration", "η", "μ", *_MAPPINGS)
"""The values in a row that are not metrics."""


def format_metrics(row: Row) -> str:
    """Format an epoch and its metrics for people.

    >>> format_metrics({"epoch": 3, "iteration": 90, "loss": 0.25, "val_loss": 0.5, "η": 0.001})
    'epoch 3: loss 0.2500, val_loss 0.5000'
    """
    values = ", ".join(f"{name} {format_number(value)}" for name, value in row.items() if name not in NOT_METRICS)
    return f"epoch {row['epoch']}: {values}"
