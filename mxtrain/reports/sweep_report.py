"""Report of a sweep: summary, charts, failed trials and the table of all trials."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mxtrain.errors import resume_command
from mxtrain.formatting import format_count, format_duration, format_number, format_objective
from mxtrain.reports.charts import Chart
from mxtrain.reports.choice_report import choice_sections, describe_ranking
from mxtrain.reports.importance_charts import importance_charts, rank_chart
from mxtrain.reports.page import Report, write_report
from mxtrain.reports.parallel_coordinates import parallel_chart
from mxtrain.reports.sweep_charts import (
    curve_chart,
    front_chart,
    history_charts,
    slice_charts,
)
from mxtrain.reports.sweep_data import (
    MIN_COMPLETE,
    MIN_TRIALS,
    STATES,
    Dimension,
    SweepData,
    format_value,
    importances,
    read_sweep_data,
    value_of,
)
from mxtrain.sweeps import TrialResult

_MAX_FAILURES = 20
"""Largest number of distinct failures that are listed before the table, which contains all of them."""
_MAX_NUMBERS = 12
"""Largest number of trial numbers that are listed."""


def report_sweep(folder: Path, output: Path | None = None) -> Report:
    """Write the report of a sweep, which need not be finished.

    Args:
        folder: the sweep's folder.
        output: the page; None writes report.html in the sweep's folder.

    Raises:
        SweepError: the sweep has no results yet.
        OSError: the report cannot be written.
    """
    sweep = read_sweep_data(folder)
    shares = [importances(sweep, index) for index in range(len(sweep.objectives))]
    choices = choice_sections(sweep)
    slices = slice_charts(sweep, {name for section in choices for name in section.plotted})
    choice_charts = [chart for section in choices for chart in (*section.charts, *section.sensitivity)]
    found: dict[str, list[Chart | None]] = {
        "History": [*history_charts(sweep)],
        "Pareto front": [front_chart(sweep)],
        "Importance": [*importance_charts(sweep, shares), rank_chart(sweep, shares[0])],
        "Parallel coordinates": [parallel_chart(sweep)],
        "Learning curves": [curve_chart(sweep)],
    }
    sections = {title: [chart for chart in charts if chart is not None] for title, charts in found.items()}
    failures = _group_failures(sweep.in_state("failed"))
    ended = len(sweep.in_state("complete", "pruned", "failed"))
    return write_report(
        output or folder / "report.html",
        "sweep.html",
        [*choice_charts, *(chart for charts in sections.values() for chart in charts), *slices],
        follow_links=output is not None,
        name=sweep.name,
        state="finished" if ended >= sweep.total else "unfinished",
        summary=summary(sweep, shares),
        resume_command=resume_command(sweep.path),
        facts=_facts(sweep),
        objectives=[objective.metric for objective in sweep.objectives],
        good_values=_good_values_table(sweep, shares[0]) if sweep.in_state("complete") else None,
        choices=choices,
        sections=sections,
        front=_front_table(sweep),
        slices=slices,
        failures=dict([*failures.items()][:_MAX_FAILURES]),
        has_more_failures=len(failures) > _MAX_FAILURES,
        states=[state for state in STATES if sweep.in_state(state)],
        trials=_trials_table(sweep),
        file=sweep.file,
    )


def summary(sweep: SweepData, importances: Sequence[Mapping[str, float]]) -> list[str]:
    """Describe the trials, the best of them, the choices, the hyperparameter importance, and the time saved."""
    importance = [
        _describe_importance(objective.metric, totals)
        for objective, shares in zip(sweep.objectives, importances, strict=True)
        if shares and len(totals := _outer_importance(sweep, shares)) > 1
    ]
    sentences = [
        f"{_describe_states(sweep)} {_describe_best(sweep)}",
        *map(describe_ranking, sweep.rankings),
        " ".join(importance),
        _describe_pruning(sweep),
    ]
    return [sentence for sentence in sentences if sentence]


def _describe_states(sweep: SweepData) -> str:
    counts = {state: len(sweep.in_state(state)) for state in STATES}
    text = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    ended = sum(counts[state] for state in ("complete", "pruned", "failed"))
    if ended < sweep.total:
        return (
            f"{ended} of {format_count(sweep.total, 'trial')} have ended: {text}." if text else "No trial has started."
        )
    return f"{format_count(sweep.total, 'trial')}: {text}."


def _describe_best(sweep: SweepData) -> str:
    best = sweep.best
    if not best:
        return "None is complete."
    if len(sweep.objectives) > 1:
        return f"On the Pareto front: {_list_trials(best)}."
    [trial] = best
    metric = sweep.objectives[0].metric
    value = format_objective(metric, value_of(trial))
    spread = f" ± {format_number(trial.std_over_seeds[0])} over the seeds" if trial.std_over_seeds else ""
    used = [dimension for dimension in sweep.dimensions if trial.number in dimension.values]
    params = ", ".join(f"{dimension.name} {format_value(dimension.values[trial.number])}" for dimension in used)
    return f"The best is trial {trial.number}, with {metric} {value}{spread}: {params}."


def _describe_importance(metric: str, shares: Mapping[str, float]) -> str:
    (first, share), *others = shares.items()
    text = f"For {metric}, {first} mattered most, with {share:.0%} of the importance"
    if not others or others[0][1] < 0.05:
        return f"{text}; nothing else mattered much."
    return f"{text}, then {others[0][0]} with {others[0][1]:.0%}."


def _describe_pruning(sweep: SweepData) -> str:
    pruned = [trial for trial in sweep.in_state("pruned") if trial.epochs]
    longest = max((trial.epochs for trial in sweep.in_state("complete")), default=0)
    spent = sum(trial.seconds for trial in sweep.trials)
    saved = sum(max(0, longest - trial.epochs) * trial.seconds / trial.epochs for trial in pruned)
    if not pruned or not saved:
        return f"Training took {format_duration(spent)}." if spent else ""
    early = f"Pruning ended {format_count(len(pruned), 'trial')} early"
    whole = f"of the {format_duration(saved + spent)} that training every trial to the end would have taken"
    return f"{early} and saved about {saved / (saved + spent):.0%} {whole}."


def _facts(sweep: SweepData) -> dict[str, object]:
    goals = ", ".join(
        f"{'maximize' if objective.maximize else 'minimize'} {objective.metric}" for objective in sweep.objectives
    )
    facts: dict[str, object] = {"objective": goals, "folder": sweep.path}
    if (best := sweep.path / "best.yaml").is_file():
        facts["train the best again"] = f"mxtrain fit {best}"
    return facts


def _good_values_table(sweep: SweepData, importance: Mapping[str, float]) -> dict[str, Any]:
    """Return the importance of each hyperparameter, and its values in all trials, the best quarter and the best."""
    ranked, metric = sweep.ranked(), sweep.objectives[0].metric
    quarter = ranked[: max(1, len(ranked) // 4)]
    totals = {dimension.name: _total_importance(sweep, dimension, importance) for dimension in sweep.dimensions}
    rows = {
        dimension.name: [
            _format_importance(importance.get(dimension.name), totals[dimension.name]),
            _format_values(dimension, sweep.trials),
            _format_values(dimension, quarter),
            _format_values(dimension, ranked[:1]),
        ]
        for dimension in sorted(sweep.dimensions, key=lambda dimension: -totals[dimension.name])
    }
    notes = [] if importance else [f"Importance needs {MIN_TRIALS} ended trials, {MIN_COMPLETE} of them complete."]
    if len(sweep.objectives) > 1:
        notes.append(f"The best trials here are those with the best {metric}.")
    return {
        "columns": ["importance", "all trials", "best quarter", "best trial"],
        "rows": rows,
        "notes": notes,
    }


def _outer_importance(sweep: SweepData, importance: Mapping[str, float]) -> dict[str, float]:
    """Return the importance of each hyperparameter that is in no choice, with that of all inside of it."""
    inside = {nested.name for dimension in sweep.dimensions for nested in sweep.nested(dimension)}
    outer = [dimension for dimension in sweep.dimensions if dimension.name not in inside]
    totals = {dimension.name: _total_importance(sweep, dimension, importance) for dimension in outer}
    return dict(sorted(totals.items(), key=lambda item: -item[1]))


def _total_importance(sweep: SweepData, dimension: Dimension, importance: Mapping[str, float]) -> float:
    """Return the importance of a hyperparameter and of all those inside of it."""
    return sum(importance.get(each.name, 0.0) for each in (dimension, *sweep.nested(dimension)))


def _format_importance(share: float | None, total: float) -> str:
    """Format the importance of a hyperparameter, and in total if there are others inside of it.

    >>> _format_importance(0.25, 0.25), _format_importance(0.0, 0.61), _format_importance(None, 0.0)
    ('25%', '61% (alone 0%)', '–')
    """
    if share is None:
        return "–" if not total else f"{total:.0%}"
    return f"{share:.0%}" if total == share else f"{total:.0%} (alone {share:.0%})"


def _front_table(sweep: SweepData) -> dict[str, Any]:
    """Return the trials on the Pareto front, by the first objective, with their values."""
    sign = -1 if sweep.objectives[0].maximize else 1
    rows = {
        f"trial {trial.number}": [
            *(
                format_objective(objective.metric, value)
                for objective, value in zip(sweep.objectives, trial.values or (), strict=True)
            ),
            *(_format_values(dimension, [trial]) for dimension in sweep.dimensions),
        ]
        for trial in sorted(sweep.best, key=lambda trial: sign * value_of(trial))
    }
    columns = [objective.metric for objective in sweep.objectives] + [dimension.name for dimension in sweep.dimensions]
    return {"columns": columns, "rows": rows}


def _format_values(dimension: Dimension, trials: Sequence[TrialResult]) -> str:
    """Format the range of the values of some trials, or their categories."""
    values = [dimension.values[trial.number] for trial in trials if trial.number in dimension.values]
    if not values:
        return "–"
    if dimension.scale == "words":
        counts = {word: values.count(word) for word in dimension.words if word in values}
        if len(trials) > 1 and len(counts) > 1 and len(trials) <= len(dimension.values) // 2:
            return ", ".join(f"{word} ({number}×)" for word, number in counts.items())
        return ", ".join(counts)
    numbers = [value for value in values if not isinstance(value, str)]
    low, high = format_value(min(numbers)), format_value(max(numbers))
    return low if low == high else f"{low} to {high}"


def _group_failures(failed: Sequence[TrialResult]) -> dict[str, str]:
    """Group failures whose messages differ in numbers only: trials to the message of the first."""
    groups: dict[str, list[TrialResult]] = {}
    for trial in failed:
        groups.setdefault(re.sub(r"\d+", "#", trial.error), []).append(trial)
    return {_list_trials(trials): " ".join(trials[0].error.split()) for trials in groups.values()}


def _list_trials(trials: Sequence[TrialResult]) -> str:
    shown = ", ".join(str(trial.number) for trial in trials[:_MAX_NUMBERS])
    more = f" and {len(trials) - _MAX_NUMBERS} more" if len(trials) > _MAX_NUMBERS else ""
    return f"{'trial' if len(trials) == 1 else 'trials'} {shown}{more}"


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell of the table of trials: its text, the number to sort by, and its class in the style sheet."""

    text: str
    number: float | None = None
    kind: str = ""


def _trials_table(sweep: SweepData) -> dict[str, Any]:
    """Return the columns and rows of the table of all trials."""
    best = {trial.number for trial in sweep.best}
    columns = list(_columns(sweep))
    rows = [
        {
            "state": trial.state,
            "is_best": trial.number in best,
            "cells": [cell_of(trial) for _, _, cell_of in columns],
        }
        for trial in sweep.trials
    ]
    return {"columns": [(name, kind) for name, kind, _ in columns], "rows": rows}


def _columns(sweep: SweepData) -> Iterator[tuple[str, str, Callable[[TrialResult], _Cell]]]:
    """Yield the name of each column of the table of trials, its class in the style sheet, and its cells."""
    yield "trial", "number", lambda trial: _number_cell(trial.number, str)
    yield "state", "", lambda trial: _Cell(trial.state, kind=trial.state)
    has_std = any(trial.std_over_seeds for trial in sweep.trials)
    for index, objective in enumerate(sweep.objectives):
        yield objective.metric, "number", partial(_value_cell, objective.metric, index)
        if has_std:
            yield "± over seeds", "number", partial(_std_cell, index)
    for dimension in sweep.dimensions:
        kind = "" if dimension.scale == "words" else "number"
        yield dimension.name, kind, partial(_parameter_cell, dimension)
    yield "epochs", "number", lambda trial: _number_cell(trial.epochs, "{:,}".format)
    yield "seconds", "number", lambda trial: _number_cell(trial.seconds, "{:.2f}".format)
    if any(trial.error for trial in sweep.trials):
        yield "error", "error", lambda trial: _Cell(" ".join(trial.error.split()), kind="error")


def _number_cell(value: float | None, to_text: Callable[[Any], str]) -> _Cell:
    return _Cell("", kind="number") if value is None else _Cell(to_text(value), value, "number")


def _value_cell(metric: str, index: int, trial: TrialResult) -> _Cell:
    return _number_cell(trial.values[index] if trial.values else None, partial(format_objective, metric))


def _std_cell(index: int, trial: TrialResult) -> _Cell:
    return _number_cell(trial.std_over_seeds[index] if trial.std_over_seeds else None, format_number)


def _parameter_cell(dimension: Dimension, trial: TrialResult) -> _Cell:
    value = dimension.values.get(trial.number)
    return _Cell(value, kind="word") if isinstance(value, str) else _number_cell(value, format_value)
