"""Parallel coordinates of a sweep, with pruned trials, values that a trial does not use, and a marked best trial."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, log10

import plotly.graph_objects as go
from matplotlib.ticker import MaxNLocator

from mxtrain.config import Objective
from mxtrain.reports.charts import GREY, Chart, Point, chart_figure, line, literal, shortened
from mxtrain.reports.sweep_data import Dimension, Scale, SweepData, is_wide, value_of
from mxtrain.reports.trial_groups import TrialGroup, describe_trial, trial_groups
from mxtrain.sweeps import TrialResult

_BEST_QUARTER = "complete, best quarter"
_MAX_AXIS_LABELS = 12
"""Largest number of categories of which each has a label on its axis."""
_MAX_TICKS = 6
"""Largest number of labelled numbers on an axis."""
_NOT_USED_HEIGHT = 0.12
"""Fraction of an axis reserved at its bottom for trials that do not use its value."""
_MAX_AXES = 12
"""Largest number of axes; of more, those of hyperparameters that few trials use are left out."""
_MIN_USE = 0.25
"""Smallest fraction of trials that use a hyperparameter whose axis is not left out."""
_AXIS_DISTANCE = 120
"""Smallest distance of two axes in pixels."""


def parallel_chart(sweep: SweepData) -> Chart | None:
    """Plot the trials as lines over parallel axes; None if there is nothing to compare."""
    trials = [trial for trial in sweep.in_state("complete", "pruned") if trial.values]
    varying = [dimension for dimension in sweep.dimensions if dimension.varies]
    dimensions = varying
    if len(varying) > _MAX_AXES:
        dimensions = [each for each in varying if len(each.values) >= _MIN_USE * len(trials)]
    if len(trials) < 2 or len(dimensions) < min(2, len(varying)) or not dimensions:
        return None
    objectives = [_objective_dimension(objective, index, trials) for index, objective in enumerate(sweep.objectives)]
    numbers = {trial.number for trial in trials}
    axes = [
        _parallel_axis(dimension, numbers)
        for dimension in [*dimensions, *(objective for objective in objectives if objective.varies)]
    ]
    figure = _parallel_figure(axes, [_parallel_lines(sweep, axes, group) for group in _line_groups(sweep, trials)])
    caption = "One line for each trial, from left to right."
    if any(label == "not used" for axis in axes for _, label in axis.labels):
        caption += " Trials without a hyperparameter are at the bottom of its axis."
    if len(dimensions) < len(varying):
        caption += f" Hyperparameters that less than {_MIN_USE:.0%} of the trials use are left out."
    if any(trace.name == _BEST_QUARTER for trace in figure.data):
        caption += f" The best quarter is by {sweep.objectives[0].metric}."
    title = "Hyperparameters and results of the trials"
    return Chart("parallel", title, figure, caption, _AXIS_DISTANCE * len(axes))


@dataclass(frozen=True, slots=True)
class _ParallelAxis:
    """An axis of the parallel coordinates: labels by height, and the height of each trial, from 0 to 1."""

    name: str
    labels: tuple[tuple[float, str], ...]
    heights: dict[int, float]


def _line_groups(sweep: SweepData, trials: Sequence[TrialResult]) -> Iterator[TrialGroup]:
    """Divide trials by their states, and the complete ones into the best quarter and the others."""
    ranked = [trial.number for trial in sweep.ranked()]
    quarter = set(ranked[: max(1, len(ranked) // 4)])
    for group in trial_groups(sweep, trials):
        if group.name != "complete":
            yield group
            continue
        good = [trial for trial in group.trials if trial.number in quarter]
        if others := [trial for trial in group.trials if trial.number not in quarter]:
            yield replace(group, trials=others)
        if good:
            yield replace(group, name=_BEST_QUARTER, trials=good)


def _parallel_figure(axes: Sequence[_ParallelAxis], lines: Sequence[go.Scatter]) -> go.Figure:
    """Create the figure; Plotly's own parallel coordinates have neither gaps nor markers nor a line in front."""
    figure = chart_figure(
        lines,
        "",
        "",
        closest=True,
        height=440,
        shapes=[{"x0": x, "x1": x, "y0": 0, "y1": 1, "line": {"color": GREY, "width": 1.5}} for x in range(len(axes))],
        annotations=[
            {
                "x": x,
                "y": y,
                "text": literal(shortened(label, 12)),
                "showarrow": False,
                "xanchor": "left",
                "xshift": 4,
                "borderpad": 1,
                "bgcolor": "rgba(255,255,255,0.8)",  # a line behind would strike the label through
            }
            for x, axis in enumerate(axes)
            for y, label in axis.labels
        ],
    )
    figure.update_xaxes(
        tickmode="array",
        tickvals=list(range(len(axes))),
        ticktext=[_axis_title(axis.name) for axis in axes],
        tickangle=0,
        range=[-0.3, len(axes) - 0.4],
        showgrid=False,
        showline=False,
    )
    return figure.update_yaxes(visible=False, range=[-0.06, 1.06])


def _axis_title(name: str) -> str:
    """Break a dotted name before its last part.

    >>> _axis_title("optimizer[adam].η"), _axis_title("val_loss")
    ('optimizer[adam]<br>.η', 'val_loss')
    """
    head, dot, last = name.rpartition(".")
    return "<br>".join(literal(shortened(part, 18)) for part in (head, dot + last) if part)


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
    low, high = min(dimension.numbers), max(dimension.numbers)

    def height(value: float) -> float:
        return log10(value / low) / log10(high / low) if is_log else (value - low) / (high - low)

    ticks = _log_ticks(low, high) if is_log else _linear_ticks(low, high)
    labels = tuple((height(tick), f"{tick:.6g}") for tick in ticks)
    return {number: height(value) for number, value in dimension.values.items() if not isinstance(value, str)}, labels


def _linear_ticks(low: float, high: float) -> list[float]:
    """Return round numbers from low to high.

    >>> _linear_ticks(0.0222, 0.91)
    [0.2, 0.4, 0.6, 0.8]
    """
    ticks = MaxNLocator(_MAX_TICKS - 1, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(f"{tick:.10g}") for tick in ticks if low <= tick <= high]


def _log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten from low to high; if there are few, also 2 and 5 times them.

    >>> _log_ticks(0.00126, 83.6), _log_ticks(0.3, 4)
    ([0.01, 0.1, 1.0, 10.0], [0.5, 1.0, 2.0])
    >>> _log_ticks(1e-9, 0.5), _log_ticks(3, 4)
    ([1e-09, 1e-07, 1e-05, 0.001, 0.1], [3.0, 3.2, 3.4, 3.6, 3.8, 4.0])
    """
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    for factors in ((1,), (1, 2, 5)):
        ticks = [tick for power in powers for factor in factors if low <= (tick := float(f"{factor}e{power}")) <= high]
        if len(ticks) >= 2:
            return ticks[:: ceil(len(ticks) / _MAX_TICKS)]
    return _linear_ticks(low, high)  # the range is so short that a logarithmic scale is nearly linear


def _objective_dimension(objective: Objective, index: int, trials: Sequence[TrialResult]) -> Dimension:
    values = {trial.number: value_of(trial, index) for trial in trials}
    scale: Scale = "log" if is_wide(list(values.values()), objective) else "linear"
    return Dimension(objective.metric, scale, (), values)


def _parallel_lines(sweep: SweepData, axes: Sequence[_ParallelAxis], group: TrialGroup) -> go.Scatter:
    x: list[Point] = []
    y: list[Point] = []
    notes: list[str] = []
    for trial in group.trials:
        x += [*range(len(axes)), None]
        y += [*(axis.heights.get(trial.number) for axis in axes), None]
        notes += [describe_trial(sweep, trial)] * (len(axes) + 1)
    if group.is_best:
        return line(group.name, x, y, group.color, notes, width=5 if len(group.trials) == 1 else 3)
    return line(group.name, x, y, group.color, notes, is_faint=group.name in ("pruned", "complete"))
