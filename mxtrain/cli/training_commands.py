"""Commands that train: `mxtrain fit`, `mxtrain resume` and `mxtrain sweep`."""

import warnings
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mxtrain.cli.options import (
    AsJson,
    Overrides,
    Plugin,
    Quiet,
    RunFile,
    RunOrSweepFolder,
    complete_config,
    mark_overrides,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mxtrain.sweeps import SweepResult, Watch
    from mxtrain.training import StopRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mxtrain.training.model_factory import ModelFactory

if TYPE_CHECKING:
    from mxtrain.training import Callback, StopRequest, TrainedRun


class EngineName(StrEnum):
    """What trains the trials."""

    local = "local"
    dask = "dask"


WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Trials side by side; left out, as the file says, or one a core.", show_default=False
    ),
]
EngineOption = Annotated[
    EngineName, typer.Option(help="`local`: processes on this machine; `dask`: the workers of a Dask cluster.")
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Of Dask's scheduler; left out, a cluster on this machine is begun.",
        show_default=False,
    ),
]
RetryFailedOption = Annotated[bool, typer.Option("--retry-failed", help="Try trials again that failed before.")]


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
    workers: WorkersOption = None,
    engine: EngineOption = EngineName.local,
    scheduler: SchedulerOption = None,
    retry_failed: RetryFailedOption = False,
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
    from mxtrain.cli import sweep_output
    from mxtrain.sweeps import plan_sweep, read_sweep_status, sweep

    if dry_run:
        sweep_output.print_plan(plan_sweep(file, run_dir=run_dir, overrides=sets or (), workers=workers), as_json)
        return
    if status:
        sweep_output.print_status(read_sweep_status(file, run_dir=run_dir, overrides=sets or ()), as_json)
        return
    search_and_print(
        lambda stop, watch: sweep(
            file,
            run_dir=run_dir,
            overrides=sets or (),
            workers=workers,
            engine=engine.value,
            scheduler=scheduler,
            retry_failed=retry_failed,
            model=plugin_import_path(plugin),
            stop=stop,
            watch=watch,
        ),
        quiet,
        as_json,
    )


def search_and_print(searching: "Callable[[StopRequest, Watch], SweepResult]", quiet: bool, as_json: bool) -> None:
    """Search while it is watched and can be stopped, and print what it came to."""
    import time

    from mxtrain.cli.sweep_output import print_result, watching
    from mxtrain.training import graceful_stop

    begin = time.perf_counter()
    with graceful_stop() as stop, watching(quiet) as watch:
        result = searching(stop, watch)
    if not quiet or as_json:
        print_result(result, time.perf_counter() - begin, as_json)
    if not result.in_state("complete"):
        raise typer.Exit(1)


def plugin_import_path(plugin: str | None) -> str | None:
    """Where workers find the factory of a plugin, which is tried here first."""
    from mxtrain.cli.options import FACTORY, load_plugin

    load_plugin(plugin)
    return plugin and f"{plugin}:{FACTORY}"


def resume_run(
    run: RunOrSweepFolder,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            callback=mark_overrides,
            help="Change one value for the epochs to come, such as fit.epochs=40; may be repeated.",
            show_default=False,
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Train nothing new: replay from the last checkpoint but one, and compare every byte."
        ),
    ] = False,
    plugin: Plugin = None,
    workers: WorkersOption = None,
    engine: EngineOption = EngineName.local,
    scheduler: SchedulerOption = None,
    retry_failed: RetryFailedOption = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Continue a run or a sweep where it stopped.

    A run continues from its newest checkpoint; the options of `mxtrain sweep` are for a sweep. The result is that of
    one that never stopped, to the byte. `--set fit.epochs=40` trains for longer; settings that affect completed epochs
    cannot change.
    """
    from mxtrain.cli.options import load_plugin
    from mxtrain.sweeps import SweepFolder, resume_sweep
    from mxtrain.training import resume

    if SweepFolder.holds_sweep(Path(run)):
        if verify:
            raise typer.BadParameter("replays one run; name the folder of a trial", param_hint="--verify")
        search_and_print(
            lambda stop, watch: resume_sweep(
                run,
                overrides=sets or (),
                workers=workers,
                engine=engine.value,
                scheduler=scheduler,
                retry_failed=retry_failed,
                model=plugin_import_path(plugin),
                stop=stop,
                watch=watch,
            ),
            quiet,
            as_json,
        )
        return
    model = load_plugin(plugin)
    if verify:
        if sets:
            raise typer.BadParameter("a replay changes nothing; leave it out", param_hint="--set")
        _replay(run, model, quiet, as_json)
    else:
        train_and_print(
            lambda callbacks, stop: resume(run, overrides=sets or (), callbacks=callbacks, stop=stop, model=model),
            quiet,
            as_json,
        )


def _replay(run: str, model: "ModelFactory | None", quiet: bool, as_json: bool) -> None:
    from mxtrain.cli.streams import messages, write_json
    from mxtrain.errors import escape_unprintable
    from mxtrain.training import replay

    if quiet:
        found = replay(run, model=model)
    else:
        with messages().status(f"replaying {escape_unprintable(run)}"):
            found = replay(run, model=model)
    for note in found.notes:
        messages().print(escape_unprintable(note), soft_wrap=True)
    if as_json:
        causes = {"changes": found.changes} if found.differences else {}
        write_json({"run_dir": run, "exact": not found.differences, "differences": found.differences, **causes})
    elif found.differences:
        _print_list(f"{escape_unprintable(run)} does not replay to the byte; what differs:", found.differences)
        if found.changes:
            _print_list("the likely cause is what is not as it was when the run was trained:", found.changes)
        else:
            typer.echo("data, versions, machine and backend are as they were when the run was trained")
    elif not quiet:
        typer.echo(f"{escape_unprintable(run)} replays to the byte")
    raise typer.Exit(1 if found.differences else 0)


def _print_list(title: str, lines: "Iterable[str]") -> None:
    from mxtrain.errors import escape_unprintable

    typer.echo(title)
    for line in lines:
        typer.echo(f"  {escape_unprintable(line)}")


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
    from mxtrain.cli.options import load_plugin
    from mxtrain.training import fit

    model = load_plugin(plugin)
    train_and_print(
        lambda callbacks, stop: fit(
            file, run_dir=run_dir, overrides=sets or (), callbacks=callbacks, stop=stop, model=model
        ),
        quiet,
        as_json,
    )


def train_and_print(
    training: "Callable[[Sequence[Callback], StopRequest], TrainedRun]", quiet: bool, as_json: bool
) -> None:
    """Train while it is watched and can be stopped, and print what it came to."""
    from mxtrain.cli.run_output import Summary, watching
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
