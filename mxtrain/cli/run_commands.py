"""`mxtrain fit`: train, and say how it went."""

import warnings
from typing import Annotated

import typer

from mxtrain.cli.options import AsJson, Overrides, RunFile


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
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model as a run file says."""
    from mxtrain.cli.progress import watching
    from mxtrain.cli.summary import Summary
    from mxtrain.training import fit

    summary = Summary()
    with watching(quiet) as watchers, warnings.catch_warnings():
        # A run that diverges ends in one error; NumPy's warnings on its way there would only hide it.
        warnings.simplefilter("ignore", RuntimeWarning)
        result = fit(file, run_dir=run_dir, overrides=sets or (), callbacks=[summary, *watchers])
    if as_json:
        summary.write_json(result)
    elif not quiet:
        summary.print_table(result)
