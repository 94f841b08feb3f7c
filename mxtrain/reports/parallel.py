"""Parallel coordinates: each trial a line through what it tried, to what it came to."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10

from mxtrain.config import Objective
from mxtrain.reports.charts import Chart, Guide, Point, Series, Value
from mxtrain.reports.dimensions import Dimension, Scale, plain
from mxtrain.reports.sweep_facts import SweepFacts, Trial, is_wide, told_value

_WORDS = 12
"""Words that an axis has room for."""


@dataclass(frozen=True, slots=True)
class _Axis:
    """From a value to its height, from 0 to 1."""

    name: str
    labels: tuple[tuple[float, str], ...]
    heights: dict[int, float]


def parallel_chart(sweep: SweepFacts) -> Chart | None:
    """What the trials tried, side by side, with the best in front; None where there is nothing to compare."""
    trials = [it for it in sweep.counted("complete", "pruned") if it.values]
    dimensions = [it for it in sweep.dimensions if it.varies]
    if len(trials) < 2 or not dimensions:
        return None
    objectives = [
        _measured(it, {trial.number: trial.values[place] for trial in trials})
        for place, it in enumerate(sweep.objectives)
    ]
    axes = [_axis(dimension) for dimension in (*dimensions, *(it for it in objectives if it.varies))]
    ranked = [trial.number for trial in sweep.ranked()]
    quarter = set(ranked[: max(1, len(ranked) // 4)])
    best = {trial.number for trial in sweep.best}
    groups = (
        ("pruned", None, True, [it for it in trials if it.state == "pruned"]),
        ("complete", 2, True, [it for it in trials if it.state == "complete" and it.number not in quarter | best]),
        ("best quarter", 0, False, [it for it in trials if it.number in quarter - best]),
        ("best" if len(best) == 1 else "on the front", 1, False, [it for it in trials if it.number in best]),
    )
    series = (_lines(name, sweep.objectives, axes, it, colour, faint) for name, colour, faint, it in groups if it)
    return Chart(
        "parallel",
        "What the trials tried, and what they came to",
        "",
        "",
        tuple(series),
        "A line for each trial, from left to right; it has a gap where it lacks a value. "
        f"The best quarter is that by {sweep.objectives[0].metric}.",
        guides=tuple(Guide(x, axis.labels) for x, axis in enumerate(axes)),
        ticks=tuple(axis.name for axis in axes),
        each=True,
    )


def _axis(dimension: Dimension) -> _Axis:
    if dimension.scale == "words":
        top = max(1, len(dimension.words) - 1)
        places = {word: place / top for place, word in enumerate(dimension.words)}
        shown = dimension.words if len(dimension.words) <= _WORDS else (dimension.words[0], dimension.words[-1])
        labels = tuple((places[word], word) for word in shown)
        return _Axis(dimension.name, labels, {it: places[str(word)] for it, word in dimension.values.items()})
    low, high = min(dimension.numbers), max(dimension.numbers)
    is_log = dimension.scale == "log"
    begin, end = (log10(low), log10(high)) if is_log else (low, high)

    def height(value: Value) -> float:
        assert not isinstance(value, str), "words have axes of their own"
        return ((log10(value) if is_log else value) - begin) / (end - begin)

    middles = [begin + share * (end - begin) for share in (0.25, 0.5, 0.75)]
    numbers = [low, *(10**it if is_log else it for it in middles), high]
    labels = tuple((place / 4, plain(_rounded(number))) for place, number in enumerate(numbers))
    return _Axis(dimension.name, labels, {it: height(value) for it, value in dimension.values.items()})


def _measured(objective: Objective, values: dict[int, float]) -> Dimension:
    scale: Scale = "log" if is_wide(list(values.values()), objective) else "linear"
    return Dimension(objective.metric, scale, (), values)


def _lines(
    name: str,
    objectives: Sequence[Objective],
    axes: Sequence[_Axis],
    trials: Sequence[Trial],
    colour: int | None,
    faint: bool,
) -> Series:
    x: list[Point] = []
    y: list[Point] = []
    notes: list[str] = []
    for trial in trials:
        x += [*range(len(axes)), None]
        y += [*(axis.heights.get(trial.number) for axis in axes), None]
        pairs = zip(objectives, trial.values, strict=True)
        values = ", ".join(f"{it.metric} {told_value(it.metric, value)}" for it, value in pairs)
        notes += [f"trial {trial.number}: {values}"] * (len(axes) + 1)
    return Series(name, x, y, "line", colour, notes, faint)


def _rounded(number: float) -> float:
    return float(f"{number:.3g}")
