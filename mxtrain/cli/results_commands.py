"""Commands that show results: `mxtrain runs` and `mxtrain report`."""

import sys
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mxtrain.cli.options import AsJson, Plugin, complete_folder
from mxtrain.errors import MxtrainError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mxtrain.reports.page import Report

if TYPE_CHECKING:
    from rich.table import Table

    from mxtrain.training import ListedRun

_EXTRAS = {"jinja2": "report", "matplotlib": "report", "optuna": "sweep", "plotly": "report"}
"""Extras of mxtrain by the packages that reports need."""


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
            help="Where to write the page; left out, report.html in the folder. Pictures go beside it.",
            show_default=False,
        ),
    ] = None,
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Make one HTML page, and pictures, of a run or a sweep.

    Of a run: curves, predictions, schedules, diagnostics and the config. Of a sweep: the best trials, which values
    mattered, and every trial. Be it finished or not; the page needs nothing besides itself, and no network.
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


def _write_report(folder: Path, output: Path | None, plugin: str | None) -> "Report":
    from mxtrain.cli.options import load_plugin

    if (folder / "sweep.yaml").is_file():
        with _needed_packages():
            from mxtrain.reports.sweep_report import report_sweep

        return report_sweep(folder, output)
    return import_report_run()(folder, output, model=load_plugin(plugin))


def import_report_run() -> "Callable[..., Report]":
    """Import the function that writes the report of a run.

    Raises:
        MxtrainError: a package that it needs is not installed.
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
        raise MxtrainError(message) from error


def _written_message(written: "Report") -> str:
    from mxtrain.formatting import format_count

    if not written.pictures:
        return f"written to {written.page}"
    pictures = format_count(len(written.pictures), "picture")
    return f"written to {written.page}, with {pictures} in {written.pictures[0].parent}"


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
    from mxtrain.errors import escape_unprintable
    from mxtrain.training import differing_settings, list_runs

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
    if sort is not None and not any(sort in run.metrics for run in runs):
        raise typer.BadParameter(f"no run in {folder} has the metric {sort!r}", param_hint="--sort")
    paths = differing_settings(runs)
    if as_json:
        write_json([_data(run, paths) for run in runs], indent=2)
    elif runs:
        print_results(_table_or_lines(runs, paths))
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


def _table_or_lines(runs: "Sequence[ListedRun]", paths: Sequence[str]) -> "Table":
    """A table of runs; where that is too wide, a few lines for each run."""
    from rich.measure import Measurement

    from mxtrain.cli.streams import results

    console, table = results(), _table(runs, paths)
    unbounded = console.options.update(max_width=sys.maxsize)
    return table if Measurement.get(console, unbounded, table).minimum <= console.width else _lines(runs, paths)


def _table(runs: "Sequence[ListedRun]", paths: Sequence[str]) -> "Table":
    from rich.table import Table

    from mxtrain.errors import escape_unprintable
    from mxtrain.formatting import format_number

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
        numbers = [format_number(run.metrics[name]) if name in run.metrics else "-" for name in metrics]
        told = [escape_unprintable(_differences(run, paths))] if paths else []
        table.add_row(
            escape_unprintable(run.path.name), run.status.state, f"{run.epochs}/{run.total_epochs}", *numbers, *told
        )
    return table


def _lines(runs: "Sequence[ListedRun]", paths: Sequence[str]) -> "Table":
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from mxtrain.errors import escape_unprintable
    from mxtrain.formatting import format_number

    lines = Table.grid()
    lines.add_column(overflow="fold")
    for run in runs:
        state = f"  {run.status.state} {run.epochs}/{run.total_epochs}"
        lines.add_row(Text.assemble((escape_unprintable(run.path.name), "cyan"), state))
        metrics = "  ".join(f"{name} {format_number(value)}" for name, value in run.metrics.items())
        for told in filter(None, (metrics, _differences(run, paths))):
            lines.add_row(Padding(escape_unprintable(told), (0, 0, 0, 2)))
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
