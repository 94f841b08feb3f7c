"""Metrics that are computed from all outputs together, by scikit-learn's definitions."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mxtrain.loss_config import LossSpec, QuantileConfig, as_loss_config, loss_family
from mxtrain.nn.predictions import point_predictions, predictions_from_outputs, probabilities
from mxtrain.types import Array, MetricName

TOP_K = 5
"""The number of classes in top-k accuracy, or one less than there are classes if that is smaller."""


class CollectedMetric:
    """A metric of all samples together; batches are kept in memory until `value`.

    Args:
        name: the metric.
        loss: the loss, which determines the meaning of the outputs.
        unit, origin: targets and outputs y are `origin + unit·y` in their original unit; for several targets, (k,).

    Example:
        >>> metric = CollectedMetric("f1", "logistic")
        >>> metric.add(np.array([[1.0], [2.0]]), np.array([1.0, 0.0]))
        >>> metric.add(np.array([[-1.0]]), np.array([0.0]))
        >>> round(metric.value(), 4)
        0.6667
    """

    def __init__(self, name: MetricName, loss: LossSpec, unit: Any = 1.0, origin: Any = 0.0) -> None:
        self._name, self._loss, self._unit, self._origin = name, loss, unit, origin
        self._batches: list[tuple[Any, Any, Any]] = []

    def add(self, outputs: Array, targets: Array, weights: Array | None = None) -> None:
        """Add copies of a batch, on the CPU."""
        self._batches.append((_to_host(outputs), _to_host(targets), None if weights is None else _to_host(weights)))

    def value(self) -> float | None:
        """Return the metric of all batches; NaN before the first, and None if it is not defined for them."""
        if not self._batches:
            return float("nan")
        outputs, targets, weights = zip(*self._batches, strict=True)
        joined = np.concatenate(outputs).astype(np.float64), np.concatenate(targets)
        sample_weight = None if weights[0] is None else np.concatenate(weights).astype(np.float64)
        if not np.isfinite(joined[0]).all():
            return float("nan")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as scikit-learn's of a class that is never predicted
            if loss_family(self._loss) == "squared_error":
                return self._of_numbers(*joined, sample_weight)
            return _of_classes(self._name, self._loss, *joined, sample_weight)

    def _of_numbers(self, outputs: Any, targets: Any, weights: Any) -> float | None:
        truth = self._restore(targets.astype(np.float64))
        config = as_loss_config(self._loss)
        if self._name in ("pinball", "coverage"):
            predicted = self._restore(predictions_from_outputs(np, self._loss, outputs))
            levels = config.quantiles if isinstance(config, QuantileConfig) else (0.5,)
            if self._name == "coverage":
                return _coverage(truth, predicted, weights)
            return _pinball(truth, predicted, levels, weights)
        from sklearn import metrics

        functions = {
            "rmse": metrics.root_mean_squared_error,
            "mape": metrics.mean_absolute_percentage_error,
            "median_absolute_error": metrics.median_absolute_error,
        }
        predicted = self._restore(point_predictions(np, self._loss, outputs))
        return float(functions[self._name](truth, predicted, sample_weight=weights))

    def _restore(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return numbers in the original unit."""
        restored: NDArray[np.float64] = values * np.asarray(self._unit) + np.asarray(self._origin)
        return restored


def _coverage(truth: Any, predicted: Any, weights: Any) -> float:
    """Return the fraction of targets from the lowest to the highest of the predicted quantiles."""
    is_inside = (truth >= predicted[:, 0]) & (truth <= predicted[:, -1])
    return float(np.average(is_inside, weights=weights))


def _pinball(truth: Any, predicted: Any, levels: tuple[float, ...], weights: Any) -> float:
    """Return the mean pinball loss over the quantiles, and over the targets."""
    from sklearn.metrics import mean_pinball_loss

    if truth.ndim == 1 and predicted.ndim == 2:
        columns = zip(levels, predicted.T, strict=True)
        return float(np.mean([mean_pinball_loss(truth, each, alpha=q, sample_weight=weights) for q, each in columns]))
    return float(mean_pinball_loss(truth, predicted, alpha=levels[0], sample_weight=weights))


class _Classified(NamedTuple):
    """Targets and predictions of one classification.

    Attributes:
        truth: (n,), class indices.
        predicted: (n,), class indices.
        likelihood: (n, classes).
        weights: (n,) or None.
    """

    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    likelihood: NDArray[np.float64]
    weights: NDArray[np.float64] | None

    @property
    def average(self) -> str:
        return "binary" if self.likelihood.shape[1] == 2 else "macro"


def _of_classes(name: str, loss: LossSpec, outputs: Any, targets: Any, weights: Any) -> float | None:
    predicted, likelihood = predictions_from_outputs(np, loss, outputs), probabilities(np, loss, outputs)
    function = _CLASS_METRICS[name]
    if targets.ndim == 1:
        return function(_Classified(targets.astype(np.int64), predicted, likelihood, weights))
    columns = (
        _Classified(truth.astype(np.int64), decided, np.stack([1 - p, p], axis=1), weights)
        for truth, decided, p in zip(targets.T, predicted.T, likelihood.T, strict=True)
    )
    return _mean([value for column in columns if (value := function(column)) is not None])


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _balanced_accuracy(data: _Classified) -> float | None:
    from sklearn.metrics import balanced_accuracy_score

    return float(balanced_accuracy_score(data.truth, data.predicted, sample_weight=data.weights))


def _f1(data: _Classified) -> float | None:
    from sklearn.metrics import f1_score

    return float(
        f1_score(data.truth, data.predicted, average=data.average, sample_weight=data.weights, zero_division=0)
    )


def _precision(data: _Classified) -> float | None:
    from sklearn.metrics import precision_score

    return float(
        precision_score(data.truth, data.predicted, average=data.average, sample_weight=data.weights, zero_division=0)
    )


def _recall(data: _Classified) -> float | None:
    from sklearn.metrics import recall_score

    return float(
        recall_score(data.truth, data.predicted, average=data.average, sample_weight=data.weights, zero_division=0)
    )


def _of_predictions(data: _Classified, function: Callable[..., float]) -> float:
    return float(
        function(data.truth, data.predicted, average=data.average, sample_weight=data.weights, zero_division=0)
    )


def _roc_auc(data: _Classified) -> float | None:
    from sklearn.metrics import roc_auc_score

    return _one_against_rest(data, roc_auc_score)


def _average_precision(data: _Classified) -> float | None:
    from sklearn.metrics import average_precision_score

    return _one_against_rest(data, average_precision_score)


def _one_against_rest(data: _Classified, function: Callable[..., float]) -> float | None:
    """Return the mean over the classes, each against all others; None if all samples are of one class.

    A class that does not occur is left out.
    """
    classes = [1] if data.likelihood.shape[1] == 2 else range(data.likelihood.shape[1])
    scores = []
    for index in classes:
        is_class = data.truth == index
        if is_class.any() and not is_class.all():
            scores.append(float(function(is_class, data.likelihood[:, index], sample_weight=data.weights)))
    return _mean(scores)


def _log_loss(data: _Classified) -> float | None:
    from sklearn.metrics import log_loss

    labels = np.arange(data.likelihood.shape[1])
    return float(log_loss(data.truth, data.likelihood, sample_weight=data.weights, labels=labels))


def _brier(data: _Classified) -> float | None:
    """Return the mean of `(p - y)²` for two classes, and of the sum over the classes for more."""
    if data.likelihood.shape[1] == 2:
        each = (data.likelihood[:, 1] - data.truth) ** 2
    else:
        each = ((data.likelihood - np.eye(data.likelihood.shape[1])[data.truth]) ** 2).sum(axis=1)
    return float(np.average(each, weights=data.weights))


def _top_k(data: _Classified) -> float | None:
    from sklearn.metrics import top_k_accuracy_score

    classes = data.likelihood.shape[1]
    scores = data.likelihood[:, 1] if classes == 2 else data.likelihood
    k = min(TOP_K, classes - 1)
    return float(top_k_accuracy_score(data.truth, scores, k=k, sample_weight=data.weights, labels=np.arange(classes)))


_CLASS_METRICS: dict[str, Callable[[_Classified], float | None]] = {
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
    "precision": _precision,
    "recall": _recall,
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "log_loss": _log_loss,
    "brier": _brier,
    "top_k": _top_k,
}


def _to_host(array: Array) -> NDArray[Any]:
    """Return a copy on the CPU."""
    return np.array(array.get() if hasattr(array, "get") else array)
