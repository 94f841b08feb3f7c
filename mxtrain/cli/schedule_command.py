"""`mxtrain schedule`: plot the learning rate, the momentum and other scheduled numbers of a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mxtrain.cli.options import Overrides, Plugin, RunFile, import_plugins
from mxtrain.cli.streams import messages
from mxtrain.errors import UsageError, escape_unprintable

if TYPE_CHECKING:
    from mxtrain.cli.schedule_plot import ScheduleCurves


def draw(
    file: RunFile,
    sets: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PNG",
            help="The picture; default: NAME-schedule.png.",
            show_default=False,
        ),
    ] = None,
    plugin: Plugin = None,
) -> None:
    """Plot η, μ and all other scheduled numbers of a run.

    Draws them over the iterations, in the terminal (needs plotext) and as a PNG (needs matplotlib). Nothing is trained.
    """
    from mxtrain.cli.schedule_plot import schedule_curves
    from mxtrain.config import read_run

    import_plugins(plugin)
    run = read_run(file, sets or (), in_memory=False)
    if run.optimizer.needs_values:
        reason = f"{run.optimizer.kind} has no learning rate: a line search chooses the length of each step"
        if output is not None:
            raise UsageError(f"no picture is written: {reason}")
        messages().print(reason, soft_wrap=True)
        return
    schedules = schedule_curves(run)
    missing = _print(schedules)
    not_written = _write(schedules, output or Path(f"{run.name}-schedule.png"))
    if not_written and (missing or output is not None):
        raise UsageError(not_written)
    if problem := missing or not_written:
        messages().print(problem, soft_wrap=True)


def _print(schedules: "ScheduleCurves") -> str | None:
    """Plot in the terminal; return an error message if a package is missing."""
    try:
        from mxtrain.cli.schedule_plot import print_schedule_plot

        print_schedule_plot(schedules)
    except ModuleNotFoundError as error:
        return _remedy("no plot in the terminal", error)
    return None


def _write(schedules: "ScheduleCurves", path: Path) -> str | None:
    """Write the picture; return an error message if a package is missing."""
    try:
        from mxtrain.cli.schedule_plot import write_schedule_png

        write_schedule_png(schedules, path)
    except ModuleNotFoundError as error:
        return _remedy("no picture is written", error)
    messages().print(escape_unprintable(f"written to {path}"), soft_wrap=True)
    return None


def _remedy(outcome: str, error: ModuleNotFoundError) -> str:
    package = (error.name or "").partition(".")[0]
    return f"{outcome}: {package} is not installed; pip install 'mxtrain[plots]'"
