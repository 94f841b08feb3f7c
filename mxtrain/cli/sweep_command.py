"""`mxtrain sweep`: search over any value of a run file."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from mxtrain.cli.completion import complete_config
from mxtrain.cli.options import AsJson, Overrides, Plugin, Quiet

if TYPE_CHECKING:
    from collections.abc import Callable

    from mxtrain.sweeps import SweepResult, Watch
    from mxtrain.training import StopRequest


class EngineChoice(StrEnum):
    """What trains the trials."""

    local = "local"
    dask = "dask"


Workers = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Trials side by side; left out, as the file says, or one a core.", show_default=False
    ),
]
Engine = Annotated[
    EngineChoice, typer.Option(help="`local`: processes on this machine; `dask`: the workers of a Dask cluster.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Of Dask's scheduler; left out, a cluster on this machine is begun.",
        show_default=False,
    ),
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Try trials again that failed before.")]


def search(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A run file with a section `sweep`.",
            show_default=False,
            autocompletion=complete_config,
        ),
    ],
    sets: Overrides = None,
    run_dir: Annotated[
        str | None,
        typer.Option(
            "--run-dir", metavar="FOLDER", help="The sweep's folder; left out, sweeps/NAME.", show_default=False
        ),
    ] = None,
    workers: Workers = None,
    engine: Engine = EngineChoice.local,
    scheduler: Scheduler = None,
    retry_failed: RetryFailed = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, print the plan, and train nothing.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Print how the sweep stands, and train nothing.")] = False,
    plugin: Plugin = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Search over any value of a run file.

    Run the same command again to continue, however it ended: no trial is lost, and none that has ended is repeated.
    Ctrl-C or SIGTERM lets the current steps end, saves their runs, and leaves; a second one leaves at once.
    """
    from mxtrain.cli import sweep_tables
    from mxtrain.sweeps import plan_sweep, stand_of, sweep

    if dry_run:
        sweep_tables.print_plan(plan_sweep(file, run_dir=run_dir, overrides=sets or (), workers=workers), as_json)
        return
    if status:
        sweep_tables.print_standing(stand_of(file, run_dir=run_dir, overrides=sets or ()), as_json)
        return
    searched(
        lambda stop, watch: sweep(
            file,
            run_dir=run_dir,
            overrides=sets or (),
            workers=workers,
            engine=engine.value,
            scheduler=scheduler,
            retry_failed=retry_failed,
            model=plugin_place(plugin),
            stop=stop,
            watch=watch,
        ),
        quiet,
        as_json,
    )


def searched(searching: "Callable[[StopRequest, Watch], SweepResult]", quiet: bool, as_json: bool) -> None:
    """Search while it is watched and can be stopped, and print what it came to."""
    import time

    from mxtrain.cli.sweep_progress import watching
    from mxtrain.cli.sweep_tables import print_result
    from mxtrain.training import graceful_stop

    begin = time.perf_counter()
    with graceful_stop() as stop, watching(quiet) as watch:
        result = searching(stop, watch)
    if not quiet or as_json:
        print_result(result, time.perf_counter() - begin, as_json)
    if not result.counted("complete"):
        raise typer.Exit(1)


def plugin_place(plugin: str | None) -> str | None:
    """Where workers find the factory of a plugin, which is tried here first."""
    from mxtrain.cli.plugins import FACTORY, load_plugin

    load_plugin(plugin)
    return plugin and f"{plugin}:{FACTORY}"
