"""Charts of a sweep: history, Pareto front, learning curves and slices.

Optuna's own history, front and slices lack pruned trials, deviations over seeds and a marked best trial."""

from collections.abc import Collection, Sequence

import plotly.graph_objects as go

from mxtrain.formatting import format_count, format_number
from mxtrain.reports.charts import BLUE, GREY, Chart, Point, Value, chart_figure, dots, error_bars, line, thinned
from mxtrain.reports.sweep_data import Dimension, SweepData, is_wide, value_of
from mxtrain.reports.trial_groups import (
    BEST_COLOR,
    TrialGroup,
    initial_range,
    outlier_note,
    trial_groups,
    trial_notes,
    trial_values,
)
from mxtrain.sweeps import TrialResult

_MAX_POINTS = 40_000
"""Largest number of points of all learning curves together; more would make the page slow."""


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
    x, y, notes = trial_values(front), trial_values(front, 1), trial_notes(sweep, front)
    figure = chart_figure(
        [
            dots(
                "complete",
                trial_values(others),
                trial_values(others, 1),
                BLUE,
                trial_notes(sweep, others),
                is_faint=True,
            ),
            line("", x, y, BEST_COLOR, notes),
            dots("on the front", x, y, BEST_COLOR, notes),
        ],
        first.metric,
        second.metric,
        log_x=is_wide(trial_values(complete), first),
        log_y=is_wide(trial_values(complete, 1), second),
        closest=True,
    )
    goal = " and ".join(
        f"{'maximize' if objective.maximize else 'minimize'} {objective.metric}" for objective in sweep.objectives
    )
    caption = f"Objectives: {goal}. No trial is better than one on the front in both."
    return Chart("front", f"{second.metric} against {first.metric}", figure, caption)


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
    y_range = initial_range(values, objective)
    of_seeds = ", that of its first seed" if any(trial.std_over_seeds for trial in sweep.trials) else ""
    figure = chart_figure(
        curves, "epoch", metric, log_y=is_wide(values, objective), y_range=y_range, whole=True, closest=True
    )
    caption = f"One line for each trial{of_seeds}. {outlier_note(y_range)}".strip()
    return Chart("curves", f"{metric} over the epochs of each trial", figure, caption)


def slice_charts(sweep: SweepData, plotted: Collection[str] = ()) -> list[Chart]:
    """Plot the first objective against each hyperparameter that differs between trials.

    Args:
        sweep: the sweep.
        plotted: names of hyperparameters that other charts show.
    """
    objective = sweep.objectives[0]
    trials = [trial for trial in sweep.in_state("complete", "pruned") if trial.values]
    charts: list[Chart] = []
    for dimension in sweep.dimensions:
        if dimension.name in plotted or not dimension.varies:
            continue
        if not any(trial.number in dimension.values for trial in trials):
            continue
        traces = [
            dots(
                group.name,
                *_slice_points(dimension, group.trials),
                group.color,
                trial_notes(sweep, group.trials),
                is_faint=group.name == "pruned",
            )
            for group in trial_groups(sweep, [trial for trial in trials if trial.number in dimension.values])
        ]
        figure = chart_figure(
            traces,
            dimension.name,
            objective.metric,
            log_x=dimension.scale == "log",
            log_y=is_wide(trial_values(trials), objective),
            categories=dimension.words,
            y_range=None if len(sweep.objectives) > 1 else initial_range(trial_values(trials), objective),
            closest=True,
        )
        charts.append(Chart(f"slice-{len(charts) + 1}", f"{objective.metric} against {dimension.name}", figure))
    return charts


def _history_chart(sweep: SweepData, index: int) -> Chart:
    objective = sweep.objectives[index]
    best = max if objective.maximize else min
    complete, pruned = sweep.in_state("complete"), [trial for trial in sweep.in_state("pruned") if trial.values]
    values = trial_values(complete, index)
    best_so_far = [best(values[: number + 1]) for number in range(len(values))]
    numbers = [trial.number for trial in complete]
    traces = [
        line(
            "best so far", [*numbers, sweep.trials[-1].number], [*best_so_far, best_so_far[-1]], BEST_COLOR, shape="hv"
        )
    ]
    if pruned:
        x, y = [trial.number for trial in pruned], trial_values(pruned, index)
        traces.append(dots("pruned", x, y, GREY, trial_notes(sweep, pruned), is_faint=True))
    spreads = [trial.std_over_seeds[index] if trial.std_over_seeds else None for trial in complete]
    scatter = dots("complete", numbers, values, BLUE, trial_notes(sweep, complete))
    scatter.update(error_y=error_bars(spreads))
    traces.append(scatter)
    failed = len(sweep.in_state("failed"))
    failures = (
        f"{format_count(failed, 'trial')} failed and {'has' if failed == 1 else 'have'} no value." if failed else ""
    )
    bars = "Bars show the standard deviation over the seeds." if any(spreads) else ""
    last = "Pruned trials are shown with their last value." if pruned else ""
    shown = [*values, *trial_values(pruned, index)]
    y_range = None if len(sweep.objectives) > 1 else initial_range(shown, objective)
    figure = chart_figure(
        traces, "trial", objective.metric, log_y=is_wide(shown, objective), y_range=y_range, whole=True, closest=True
    )
    return Chart(
        "history" if len(sweep.objectives) == 1 else f"history-{index + 1}",
        f"{objective.metric} of each trial, and the best so far",
        figure,
        " ".join(filter(None, (last, failures, bars, outlier_note(y_range)))),
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
