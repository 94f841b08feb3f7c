"""Charts of the importance of hyperparameters, and of the two most important ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from optuna.visualization import plot_param_importances

from mxtrain.formatting import format_count
from mxtrain.reports.charts import BLUE, GREY, Chart, axis, chart_figure, common_layout, dots
from mxtrain.reports.sweep_data import (
    MIN_TRIALS,
    SweepData,
    importance_evaluator,
    importance_study,
    number_of_best,
    trial_ranks,
)
from mxtrain.reports.trial_groups import BEST_COLOR, trial_notes
from mxtrain.sweeps.run_sweep import silence_optuna


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
    points = dots("", x, y, notes=trial_notes(sweep, trials))
    last = "pruned or failed" if sweep.in_state("pruned", "failed") else "worst"
    points.marker.update(_rank_colors([ranks[trial.number] for trial in trials], max(ranks.values()), last))
    is_log = [dimension.scale == "log" for dimension in used]
    figure = chart_figure([points], first.name, second.name, log_x=is_log[0], log_y=is_log[1], closest=True, height=400)
    caption = "The two most important numbers; the color is the rank of the trial."
    return Chart("rank", f"{second.name} against {first.name}", figure, caption)


def _rank_colors(ranks: list[int], worst: int, last: str) -> dict[str, Any]:
    """Return the colors of points by their ranks, with a scale above the chart; `last` is the label of the worst."""
    return {
        "color": ranks,
        "cmin": 0,
        "cmax": worst,
        "colorscale": [[0, BEST_COLOR], [1, GREY]],
        "showscale": True,
        "colorbar": {
            "tickvals": [0, worst],
            "ticktext": ["best", last],
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "thickness": 10,
            "lenmode": "pixels",
            "len": 180,
        },
    }


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
