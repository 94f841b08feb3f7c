"""The report of a sweep."""

import re
from pathlib import Path

from mxtrain.errors import resume_command
from mxtrain.reports.charts import Chart
from mxtrain.reports.importance import ENOUGH, importances
from mxtrain.reports.page import Html, facts, heading, note, numbers, paragraph, place, text
from mxtrain.reports.page import lines as text_lines
from mxtrain.reports.parallel import parallel_chart
from mxtrain.reports.sweep_charts import curve_chart, front_chart, history_charts, importance_charts, slice_charts
from mxtrain.reports.sweep_facts import SweepFacts, Trial, read_sweep_facts
from mxtrain.reports.sweep_words import front_values, good_values, listed, summary
from mxtrain.reports.trials_table import trials_table
from mxtrain.reports.written import Report, write_report

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
    sweep = read_sweep_facts(folder)
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


def _header(sweep: SweepFacts, sentences: list[str]) -> list[Html]:
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


def _good(sweep: SweepFacts, shares: list[dict[str, float]]) -> list[Html]:
    if not sweep.counted("complete"):
        return []
    metric = sweep.objectives[0].metric
    columns = ["importance", "tried", f"best quarter by {metric}", f"best by {metric}"]
    blocks = [heading("Where the good values lie"), numbers("value", columns, good_values(sweep, shares[0]))]
    if not shares[0]:
        blocks.append(paragraph(f"Importance takes {ENOUGH} trials that have ended, five of them complete.", "dim"))
    return blocks


def _failures(sweep: SweepFacts) -> list[Html]:
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


def _file(sweep: SweepFacts) -> list[Html]:
    return [paragraph("sweep.yaml, with every setting.", "dim"), Html(f"<pre>{text_lines(sweep.file)}</pre>")]
