"""Report of a sweep: summary, charts, failed trials and the table of all trials."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mxtrain.errors import resume_command
from mxtrain.formatting import format_count, format_duration, format_number
from mxtrain.reports.charts import Chart
from mxtrain.reports.page import Html, Report, facts, heading, note, numbers, paragraph, place, text, write_report
from mxtrain.reports.page import lines as text_lines
from mxtrain.reports.sweep_charts import (
    curve_chart,
    front_chart,
    history_charts,
    importance_charts,
    parallel_chart,
    slice_charts,
)
from mxtrain.reports.sweep_data import (
    MIN_TRIALS,
    STATES,
    Dimension,
    SweepData,
    Trial,
    importances,
    plain,
    read_sweep_data,
    told_value,
)


def summary(sweep: SweepData, importances: Sequence[Mapping[str, float]]) -> list[str]:
    """How many trials there were, the best of them, what mattered, and what pruning saved."""
    mattered = [
        _describe_importance(it.metric, shares)
        for it, shares in zip(sweep.objectives, importances, strict=True)
        if shares
    ]
    return [part for part in (f"{_trials(sweep)} {_best(sweep)}", " ".join(mattered), _saved(sweep)) if part]


def good_values(sweep: SweepData, importance: Mapping[str, float]) -> dict[str, list[str]]:
    """Of each searched value: how much it mattered, what was tried, and what the best quarter and the best have."""
    ranked = sweep.ranked()
    top = ranked[: max(1, len(ranked) // 4)]
    order = sorted(sweep.dimensions, key=lambda it: -importance.get(it.name, 0.0))
    return {
        it.name: [
            f"{importance[it.name]:.0%}" if it.name in importance else "–",
            _span(it, sweep.trials),
            _span(it, top),
            _span(it, ranked[:1]),
        ]
        for it in order
    }


def front_values(sweep: SweepData) -> dict[str, list[str]]:
    """The trials on the front, by the first objective: their objectives and what they tried."""
    sign = -1 if sweep.objectives[0].maximize else 1
    return {
        f"trial {trial.number}": [
            *(told_value(it.metric, value) for it, value in zip(sweep.objectives, trial.values, strict=True)),
            *(_span(dimension, [trial]) for dimension in sweep.dimensions),
        ]
        for trial in sorted(sweep.best, key=lambda it: sign * it.values[0])
    }


def listed(trials: Sequence[Trial]) -> str:
    """The numbers of some trials."""
    shown = ", ".join(str(it.number) for it in trials[:12])
    return f"{shown} and {len(trials) - 12} more" if len(trials) > 12 else shown


def _trials(sweep: SweepData) -> str:
    counted = {state: len(sweep.counted(state)) for state in STATES}
    told = ", ".join(f"{number} {state}" for state, number in counted.items() if number)
    ended = sum(counted[state] for state in ("complete", "pruned", "failed"))
    if ended < sweep.total:
        return f"{ended} of {format_count(sweep.total, 'trial')} have ended: {told}." if told else "No trial has begun."
    return f"{format_count(sweep.total, 'trial')}: {told}."


def _best(sweep: SweepData) -> str:
    best = sweep.best
    if not best:
        return "None is complete."
    if len(sweep.objectives) > 1:
        return f"On the Pareto front: {'trial' if len(best) == 1 else 'trials'} {listed(best)}."
    [trial] = best
    metric = sweep.objectives[0].metric
    value = told_value(metric, trial.values[0])
    spread = f" ± {format_number(trial.spread[0])} over the seeds" if trial.spread else ""
    inside = [it for it in sweep.dimensions if trial.number in it.values]
    params = ", ".join(f"{it.name} {plain(it.values[trial.number])}" for it in inside)
    return f"The best is trial {trial.number}, with {metric} {value}{spread}: {params}."


def _describe_importance(metric: str, shares: Mapping[str, float]) -> str:
    (first, share), *others = shares.items()
    told = f"For {metric}, {first} mattered most, with {share:.0%} of the importance"
    if not others or others[0][1] < 0.05:
        return f"{told}; nothing else mattered much."
    return f"{told}, then {others[0][0]} with {others[0][1]:.0%}."


def _saved(sweep: SweepData) -> str:
    pruned = [it for it in sweep.counted("pruned") if it.epochs]
    longest = max((it.epochs for it in sweep.counted("complete")), default=0)
    spent = sum(it.seconds for it in sweep.trials)
    saved = sum(max(0, longest - it.epochs) * it.seconds / it.epochs for it in pruned)
    if not pruned or not saved:
        return f"Training took {format_duration(spent)}." if spent else ""
    early = f"Pruning ended {format_count(len(pruned), 'trial')} early"
    whole = f"of the about {format_duration(saved + spent)} that training all to the end would have taken"
    return f"{early} and saved {saved / (saved + spent):.0%} {whole}."


def _span(dimension: Dimension, trials: Sequence[Trial]) -> str:
    """Between which values some trials are, or which words they have."""
    values = [dimension.values[it.number] for it in trials if it.number in dimension.values]
    if not values:
        return "–"
    if dimension.scale == "words":
        counts = {word: values.count(word) for word in dimension.words if word in values}
        if len(trials) > 1 and len(counts) > 1 and len(trials) <= len(dimension.values) // 2:
            return ", ".join(f"{word} ({number}×)" for word, number in counts.items())
        return ", ".join(counts)
    numbers = [value for value in values if not isinstance(value, str)]
    low, high = plain(min(numbers)), plain(max(numbers))
    return low if low == high else f"{low} to {high}"


_NONE = '<td class="number"></td>'


def trials_table(sweep: SweepData) -> Html:
    """The table, with what sorts and filters it."""
    best = {trial.number for trial in sweep.best}
    has_spread = any(trial.spread for trial in sweep.trials)
    has_error = any(trial.error for trial in sweep.trials)
    names = ["trial", "state"]
    for objective in sweep.objectives:
        names += [objective.metric, *(["± over seeds"] if has_spread else [])]
    names += [*(it.name for it in sweep.dimensions), "epochs", "seconds", *(["error"] if has_error else [])]
    head = "".join(f'<th scope="col"><button type="button">{text(name)}</button></th>' for name in names)
    body = "\n".join(_row(sweep, trial, trial.number in best, has_spread, has_error) for trial in sweep.trials)
    return Html(
        f"{_controls(sweep)}\n"
        f'<div class="wide"><table class="trials" id="trials">\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _controls(sweep: SweepData) -> str:
    states = [state for state in STATES if sweep.counted(state)]
    options = "".join(f'<option value="{state}">{state}</option>' for state in states)
    return (
        '<div class="controls"><label>state <select id="state"><option value="">all</option>'
        f'{options}</select></label> <label>holds <input id="words" type="search" autocomplete="off"></label> '
        '<span class="dim" id="shown" role="status"></span></div>'
    )


def _row(sweep: SweepData, trial: Trial, is_best: bool, has_spread: bool, has_error: bool) -> str:
    kind = ' class="best"' if is_best else ""
    cells = [_number(trial.number, str(trial.number)), f'<td class="{trial.state}">{trial.state}</td>']
    for index in range(len(sweep.objectives)):
        metric = sweep.objectives[index].metric
        cells.append(_number(trial.values[index], told_value(metric, trial.values[index])) if trial.values else _NONE)
        if has_spread:
            cells.append(_number(trial.spread[index], format_number(trial.spread[index])) if trial.spread else _NONE)
    for dimension in sweep.dimensions:
        value = dimension.values.get(trial.number, "")
        cells.append(f"<td>{text(value)}</td>" if isinstance(value, str) else _number(value, plain(value)))
    cells += [_number(trial.epochs, f"{trial.epochs:,}"), _number(trial.seconds, f"{trial.seconds:.2f}")]
    if has_error:
        cells.append(f"<td>{text(' '.join(trial.error.split()))}</td>")
    return f'<tr data-state="{trial.state}"{kind}>{"".join(cells)}</tr>'


def _number(value: float, told: str) -> str:
    return f'<td class="number" data-value="{value!r}">{text(told)}</td>'


_FAILURES = 20
"""Ways to fail that are told before the table, which has them all."""


def report_sweep(folder: Path, output: Path | None = None) -> Report:
    """Write what a sweep has come to, be it finished or not.

    Args:
        folder: the sweep's folder.
        output: the page; left out, report.html in the sweep's folder.

    Raises:
        SweepError: it has no results yet.
        OSError: the report cannot be written.
    """
    sweep = read_sweep_data(folder)
    shares = [importances(sweep, place) for place in range(len(sweep.objectives))]
    slices = slice_charts(sweep)
    tried = [it.name for it in sweep.dimensions]
    front, parallel, curves = front_chart(sweep), parallel_chart(sweep), curve_chart(sweep)
    sections: list[tuple[str, list[Chart]]] = [
        ("History", history_charts(sweep)),
        ("Pareto front", [front] if front else []),
        ("What mattered", importance_charts(sweep, shares)),
        ("Parallel coordinates", [parallel] if parallel else []),
        ("Curves", [curves] if curves else []),
    ]
    blocks = [*_header(sweep, summary(sweep, shares)), *_good(sweep, shares)]
    for name, group in sections:
        blocks += [heading(name), *map(place, group)] if group else []
        if group == [front] and front:
            blocks.append(numbers("", [*(it.metric for it in sweep.objectives), *tried], front_values(sweep)))
    if slices:
        told = f"{sweep.objectives[0].metric} against each value that was searched; a dot for each trial."
        beside = "\n".join(map(place, slices))
        blocks += [heading("Value by value"), paragraph(told, "dim"), Html(f'<div class="beside">{beside}</div>')]
    blocks += [*_failures(sweep), heading("All trials"), trials_table(sweep), heading("The sweep"), *_file(sweep)]
    figures = [*(figure for _, group in sections for figure in group), *slices]
    path = output or folder / "report.html"
    return write_report(path, f"{sweep.name} · mxtrain", blocks, figures, follow=output is not None)


def _header(sweep: SweepData, sentences: list[str]) -> list[Html]:
    ended = len(sweep.counted("complete", "pruned", "failed"))
    state = "finished" if ended >= sweep.total else "unfinished"
    wish = ", ".join(f"{'maximize' if it.maximize else 'minimize'} {it.metric}" for it in sweep.objectives)
    blocks = [
        Html(f'<h1>{text(sweep.name)} <span class="status {state}">{state}</span></h1>'),
        *(paragraph(sentence, "lead") for sentence in sentences),
    ]
    if state == "unfinished":
        blocks.append(note(f"The sweep is not finished; `{resume_command(sweep.path)}` goes on."))
    again = (
        {"the best again": f"mxtrain fit {sweep.path / 'best.yaml'}"} if (sweep.path / "best.yaml").is_file() else {}
    )
    return [*blocks, facts({"objective": wish, "folder": sweep.path, **again})]


def _good(sweep: SweepData, shares: list[dict[str, float]]) -> list[Html]:
    if not sweep.counted("complete"):
        return []
    metric = sweep.objectives[0].metric
    columns = ["importance", "tried", f"best quarter by {metric}", f"best by {metric}"]
    blocks = [heading("Where the good values lie"), numbers("value", columns, good_values(sweep, shares[0]))]
    if not shares[0]:
        blocks.append(paragraph(f"Importance takes {MIN_TRIALS} trials that have ended, five of them complete.", "dim"))
    return blocks


def _failures(sweep: SweepData) -> list[Html]:
    failed = sweep.counted("failed")
    if not failed:
        return []
    alike: dict[str, list[Trial]] = {}
    for trial in failed:
        alike.setdefault(re.sub(r"\d+", "#", trial.error), []).append(trial)
    told = {
        f"{'trial' if len(it) == 1 else 'trials'} {listed(it)}": " ".join(it[0].error.split())
        for it in [*alike.values()][:_FAILURES]
    }
    more = [paragraph("Others failed in other ways; the table below has them all.")] if len(alike) > _FAILURES else []
    return [heading("What failed"), facts(told), *more]


def _file(sweep: SweepData) -> list[Html]:
    return [paragraph("sweep.yaml, with every setting.", "dim"), Html(f"<pre>{text_lines(sweep.file)}</pre>")]
