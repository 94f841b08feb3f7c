"""`mxtrain bench`: measure the speed of rules and runs on this machine."""

from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mxtrain.cli.options import AsJson, Overrides, Plugin, choice_option, count_option, import_plugins
from mxtrain.cli.streams import print_results

if TYPE_CHECKING:
    from rich.table import Table

    from mxtrain.benchmarks import RuleBenchmark, RunBenchmark, Timing


class BenchBackend(StrEnum):
    """Backends that can be measured."""

    numpy = "numpy"
    compiled = "compiled"
    cupy = "cupy"


class DataType(StrEnum):
    """Data types of the arrays."""

    float32 = "float32"
    float64 = "float64"


def bench(
    rules: Annotated[
        list[str] | None,
        typer.Argument(metavar="RULE...", help="Rules, such as adam; default: all.", show_default=False),
    ] = None,
    size: Annotated[int, count_option("Number of elements of the array.")] = 10_000_000,
    dtype: Annotated[DataType, choice_option(DataType, "Data type of the array.")] = DataType.float32,
    backend: Annotated[
        BenchBackend | None,
        choice_option(BenchBackend, "Backend; default: compiled, or that of the run file.", show_default=False),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Measure the training iterations of a run file; rules are then measured only if named.",
            show_default=False,
        ),
    ] = None,
    sets: Overrides = None,
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Measure how fast the rules are on this machine.

    The update of each rule is timed alternately with its limit, the slower of two loops: one that only reads and writes
    the same number of arrays, and one that only does the rule's divisions and square roots, on data in the cache.
    """

    if sets and run is None:
        raise typer.BadParameter("overrides values of a run file; name one with --run", param_hint="--set")
    import_plugins(plugin)
    names = _rule_names(rules or [], default=run is None)
    try:
        figures = [_measure_rule(name, size, dtype, backend or BenchBackend.compiled) for name in names]
    except MemoryError:
        raise typer.BadParameter(f"not enough memory for arrays of {size:,} elements", param_hint="--size") from None
    of_run = _measure_run(run, sets or (), backend) if run is not None else None
    if as_json:
        from mxtrain.cli.streams import write_json

        write_json(as_data(figures, of_run), indent=2)
    else:
        print_tables(figures, of_run)


def _rule_names(chosen: list[str], default: bool) -> list[str]:
    from mxtrain.benchmarks import rule_cases
    from mxtrain.names import suggest
    from mxtrain.types import describe

    cases = rule_cases()
    for name in chosen:
        if name not in cases:
            remedy = suggest(name, cases, otherwise=f"the rules are {', '.join(cases)}")
            raise typer.BadParameter(f"there is no rule {describe(name)}; {remedy}", param_hint="RULE")
    return list(dict.fromkeys(chosen)) or (list(cases) if default else [])


def _measure_rule(name: str, size: int, dtype: DataType, backend: BenchBackend) -> "RuleBenchmark":
    from mxtrain.benchmarks import measure_rule
    from mxtrain.cli.streams import messages

    with messages().status(f"measuring {name}"):
        return measure_rule(name, size=size, dtype=dtype.value, backend=backend.value)


def _measure_run(file: str, sets: Sequence[str], backend: BenchBackend | None) -> "RunBenchmark":
    from mxtrain.benchmarks import measure_run
    from mxtrain.cli.streams import messages
    from mxtrain.config import read_run

    config = read_run(file, sets, in_memory=False)
    if backend is not None:
        config = config.model_copy(update={"backend": backend.value})
    with messages().status(f"measuring {config.name}"):
        return measure_run(config)


def print_tables(rules: "Sequence[RuleBenchmark]", run: "RunBenchmark | None") -> None:
    """Print the measurements of rules, then those of a run."""
    tables = ([_rules_table(rules)] if rules else []) + ([_run_table(run)] if run else [])
    for number, table in enumerate(tables):
        print_results(*([""] if number else []), table)


def as_data(rules: "Sequence[RuleBenchmark]", run: "RunBenchmark | None") -> dict[str, Any]:
    """Return the measurements in seconds, for JSON."""
    data: dict[str, Any] = {"rules": [_rule_data(each) for each in rules]}
    return data | {"run": asdict(run) | {"rest": run.rest}} if run else data


def _rule_data(figures: "RuleBenchmark") -> dict[str, Any]:
    derived = ("bound", "share", "nanoseconds", "gigabytes_per_second")
    return asdict(figures) | {name: getattr(figures, name) for name in derived}


def _rules_table(rules: "Sequence[RuleBenchmark]") -> "Table":
    table = _new_table("rule", "ms an update", "quartiles", "ns an element", "GB/s", "limit, ms", "set by", "share")
    for each in rules:
        table.add_row(
            each.name,
            f"{each.update.median * 1e3:.3g}",
            _format_quartiles(each.update, 1e3),
            f"{each.nanoseconds:.3f}",
            f"{each.gigabytes_per_second:.1f}",
            f"{each.limit.median * 1e3:.3g}",
            each.bound,
            f"{each.share:.2f}",
        )
    return table


def _run_table(run: "RunBenchmark") -> "Table":
    table = _new_table(run.name, "µs an iteration", "quartiles", "iterations/s")
    rate = f"{1 / run.iteration.median:,.0f}"
    table.add_row("all", f"{run.iteration.median * 1e6:.1f}", _format_quartiles(run.iteration, 1e6), rate)
    for name, part in (("batch", run.batch), ("model", run.model), ("update", run.update)):
        table.add_row(f"  {name}", f"{part.median * 1e6:.1f}", _format_quartiles(part, 1e6))
    table.add_row("  rest", f"{run.rest * 1e6:.1f}")
    return table


def _new_table(first: str, *others: str) -> "Table":
    from rich.table import Column

    from mxtrain.cli.rich_output import number_column, plain_table

    return plain_table(Column(first, style="cyan", no_wrap=True), *map(number_column, others))


def _format_quartiles(timing: "Timing", factor: float) -> str:
    return f"{timing.low * factor:.3g} to {timing.high * factor:.3g}"
