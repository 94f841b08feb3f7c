"""Commands that train: `mxtrain fit`, `mxtrain resume` and `mxtrain sweep`."""

import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mxtrain.cli.options import (
    FACTORY,
    AsJson,
    Overrides,
    Plugin,
    Quiet,
    RunFile,
    RunOrSweepFolder,
    choice_option,
    complete_config,
    count_option,
    find_factory,
    import_plugins,
    load_factory,
    mark_overrides,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mxtrain.sweeps import SweepResult
    from mxtrain.training import TrainedRun
    from mxtrain.training.model_factory import ModelFactory


class EngineName(StrEnum):
    """Engines that train trials."""

    local = "local"
    dask = "dask"


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """Options of `mxtrain sweep`, and of `mxtrain resume` for a sweep."""

    workers: int | None
    engine: EngineName
    scheduler: str | None
    retry_failed: bool

    def given(self) -> list[str]:
        """Return the options that differ from their defaults."""
        is_given = {
            "--workers": self.workers is not None,
            "--engine": self.engine is not EngineName.local,
            "--scheduler": self.scheduler is not None,
            "--retry-failed": self.retry_failed,
        }
        return [option for option, given in is_given.items() if given]

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `mxtrain.sweep`."""
        return asdict(self) | {"engine": self.engine.value}


SweepFile = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="A run file with a `sweep` section.",
        show_default=False,
        autocompletion=complete_config,
    ),
]
SweepFolderOption = Annotated[
    str | None,
    typer.Option(
        "--run-dir", metavar="FOLDER", help="The folder of the sweep; default: sweeps/NAME.", show_default=False
    ),
]
RunFolderOption = Annotated[
    str | None,
    typer.Option(
        "--run-dir",
        metavar="FOLDER",
        help="The folder of the run, new or empty; default: runs/NAME-1, runs/NAME-2 and so on.",
        show_default=False,
    ),
]
ChangedSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        callback=mark_overrides,
        help="Change a value for the remaining epochs, such as fit.epochs=40; may be repeated.",
        show_default=False,
    ),
]
WorkersOption = Annotated[
    int | None,
    count_option("Trials to train in parallel; default: sweep.workers, or one per core.", show_default=False),
]
EngineOption = Annotated[
    EngineName,
    choice_option(EngineName, "`local`: processes on this machine; `dask`: workers of a Dask cluster."),
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Address of the Dask scheduler; default: start a cluster on this machine.",
        show_default=False,
    ),
]
RetryFailedOption = Annotated[bool, typer.Option("--retry-failed", help="Repeat failed trials.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything and print the plan; train nothing.")]
ShowStatus = Annotated[bool, typer.Option("--status", help="Print the state of the sweep; train nothing.")]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify", help="Train nothing new: replay from the second newest checkpoint and compare every byte."
    ),
]


def search(
    file: SweepFile,
    sets: Overrides = None,
    run_dir: SweepFolderOption = None,
    workers: WorkersOption = None,
    engine: EngineOption = EngineName.local,
    scheduler: SchedulerOption = None,
    retry_failed: RetryFailedOption = False,
    dry_run: DryRun = False,
    status: ShowStatus = False,
    plugin: Plugin = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Search for the best values of a run file.

    Run the same command again to continue: no trial is lost, and none that has ended is repeated. Ctrl-C or SIGTERM
    finishes the current steps, saves their runs and exits; a second one exits at once.
    """
    from mxtrain.cli import sweep_output
    from mxtrain.sweeps import plan_sweep, read_sweep_status, sweep

    overrides = sets or ()
    import_plugins(plugin)
    if dry_run:
        sweep_output.print_plan(plan_sweep(file, run_dir=run_dir, overrides=overrides, workers=workers), as_json)
    elif status:
        sweep_output.print_status(read_sweep_status(file, run_dir=run_dir, overrides=overrides), as_json)
    else:
        options = SweepOptions(workers, engine, scheduler, retry_failed)
        start = partial(sweep, file, run_dir=run_dir, overrides=overrides)
        _search_and_print(start, options, plugin, quiet, as_json)


def _search_and_print(
    start: "Callable[..., SweepResult]", options: SweepOptions, plugin: list[str] | None, quiet: bool, as_json: bool
) -> None:
    """Run a sweep with progress and graceful stop, and print its result."""
    import time

    from mxtrain.cli.sweep_output import print_result, show_progress
    from mxtrain.training import graceful_stop

    factory = find_factory(plugin)
    imports = {"model": factory and f"{factory}:{FACTORY}", "plugins": plugin or ()}
    begin = time.perf_counter()
    with graceful_stop() as stop, show_progress(quiet) as watch:
        result = start(**options.arguments(), **imports, stop=stop, watch=watch)
    if not quiet or as_json:
        print_result(result, time.perf_counter() - begin, as_json)
    if not result.in_state("complete"):
        raise typer.Exit(1)


def resume_run(
    run: RunOrSweepFolder,
    sets: ChangedSettings = None,
    verify: Verify = False,
    plugin: Plugin = None,
    workers: WorkersOption = None,
    engine: EngineOption = EngineName.local,
    scheduler: SchedulerOption = None,
    retry_failed: RetryFailedOption = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Continue a run or a sweep.

    A run continues from its newest checkpoint, and its result is equal to the byte to that of a run without a stop.
    `--set fit.epochs=40` trains for longer; settings that affect completed epochs cannot change. --workers, --engine,
    --scheduler and --retry-failed are for sweeps.
    """
    from mxtrain.sweeps import SweepFolder, resume_sweep
    from mxtrain.training import resume

    options, overrides = SweepOptions(workers, engine, scheduler, retry_failed), sets or ()
    if SweepFolder.holds_sweep(Path(run)):
        if verify:
            raise typer.BadParameter("applies to one run; name the folder of a trial", param_hint="--verify")
        _search_and_print(partial(resume_sweep, run, overrides=overrides), options, plugin, quiet, as_json)
        return
    for option in options.given():
        raise typer.BadParameter(f"applies to sweeps, and {run} is a run; leave it out", param_hint=option)
    if verify and sets:
        raise typer.BadParameter("cannot be used with --verify; leave it out", param_hint="--set")
    model = load_factory(plugin)
    if verify:
        _replay(run, model, quiet, as_json)
    else:
        _train_and_print(partial(resume, run, overrides=overrides, model=model), quiet, as_json)


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
        _print_list(f"{escape_unprintable(run)} does not replay to the byte; differences:", found.differences)
        if found.changes:
            _print_list("likely causes, changed since the run was trained:", found.changes)
        else:
            typer.echo("data, versions, machine and backend are the same as in training")
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
    run_dir: RunFolderOption = None,
    plugin: Plugin = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train a model from a run file.

    Ctrl-C or SIGTERM finishes the step, saves the run and exits; a second one exits at once.
    """
    from mxtrain.training import fit

    start = partial(fit, file, run_dir=run_dir, overrides=sets or (), model=load_factory(plugin))
    _train_and_print(start, quiet, as_json)


def _train_and_print(start: "Callable[..., TrainedRun]", quiet: bool, as_json: bool) -> None:
    """Train with progress and graceful stop, and print the result."""
    from mxtrain.cli.run_output import Summary, show_progress
    from mxtrain.training import graceful_stop

    summary = Summary()
    with graceful_stop() as stop, show_progress(quiet) as watchers, warnings.catch_warnings():
        # A run that diverges ends in one error, which NumPy's warnings would hide.
        warnings.simplefilter("ignore", RuntimeWarning)
        result = start(callbacks=[*watchers, summary], stop=stop)
    if as_json:
        summary.write_json(result)
    elif not quiet:
        summary.print_table(result)
