"""`mxtrain evaluate`: how good a trained model is."""

from enum import StrEnum
from typing import Annotated

import typer

from mxtrain.cli.options import AsJson, Plugin, RunFolder


class Portion(StrEnum):
    """A part of a run's own data."""

    training = "training"
    validation = "validation"
    test = "test"


def evaluate(
    run: RunFolder,
    data: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A file with features and targets to evaluate on.", show_default=False),
    ] = None,
    part: Annotated[
        Portion | None,
        typer.Option(help="A part of the run's own data; left out, test, or else validation.", show_default=False),
    ] = None,
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate a run's model, on its own data or on a file.

    Prints the loss, and the accuracy of classes, or the mean absolute error and R² of numbers. A run that is not
    finished is evaluated as it stands.
    """
    from mxtrain.cli.loading import load_told
    from mxtrain.cli.streams import write_json

    if data is not None and part is not None:
        raise typer.BadParameter("is a part of the run's own data; leave it out, or --data", param_hint="--part")
    loaded = load_told(run, plugin)
    measured = loaded.evaluate(data, part=part.value if part else None)
    if as_json:
        where = {"data": data} if data is not None else {"part": part.value if part else loaded.last_part}
        write_json({"run_dir": run, **where, "epoch": loaded.epoch, "metrics": measured})
        return
    from rich.table import Table

    from mxtrain.cli.streams import messages, print_results
    from mxtrain.numbers import short

    for name in (name for name, value in measured.items() if value is None):
        messages().print(f"{name} has no value: there is one sample, or all targets are equal", soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(f"epoch {loaded.epoch}", style="dim")
    table.add_column(data or (part.value if part else loaded.last_part), justify="right", overflow="fold")
    for name, value in measured.items():
        table.add_row(name, short(value))
    print_results(table)
