"""`mxtrain fit`: train, and say how it went."""

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mxtrain.cli.options import AsJson, Overrides, Plugin, Quiet, RunFile

if TYPE_CHECKING:
    from mxtrain.training import Callback, FitResult, StopRequest


def train(
    file: RunFile,
    sets: Overrides = None,
    run_dir: Annotated[
        str | None,
        typer.Option(
            "--run-dir",
            metavar="FOLDER",
            help="The run's folder, new or empty; left out, runs/NAME-1, runs/NAME-2 and so on.",
            show_default=False,
        ),
    ] = None,
    plugin: Plugin = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train a model as a run file says.

    Ctrl-C or SIGTERM ends the step, saves the run, and leaves; a second one leaves at once.
    """
    from mxtrain.cli.plugins import load_plugin
    from mxtrain.training import fit

    model = load_plugin(plugin)
    watched(
        lambda callbacks, stop: fit(
            file, run_dir=run_dir, overrides=sets or (), callbacks=callbacks, stop=stop, model=model
        ),
        quiet,
        as_json,
    )


def watched(training: "Callable[[Sequence[Callback], StopRequest], FitResult]", quiet: bool, as_json: bool) -> None:
    """Train while it is watched and can be stopped, and print what it came to."""
    from mxtrain.cli.progress import watching
    from mxtrain.cli.summary import Summary
    from mxtrain.training import graceful_stop

    summary = Summary()
    with graceful_stop() as stop, watching(quiet) as watchers, warnings.catch_warnings():
        # A run that diverges ends in one error; NumPy's warnings on its way there would only hide it.
        warnings.simplefilter("ignore", RuntimeWarning)
        result = training([*watchers, summary], stop)
    if as_json:
        summary.write_json(result)
    elif not quiet:
        summary.print_table(result)
