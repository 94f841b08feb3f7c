"""What was measured, as tables and as plain data."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mxtrain.cli.streams import print_results

if TYPE_CHECKING:
    from rich.table import Table

    from mxtrain.benchmarks import RuleFigures, RunFigures, Timing


def print_tables(rules: "Sequence[RuleFigures]", run: "RunFigures | None") -> None:
    """Print what was measured of rules, then what was measured of a run."""
    tables = ([_rules(rules)] if rules else []) + ([_run(run)] if run else [])
    for number, table in enumerate(tables):
        print_results(*([""] if number else []), table)


def as_data(rules: "Sequence[RuleFigures]", run: "RunFigures | None") -> dict[str, Any]:
    """The same in seconds, for JSON."""
    data: dict[str, Any] = {"rules": [_rule_data(each) for each in rules]}
    return data | {"run": asdict(run) | {"rest": run.rest}} if run else data


def _rule_data(figures: "RuleFigures") -> dict[str, Any]:
    derived = ("bound", "share", "nanoseconds", "gigabytes_per_second")
    return asdict(figures) | {name: getattr(figures, name) for name in derived}


def _rules(rules: "Sequence[RuleFigures]") -> "Table":
    table = _table("rule", "ms an update", "quartiles", "ns an element", "GB/s", "limit, ms", "set by", "share")
    for each in rules:
        table.add_row(
            each.name,
            f"{each.update.median * 1e3:.3g}",
            _spread(each.update, 1e3),
            f"{each.nanoseconds:.3f}",
            f"{each.gigabytes_per_second:.1f}",
            f"{each.limit.median * 1e3:.3g}",
            each.bound,
            f"{each.share:.2f}",
        )
    return table


def _run(run: "RunFigures") -> "Table":
    table = _table(run.name, "µs an iteration", "quartiles", "iterations/s")
    rate = f"{1 / run.iteration.median:,.0f}"
    table.add_row("all", f"{run.iteration.median * 1e6:.1f}", _spread(run.iteration, 1e6), rate)
    for name, part in (("batch", run.batch), ("model", run.model), ("update", run.update)):
        table.add_row(f"  {name}", f"{part.median * 1e6:.1f}", _spread(part, 1e6))
    table.add_row("  rest", f"{run.rest * 1e6:.1f}")
    return table


def _table(first: str, *others: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(first, style="cyan", no_wrap=True)
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _spread(timing: "Timing", factor: float) -> str:
    return f"{timing.low * factor:.3g} to {timing.high * factor:.3g}"
