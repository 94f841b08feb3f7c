"""What a model predicts, beside what is true."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.numbers import count, short
from mxtrain.reports.charts import Chart, Figure, Matrix, Series
from mxtrain.training import Comparison

_DOTS = 3000
"""Samples that are drawn; more would cover one another."""
_CLASSES = 200
"""Classes up to which a matrix is drawn."""
_BARS = 41


def outcome_charts(comparison: Comparison, class_names: tuple[str, ...] | None, target: str) -> list[Figure]:
    """A confusion matrix, or the residuals of numbers."""
    if class_names is None:
        return _residuals(comparison, target)
    return [_confusion(comparison, class_names)] if len(class_names) <= _CLASSES else []


def _confusion(comparison: Comparison, names: tuple[str, ...]) -> Matrix:
    size = len(names)
    true, predicted = comparison.targets.astype(np.int64), comparison.predicted.astype(np.int64)
    counts = np.bincount(true * size + predicted, minlength=size * size).reshape(size, size)
    title = f"Which classes are taken for which, on the {comparison.part} part"
    told = f"{count(len(true), 'sample')}; a row for each true class, coloured by shares of the row."
    return Matrix("confusion", title, names, counts.tolist(), f"{told} {_mistakes(counts, names)}")


def _mistakes(counts: NDArray[Any], names: tuple[str, ...]) -> str:
    """The most frequent mistakes in words."""
    wrong = counts - np.diag(np.diag(counts))
    if not wrong.any():
        return "Every sample is predicted right."
    worst = [divmod(int(it), len(names)) for it in np.argsort(-wrong, axis=None, kind="stable")[:3]]
    told = [
        f"{names[row]} for {names[column]} ({counts[row, column]:,} of {counts[row].sum():,})"
        for row, column in worst
        if wrong[row, column]
    ]
    return f"{count(int(wrong.sum()), 'mistake')}, most often {', '.join(told)}."


def _residuals(comparison: Comparison, target: str) -> list[Figure]:
    true, predicted = comparison.targets.astype(np.float64), comparison.predicted.astype(np.float64)
    residuals = predicted - true
    shown = np.arange(len(true)) if len(true) <= _DOTS else np.linspace(0, len(true) - 1, _DOTS).astype(np.int64)
    ends = [float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))]
    told = count(len(true), "sample") if len(shown) == len(true) else f"{len(shown):,} of {count(len(true), 'sample')}"
    heights, edges = np.histogram(residuals, bins=min(_BARS, max(5, int(len(true) ** 0.5))))
    middles = (edges[1:] + edges[:-1]) / 2
    notes = [
        f"true {short(float(t))}, predicted {short(float(p))}"
        for t, p in zip(true[shown], predicted[shown], strict=True)
    ]
    mean = float(residuals.mean())
    typical = float(np.quantile(np.abs(residuals), 0.5))
    return [
        Chart(
            "predictions",
            f"Predicted and true {target}, on the {comparison.part} part",
            f"true {target}",
            f"predicted {target}",
            (
                Series("samples", true[shown].tolist(), predicted[shown].tolist(), "dots", 0, notes),
                Series("predicted exactly", ends, ends, colour=None, dashed=True),
            ),
            f"{told}. On the dashed line, predictions are exact.",
            each=True,
        ),
        Chart(
            "residuals",
            f"How far predictions are off, on the {comparison.part} part",
            f"predicted - true {target}",
            "samples",
            (Series("", middles.tolist(), heights.tolist(), "bars", 0),),
            f"Half of the predictions are off by less than {short(typical)}; "
            f"the mean of predicted - true is {short(mean)}.",
        ),
    ]
