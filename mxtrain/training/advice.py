"""A suggestion for a regression that predicts worse than the mean of its targets."""

from collections.abc import Sequence

import numpy as np

from mxtrain.config import CLASS_LOSSES, RunConfig
from mxtrain.numbers import short
from mxtrain.training.callbacks import Row
from mxtrain.training.history import final_epoch
from mxtrain.types import Array

UNUSUAL_SIZE = 5.0
"""Root mean square of targets above which standardizing them helps, because a network's first outputs are near 0."""
FITS = 0.5
"""R² on the training part above which it counts as fitted well."""


def target_moments(config: RunConfig, targets: Array) -> tuple[float, float] | None:
    """Return the mean and the standard deviation of targets; None for classes, or without any target."""
    if config.decoding in CLASS_LOSSES or not len(targets):
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
    finding = f"R² on the validation part is {short(r2)}, below 0: worse than predicting the mean"
    return f"{finding}; {_remedy(config, history, moments)}"


def _remedy(config: RunConfig, history: Sequence[Row], moments: tuple[float, float]) -> str:
    mean, deviation = moments
    if not config.data.standardize_target and np.hypot(mean, deviation) > UNUSUAL_SIZE:
        size = f"targets of mean {short(mean)} and standard deviation {short(deviation)}"
        return f"the model starts near 0, far from {size}: set data.standardize_target: true"
    losses = [row["val_loss"] for row in history if row.get("val_loss") is not None]
    trained = _r2(config, history[-1], moments, "")
    if trained is not None and trained > FITS:
        return "the training part is fitted well: try early stopping, a larger optimizer.λ, or a smaller model"
    if losses and losses[-1] == min(losses) and len(losses) > 1:
        return "the loss was still falling: try more fit.epochs or a larger optimizer.η"
    return "the loss was no longer falling: try a smaller optimizer.η"


def _r2(config: RunConfig, row: Row, moments: tuple[float, float], part: str) -> float | None:
    """Return the R² of an epoch as measured, or else from the loss, which is half the mean squared error."""
    if (measured := row.get(f"{part}r2")) is not None:
        return float(measured)
    loss, variance = row.get(f"{part}loss"), moments[1] ** 2
    if loss is None or variance == 0 or f"{part}r2" in row or config.model.kind == "custom":
        return None
    return 1 - 2 * float(loss) / variance
