"""Charts of a run: metrics, schedules, diagnostics, confusion matrix and residuals."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.formatting import format_count, format_number
from mxtrain.reports.charts import POINTS, Chart, Figure, Mark, Matrix, Series, thinned
from mxtrain.reports.run_data import RunData
from mxtrain.training import Comparison, Row

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
    told = f"{format_count(len(true), 'sample')}; a row for each true class, coloured by shares of the row."
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
    return f"{format_count(int(wrong.sum()), 'mistake')}, most often {', '.join(told)}."


def _residuals(comparison: Comparison, target: str) -> list[Figure]:
    true, predicted = comparison.targets.astype(np.float64), comparison.predicted.astype(np.float64)
    residuals = predicted - true
    shown = np.arange(len(true)) if len(true) <= _DOTS else np.linspace(0, len(true) - 1, _DOTS).astype(np.int64)
    ends = [float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))]
    told = (
        format_count(len(true), "sample")
        if len(shown) == len(true)
        else f"{len(shown):,} of {format_count(len(true), 'sample')}"
    )
    heights, edges = np.histogram(residuals, bins=min(_BARS, max(5, int(len(true) ** 0.5))))
    middles = (edges[1:] + edges[:-1]) / 2
    notes = [
        f"true {format_number(float(t))}, predicted {format_number(float(p))}"
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
            f"Half of the predictions are off by less than {format_number(typical)}; "
            f"the mean of predicted - true is {format_number(mean)}.",
        ),
    ]


_NAMES = {"loss": "Loss", "accuracy": "Accuracy", "mae": "Mean absolute error", "r2": "R²"}
_RATIOS = 10
"""Parameters whose update ratios are drawn; more could not be told apart."""


def metric_charts(facts: RunData) -> list[Chart]:
    """A chart of each metric over the epochs, on the training and on the validation part."""
    return [_metric(facts, name) for name in facts.metrics]


def schedule_charts(facts: RunData) -> list[Chart]:
    """What the learning rate and the momentum were."""
    drawn = (("η", "eta", "Learning rate η"), ("μ", "mu", "Momentum μ"))
    return [
        Chart(
            key,
            title,
            "epoch",
            title.lower(),
            (series,),
            "As of the last iteration of each epoch.",
            y_range=_around(series),
            whole=True,
        )
        for place, (letter, key, title) in enumerate(drawn)
        if (series := _series(facts.history, letter, _at(letter), 2 + place)) is not None
    ]


def diagnostic_charts(facts: RunData) -> list[Chart]:
    """Norms of gradients, sizes of updates, and what was clipped or left out."""
    rows = [row for row in facts.history if isinstance(row.get("diagnostics"), dict)]
    if not rows:
        return []
    found = [_gradients(rows), _ratios(rows)]
    for name, title, unit in (
        ("clipped", "Share of gradient elements that were clipped", "share"),
        ("skipped", "Batches left out because they were not finite", "batches"),
    ):
        series = _series(rows, "", _at("diagnostics", name), 5)
        if series is not None and (name == "clipped" or any(series.y)):
            found.append(Chart(name, title, "epoch", unit, (series,), whole=True))
    return [chart for chart in found if chart is not None]


def thinning(facts: RunData) -> str:
    """That curves are thinned out, where they are."""
    if len(facts.history) <= POINTS:
        return ""
    epochs = format_count(len(facts.history), "epoch")
    return f"Of {epochs}, each curve shows the lowest and the highest point of {POINTS // 2} stretches of equal length."


def _metric(facts: RunData, name: str) -> Chart:
    title = _NAMES.get(name, name)
    parts = (("training", name, 0), ("validation", f"val_{name}", 1))
    series = [_series(facts.history, part, _at(key), colour) for part, key, colour in parts]
    best = facts.best
    marks = (Mark(best["epoch"], f"best epoch: {best['epoch']}"),) if best and len(facts.history) > 1 else ()
    meaning = {"loss": "mean loss of a sample", "accuracy": "share predicted right"}.get(name, title)
    drawn = tuple(it for it in series if it is not None)
    values = [y for it in drawn for y in it.y if isinstance(y, int | float)]
    wide = name == "loss" and min(values) > 0 and max(values) > 20 * min(values)
    return Chart(
        name,
        f"{title} over the epochs{f', {facts.config.loss}' if name == 'loss' else ''}",
        "epoch",
        meaning,
        drawn,
        log_y=wide,
        marks=marks,
        whole=True,
    )


def _gradients(rows: list[Row]) -> Chart | None:
    drawn = [
        _series(rows, "mean over the epoch", _at("diagnostics", "grad_norm"), 0),
        _series(rows, "largest in the epoch", _at("diagnostics", "grad_norm_max"), 1),
    ]
    series = tuple(it for it in drawn if it is not None)
    positive = all(y > 0 for it in series for y in it.y if isinstance(y, int | float))
    caption = "Of the mean gradient of a batch, before clipping."
    title = "Norm of the gradient"
    return Chart("gradient", title, "epoch", "norm", series, caption, log_y=positive, whole=True) if series else None


def _ratios(rows: list[Row]) -> Chart | None:
    last = rows[-1]["diagnostics"].get("update_ratio") or {}
    ranked = sorted(last, key=lambda it: float(last[it]))
    names = ranked if len(ranked) <= _RATIOS else [*ranked[: _RATIOS // 2], *ranked[-_RATIOS // 2 :]]
    drawn = [
        _series(rows, name, _at("diagnostics", "update_ratio", name), place)
        for place, name in enumerate(it for it in last if it in names)
    ]
    caption = "How far an epoch's last update moved each parameter, for its size; about 10⁻³ where all is well."
    if len(names) < len(last):
        caption += f" Of {len(last)} parameters, the {_RATIOS // 2} with the smallest and the largest are shown."
    series = tuple(it for it in drawn if it is not None)
    title = "Size of an update, relative to the parameter"
    return (
        Chart("updates", title, "epoch", "‖update‖ / ‖parameter‖", series, caption, log_y=True, whole=True)
        if series
        else None
    )


def _around(series: Series) -> tuple[float, float] | None:
    """From 0 to a little more than a value that never changes; None leaves the range to who draws."""
    values = {y for y in series.y if isinstance(y, int | float) and y > 0}
    return (0.0, 1.1 * values.pop()) if len(values) == 1 else None


def _at(*path: str) -> Callable[[Row], Any]:
    """What reads a value out of a row; None where it is not there."""

    def value(row: Row) -> Any:
        found: Any = row
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    return value


def _series(rows: list[Row], name: str, value: Callable[[Row], Any], colour: int) -> Series | None:
    """A curve over the epochs that have a value; None where none has."""
    points = [(row["epoch"], float(y)) for row in rows if isinstance(y := value(row), int | float)]
    if not points:
        return None
    x, y = thinned([x for x, _ in points], [y for _, y in points])
    return Series(name, x, y, colour=colour)
