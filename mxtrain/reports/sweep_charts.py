"""Charts of a sweep: history, Pareto front, importance, learning curves and slices.

Optuna's own history, front, rank and slices lack pruned trials, deviations over seeds and a marked best trial."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import plotly.graph_objects as go
from optuna.visualization import plot_param_importances

from mxtrain.config import Objective
from mxtrain.formatting import format_count, format_number, format_objective
from mxtrain.reports.charts import (
    BLUE,
    GREY,
    ORANGE,
    RED,
    YELLOW,
    Chart,
    Point,
    Value,
    axis,
    chart_figure,
    common_layout,
    dots,
    line,
    thinned,
)
from mxtrain.reports.sweep_data import (
    MIN_TRIALS,
    Dimension,
    SweepData,
    format_value,
    importance_evaluator,
    importance_study,
    is_wide,
    number_of_best,
    trial_ranks,
    value_of,
)
from mxtrain.sweeps import TrialResult
from mxtrain.sweeps.result import TrialState
from mxtrain.sweeps.run_sweep import silence_optuna

STATE_COLORS: Mapping[TrialState, str] = {
    "pruned": GREY,
    "failed": RED,
    "complete": BLUE,
    "running": YELLOW,
    "waiting": YELLOW,
}
"""The color of each state in all charts, from the back to the front; the style sheet has the same hues for texts."""
BEST_COLOR = ORANGE

_MAX_POINTS = 40_000
"""Largest number of points of all learning curves together; more would make the page slow."""
_OUTLIER_DISTANCE = 20.0
"""Values further from the median than this multiple of the best value's distance are outside the initial view."""


@dataclass(frozen=True, slots=True)
class TrialGroup:
    """Trials that are drawn alike: those of a state, or the best."""

    name: str
    color: str
    trials: Sequence[TrialResult]
    is_best: bool = False


def trial_groups(sweep: SweepData, trials: Iterable[TrialResult]) -> list[TrialGroup]:
    """Divide trials into those of each state and the best, from the back to the front of a chart."""
    best = {trial.number for trial in sweep.best}
    groups: dict[str, list[TrialResult]] = {state: [] for state in STATE_COLORS}
    front: list[TrialResult] = []
    for trial in trials:
        (front if trial.number in best else groups[trial.state]).append(trial)
    found = [TrialGroup(state, color, groups[state]) for state, color in STATE_COLORS.items()]
    found.append(TrialGroup("best" if len(best) == 1 else "on the front", BEST_COLOR, front, is_best=True))
    return [group for group in found if group.trials]


def history_charts(sweep: SweepData) -> list[Chart]:
    """Plot the value of each trial and the best value so far, for each objective."""
    return [_history_chart(sweep, index) for index in range(len(sweep.objectives)) if sweep.in_state("complete")]


def front_chart(sweep: SweepData) -> Chart | None:
    """Plot two objectives against each other, with the Pareto front; None without two objectives."""
    if len(sweep.objectives) != 2 or not sweep.in_state("complete"):
        return None
    first, second = sweep.objectives
    front = sorted((trial for trial in sweep.trials if trial.number in sweep.front), key=value_of)
    others = [trial for trial in sweep.in_state("complete") if trial.number not in sweep.front]
    complete = sweep.in_state("complete")
    x, y, notes = _values(front), _values(front, 1), _notes(sweep, front)
    figure = chart_figure(
        [
            dots("complete", _values(others), _values(others, 1), BLUE, _notes(sweep, others), is_faint=True),
            line("", x, y, BEST_COLOR, notes),
            dots("on the front", x, y, BEST_COLOR, notes),
        ],
        first.metric,
        second.metric,
        log_x=is_wide(_values(complete), first),
        log_y=is_wide(_values(complete, 1), second),
        closest=True,
    )
    goal = " and ".join(
        f"{'maximize' if objective.maximize else 'minimize'} {objective.metric}" for objective in sweep.objectives
    )
    caption = f"Objectives: {goal}. No trial is better than one on the front in both."
    return Chart("front", f"{second.metric} against {first.metric}", figure, caption)


def importance_charts(sweep: SweepData, importances: Sequence[Mapping[str, float]]) -> list[Chart]:
    """Plot the importance of each hyperparameter, for each objective that has importances."""
    ended = format_count(len(sweep.in_state("complete", "pruned", "failed")), "trial")
    caption = (
        f"How much each hyperparameter decided whether a trial was among the best {number_of_best(sweep)} of {ended}, "
        "computed with Optuna's PED-ANOVA. Pruned and failed trials rank below complete ones."
    )
    charts = []
    for index, (objective, shares) in enumerate(zip(sweep.objectives, importances, strict=True)):
        if shares:
            key = "importance" if len(sweep.objectives) == 1 else f"importance-{index + 1}"
            figure = _importance_figure(sweep, index)
            text = f"{caption} {conditional_note(sweep, shares)}".strip()
            charts.append(Chart(key, f"Hyperparameter importance for {objective.metric}", figure, text))
    return charts


def conditional_note(sweep: SweepData, importance: Mapping[str, float]) -> str:
    """Explain the importance of choices that contain hyperparameters; empty if there are none."""
    parents = [dimension for dimension in sweep.dimensions if dimension.name in importance and sweep.nested(dimension)]
    if not parents:
        return ""
    names = ", ".join(parent.name for parent in parents)
    return (
        f"Hyperparameters inside of {names} have their own bars: the choice alone may have 0% although it decides "
        "which of them apply. The table above adds them up."
    )


def rank_chart(sweep: SweepData, importance: Mapping[str, float]) -> Chart | None:
    """Plot the two most important numbers against each other, colored by the ranks of the trials."""
    by_name = {dimension.name: dimension for dimension in sweep.dimensions if dimension.scale != "words"}
    used = [by_name[name] for name in importance if name in by_name][:2]
    if len(used) < 2:
        return None
    first, second = used
    ranks = trial_ranks(sweep)
    # The best trials are drawn last, in front.
    trials = sorted(
        (trial for trial in sweep.trials if trial.number in ranks.keys() & first.values.keys() & second.values.keys()),
        key=lambda trial: -ranks[trial.number],
    )
    if len(trials) < MIN_TRIALS:
        return None
    x, y = ([dimension.values[trial.number] for trial in trials] for dimension in used)
    points = dots("", x, y, notes=_notes(sweep, trials))
    worst = max(ranks.values())
    has_unranked = bool(sweep.in_state("pruned", "failed"))
    points.marker.update(
        color=[ranks[trial.number] for trial in trials],
        cmin=0,
        cmax=worst,
        colorscale=[[0, BEST_COLOR], [1, GREY]],
        showscale=True,
        colorbar={
            "tickvals": [0, worst],
            "ticktext": ["best", "pruned or failed" if has_unranked else "worst"],
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "thickness": 10,
            "lenmode": "pixels",
            "len": 180,
        },
    )
    is_log = [dimension.scale == "log" for dimension in used]
    figure = chart_figure([points], first.name, second.name, log_x=is_log[0], log_y=is_log[1], closest=True, height=400)
    caption = "The two most important numbers; the color is the rank of the trial."
    return Chart("rank", f"{second.name} against {first.name}", figure, caption)


def curve_chart(sweep: SweepData) -> Chart | None:
    """Plot the first objective that is a metric of each epoch over the epochs of all trials."""
    objectives = [
        objective
        for objective in sweep.objectives
        if any(objective.metric in row for rows in sweep.histories.values() for row in rows)
    ]
    if not objectives:
        return None
    [objective, *_], metric = objectives, objectives[0].metric
    max_points = max(20, _MAX_POINTS // len(sweep.trials))
    curves = [
        trace
        for group in trial_groups(sweep, sweep.trials)
        for trace in _learning_curves(sweep, group, metric, max_points)
    ]
    values = [y for curve in curves for y in curve.y if y is not None]
    y_range = _initial_range(values, objective)
    of_seeds = ", that of its first seed" if any(trial.std_over_seeds for trial in sweep.trials) else ""
    figure = chart_figure(
        curves, "epoch", metric, log_y=is_wide(values, objective), y_range=y_range, whole=True, closest=True
    )
    caption = f"One line for each trial{of_seeds}. {_outlier_note(y_range)}".strip()
    return Chart("curves", f"{metric} over the epochs of each trial", figure, caption)


def slice_charts(sweep: SweepData) -> list[Chart]:
    """Plot the first objective against each hyperparameter that differs between trials."""
    objective = sweep.objectives[0]
    trials = [trial for trial in sweep.in_state("complete", "pruned") if trial.values]
    charts: list[Chart] = []
    for dimension in sweep.dimensions:
        if not dimension.varies or not any(trial.number in dimension.values for trial in trials):
            continue
        traces = [
            dots(
                group.name,
                *_slice_points(dimension, group.trials),
                group.color,
                _notes(sweep, group.trials),
                is_faint=group.name == "pruned",
            )
            for group in trial_groups(sweep, [trial for trial in trials if trial.number in dimension.values])
        ]
        figure = chart_figure(
            traces,
            dimension.name,
            objective.metric,
            log_x=dimension.scale == "log",
            log_y=is_wide(_values(trials), objective),
            categories=dimension.words,
            y_range=None if len(sweep.objectives) > 1 else _initial_range(_values(trials), objective),
            closest=True,
        )
        charts.append(Chart(f"slice-{len(charts) + 1}", f"{objective.metric} against {dimension.name}", figure))
    return charts


def _history_chart(sweep: SweepData, index: int) -> Chart:
    objective = sweep.objectives[index]
    best = max if objective.maximize else min
    complete, pruned = sweep.in_state("complete"), [trial for trial in sweep.in_state("pruned") if trial.values]
    values = _values(complete, index)
    best_so_far = [best(values[: number + 1]) for number in range(len(values))]
    numbers = [trial.number for trial in complete]
    traces = [
        line(
            "best so far", [*numbers, sweep.trials[-1].number], [*best_so_far, best_so_far[-1]], BEST_COLOR, shape="hv"
        )
    ]
    if pruned:
        x, y = [trial.number for trial in pruned], _values(pruned, index)
        traces.append(dots("pruned", x, y, GREY, _notes(sweep, pruned), is_faint=True))
    spreads = [trial.std_over_seeds[index] if trial.std_over_seeds else None for trial in complete]
    scatter = dots("complete", numbers, values, BLUE, _notes(sweep, complete))
    if any(spreads):
        scatter.update(error_y={"array": spreads, "thickness": 1, "width": 0})
    traces.append(scatter)
    failed = len(sweep.in_state("failed"))
    failures = (
        f"{format_count(failed, 'trial')} failed and {'has' if failed == 1 else 'have'} no value." if failed else ""
    )
    bars = "Bars show the standard deviation over the seeds." if any(spreads) else ""
    last = "Pruned trials are shown with their last value." if pruned else ""
    shown = [*values, *_values(pruned, index)]
    y_range = None if len(sweep.objectives) > 1 else _initial_range(shown, objective)
    figure = chart_figure(
        traces, "trial", objective.metric, log_y=is_wide(shown, objective), y_range=y_range, whole=True, closest=True
    )
    return Chart(
        "history" if len(sweep.objectives) == 1 else f"history-{index + 1}",
        f"{objective.metric} of each trial, and the best so far",
        figure,
        " ".join(filter(None, (last, failures, bars, _outlier_note(y_range)))),
    )


def _importance_figure(sweep: SweepData, index: int) -> go.Figure:
    with silence_optuna():
        figure = plot_param_importances(importance_study(sweep, index), evaluator=importance_evaluator(sweep))
    [bars] = figure.data
    shares = [100 * share for share in reversed(bars.x)]  # the largest first, as in the table
    bars.update(
        x=shares,
        y=list(reversed(bars.y)),
        text=[f"{share:.0f}%" for share in shares],
        hovertemplate="%{y}: %{x:.1f}%<extra></extra>",
        marker={"color": BLUE},
    )
    return figure.update_layout(
        common_layout(
            title=None,
            height=max(160, 60 + 30 * len(shares)),
            hovermode="closest",
            bargap=0.3,
            xaxis=axis("share of the importance, %") | {"range": [0, 1.12 * max(shares)]},  # room for the text
            yaxis=axis("") | {"title": None, "autorange": "reversed"},
        )
    )


def _learning_curves(sweep: SweepData, group: TrialGroup, metric: str, max_points: int) -> list[go.Scatter]:
    """Create one trace for the curves of some trials, and one for those of one epoch, which need a marker."""
    x: list[Point] = []
    y: list[Point] = []
    notes: list[str] = []
    single_epochs: list[tuple[Point, Point, str]] = []
    for trial in group.trials:
        rows = [row for row in sweep.histories[trial.number] if row.get(metric) is not None]
        epochs, values = thinned([row["epoch"] for row in rows], [float(row[metric]) for row in rows], max_points)
        texts = [
            f"trial {trial.number}, epoch {epoch}: {format_number(value)}"
            for epoch, value in zip(epochs, values, strict=True)
        ]
        if len(epochs) == 1:
            single_epochs.append((epochs[0], values[0], texts[0]))
        elif epochs:
            x += [*epochs, None]
            y += [*values, None]
            notes += [*texts, ""]
    traces = []
    if x:
        traces.append(line(group.name, x[:-1], y[:-1], group.color, notes[:-1], is_faint=not group.is_best))
    if single_epochs:
        xs, ys, texts = map(list, zip(*single_epochs, strict=True))
        traces.append(dots("" if x else group.name, xs, ys, group.color, texts, is_faint=not group.is_best))
    return [trace.update(legendgroup=group.name) for trace in traces]


def _slice_points(dimension: Dimension, trials: Sequence[TrialResult]) -> tuple[list[Point], list[Point]]:
    """Return the points of trials; those of categories are spread, so that they do not cover each other."""
    x: list[Point] = []
    for trial in trials:
        value: Value = dimension.values[trial.number]
        if isinstance(value, str):
            spread = ((trial.number * 0.618034) % 1 - 0.5) * 0.4  # an even spread, equal in every report
            value = dimension.words.index(value) + spread
        x.append(value)
    return x, [value_of(trial) for trial in trials]


def _values(trials: Iterable[TrialResult], index: int = 0) -> list[float]:
    return [value_of(trial, index) for trial in trials]


def _notes(sweep: SweepData, trials: Iterable[TrialResult]) -> list[str]:
    """Describe trials for their hover texts: values, then each parameter on its own line."""
    return [
        "\n".join(
            [
                describe_trial(sweep, trial),
                *(
                    f"{dimension.name} {format_value(dimension.values[trial.number])}"
                    for dimension in sweep.dimensions
                    if trial.number in dimension.values
                ),
            ]
        )
        for trial in trials
    ]


def describe_trial(sweep: SweepData, trial: TrialResult) -> str:
    """Describe a trial by its number, its state and its values."""
    state = "" if trial.state == "complete" else f", {trial.state}"
    if trial.state == "pruned":
        state += f" after epoch {trial.epochs}"
    if not trial.values:
        return f"trial {trial.number}{state}"
    values = []
    for index, objective in enumerate(sweep.objectives):
        spread = f" ± {format_number(trial.std_over_seeds[index])}" if trial.std_over_seeds else ""
        values.append(f"{objective.metric} {format_objective(objective.metric, value_of(trial, index))}{spread}")
    return f"trial {trial.number}{state}: {', '.join(values)}"


def _initial_range(values: Sequence[float], objective: Objective) -> tuple[float, float] | None:
    """Return the range to show at first, if outliers would flatten the rest and no logarithmic axis helps.

    >>> _initial_range([1.0, 0.5, 0.5, -1e9], Objective("val_r2", maximize=True))
    (-2.0, 1.225)
    >>> _initial_range([0.9, 0.8, 0.7, 0.1], Objective("val_accuracy", maximize=True)) is None
    True
    """
    if len(values) < 3 or is_wide(values, objective):
        return None
    best, middle = (max if objective.maximize else min)(values), median(values)
    worst = (min if objective.maximize else max)(values)
    distance = abs(best - middle)
    if not 0 < _OUTLIER_DISTANCE * distance < abs(worst - middle):
        return None
    sign = -1 if objective.maximize else 1
    ends = middle + sign * 5 * distance, best - sign * 0.45 * distance
    return min(ends), max(ends)


def _outlier_note(y_range: tuple[float, float] | None) -> str:
    return "Outliers are outside the initial view; a double-click shows them." if y_range else ""
