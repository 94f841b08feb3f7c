"""Charts of a run: metrics, schedules, diagnostics, confusion matrix and residuals."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from mxtrain.formatting import format_count, format_value
from mxtrain.reports.charts import (
    BLUE,
    GREY,
    ORANGE,
    PALETTE,
    POINTS,
    RED,
    Chart,
    axis,
    category_ticks,
    chart_figure,
    common_layout,
    dots,
    line,
    literal,
    mark,
    shortened,
    thinned,
)
from mxtrain.reports.run_data import RunData
from mxtrain.training import Comparison, Row
from mxtrain.types import METRIC_INFO

_MAX_SAMPLES = 3000
"""Largest number of samples in the scatter plot; more would cover one another."""
_MAX_CLASSES, _MAX_NAMED_CLASSES, _MAX_COUNTED_CLASSES = 200, 60, 20
"""Largest numbers of classes for a confusion matrix, for class names on its axes, and for counts in its cells."""
_MAX_TARGETS = 8
"""Largest number of targets whose predictions are plotted."""
_MAX_BINS = 41
_MAX_RATIOS = 10
"""Largest number of parameters in the chart of update ratios; more are indistinguishable."""
_SHADES = [[0, "rgba(47,127,193,0)"], [1, "rgba(47,127,193,0.85)"]]


def metric_charts(run: RunData) -> list[Chart]:
    """Plot each metric over the epochs, for training and validation."""
    return [_metric_chart(run, name) for name in run.metrics]


def schedule_charts(run: RunData) -> list[Chart]:
    """Plot the learning rate, the momentum and the other scheduled numbers."""
    charts = []
    numbers = dict.fromkeys(name for row in run.history for name in row.get("scheduled") or ())
    chosen: list[tuple[tuple[str, ...], str, str, int]]
    chosen = [(("η",), "eta", "Learning rate η", 2), (("μ",), "mu", "Momentum μ", 3)]
    chosen += [(("scheduled", name), f"scheduled-{i}", f"Scheduled {name}", 4) for i, name in enumerate(numbers)]
    for path, key, title, color in chosen:
        curve = _curve(run.history, path[-1], _at(*path), PALETTE[color])
        if curve is not None:
            values = {y for y in curve.y if y > 0}
            y_range = (0.0, 1.1 * values.pop()) if len(values) == 1 else None  # a constant, with 0 in sight
            figure = chart_figure([curve], "epoch", title.lower(), whole=True, y_range=y_range)
            charts.append(Chart(key, title, figure, "As of the last iteration of each epoch."))
    return charts


def diagnostic_charts(run: RunData) -> list[Chart]:
    """Plot gradient norms, update sizes, clipped elements and skipped batches."""
    rows = [row for row in run.history if isinstance(row.get("diagnostics"), dict)]
    if not rows:
        return []
    charts = [_gradient_chart(rows), _update_chart(rows)]
    for name, title, unit in (
        ("clipped", "Fraction of gradient elements that were clipped", "fraction"),
        ("skipped", "Batches skipped because of NaN or infinity", "batches"),
    ):
        curve = _curve(rows, "", _at("diagnostics", name), RED)
        if curve is not None and (name == "clipped" or any(curve.y)):
            charts.append(Chart(name, title, chart_figure([curve], "epoch", unit, whole=True)))
    return [chart for chart in charts if chart is not None]


def prediction_charts(
    comparison: Comparison, class_names: tuple[str, ...] | None, targets: Sequence[str]
) -> list[Chart]:
    """Plot the confusion matrix of a classifier, or predictions and residuals of each target of a regression."""
    if class_names is None and len(targets) > 1:
        is_boolean = comparison.targets.dtype.kind in "bi"
        return [] if is_boolean else list(_charts_by_target(comparison, targets))
    target = targets[0]
    if class_names is None:
        return [_prediction_chart(comparison, target), _residual_chart(comparison, target)]
    return [_confusion_chart(comparison, class_names)] if len(class_names) <= _MAX_CLASSES else []


def _charts_by_target(comparison: Comparison, targets: Sequence[str]) -> Iterator[Chart]:
    for index, target in enumerate(targets[:_MAX_TARGETS]):
        one = replace(
            comparison, targets=comparison.targets[:, index], predicted=comparison.predicted[:, index], by_target={}
        )
        for chart in (_prediction_chart(one, target), _residual_chart(one, target)):
            yield replace(chart, key=f"{chart.key}-{index}", title=f"{chart.title}: {target}")


def thinning_note(run: RunData) -> str:
    """Return the note that curves are thinned; empty if they are not."""
    if len(run.history) <= POINTS:
        return ""
    epochs = format_count(len(run.history), "epoch")
    return f"Of {epochs}, each curve shows the minimum and the maximum of {POINTS // 2} intervals of equal length."


def _metric_chart(run: RunData, name: str) -> Chart:
    parts = (("training", name, BLUE), ("validation", f"val_{name}", ORANGE))
    curves = [curve for part, key, color in parts if (curve := _curve(run.history, part, _at(key), color)) is not None]
    values = [y for curve in curves for y in curve.y]
    is_wide = name == "loss" and min(values) > 0 and max(values) > 20 * min(values)
    metric = METRIC_INFO.get(name)
    title = metric.title if metric else name
    figure = chart_figure(curves, "epoch", (metric and metric.axis) or title, log_y=is_wide, whole=True)
    if run.best and len(run.history) > 1:
        mark(figure, run.best["epoch"], f"best epoch: {run.best['epoch']}")
    return Chart(name, f"{title} over the epochs{f' ({run.config.loss})' if name == 'loss' else ''}", figure)


def _gradient_chart(rows: list[Row]) -> Chart | None:
    found = [
        _curve(rows, "mean over the epoch", _at("diagnostics", "grad_norm"), BLUE),
        _curve(rows, "maximum in the epoch", _at("diagnostics", "grad_norm_max"), ORANGE),
    ]
    if not (curves := [curve for curve in found if curve is not None]):
        return None
    is_positive = all(y > 0 for curve in curves for y in curve.y)
    figure = chart_figure(curves, "epoch", "norm", log_y=is_positive, whole=True)
    return Chart("gradient", "Gradient norm", figure, "Norm of the mean gradient of a batch, before clipping.")


def _update_chart(rows: list[Row]) -> Chart | None:
    last = rows[-1]["diagnostics"].get("update_ratio") or {}
    ranked = sorted(last, key=lambda name: float(last[name]))
    half = _MAX_RATIOS // 2
    names = ranked if len(ranked) <= _MAX_RATIOS else [*ranked[:half], *ranked[-half:]]
    found = [
        _curve(rows, name, _at("diagnostics", "update_ratio", name), PALETTE[number % len(PALETTE)])
        for number, name in enumerate(name for name in last if name in names)
    ]
    if not (curves := [curve for curve in found if curve is not None]):
        return None
    caption = "Norm of the last update of an epoch divided by that of the parameter; about 10⁻³ is usual."
    if len(names) < len(last):
        caption += (
            f" Of {len(last)} parameters, the {half} with the smallest and the {half} with the largest are shown."
        )
    figure = chart_figure(curves, "epoch", "‖update‖ / ‖parameter‖", log_y=True, whole=True)
    return Chart("updates", "Relative size of updates", figure, caption)


def _confusion_chart(comparison: Comparison, names: tuple[str, ...]) -> Chart:
    size = len(names)
    true, predicted = comparison.targets.astype(np.int64), comparison.predicted.astype(np.int64)
    counts = np.bincount(true * size + predicted, minlength=size * size).reshape(size, size)
    caption = f"{format_count(len(true), 'sample')}; one row for each true class, colored by the fraction of the row."
    return Chart(
        "confusion",
        f"Confusion matrix of the {comparison.part} part",
        _confusion_figure(names, counts.tolist()),
        f"{caption} {_describe_errors(counts, names)}",
        min_width=120 + 20 * size + 6 * len(shortened(max(names, key=len))),
    )


def _confusion_figure(names: Sequence[str], counts: list[list[int]]) -> go.Figure:
    shares = [[number / max(1, sum(row)) for number in row] for row in counts]
    notes = [
        [
            f"{literal(true)} predicted as {literal(predicted)}: {number:,} of {sum(row):,} ({share:.1%})"
            for predicted, number, share in zip(names, row, fractions, strict=True)
        ]
        for true, row, fractions in zip(names, counts, shares, strict=True)
    ]
    cells = go.Heatmap(
        x=list(range(len(names))),
        y=list(range(len(names))),
        z=shares,
        zmin=0,
        zmax=1,
        colorscale=_SHADES,
        colorbar={
            "title": {"text": "fraction of the true class", "side": "right"},
            "tickformat": ".0%",
            "thickness": 12,
        },
        text=[[f"{number:,}" if number else "" for number in row] for row in counts],
        texttemplate="%{text}" if len(names) <= _MAX_COUNTED_CLASSES else "",
        hovertext=notes,
        hoverinfo="text",
        xgap=1,
        ygap=1,
    )
    ticks = category_ticks(names) if len(names) <= _MAX_NAMED_CLASSES else {"range": [-0.5, len(names) - 0.5]}
    cell_axis = ticks | {"showgrid": False}  # grid lines would run through the counts
    return go.Figure(
        data=[cells],
        layout=common_layout(
            height=min(820, max(320, 140 + 34 * len(names))),
            xaxis=axis("predicted class") | cell_axis,
            yaxis=axis("true class") | cell_axis | {"range": [len(names) - 0.5, -0.5]},
        ),
    )


def _describe_errors(counts: NDArray[Any], names: tuple[str, ...]) -> str:
    """Name the most frequent errors."""
    wrong = counts - np.diag(np.diag(counts))
    if not wrong.any():
        return "Every prediction is correct."
    worst = [divmod(int(index), len(names)) for index in np.argsort(-wrong, axis=None, kind="stable")[:3]]
    pairs = [
        f"{names[row]} predicted as {names[column]} ({counts[row, column]:,} of {counts[row].sum():,})"
        for row, column in worst
        if wrong[row, column]
    ]
    return f"{format_count(int(wrong.sum()), 'error')}, most often {', '.join(pairs)}."


def _prediction_chart(comparison: Comparison, target: str) -> Chart:
    true, predicted = comparison.targets.astype(np.float64), comparison.predicted.astype(np.float64)
    shown = np.arange(len(true))
    if len(true) > _MAX_SAMPLES:
        shown = np.linspace(0, len(true) - 1, _MAX_SAMPLES).astype(np.int64)
    samples = format_count(len(true), "sample")
    notes = [
        f"true {format_value(float(t))}, predicted {format_value(float(p))}"
        for t, p in zip(true[shown], predicted[shown], strict=True)
    ]
    ends = [float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))]
    figure = chart_figure(
        [
            dots("samples", true[shown].tolist(), predicted[shown].tolist(), notes=notes),
            line("exact prediction", ends, ends, GREY, dash="dash"),
        ],
        f"true {target}",
        f"predicted {target}",
        closest=True,
    )
    return Chart(
        "predictions",
        f"Predicted and true {target} of the {comparison.part} part",
        figure,
        f"{samples if len(shown) == len(true) else f'{len(shown):,} of {samples}'}. "
        "On the dashed line, predictions are exact.",
    )


def _residual_chart(comparison: Comparison, target: str) -> Chart:
    residuals = comparison.predicted.astype(np.float64) - comparison.targets.astype(np.float64)
    heights, edges = np.histogram(residuals, bins=min(_MAX_BINS, max(5, int(len(residuals) ** 0.5))))
    middles = (edges[1:] + edges[:-1]) / 2
    bars = go.Bar(x=middles.tolist(), y=heights.tolist(), marker={"color": BLUE}, showlegend=False)
    title = f"predicted − true {target}"  # noqa: RUF001 - a minus sign
    median, mean = float(np.median(np.abs(residuals))), float(residuals.mean())
    return Chart(
        "residuals",
        f"Residuals of the {comparison.part} part",
        chart_figure([bars], title, "samples", closest=True, bargap=0.05),
        f"Half of the predictions are off by less than {format_value(median, 4)}. "
        f"On average, predictions are {format_value(abs(mean), 4)} too {'low' if mean < 0 else 'high'}.",
    )


def _at(*path: str) -> Callable[[Row], Any]:
    """Return a function that reads a value of a row; None if it is missing."""

    def value(row: Row) -> Any:
        found: Any = row
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    return value


def _curve(rows: list[Row], name: str, value: Callable[[Row], Any], color: str) -> go.Scatter | None:
    """Create a curve over the epochs that have a value; None if no epoch has one."""
    points = [(row["epoch"], float(y)) for row in rows if isinstance(y := value(row), int | float)]
    if not points:
        return None
    x, y = thinned([x for x, _ in points], [y for _, y in points])
    return line(name, x, y, color)
