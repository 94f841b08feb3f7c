"""`mxtrain runs`: what was trained, side by side."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mxtrain.cli.completion import complete_folder
from mxtrain.cli.options import AsJson

if TYPE_CHECKING:
    from rich.table import Table

    from mxtrain.training import ListedRun


DEFAULT_FOLDER = "runs"
_LEAST_WIDTH = 40
"""Columns that what runs differ in must have; in fewer it would be a tower of single words."""


def list_runs(
    folder: Annotated[
        str,
        typer.Argument(metavar="DIR", help="The folder that the runs are in.", autocompletion=complete_folder),
    ] = DEFAULT_FOLDER,
    sort: Annotated[
        str | None,
        typer.Option(metavar="METRIC", help="Best first by a metric, such as val_loss; else by name."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the runs in a folder and compare them.

    Of each its state, its epochs, the values in which the configs differ, and the metrics of the epoch that its model
    is from. Damaged runs are reported on stderr and skipped.
    """
    from mxtrain.cli.streams import messages, print_results, write_json
    from mxtrain.errors import printable
    from mxtrain.training import differing, list_runs

    if folder == DEFAULT_FOLDER and not Path(folder).exists():
        messages().print(
            "there is no folder runs here; `mxtrain fit FILE` trains a run, `mxtrain runs DIR` lists those in DIR"
        )
        if as_json:
            write_json([], indent=2)
        return
    runs, damaged = list_runs(folder, sort)
    for line in damaged:
        messages().print(printable(line), soft_wrap=True)
    if sort is not None and not any(sort in run.metrics for run in runs):
        raise typer.BadParameter(f"no run in {folder} has the metric {sort!r}", param_hint="--sort")
    paths = differing(runs)
    if as_json:
        write_json([_data(run, paths) for run in runs], indent=2)
    elif runs:
        print_results(_table_or_lines(runs, paths))
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


def _table_or_lines(runs: "Sequence[ListedRun]", paths: Sequence[str]) -> "Table":
    """A table of runs; where that is too wide, a few lines for each run."""
    from rich.measure import Measurement

    from mxtrain.cli.streams import results

    console, table = results(), _table(runs, paths)
    unbounded = console.options.update(max_width=sys.maxsize)
    return table if Measurement.get(console, unbounded, table).minimum <= console.width else _lines(runs, paths)


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
        table.add_column("differs in", overflow="fold", min_width=_LEAST_WIDTH)
    for run in runs:
        numbers = [short(run.metrics[name]) if name in run.metrics else "-" for name in metrics]
        told = [printable(_differences(run, paths))] if paths else []
        table.add_row(printable(run.path.name), run.status.state, f"{run.epochs}/{run.planned}", *numbers, *told)
    return table


def _lines(runs: "Sequence[ListedRun]", paths: Sequence[str]) -> "Table":
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from mxtrain.errors import printable
    from mxtrain.numbers import short

    lines = Table.grid()
    lines.add_column(overflow="fold")
    for run in runs:
        state = f"  {run.status.state} {run.epochs}/{run.planned}"
        lines.add_row(Text.assemble((printable(run.path.name), "cyan"), state))
        metrics = "  ".join(f"{name} {short(value)}" for name, value in run.metrics.items())
        for told in filter(None, (metrics, _differences(run, paths))):
            lines.add_row(Padding(printable(told), (0, 0, 0, 2)))
    return lines


def _differences(run: "ListedRun", paths: Sequence[str]) -> str:
    values = [(path, run.config[path]) for path in paths if run.config.get(path) is not None]
    return ", ".join(f"{path}={_plain(value)}" for path, value in values)


def _plain(value: Any) -> str:
    """A value as a config has it, numbers to six digits.

    >>> _plain(["accuracy", "r2"]), _plain(True), _plain("adam"), _plain(0.028362591632891853)
    ('[accuracy, r2]', 'true', 'adam', '0.0283626')
    """
    from mxtrain.types import describe

    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else describe(value).strip("'")
