"""`mxtrain schedule`: η and μ over a run, drawn in the terminal and as PNG."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mxtrain.cli.options import Overrides, RunFile
from mxtrain.cli.streams import messages
from mxtrain.errors import MxtrainError

if TYPE_CHECKING:
    from mxtrain.cli.curves import Course


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

    The learning rate and the momentum at each iteration, in the terminal and as PNG. Nothing is trained.
    """
    from mxtrain.cli.curves import course
    from mxtrain.config import read_run

    run = read_run(file, sets or ())
    _draw(course(run), output or Path(f"{run.name}-schedule.png"))


def _draw(course: "Course", path: Path) -> None:
    try:
        from mxtrain.cli.course_in_terminal import print_course
        from mxtrain.cli.course_picture import write_picture
    except ModuleNotFoundError as error:
        raise MxtrainError(f"{error.name} is not installed; pip install 'mxtrain[plots]'") from error
    print_course(course)
    write_picture(course, path)
    messages().print(f"written to {path}", soft_wrap=True)
