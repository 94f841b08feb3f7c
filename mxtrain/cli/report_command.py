"""`mxtrain report`: what a run or a sweep has come to, as a page and as pictures."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mxtrain.cli.completion import complete_folder
from mxtrain.cli.options import AsJson, Plugin
from mxtrain.errors import MxtrainError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mxtrain.reports.written import Report

_PACKAGES = ("plotly", "matplotlib")


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
    from mxtrain.config.source import expand_home
    from mxtrain.errors import printable

    folder = Path(expand_home(str(folder)))
    output = output and Path(expand_home(str(output)))
    written = _written(folder, output, plugin)
    console = messages()
    for note in written.notes:
        console.print(printable(note), soft_wrap=True)
    if as_json:
        write_json({"report": str(written.page), "pictures": [str(path) for path in written.pictures]})
    else:
        console.print(printable(_told(written)), soft_wrap=True)


def _written(folder: Path, output: Path | None, plugin: str | None) -> "Report":
    from mxtrain.cli.plugins import load_plugin

    if (folder / "sweep.yaml").is_file():
        with _needed_packages():
            from mxtrain.reports.sweep_page import report_sweep

        return report_sweep(folder, output)
    return reports_of_runs()(folder, output, model=load_plugin(plugin))


def reports_of_runs() -> "Callable[..., Report]":
    """Import the function that writes the report of a run.

    Raises:
        MxtrainError: a package that it needs is not installed.
    """
    with _needed_packages():
        from mxtrain.reports.run_page import report_run
    return report_run


@contextmanager
def _needed_packages() -> "Iterator[None]":
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _PACKAGES:
            raise
        message = f"no report is written: {package} is not installed; pip install 'mxtrain[report]'"
        raise MxtrainError(message) from error


def _told(written: "Report") -> str:
    from mxtrain.numbers import count

    if not written.pictures:
        return f"written to {written.page}"
    pictures = count(len(written.pictures), "picture")
    return f"written to {written.page}, with {pictures} in {written.pictures[0].parent}"
