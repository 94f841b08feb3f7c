"""Metrics of an epoch, accumulated batch by batch."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from mxtrain.nn.losses import LOSSES, predictions_from_outputs
from mxtrain.types import Array, LossName, MetricName


class Metric(Protocol):
    """Sums over the samples added so far. CuPy arrays stay on the device until `value` is called."""

    def add(self, outputs: Array, targets: Array) -> None:
        """Add a batch: the outputs of a model, (n, k), and the targets, (n,)."""

    def value(self) -> float | None:
        """Return the metric of all batches; NaN before the first, and None if it is not defined for them."""


@dataclass(slots=True)
class Accuracy:
    """The fraction of samples whose class is predicted correctly."""

    loss: LossName
    xp: ModuleType = np
    _right: Any = 0
    _samples: int = 0

    def add(self, outputs: Array, targets: Array) -> None:
        self._right += self.xp.count_nonzero(predictions_from_outputs(self.xp, self.loss, outputs) == targets)
        self._samples += len(targets)

    def value(self) -> float:
        return _mean(self._right, self._samples)


@dataclass(slots=True)
class MeanLoss:
    """The mean loss of a sample."""

    loss: LossName
    xp: ModuleType = np
    _total: Any = 0.0
    _samples: int = 0

    def add(self, outputs: Array, targets: Array) -> None:
        value = LOSSES[self.loss](self.xp, outputs, targets, self.xp.empty_like(outputs))
        self._total += value.astype(self.xp.float64)
        self._samples += len(targets)

    def value(self) -> float:
        return _mean(self._total, self._samples)


@dataclass(slots=True)
class MeanAbsoluteError:
    """`Σ|ŷ - y| / n`.

    Args:
        unit: the size of a difference of 1 in the original unit of the target, in which the metric is reported. R²
            does not depend on the unit.

    Example:
        >>> error = MeanAbsoluteError(unit=100.0)
        >>> error.add(np.array([[1.0], [2.0]]), np.array([1.5, 2.0]))
        >>> error.value()
        25.0
    """

    unit: float = 1.0
    xp: ModuleType = np
    _total: Any = 0.0
    _samples: int = 0

    def add(self, outputs: Array, targets: Array) -> None:
        self._total += self.xp.absolute(outputs[:, 0] - targets).sum(dtype=self.xp.float64)
        self._samples += len(targets)

    def value(self) -> float:
        return self.unit * _mean(self._total, self._samples)


@dataclass(slots=True)
class R2:
    """The coefficient of determination, `1 - Σ(ŷ - y)² / Σ(y - ȳ)²`: 1 is perfect, 0 no better than the mean.

    It is None if all targets are equal, or for one sample, because there is no variance to explain.

    Args:
        shift: a number near the targets, such as the mean of the training part. The spread is summed around
            it, as `Σ(y - shift)² - (Σ(y - shift))² / n` in float64, which then loses no digits to a large mean.

    Example:
        >>> r2 = R2(shift=2.0)
        >>> r2.add(np.array([[1.0], [2.0]]), np.array([1.0, 2.0]))
        >>> r2.add(np.array([[4.0]]), np.array([3.0]))
        >>> r2.value()
        0.5
    """

    shift: float = 0.0
    xp: ModuleType = np
    _residual: Any = 0.0
    _sum: Any = 0.0
    _squares: Any = 0.0
    _samples: int = 0

    def add(self, outputs: Array, targets: Array) -> None:
        truth = targets.astype(self.xp.float64)
        residual = outputs[:, 0] - truth
        truth -= self.shift
        self._residual += self.xp.dot(residual, residual)
        self._sum += truth.sum()
        self._squares += self.xp.dot(truth, truth)
        self._samples += len(targets)

    def value(self) -> float | None:
        if not self._samples:
            return float("nan")
        residual, squares = float(self._residual), float(self._squares)
        spread = squares - float(self._sum) ** 2 / self._samples
        if spread <= 1e-14 * squares:  # no more than rounding errors
            return None
        return 1 - residual / spread


def build_metric(
    name: MetricName, loss: LossName, shift: float = 0.0, xp: ModuleType = np, unit: float = 1.0
) -> Metric:
    """Build a metric by its name in `fit.metrics`, without samples.

    Args:
        name: `accuracy`, `loss`, `mae` or `r2`.
        loss: the loss, which determines the meaning of the outputs.
        shift: as for `R2`; other metrics ignore it.
        xp: `numpy` or `cupy`.
        unit: as for `MeanAbsoluteError`; other metrics ignore it.

    Example:
        >>> accuracy = build_metric("accuracy", "softmax_cross_entropy")
        >>> accuracy.add(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
        >>> accuracy.value()
        0.5
    """
    match name:
        case "accuracy":
            return Accuracy(loss, xp)
        case "loss":
            return MeanLoss(loss, xp)
        case "mae":
            return MeanAbsoluteError(unit, xp)
        case "r2":
            return R2(shift, xp)


def metric_sums(metric: Metric) -> dict[str, float | int]:
    """Return the sums of a metric as plain numbers, for `restore_metric`.

    Example:
        >>> accuracy = build_metric("accuracy", "softmax_cross_entropy")
        >>> accuracy.add(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
        >>> metric_sums(accuracy)
        {'right': 1, 'samples': 2}
    """
    return {name[1:]: _to_python(getattr(metric, name)) for name in _sum_names(metric)}


def restore_metric(metric: Metric, sums: Mapping[str, float | int]) -> None:
    """Continue from the sums that `metric_sums` returned."""
    for name in _sum_names(metric):
        setattr(metric, name, sums[name[1:]])


def _sum_names(metric: Any) -> list[str]:
    return [field.name for field in fields(metric) if field.name.startswith("_")]


def _to_python(number: Any) -> float | int:
    plain: float | int = number.item() if hasattr(number, "item") else number
    return plain


def _mean(total: Any, samples: int) -> float:
    return float(total) / samples if samples else float("nan")
