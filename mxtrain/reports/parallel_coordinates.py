"""Parallel coordinates of a sweep, with pruned trials, values that a trial does not use, and a marked best trial."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10
from typing import Any

import plotly.graph_objects as go

from mxtrain.config import Objective
from mxtrain.reports.charts import BLUE, GREEN, GREY, ORANGE, Chart, Point, chart_figure, line, literal, shortened
from mxtrain.reports.sweep_charts import best_name, describe_trial
from mxtrain.reports.sweep_data import Dimension, Scale, SweepData, format_value, is_wide, value_of
from mxtrain.sweeps import TrialResult

_MAX_AXIS_LABELS = 12
"""Largest number of categories of which each has a label on its axis."""
_NOT_USED_HEIGHT = 0.12
"""Fraction of an axis reserved at its bottom for trials that do not use its value."""


def parallel_chart(sweep: SweepData) -> Chart | None:
    """Plot the trials as lines over parallel axes; None if there is nothing to compare."""
    trials = [it for it in sweep.in_state("complete", "pruned") if it.values]
    dimensions = [it for it in sweep.dimensions if it.varies]
    if len(trials) < 2 or not dimensions:
        return None
    objectives = [
        _objective_dimension(it, {trial.number: value_of(trial, index) for trial in trials})
        for index, it in enumerate(sweep.objectives)
    ]
    numbers = {trial.number for trial in trials}
    axes = [_parallel_axis(it, numbers) for it in (*dimensions, *(it for it in objectives if it.varies))]
    ranked = [trial.number for trial in sweep.ranked()]
    best = {trial.number for trial in sweep.best}
    quarter = set(ranked[: max(1, len(ranked) // 4)]) - best
    groups: list[tuple[str, str, dict[str, Any], list[TrialResult]]] = [
        ("pruned", GREY, {"is_faint": True}, [it for it in trials if it.state == "pruned"]),
        ("complete", GREEN, {"is_faint": True}, [
            it for it in trials if it.state == "complete" and it.number not in quarter | best
        ]),
        ("best quarter", BLUE, {}, [it for it in trials if it.number in quarter]),
        (best_name(sweep), ORANGE, {"width": 5 if len(best) == 1 else 3}, [it for it in trials if it.number in best]),
    ]  # fmt: skip
    figure = chart_figure(
        [_parallel_lines(sweep, axes, name, color, group, style) for name, color, style, group in groups if group],
        "",
        "",
        closest=True,
        categories=[it.name for it in axes],
        height=420,
        shapes=[{"x0": x, "x1": x, "y0": 0, "y1": 1, "line": {"color": GREY, "width": 1.5}} for x in range(len(axes))],
        annotations=[
            {"x": x, "y": y, "text": literal(shortened(label, 12)), "showarrow": False, "xanchor": "left", "xshift": 3}
            for x, it in enumerate(axes)
            for y, label in it.labels
        ],
    )
    figure.update_xaxes(range=[-0.3, len(axes) - 0.4], showgrid=False, showline=False)
    figure.update_yaxes(visible=False, range=[-0.06, 1.06])
    has_unused = any(label == "not used" for it in axes for _, label in it.labels)
    caption = (
        "One line for each trial, from left to right. "
        f"{'A line passes below an axis whose value the trial does not use. ' if has_unused else ''}"
        f"The best quarter is by {sweep.objectives[0].metric}."
    )
    return Chart("parallel", "Searched values and results of the trials", figure, caption, 110 * len(axes))


@dataclass(frozen=True, slots=True)
class _ParallelAxis:
    """An axis of the parallel coordinates: labels by height, and the height of each trial, from 0 to 1."""

    name: str
    labels: tuple[tuple[float, str], ...]
    heights: dict[int, float]


def _parallel_axis(dimension: Dimension, trials: set[int]) -> _ParallelAxis:
    """Scale the values of a dimension; trials without a value get the height 0 below the others."""
    heights, labels = _category_heights(dimension) if dimension.scale == "words" else _numeric_heights(dimension)
    if unused := trials - heights.keys():
        scale = 1 - _NOT_USED_HEIGHT
        heights = {number: _NOT_USED_HEIGHT + scale * height for number, height in heights.items()}
        labels = ((0.0, "not used"), *((_NOT_USED_HEIGHT + scale * height, label) for height, label in labels))
        heights |= dict.fromkeys(unused, 0.0)
    return _ParallelAxis(dimension.name, labels, heights)


def _category_heights(dimension: Dimension) -> tuple[dict[int, float], tuple[tuple[float, str], ...]]:
    words = dimension.words
    heights = {word: place / max(1, len(words) - 1) for place, word in enumerate(words)}
    shown = words if len(words) <= _MAX_AXIS_LABELS else (words[0], words[-1])
    labels = tuple((heights[word], word) for word in shown)
    return {number: heights[str(word)] for number, word in dimension.values.items()}, labels


def _numeric_heights(dimension: Dimension) -> tuple[dict[int, float], tuple[tuple[float, str], ...]]:
    is_log = dimension.scale == "log"
    numbers = {number: value for number, value in dimension.values.items() if not isinstance(value, str)}
    scaled = {number: log10(value) if is_log else value for number, value in numbers.items()}
    low, high = min(scaled.values()), max(scaled.values())
    ticks = [low + share * (high - low) for share in (0, 0.25, 0.5, 0.75, 1)]
    texts = [format_value(float(f"{10**tick if is_log else tick:.3g}")) for tick in ticks]
    labels = tuple((place / 4, text) for place, text in enumerate(texts))
    return {number: (value - low) / (high - low) for number, value in scaled.items()}, labels


def _objective_dimension(objective: Objective, values: dict[int, float]) -> Dimension:
    scale: Scale = "log" if is_wide(list(values.values()), objective) else "linear"
    return Dimension(objective.metric, scale, (), values)


def _parallel_lines(
    sweep: SweepData,
    axes: Sequence[_ParallelAxis],
    name: str,
    color: str,
    trials: Sequence[TrialResult],
    style: dict[str, Any],
) -> go.Scatter:
    x: list[Point] = []
    y: list[Point] = []
    notes: list[str] = []
    for trial in trials:
        x += [*range(len(axes)), None]
        y += [*(axis.heights.get(trial.number) for axis in axes), None]
        notes += [describe_trial(sweep, trial)] * (len(axes) + 1)
    return line(name, x, y, color, notes, **style)
