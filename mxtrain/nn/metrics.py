"""Metrics of an epoch that are sums, accumulated batch by batch; `build_metric` for every metric."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from mxtrain.loss_config import LossSpec
from mxtrain.nn.collected_metrics import CollectedMetric
from mxtrain.nn.losses import build_loss
from mxtrain.nn.predictions import point_predictions, predictions_from_outputs
from mxtrain.types import METRIC_INFO, Array, MetricName


class Metric(Protocol):
    """Sums over the samples added so far. CuPy arrays stay on the device until `value` is called."""

    def add(self, outputs: Array, targets: Array, weights: Array | None = None) -> None:
        """Add a batch.

        Args:
            outputs: the outputs of a model, (n, k).
            targets: the targets as the loss takes them, (n,) or (n, k).
            weights: the weight of each sample, (n,), as scikit-learn's `sample_weight`; None if all are equal.
        """

    def value(self) -> float | None:
        """Return the metric of all batches; NaN before the first, and None if it is not defined for them."""


@dataclass(slots=True)
class Accuracy:
    """The fraction of samples whose class is predicted correctly, or all of whose boolean targets are."""

    loss: LossSpec
    xp: ModuleType = np
    _right: Any = 0
    _samples: Any = 0

    def add(self, outputs: Array, targets: Array, weights: Array | None = None) -> None:
        is_right = predictions_from_outputs(self.xp, self.loss, outputs) == targets
        if is_right.ndim > 1:
            is_right = is_right.all(axis=1)
        if weights is None:
            self._right += self.xp.count_nonzero(is_right)
        else:
            self._right += weights[is_right].sum(dtype=self.xp.float64)
        self._samples += _total_weight(self.xp, targets, weights)

    def value(self) -> float:
        return _mean(self._right, self._samples)


@dataclass(slots=True)
class MeanLoss:
    """The mean loss of a sample."""

    loss: LossSpec
    xp: ModuleType = np
    _total: Any = 0.0
    _samples: Any = 0

    def add(self, outputs: Array, targets: Array, weights: Array | None = None) -> None:
        value = build_loss(self.loss)(self.xp, outputs, targets, self.xp.empty_like(outputs), weights)
        self._total += value.astype(self.xp.float64)
        self._samples += _total_weight(self.xp, targets, weights)

    def value(self) -> float:
        return _mean(self._total, self._samples)


@dataclass(slots=True)
class MeanAbsoluteError:
    """`Σ|ŷ - y| / n`; of several targets the mean over them.

    Args:
        unit: the size of a difference of 1 in the original unit of the target, in which the metric is reported; for
            several targets, (k,). R² does not depend on the unit.
        loss: the loss, which determines the meaning of the outputs.

    Example:
        >>> error = MeanAbsoluteError(unit=100.0)
        >>> error.add(np.array([[1.0], [2.0]]), np.array([1.5, 2.0]))
        >>> error.value()
        25.0
    """

    unit: Any = 1.0
    xp: ModuleType = np
    loss: LossSpec = "squared_error"
    _total: Any = 0.0
    _samples: Any = 0

    def add(self, outputs: Array, targets: Array, weights: Array | None = None) -> None:
        error = self.xp.absolute(point_predictions(self.xp, self.loss, outputs) - targets)
        if weights is not None:
            error = error.astype(self.xp.float64) * (weights if error.ndim == 1 else weights[:, None])
        axis = None if error.ndim == 1 else 0
        self._total = self._total + error.sum(axis=axis, dtype=self.xp.float64)
        self._samples += _total_weight(self.xp, targets, weights)

    def value(self) -> float:
        if np.ndim(self._total):
            return float(np.mean(np.asarray(self.unit) * _to_host(self._total))) / float(self._samples)
        return float(self.unit) * _mean(self._total, self._samples)


@dataclass(slots=True)
class R2:
    """The coefficient of determination, `1 - Σ(ŷ - y)² / Σ(y - ȳ)²`: 1 is perfect, 0 no better than the mean.

    It is None if all targets are equal, or for one sample, because there is no variance to explain. Of several targets
    it is the mean over them.

    Args:
        shift: a number near the targets, such as the mean of the training part; for several targets, (k,). The spread
            is summed around it, as `Σ(y - shift)² - (Σ(y - shift))² / n` in float64, which then loses no digits to a
            large mean.
        loss: the loss, which determines the meaning of the outputs.

    Example:
        >>> r2 = R2(shift=2.0)
        >>> r2.add(np.array([[1.0], [2.0]]), np.array([1.0, 2.0]))
        >>> r2.add(np.array([[4.0]]), np.array([3.0]))
        >>> r2.value()
        0.5
    """

    shift: Any = 0.0
    xp: ModuleType = np
    loss: LossSpec = "squared_error"
    _residual: Any = 0.0
    _sum: Any = 0.0
    _squares: Any = 0.0
    _samples: Any = 0

    def add(self, outputs: Array, targets: Array, weights: Array | None = None) -> None:
        truth = targets.astype(self.xp.float64)
        residual = point_predictions(self.xp, self.loss, outputs) - truth
        truth -= self.xp.asarray(self.shift)
        if weights is None and truth.ndim == 1:
            self._residual += self.xp.dot(residual, residual)
            self._sum += truth.sum()
            self._squares += self.xp.dot(truth, truth)
        else:
            each = self.xp.ones(len(truth)) if weights is None else weights.astype(self.xp.float64)
            self._residual = self._residual + self.xp.dot(each, residual * residual)
            self._sum = self._sum + self.xp.dot(each, truth)
            self._squares = self._squares + self.xp.dot(each, truth * truth)
        self._samples += _total_weight(self.xp, targets, weights)

    def value(self) -> float | None:
        if not self._samples:
            return float("nan")
        samples = float(self._samples)
        sums = zip(*(_to_host(each).reshape(-1) for each in (self._residual, self._sum, self._squares)), strict=True)
        values = []
        for residual, total, squares in sums:
            spread = squares - total**2 / samples
            if spread <= 1e-14 * squares:  # no more than rounding errors
                return None
            values.append(1 - residual / spread)
        return float(sum(values) / len(values))


def build_metric(
    name: MetricName, loss: LossSpec, shift: Any = 0.0, xp: ModuleType = np, unit: Any = 1.0, origin: Any = 0.0
) -> Metric:
    """Build a metric by its name in `fit.metrics`, without samples.

    Args:
        name: the metric.
        loss: the loss, which determines the meaning of the outputs.
        shift: as for `R2`; other metrics ignore it.
        xp: `numpy` or `cupy`.
        unit: as for `MeanAbsoluteError`; R², and metrics of classes, ignore it.
        origin: the number in the original unit of the target that is 0 among the targets; for several targets, (k,).

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
            return MeanAbsoluteError(unit, xp, loss)
        case "r2":
            return R2(shift, xp, loss)
    assert METRIC_INFO[name].is_collected
    return CollectedMetric(name, loss, unit, origin)


def metric_sums(metric: Metric) -> dict[str, Any]:
    """Return the sums of a metric as plain numbers, or lists of them, for `restore_metric`.

    Example:
        >>> accuracy = build_metric("accuracy", "softmax_cross_entropy")
        >>> accuracy.add(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
        >>> metric_sums(accuracy)
        {'right': 1, 'samples': 2}
    """
    return {name[1:]: _to_python(getattr(metric, name)) for name in _sum_names(metric)}


def restore_metric(metric: Metric, sums: Mapping[str, Any]) -> None:
    """Continue from the sums that `metric_sums` returned."""
    for name in _sum_names(metric):
        value = sums[name[1:]]
        setattr(metric, name, metric.xp.asarray(value) if isinstance(value, list) else value)  # type: ignore[attr-defined]


def _sum_names(metric: Any) -> list[str]:
    return [field.name for field in fields(metric) if field.name.startswith("_")]


def _to_python(number: Any) -> Any:
    return number.tolist() if hasattr(number, "tolist") else number


def _to_host(number: Any) -> Any:
    return np.asarray(number.get() if hasattr(number, "get") else number, dtype=np.float64)


def _total_weight(xp: ModuleType, targets: Array, weights: Array | None) -> Any:
    return len(targets) if weights is None else weights.sum(dtype=xp.float64)


def _mean(total: Any, samples: Any) -> float:
    return float(total) / float(samples) if samples else float("nan")
