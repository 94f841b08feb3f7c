"""Charts of a sweep: history, Pareto front, importance, slices, learning curves and parallel coordinates."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log10
from statistics import median

from mxtrain.config import Objective
from mxtrain.formatting import format_count, format_number
from mxtrain.reports.charts import Chart, Guide, Point, Series, Value, thinned
from mxtrain.reports.sweep_data import Dimension, Scale, SweepData, Trial, is_wide, plain, told_value, top

_WORDS = 12
"""Words that an axis has room for."""


@dataclass(frozen=True, slots=True)
class _Axis:
    """From a value to its height, from 0 to 1."""

    name: str
    labels: tuple[tuple[float, str], ...]
    heights: dict[int, float]


def parallel_chart(sweep: SweepData) -> Chart | None:
    """What the trials tried, side by side, with the best in front; None where there is nothing to compare."""
    trials = [it for it in sweep.counted("complete", "pruned") if it.values]
    dimensions = [it for it in sweep.dimensions if it.varies]
    if len(trials) < 2 or not dimensions:
        return None
    objectives = [
        _objective_dimension(it, {trial.number: trial.values[place] for trial in trials})
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


def _objective_dimension(objective: Objective, values: dict[int, float]) -> Dimension:
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


_ALL, _BEST = 0, 1
"""Colours: of trials that are complete, and of the best."""
_DOTS = 40_000
"""Points of all curves together; more would make the page slow."""
_FAR = 20.0
"""How far, for the distance of the median from the best, values must lie off to be left out at first."""


def history_charts(sweep: SweepData) -> list[Chart]:
    """What each trial came to, in their order, and the best so far."""
    return [_history(sweep, place) for place in range(len(sweep.objectives)) if sweep.counted("complete")]


def importance_charts(sweep: SweepData, found: Sequence[Mapping[str, float]]) -> list[Chart]:
    """How much each searched value mattered, for each objective."""
    ended = format_count(len(sweep.counted("complete", "pruned", "failed")), "trial")
    caption = (
        f"How much each value decided whether a trial came to be among the best {top(sweep)} of {ended}, by Optuna's "
        "PED-ANOVA. Those that were pruned or failed count as worse than those that are complete."
    )
    return [
        Chart(
            "importance" if len(sweep.objectives) == 1 else f"importance-{place + 1}",
            f"Which values mattered for {objective.metric}",
            "share of the importance, %",
            "",
            (_bars(shares),),
            caption,
            lying=True,
        )
        for place, (objective, shares) in enumerate(zip(sweep.objectives, found, strict=True))
        if shares
    ]


def slice_charts(sweep: SweepData) -> list[Chart]:
    """The first objective against each searched value that differs between trials."""
    objective = sweep.objectives[0]
    seen = [it for it in sweep.counted("complete", "pruned") if it.values]
    drawn = [it for it in sweep.dimensions if it.varies and any(trial.number in it.values for trial in seen)]
    best = {trial.number for trial in sweep.best}
    groups = [
        ("pruned", None, True, [it for it in seen if it.state == "pruned"]),
        ("complete", _ALL, False, [it for it in seen if it.state == "complete" and it.number not in best]),
        ("best" if len(best) == 1 else "on the front", _BEST, False, [it for it in seen if it.number in best]),
    ]
    charts = []
    for place, dimension in enumerate(drawn):
        series = [
            Series(name, *_against(dimension, it), "dots", colour, [_note(sweep, trial) for trial in it], faint)
            for name, colour, faint, trials in groups
            if (it := [trial for trial in trials if trial.number in dimension.values])
        ]
        charts.append(
            Chart(
                f"slice-{place + 1}",
                f"{objective.metric} against {dimension.name}",
                dimension.name,
                objective.metric,
                tuple(series),
                log_x=dimension.scale == "log",
                log_y=is_wide(_values(seen), objective),
                ticks=dimension.words if dimension.scale == "words" else (),
                y_range=_focus(_values(seen), objective),
                each=True,
            )
        )
    return charts


def curve_chart(sweep: SweepData) -> Chart | None:
    """The first objective that is measured in each epoch, over the epochs of all trials."""
    metrics = [
        it for it in sweep.objectives if any(it.metric in row for trial in sweep.trials for row in trial.history)
    ]
    if not metrics:
        return None
    metric = metrics[0].metric
    best = {trial.number for trial in sweep.best}
    groups: list[tuple[str, int | None, bool, list[Trial]]] = [
        ("pruned", None, True, sweep.counted("pruned")),
        ("failed", 5, True, sweep.counted("failed")),
        ("complete", _ALL, True, [it for it in sweep.counted("complete") if it.number not in best]),
        ("under way", 2, True, sweep.counted("running", "waiting")),
        ("best" if len(best) == 1 else "on the front", _BEST, False, [it for it in sweep.trials if it.number in best]),
    ]
    series = [
        it
        for name, colour, faint, trials in groups
        if (it := _curves(name, metric, trials, colour, faint, max(20, _DOTS // len(sweep.trials)))) is not None
    ]
    values = [y for it in series for y in it.y if isinstance(y, int | float)]
    y_range = _focus(values, metrics[0])
    has_seeds = any(trial.spread for trial in sweep.trials)
    return Chart(
        "curves",
        f"{metric} over the epochs of each trial",
        "epoch",
        metric,
        tuple(series),
        f"A line for each trial{', that of its first seed' if has_seeds else ''}. {_left_out(y_range)}".strip(),
        log_y=is_wide(values, metrics[0]),
        y_range=y_range,
        whole=True,
        each=True,
    )


def front_chart(sweep: SweepData) -> Chart | None:
    """Two objectives against each other, with the trials than which none is better in both."""
    if len(sweep.objectives) != 2 or not sweep.counted("complete"):
        return None
    first, second = sweep.objectives
    front = sorted((it for it in sweep.trials if it.number in sweep.front), key=lambda it: it.values)
    rest = [it for it in sweep.counted("complete") if it.number not in sweep.front]
    xs, ys = _values(sweep.counted("complete")), _values(sweep.counted("complete"), 1)
    wish = " and ".join(f"{'large' if it.maximize else 'small'} {it.metric}" for it in sweep.objectives)
    return Chart(
        "front",
        f"{second.metric} against {first.metric}",
        first.metric,
        second.metric,
        (
            Series("other trials", _values(rest), _values(rest, 1), "dots", _ALL, _notes(sweep, rest), True),
            Series("", _values(front), _values(front, 1), "line", _BEST, _notes(sweep, front), True),
            Series("on the front", _values(front), _values(front, 1), "dots", _BEST, _notes(sweep, front)),
        ),
        f"Wanted are {wish}. Of a trial on the front, none is better in both.",
        log_x=is_wide(xs, first),
        log_y=is_wide(ys, second),
        each=True,
    )


def _bars(shares: Mapping[str, float]) -> Series:
    told = [f"{share:.0%}" for share in shares.values()]
    return Series("", [100 * share for share in shares.values()], list(shares), "bars", _ALL, told)


def _history(sweep: SweepData, place: int) -> Chart:
    objective = sweep.objectives[place]
    better = max if objective.maximize else min
    complete, pruned = sweep.counted("complete"), [it for it in sweep.counted("pruned") if it.values]
    values = _values(complete, place)
    so_far = [better(values[: number + 1]) for number in range(len(values))]
    numbers: list[Point] = [it.number for it in complete]
    given_up: list[Point] = [it.number for it in pruned]
    series = [
        Series("best so far", [*numbers, sweep.trials[-1].number], [*so_far, so_far[-1]], "steps", _BEST),
        Series("pruned, as given up", given_up, _values(pruned, place), "dots", None, _notes(sweep, pruned), True),
        Series("complete", numbers, values, "dots", _ALL, _notes(sweep, complete)),
    ]
    failed = len(sweep.counted("failed"))
    told = f"{format_count(failed, 'trial')} failed and {'has' if failed == 1 else 'have'} no value." if failed else ""
    shown = [*values, *_values(pruned, place)]
    y_range = _focus(shown, objective)
    return Chart(
        "history" if len(sweep.objectives) == 1 else f"history-{place + 1}",
        f"{objective.metric} of each trial, and the best so far",
        "trial",
        objective.metric,
        tuple(it for it in series if it.x),
        f"{told} {_left_out(y_range)}".strip(),
        log_y=is_wide(shown, objective),
        y_range=y_range,
        whole=True,
        each=True,
    )


def _against(dimension: Dimension, trials: Sequence[Trial]) -> tuple[list[Point], list[Point]]:
    """The places of trials; of words a little aside, so that equal ones do not cover each other."""
    x: list[Point] = []
    for trial in trials:
        value = dimension.values[trial.number]
        x.append(dimension.words.index(value) + _aside(trial.number) if isinstance(value, str) else value)
    return x, [trial.values[0] for trial in trials]


def _aside(number: int) -> float:
    return ((number * 0.618034) % 1 - 0.5) * 0.4


def _curves(
    name: str, metric: str, trials: Iterable[Trial], colour: int | None, faint: bool, points: int
) -> Series | None:
    x: list[Point] = []
    y: list[Point] = []
    notes: list[str] = []
    for trial in trials:
        rows = [row for row in trial.history if row.get(metric) is not None]
        xs, ys = thinned([row["epoch"] for row in rows], [float(row[metric]) for row in rows], points)
        x += [*xs, None]
        y += [*ys, None]
        notes += [
            f"trial {trial.number}, epoch {epoch}: {format_number(value)}" for epoch, value in zip(xs, ys, strict=True)
        ]
        notes.append("")
    if not any(it is not None for it in x):
        return None
    return Series(name, x[:-1], y[:-1], "line", colour, notes[:-1], faint)


def _values(trials: Iterable[Trial], place: int = 0) -> list[float]:
    return [trial.values[place] for trial in trials]


def _notes(sweep: SweepData, trials: Iterable[Trial]) -> list[str]:
    return [_note(sweep, trial) for trial in trials]


def _note(sweep: SweepData, trial: Trial) -> str:
    values = ", ".join(
        f"{it.metric} {told_value(it.metric, value)}" for it, value in zip(sweep.objectives, trial.values, strict=True)
    )
    given_up = f", pruned after epoch {trial.epochs}" if trial.state == "pruned" else ""
    params = [f"{it.name} {plain(it.values[trial.number])}" for it in sweep.dimensions if trial.number in it.values]
    return "\n".join([f"trial {trial.number}{given_up}: {values}", *params])


def _focus(values: Sequence[float], objective: Objective) -> tuple[float, float] | None:
    """Which part of the values to show at first, where some lie far off from the rest, and no logarithm helps.

    >>> _focus([1.0, 0.5, 0.5, -1e9], Objective("val_r2", maximize=True))
    (-2.0, 1.225)
    >>> _focus([0.9, 0.8, 0.7, 0.1], Objective("val_accuracy", maximize=True)) is None
    True
    """
    if len(values) < 3 or is_wide(values, objective):
        return None
    best, middle = (max if objective.maximize else min)(values), median(values)
    worst = (min if objective.maximize else max)(values)
    distance = abs(best - middle)
    if not 0 < _FAR * distance < abs(worst - middle):
        return None
    sign = -1 if objective.maximize else 1
    ends = middle + sign * 5 * distance, best - sign * 0.45 * distance
    return min(ends), max(ends)


def _left_out(y_range: tuple[float, float] | None) -> str:
    return "What lies far off is left out at first; a double-click shows it." if y_range else ""
