"""Commands that show results: `mxtrain runs` and `mxtrain report`."""

from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mxtrain.cli.options import AsJson, Plugin, complete_folder
from mxtrain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.table import Table

    from mxtrain.reports.page import Report
    from mxtrain.training import ListedRun

_EXTRAS = {"jinja2": "report", "matplotlib": "report", "optuna": "sweep", "plotly": "report"}
"""Extra of mxtrain that installs each package that reports need."""


def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|SWEEP",
            help="The folder of a run or of a sweep.",
            show_default=False,
            autocompletion=complete_folder,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="HTML",
            help="The page; default: report.html in the folder. Pictures go into a folder beside it.",
            show_default=False,
        ),
    ] = None,
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Write an HTML page and pictures of a run or a sweep.

    A run: curves, predictions, schedules, diagnostics and the config. A sweep: the best trials, the importance of each
    value, and every trial. It need not be finished. The page is one file and needs no network.
    """
    from mxtrain.cli.streams import messages, write_json
    from mxtrain.errors import escape_unprintable
    from mxtrain.paths import expand_home

    folder = Path(expand_home(str(folder)))
    output = output and Path(expand_home(str(output)))
    written = _write_report(folder, output, plugin)
    console = messages()
    for note in written.notes:
        console.print(escape_unprintable(note), soft_wrap=True)
    if as_json:
        write_json({"report": str(written.page), "pictures": [str(path) for path in written.pictures]})
    else:
        console.print(escape_unprintable(_written_message(written)), soft_wrap=True)


def _write_report(folder: Path, output: Path | None, plugin: list[str] | None) -> "Report":
    from mxtrain.cli.options import load_factory

    if (folder / "sweep.yaml").is_file():
        with _needed_packages():
            from mxtrain.reports.sweep_report import report_sweep

        return report_sweep(folder, output)
    return import_report_run()(folder, output, model=load_factory(plugin))


def import_report_run() -> "Callable[..., Report]":
    """Import the function that writes the report of a run.

    Raises:
        UsageError: a package that it needs is not installed.
    """
    with _needed_packages():
        from mxtrain.reports.run_report import report_run
    return report_run


@contextmanager
def _needed_packages() -> "Iterator[None]":
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        message = f"no report is written: {package} is not installed; pip install 'mxtrain[{_EXTRAS[package]}]'"
        raise UsageError(message) from error


def _written_message(written: "Report") -> str:
    from mxtrain.formatting import format_count

    if not written.pictures:
        return f"written to {written.page}"
    pictures = format_count(len(written.pictures), "picture")
    return f"written to {written.page}, with {pictures} in {written.pictures[0].parent}"


DEFAULT_FOLDER = "runs"
_MIN_WIDTH = 40
"""Smallest width of the column of differing values in a table; in a narrower terminal, runs are listed in lines."""


def list_runs(
    folder: Annotated[
        str,
        typer.Argument(metavar="DIR", help="The folder that contains the runs.", autocompletion=complete_folder),
    ] = DEFAULT_FOLDER,
    sort: Annotated[
        str | None,
        typer.Option(metavar="METRIC", help="Sort by a metric, such as val_loss, the best first."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the runs in a folder and compare them.

    Prints the state, the epochs, the values in which the configs differ, and the metrics of the model's epoch. Damaged
    runs are reported on stderr and skipped.
    """
    from mxtrain.cli.streams import messages, write_json
    from mxtrain.errors import escape_unprintable
    from mxtrain.paths import url_problem
    from mxtrain.training import list_runs

    if url_problem(folder):
        raise typer.BadParameter(f"{folder} is a URL, not a folder; name a folder on this machine", param_hint="DIR")
    if folder == DEFAULT_FOLDER and not Path(folder).exists():
        messages().print(
            "there is no folder runs here; `mxtrain fit FILE` trains a run, `mxtrain runs DIR` lists those in DIR"
        )
        if as_json:
            write_json([], indent=2)
        return
    runs, damaged = list_runs(folder, sort)
    for line in damaged:
        messages().print(escape_unprintable(line), soft_wrap=True)
    _check_metric(sort, runs, folder)
    _print_runs(runs, folder, as_json)


def _check_metric(sort: str | None, runs: "Sequence[ListedRun]", folder: str) -> None:
    """Refuse a metric that no run has."""
    from mxtrain.names import suggest

    metrics = dict.fromkeys(name for run in runs for name in run.metrics)
    if sort is not None and sort not in metrics:
        remedy = suggest(sort, metrics, otherwise=f"they have {', '.join(metrics)}" if metrics else "none is measured")
        raise typer.BadParameter(f"no run in {folder} has the metric {sort!r}; {remedy}", param_hint="--sort")


def _print_runs(runs: "Sequence[ListedRun]", folder: str, as_json: bool) -> None:
    """Print a table of runs and the reasons of failures, or JSON."""
    from mxtrain.cli.streams import messages, print_results, write_json
    from mxtrain.errors import escape_unprintable
    from mxtrain.training import differing_settings

    paths = differing_settings(runs)
    if as_json:
        write_json([_data(run, paths) for run in runs], indent=2)
    elif runs:
        print_results(_runs_table(runs, paths))
        for run in runs:
            if run.status.reason:
                messages().print(escape_unprintable(f"{run.path.name} failed: {run.status.reason}"), soft_wrap=True)
    else:
        messages().print(escape_unprintable(f"there are no runs in {folder}"), soft_wrap=True)


def _data(run: "ListedRun", paths: Sequence[str]) -> dict[str, Any]:
    return {
        "run_dir": str(run.path),
        "state": run.status.state,
        **({"reason": run.status.reason} if run.status.reason else {}),
        "epochs": run.epochs,
        "planned": run.total_epochs,
        "differing": {path: run.config.get(path) for path in paths},
        "metrics": run.metrics,
    }


def _runs_table(runs: "Sequence[ListedRun]", paths: Sequence[str]) -> "Table":
    """Create a table of runs, or a few lines for each run on a narrow terminal."""
    from rich.table import Column

    from mxtrain.cli.rich_output import plain_table, table_or_lines
    from mxtrain.errors import escape_unprintable
    from mxtrain.formatting import format_number

    metrics = list(dict.fromkeys(name for run in runs for name in run.metrics))
    table = plain_table(Column("run", style="cyan", no_wrap=True), Column("state", no_wrap=True))
    for name in ("epochs", *metrics):
        table.add_column(name, justify="right", no_wrap=True)
    if paths:
        table.add_column("differs in", overflow="fold", min_width=_MIN_WIDTH)
    for run in runs:
        numbers = [format_number(run.metrics[name]) if name in run.metrics else "-" for name in metrics]
        differences = [escape_unprintable(_differences(run, paths))] if paths else []
        epochs = f"{run.epochs}/{run.total_epochs}"
        table.add_row(escape_unprintable(run.path.name), run.status.state, epochs, *numbers, *differences)
    return table_or_lines(table, lambda: _runs_lines(runs, paths))


def _runs_lines(runs: "Sequence[ListedRun]", paths: Sequence[str]) -> "Table":
    from rich.padding import Padding
    from rich.table import Column, Table
    from rich.text import Text

    from mxtrain.errors import escape_unprintable
    from mxtrain.formatting import format_number

    lines = Table.grid(Column(overflow="fold"))
    for run in runs:
        state = f"  {run.status.state} {run.epochs}/{run.total_epochs}"
        lines.add_row(Text.assemble((escape_unprintable(run.path.name), "cyan"), state))
        metrics = "  ".join(f"{name} {format_number(value)}" for name, value in run.metrics.items())
        for text in filter(None, (metrics, _differences(run, paths))):
            lines.add_row(Padding(escape_unprintable(text), (0, 0, 0, 2)))
    return lines


def _differences(run: "ListedRun", paths: Sequence[str]) -> str:
    from mxtrain.formatting import format_value

    values = [(path, run.config[path]) for path in paths if run.config.get(path) is not None]
    return ", ".join(f"{path}={format_value(value)}" for path, value in values)
