"""`mxtrain schedule`: plot the learning rate and the momentum of a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mxtrain.cli.options import Overrides, RunFile
from mxtrain.cli.streams import messages
from mxtrain.errors import MxtrainError, escape_unprintable

if TYPE_CHECKING:
    from mxtrain.cli.schedule_plot import Course


def draw(
    file: RunFile,
    sets: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PNG",
            help="Where to write the picture; left out, NAME-schedule.png.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Draw η and μ over a run.

    The learning rate and the momentum at each iteration, in the terminal (needs plotext) and as PNG (needs
    matplotlib). Nothing is trained.
    """
    from mxtrain.cli.schedule_plot import course
    from mxtrain.config import read_run

    run = read_run(file, sets or (), in_memory=False)
    drawn = course(run)
    missing = _print(drawn)
    cannot_write = _write(drawn, output or Path(f"{run.name}-schedule.png"))
    if cannot_write and (missing or output is not None):
        raise MxtrainError(cannot_write)
    if lacking := missing or cannot_write:
        messages().print(lacking, soft_wrap=True)


def _print(course: "Course") -> str | None:
    """Draw in the terminal; what is missing where that cannot be done."""
    try:
        from mxtrain.cli.schedule_plot import print_schedule_plot

        print_schedule_plot(course)
    except ModuleNotFoundError as error:
        return _remedy("nothing is drawn here", error)
    return None


def _write(course: "Course", path: Path) -> str | None:
    """Write the picture, and say so; what is missing where that cannot be done."""
    try:
        from mxtrain.cli.schedule_plot import write_schedule_png

        write_schedule_png(course, path)
    except ModuleNotFoundError as error:
        return _remedy("no picture is written", error)
    messages().print(escape_unprintable(f"written to {path}"), soft_wrap=True)
    return None


def _remedy(outcome: str, error: ModuleNotFoundError) -> str:
    package = (error.name or "").partition(".")[0]
    return f"{outcome}: {package} is not installed; pip install 'mxtrain[plots]'"
