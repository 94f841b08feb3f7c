"""What is said of a sweep: its plan, how it stands, what it came to."""

import json
import sys
from typing import TYPE_CHECKING, Any

from mxtrain.cli import streams
from mxtrain.errors import printable, resume_command
from mxtrain.numbers import duration, short
from mxtrain.types import describe

if TYPE_CHECKING:
    from rich.table import Table

    from mxtrain.sweeps import SweepPlan, SweepResult

TOP = 5
"""Trials that are listed."""
_FAILED = 10
"""Failed trials that are told of."""


def print_result(result: "SweepResult", seconds: float | None, as_json: bool) -> None:
    """The best trials, the failed ones, and where all of it is."""
    if as_json:
        streams.write_json(result.to_dict())
        return
    from rich.table import Table

    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    for name, fact in _facts(result, seconds).items():
        facts.add_row(name, printable(fact))
    best = _best(result)
    if best:
        streams.print_results(_table_or_lines(result, best), "")
    streams.print_results(facts)
    failed = result.counted("failed")
    for row in failed[:_FAILED]:
        told = " ".join(row["error"].split())
        streams.messages().print(printable(f"trial {row['number']} failed: {told}"), soft_wrap=True)
    if failed:
        more = f"{len(failed) - _FAILED} more failed; " if len(failed) > _FAILED else ""
        streams.messages().print(f"{more}--retry-failed tries failed trials again", soft_wrap=True)


def print_standing(result: "SweepResult", as_json: bool) -> None:
    """How a sweep stands, and how it goes on."""
    print_result(result, None, as_json)
    ended = sum(len(result.counted(state)) for state in ("complete", "pruned", "failed"))
    if ended < result.total and not result.counted("running"):
        told = f"it is not running now; continue it with `{resume_command(result.run_dir)}`"
        streams.messages().print(printable(told), soft_wrap=True)


def print_plan(plan: "SweepPlan", as_json: bool) -> None:
    """What would be done."""
    if as_json:
        streams.write_json(plan.to_dict())
        return
    from rich.table import Table

    search = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    search.add_column("searched", style="cyan", overflow="fold")
    search.add_column("for")
    for path, told in plan.search().items():
        search.add_row(printable(path), printable(told))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    for name, fact in plan.facts().items():
        facts.add_row(name, printable(fact))
    first = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    first.add_column("first points")
    for number, point in enumerate(plan.points):
        first.add_row(printable(f"trial {number}  {told_params({'params': point})}"))
    streams.print_results(search, "", facts, "", first)


def told_value(result: "SweepResult", row: dict[str, Any]) -> str:
    """A trial's value for each objective, by name."""
    if row["value"] is None:
        return "-"
    values = row["value"] if isinstance(row["value"], list) else [row["value"]]
    named = zip(result.objectives, values, strict=True)
    return ", ".join(f"{each.metric} {_told(each.metric, value)}" for each, value in named)


def told_params(row: dict[str, Any]) -> str:
    """A trial's point; of a mapping with searches of its own, only its kind."""
    return "  ".join(f"{path} {_plain(value)}" for path, value in row["params"].items())


def _best(result: "SweepResult") -> list[dict[str, Any]]:
    """The trials to list: the best few, or those of the Pareto front."""
    if len(result.objectives) > 1:
        return result.front
    sign = -1 if result.objectives[0].maximize else 1
    return sorted(result.counted("complete"), key=lambda row: (sign * row["value"], row["number"]))[:TOP]


def _table_or_lines(result: "SweepResult", rows: list[dict[str, Any]]) -> "Table":
    """A table of trials; where that is too wide, a line for each value of each trial."""
    from rich.measure import Measurement

    console = streams.results()
    table = _table(result, rows)
    unbounded = console.options.update(max_width=sys.maxsize)
    fits = Measurement.get(console, unbounded, table).maximum <= console.width
    return table if fits else _lines(result, rows)


def _lines(result: "SweepResult", rows: list[dict[str, Any]]) -> "Table":
    from rich.table import Table

    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="dim", no_wrap=True)
    lines.add_column(overflow="fold")
    for row in rows:
        lines.add_row(f"trial {row['number']}", told_value(result, row))
        for path, value in row["params"].items():
            lines.add_row(f"  {path}", printable(_plain(value)))
    return lines


def _table(result: "SweepResult", rows: list[dict[str, Any]]) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("trial", justify="right", no_wrap=True)
    for objective in result.objectives:
        table.add_column(objective.metric, justify="right", no_wrap=True)
    if any("spread" in row for row in rows):
        table.add_column("± over seeds", justify="right", no_wrap=True)
    paths = list(dict.fromkeys(path for row in rows for path in row["params"]))
    for path in paths:
        table.add_column(path, no_wrap=True)
    for row in rows:
        values = row["value"] if isinstance(row["value"], list) else [row["value"]]
        spread = row.get("spread")
        told = [] if spread is None else [short(spread[0] if isinstance(spread, list) else spread)]
        point = (printable(_plain(row["params"][path])) if path in row["params"] else "" for path in paths)
        numbers = (_told(each.metric, value) for each, value in zip(result.objectives, values, strict=True))
        table.add_row(str(row["number"]), *numbers, *told, *point)
    return table


def _facts(result: "SweepResult", seconds: float | None) -> dict[str, str]:
    counts = {state: len(result.counted(state)) for state in ("complete", "pruned", "failed", "running")}
    ended = sum(counts.values()) - counts["running"]
    counts["waiting"] = result.total - ended - counts["running"]  # between segments, or not started
    listed = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    of = f" of {result.total}" if ended < result.total else ""
    facts = {"trials": f"{ended}{of} ended: {listed}" if of else f"{ended}: {listed}"}
    if seconds is not None:
        trained = sum(row["seconds"] for row in result.trials)
        facts["time"] = f"{duration(seconds)}, {duration(trained)} of training"
    best = result.best
    if best is not None:
        facts["best"] = f"{result.run_dir}/best.yaml, trained in {best['run_dir']}"
    return facts | {"sweep": str(result.run_dir)}


def _told(metric: str, value: float) -> str:
    """The value of an objective.

    >>> _told("val_accuracy", 0.98), _told("parameters", 4810.0)
    ('0.9800', '4,810')
    """
    return f"{value:,.0f}" if metric == "parameters" else short(value)


def _plain(value: Any) -> str:
    """A value as a table shows it.

    >>> _plain([64, 64]), _plain({"kind": "sgd", "μ": 0.5}), _plain(0.00123456789)
    ('[64, 64]', 'sgd', '0.00123457')
    """
    if isinstance(value, dict):
        return str(value.get("kind")) if "kind" in value else json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else describe(value).strip("'")
