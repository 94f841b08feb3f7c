"""`mxtrain bench`: how fast it is on this machine."""

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from mxtrain.cli.options import AsJson, Overrides

if TYPE_CHECKING:
    from mxtrain.benchmarks import RuleFigures, RunFigures


class Engine(StrEnum):
    """A backend that is named, so that what is measured is known."""

    numpy = "numpy"
    compiled = "compiled"
    cupy = "cupy"


class DataType(StrEnum):
    """What the arrays hold."""

    float32 = "float32"
    float64 = "float64"


def bench(
    rules: Annotated[
        list[str] | None,
        typer.Argument(metavar="RULE...", help="Rules, such as adam; left out, all of them.", show_default=False),
    ] = None,
    size: Annotated[int, typer.Option(min=1, metavar="N", help="Elements of the array.")] = 10_000_000,
    dtype: Annotated[DataType, typer.Option(help="What the array holds.")] = DataType.float32,
    backend: Annotated[
        Engine | None,
        typer.Option(help="What runs the updates; left out, compiled, or what the run file says.", show_default=False),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Measure a run file's iterations, and no rules but those named.", show_default=False
        ),
    ] = None,
    sets: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Measure how fast the rules are on this machine.

    A rule's update is timed in turns with its limit, which is the slower of two loops: one that only reads and writes
    the same number of arrays, and one that only does the rule's divisions and square roots, on data in the cache.
    """
    from mxtrain.cli.bench_tables import as_data, print_tables

    if sets and run is None:
        raise typer.BadParameter("is laid over a run file's values; name one with --run", param_hint="--set")
    names = _names(rules or [], default=run is None)
    try:
        figures = [_rule(name, size, dtype, backend or Engine.compiled) for name in names]
    except MemoryError:
        raise typer.BadParameter(f"there is no memory for arrays of {size:,} elements", param_hint="--size") from None
    of_run = _run(run, sets or (), backend) if run is not None else None
    if as_json:
        from mxtrain.cli.streams import write_json

        write_json(as_data(figures, of_run), indent=2)
    else:
        print_tables(figures, of_run)


def _names(chosen: list[str], default: bool) -> list[str]:
    from mxtrain.benchmarks import RULE_CASES
    from mxtrain.names import nearest
    from mxtrain.types import describe

    for name in chosen:
        if name not in RULE_CASES:
            guess = nearest(name, RULE_CASES)
            remedy = f"did you mean {guess}?" if guess else f"the rules are {', '.join(RULE_CASES)}"
            raise typer.BadParameter(f"there is no rule {describe(name)}; {remedy}", param_hint="RULE")
    return list(dict.fromkeys(chosen)) or (list(RULE_CASES) if default else [])


def _rule(name: str, size: int, dtype: DataType, backend: Engine) -> "RuleFigures":
    from mxtrain.benchmarks import measure_rule
    from mxtrain.cli.streams import messages

    with messages().status(f"measuring {name}"):
        return measure_rule(name, size=size, dtype=dtype.value, backend=backend.value)


def _run(file: str, sets: Sequence[str], backend: Engine | None) -> "RunFigures":
    from mxtrain.benchmarks import measure_run
    from mxtrain.cli.streams import messages
    from mxtrain.config import read_run

    config = read_run(file, sets, handed_over=False)
    if backend is not None:
        config = config.model_copy(update={"backend": backend.value})
    with messages().status(f"measuring {config.name}"):
        return measure_run(config)
