"""Charts of the options of a choice: all their trials, the curves of the best ones, and one number inside of each."""

from collections.abc import Sequence
from dataclasses import replace
from math import floor, log10
from statistics import fmean
from typing import Any

import plotly.graph_objects as go

from mxtrain.formatting import format_number, format_objective
from mxtrain.reports.charts import (
    BLUE,
    GREY,
    PALETTE,
    Chart,
    category_ticks,
    chart_figure,
    dots,
    error_bars,
    line,
    shortened,
)
from mxtrain.reports.sweep_data import Dimension, SweepData, is_wide, seed_histories, value_of
from mxtrain.reports.trial_groups import BEST_COLOR, initial_range, outlier_note, trial_notes, trial_values
from mxtrain.sweeps import ChoiceRanking, RankedOption, TrialResult

MAX_CURVES = 16
"""Largest number of options whose curves are in one chart; more could not be distinguished."""
_DASHES = ("solid", "dash")
_RATE = "η"
"""The number inside of an option that is plotted if it is searched; otherwise the first number is."""


def trials_chart(sweep: SweepData, ranking: ChoiceRanking, key: str) -> Chart:
    """Plot the complete trials of each option in a row of its own, with the median and the best."""
    metric, options = ranking.objective.metric, ranking.options
    rows = [(row, trial) for row, option in enumerate(options) for trial in _complete(option)]
    best = [(row, option.best) for row, option in enumerate(options) if option.best is not None]
    medians = [(row, option.median) for row, option in enumerate(options) if option.median is not None]
    texts = [f"{options[row].label}: median {format_objective(metric, value)}" for row, value in medians]
    ticks = dots("median", [value for _, value in medians], [row for row, _ in medians], GREY, texts)
    ticks.marker.update(symbol="line-ns", size=16, line={"width": 3, "color": GREY}, opacity=1)
    traces = [_row_dots(sweep, "trials", rows, BLUE), _row_dots(sweep, "best", best, BEST_COLOR)]
    values = [value_of(trial) for _, trial in rows]
    x_range = initial_range(values, ranking.objective)
    figure = chart_figure(
        [traces[0], *([ticks] if medians else []), traces[1]],
        metric,
        "",
        log_x=is_wide(values, ranking.objective),
        closest=True,
        height=110 + 26 * len(options),
    )
    figure.update_yaxes(
        **category_ticks([option.label for option in options]) | {"range": [len(options) - 0.5, -0.5], "title": None}
    )
    if x_range is not None:
        figure.update_xaxes(range=list(x_range))
    bars = " Bars show the standard deviation over the seeds." if ranking.seeds else ""
    caption = f"One row for each value of {ranking.name}, best first.{bars} {outlier_note(x_range)}".strip()
    return Chart(key, f"{metric} of all trials by {ranking.name}", figure, caption)


def curves_chart(ranking: ChoiceRanking, key: str) -> Chart | None:
    """Plot the learning curve of the best trial of each option; None if the objective is no metric of an epoch."""
    metric = ranking.objective.metric
    curves: list[go.Scatter] = []
    for option in ranking.options[:MAX_CURVES]:
        epochs, values = _mean_curve(option.best, metric)
        if not epochs:
            continue
        color, dash = PALETTE[len(curves) % len(PALETTE)], _DASHES[len(curves) // len(PALETTE)]
        texts = [
            f"{option.label}, epoch {epoch}: {format_number(value)}"
            for epoch, value in zip(epochs, values, strict=True)
        ]
        curve = line(shortened(option.label, 16), epochs, values, color, texts, dash=dash)
        curves.append(curve.update(mode="lines" if len(epochs) > 1 else "lines+markers"))
    if not curves:
        return None
    shown = [value for curve in curves for value in curve.y]
    is_log = not ranking.objective.maximize and min(shown) > 0
    y_range = None if is_log else initial_range(shown, ranking.objective)
    figure = chart_figure(
        curves,
        "epoch",
        metric,
        log_y=is_log,
        y_range=y_range,
        whole=True,
        closest=True,
        height=400 + 5 * len(curves),
    )
    # equal columns, narrow enough for two of them on a narrow screen
    width = max(40, min(95, 6 * max(len(curve.name) for curve in curves)))
    figure.update_layout(legend={"font": {"size": 10}, "itemwidth": 30, "entrywidth": width})
    of_seeds = ", with its mean over the seeds" if ranking.seeds else ""
    more = f" The best {MAX_CURVES} of {len(ranking.options)} are shown." if len(ranking.options) > MAX_CURVES else ""
    caption = (
        f"The best trial of each value of {ranking.name}{of_seeds}. Click a name to hide its curve, double-click it to "
        f"hide all others.{more} {outlier_note(y_range)}"
    )
    return Chart(f"{key}-curves", f"{metric} over the epochs of the best trials", figure, caption.strip())


def sensitivity_charts(
    sweep: SweepData, ranking: ChoiceRanking, numbers: dict[str, Dimension], key: str
) -> list[Chart]:
    """Plot the objective against one number inside of each option, all with the same vertical axis.

    Args:
        sweep: the sweep.
        ranking: the ranking of the options.
        numbers: the number of each option that has one, by its label.
        key: the name of the choice in file names.
    """
    values = trial_values(trial for option in ranking.options for trial in _complete(option))
    is_log = is_wide(values, ranking.objective)
    y_range = initial_range(values, ranking.objective) or _padded_range(values, is_log)
    charts: list[Chart] = []
    for option in ranking.options:
        if option.label not in numbers or option.best is None:
            continue
        dimension = numbers[option.label]
        others = [trial for trial in _complete(option) if trial is not option.best]
        figure = chart_figure(
            [
                _number_dots(sweep, dimension, trials, color)
                for trials, color in ((others, BLUE), ([option.best], BEST_COLOR))
                if trials
            ],
            dimension.name.rpartition(".")[2],
            ranking.objective.metric,
            log_x=dimension.scale == "log",
            log_y=is_log,
            y_range=y_range,
            closest=True,
            height=240,
        )
        if dimension.scale == "log":
            figure.update_xaxes(**_few_log_ticks(dimension.numbers))
        title = f"{ranking.objective.metric} against {dimension.name}"
        charts.append(Chart(f"{key}-{len(charts) + 1}", title, figure.update_layout(margin={"t": 30})))
    return charts


def number_inside(sweep: SweepData, ranking: ChoiceRanking, option: RankedOption) -> Dimension | None:
    """Return the learning rate inside of an option, or the first number that differs; None if none does."""
    numbers = {trial.number for trial in option.trials}
    prefixes = f"{ranking.name}[{option.label}]", f"{ranking.name}."  # the latter if the sweep's file is unreadable
    found = [
        replace(dimension, values={number: dimension.values[number] for number in numbers & dimension.values.keys()})
        for dimension in sweep.dimensions
        if dimension.name.startswith(prefixes) and dimension.scale != "words"
    ]
    varying = [dimension for dimension in found if dimension.varies]
    return min(varying, key=lambda dimension: dimension.name.rpartition(".")[2] != _RATE, default=None)


def _complete(option: RankedOption) -> list[TrialResult]:
    return [trial for trial in option.trials if trial.state == "complete"]


def _row_dots(sweep: SweepData, name: str, rows: Sequence[tuple[int, TrialResult]], color: str) -> go.Scatter:
    trials = [trial for _, trial in rows]
    is_best = color == BEST_COLOR
    notes = trial_notes(sweep, trials)
    points = dots(name, trial_values(trials), [row for row, _ in rows], color, notes, is_faint=not is_best)
    return points.update(error_x=error_bars(map(_deviation, trials))) if is_best else points


def _number_dots(sweep: SweepData, dimension: Dimension, trials: Sequence[TrialResult], color: str) -> go.Scatter:
    known = [trial for trial in trials if trial.number in dimension.values]
    x = [dimension.values[trial.number] for trial in known]
    points = dots("", x, trial_values(known), color, trial_notes(sweep, known))
    return points.update(error_y=error_bars(map(_deviation, known)))


def _deviation(trial: TrialResult) -> float | None:
    return trial.std_over_seeds[0] if trial.std_over_seeds else None


def _mean_curve(trial: TrialResult | None, metric: str) -> tuple[list[float], list[float]]:
    """Return the epochs that all seeds of a trial have, and the means of a metric over the seeds."""
    histories = seed_histories(trial) if trial is not None else []
    curves = [{row["epoch"]: row[metric] for row in rows if row.get(metric) is not None} for rows in histories]
    if not curves:
        return [], []
    epochs = sorted(set(curves[0]).intersection(*curves))
    return epochs, [fmean(curve[epoch] for curve in curves) for epoch in epochs]


def _few_log_ticks(numbers: Sequence[float]) -> dict[str, Any]:
    """Return ticks at powers of ten, and 3 times them if there are few, for a narrow chart.

    >>> _few_log_ticks([0.0007, 0.02])["ticktext"], _few_log_ticks([0.5, 0.6])
    (['0.001', '0.003', '0.01'], {})
    """
    low, high = min(numbers), max(numbers)
    factors = (1, 3) if high < 1000 * low else (1,)
    powers = range(floor(log10(low)), floor(log10(high)) + 1)
    ticks = [tick for power in powers for factor in factors if low <= (tick := float(f"{factor}e{power}")) <= high]
    if len(ticks) < 2:
        return {}
    return {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks], "tickfont": {"size": 10}}


def _padded_range(values: Sequence[float], is_log: bool) -> tuple[float, float]:
    """Return a range of an axis with room around the values, in powers of ten on a logarithmic one."""
    low, high = (log10(end) if is_log else end for end in (min(values), max(values)))
    room = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
    return low - room, high + room
