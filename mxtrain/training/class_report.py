"""Confusion matrix, and precision, recall and F1 of each class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class ClassReport:
    """The confusion matrix of a classifier and the measures that follow from it, as scikit-learn defines them.

    A measure without samples (the precision of a class that is never predicted) is 0. Averages are over the classes
    that occur among the targets or the predictions.

    Attributes:
        names: the k classes in the order of their indices.
        matrix: (k, k); row i, column j counts the samples of class i that are predicted as class j; for weighted
            samples, their total weight.

    Example:
        >>> report = class_report(["cat", "dog"], np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))
        >>> report.matrix.tolist(), report.precision.round(2).tolist(), report.recall.tolist(), report.accuracy
        ([[1, 1], [0, 2]], [1.0, 0.67], [0.5, 1.0], 0.75)
    """

    names: tuple[str, ...]
    matrix: NDArray[Any]

    @property
    def support(self) -> NDArray[Any]:
        """The number of samples of each class, (k,)."""
        support: NDArray[Any] = self.matrix.sum(axis=1)
        return support

    @property
    def predicted(self) -> NDArray[Any]:
        """The number of predictions of each class, (k,)."""
        predicted: NDArray[Any] = self.matrix.sum(axis=0)
        return predicted

    @property
    def precision(self) -> NDArray[np.float64]:
        """The fraction of the predictions of each class that are correct, (k,)."""
        return _ratio(self.matrix.diagonal(), self.predicted)

    @property
    def recall(self) -> NDArray[np.float64]:
        """The fraction of the samples of each class that are predicted correctly, (k,)."""
        return _ratio(self.matrix.diagonal(), self.support)

    @property
    def f1(self) -> NDArray[np.float64]:
        """The harmonic mean of precision and recall, `2·tp / (2·tp + fp + fn)`, (k,)."""
        return _ratio(2 * self.matrix.diagonal(), self.support + self.predicted)

    @property
    def accuracy(self) -> float:
        """The fraction of the samples that are predicted correctly."""
        return float(_ratio(self.matrix.trace(), self.matrix.sum()))

    @property
    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that occur among the targets."""
        return float(self.recall[self.support > 0].mean())

    def averages(self) -> dict[str, dict[str, float]]:
        """Return the means of precision, recall and F1: `macro`, over the classes, and `weighted` by their support."""
        occurs = (self.support > 0) | (self.predicted > 0)
        weights = {"macro": occurs.astype(np.float64), "weighted": self.support.astype(np.float64)}
        columns = {"precision": self.precision, "recall": self.recall, "f1": self.f1}
        return {
            name: {column: float(np.average(values, weights=weight)) for column, values in columns.items()}
            for name, weight in weights.items()
        }

    def confusions(self, limit: int) -> list[tuple[str, str, Any]]:
        """Return the largest entries beside the diagonal: the class, the class that is predicted, and the number."""
        errors = self.matrix.copy()
        np.fill_diagonal(errors, 0)
        order = np.argsort(-errors, axis=None, kind="stable")[:limit]
        pairs = zip(*np.unravel_index(order, errors.shape), strict=True)
        return [(self.names[i], self.names[j], errors[i, j].item()) for i, j in pairs if errors[i, j]]


def class_report(
    names: Sequence[str],
    targets: NDArray[np.int64],
    predicted: NDArray[np.int64],
    weights: NDArray[np.float64] | None = None,
) -> ClassReport:
    """Count the samples of each class by their prediction.

    Args:
        names: the k classes.
        targets: (n,), indices of classes, at least one.
        predicted: (n,), indices of classes.
        weights: (n,), the weights of the samples; left out, each counts 1.
    """
    k = len(names)
    cells = np.bincount(targets.astype(np.int64) * k + predicted, weights, minlength=k * k)
    return ClassReport(tuple(names), cells.reshape(k, k))


def _ratio(part: Any, whole: Any) -> NDArray[np.float64]:
    """Return quotients, and 0 where the divisor is 0."""
    whole = np.asarray(whole)
    quotient: NDArray[np.float64] = np.divide(part, whole, out=np.zeros(whole.shape), where=whole != 0)
    return quotient
