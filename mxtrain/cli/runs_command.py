"""`mxtrain runs`: what was trained, side by side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mxtrain.cli.options import AsJson

if TYPE_CHECKING:
    from rich.table import Table

    from mxtrain.training import ListedRun


def list_runs(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The folder that the runs are in.")] = "runs",
    sort: Annotated[
        str | None,
        typer.Option(metavar="METRIC", help="Best first by a metric, such as val_loss; else by name."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the runs in a folder and compare them.

    Of each its state, its epochs, the values in which the configs differ, and the metrics of the epoch that its model
    is from. Damaged runs are told of on stderr and passed over.
    """
    from mxtrain.cli.streams import messages, print_results, write_json
    from mxtrain.errors import printable
    from mxtrain.training import differing, list_runs

    runs, damaged = list_runs(folder, sort)
    for line in damaged:
        messages().print(printable(line), soft_wrap=True)
    if sort is not None and not any(sort in run.metrics for run in runs):
        raise typer.BadParameter(f"no run in {folder} has the metric {sort!r}", param_hint="--sort")
    paths = differing(runs)
    if as_json:
        write_json([_data(run, paths) for run in runs], indent=2)
    elif runs:
        print_results(_table(runs, paths))
        for run in runs:
            if run.status.reason:
                messages().print(printable(f"{run.path.name} failed: {run.status.reason}"), soft_wrap=True)
    else:
        messages().print(printable(f"there are no runs in {folder}"), soft_wrap=True)


def _data(run: "ListedRun", paths: Sequence[str]) -> dict[str, Any]:
    return {
        "run_dir": str(run.path),
        "state": run.status.state,
        **({"reason": run.status.reason} if run.status.reason else {}),
        "epochs": run.epochs,
        "planned": run.planned,
        "differing": {path: run.config.get(path) for path in paths},
        "metrics": run.metrics,
    }


def _table(runs: "Sequence[ListedRun]", paths: Sequence[str]) -> "Table":
    from rich.table import Table

    from mxtrain.errors import printable
    from mxtrain.numbers import short

    metrics = list(dict.fromkeys(name for run in runs for name in run.metrics))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("run", style="cyan", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("epochs", justify="right", no_wrap=True)
    for name in metrics:
        table.add_column(name, justify="right", no_wrap=True)
    if paths:
        table.add_column("differs in", overflow="fold")
    for run in runs:
        numbers = [short(run.metrics[name]) if name in run.metrics else "-" for name in metrics]
        values = [(path, run.config[path]) for path in paths if run.config.get(path) is not None]
        told = [", ".join(f"{path}={_plain(value)}" for path, value in values)] if paths else []
        table.add_row(printable(run.path.name), run.status.state, f"{run.epochs}/{run.planned}", *numbers, *told)
    return table


def _plain(value: Any) -> str:
    """A value as a config has it.

    >>> _plain(["accuracy", "r2"]), _plain(True), _plain("adam")
    ('[accuracy, r2]', 'true', 'adam')
    """
    from mxtrain.types import describe

    return f"[{', '.join(map(_plain, value))}]" if isinstance(value, list) else describe(value).strip("'")
