"""`mxtrain resume`: go on with a run, or prove that it can be replayed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mxtrain.cli.options import AsJson, Plugin, Quiet, RunOrSweepFolder
from mxtrain.cli.sweep_command import Engine, EngineChoice, RetryFailed, Scheduler, Workers, plugin_place, searched

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mxtrain.models import ModelFactory


def resume_run(
    run: RunOrSweepFolder,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
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
    workers: Workers = None,
    engine: Engine = EngineChoice.local,
    scheduler: Scheduler = None,
    retry_failed: RetryFailed = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Continue a run or a sweep where it stopped.

    A run continues from its newest checkpoint; the options of `mxtrain sweep` are for a sweep. The result is that of
    one that never stopped, to the byte. `--set fit.epochs=40` trains for longer; settings that affect completed epochs
    cannot change.
    """
    from mxtrain.cli.plugins import load_plugin
    from mxtrain.cli.run_commands import watched
    from mxtrain.sweeps import SweepFolder, resume_sweep
    from mxtrain.training import resume

    if SweepFolder.holds_sweep(Path(run)):
        if verify:
            raise typer.BadParameter("replays one run; name the folder of a trial", param_hint="--verify")
        searched(
            lambda stop, watch: resume_sweep(
                run,
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
        return
    model = load_plugin(plugin)
    if verify:
        if sets:
            raise typer.BadParameter("a replay changes nothing; leave it out", param_hint="--set")
        _replay(run, model, quiet, as_json)
    else:
        watched(
            lambda callbacks, stop: resume(run, overrides=sets or (), callbacks=callbacks, stop=stop, model=model),
            quiet,
            as_json,
        )


def _replay(run: str, model: "ModelFactory | None", quiet: bool, as_json: bool) -> None:
    from mxtrain.cli.streams import messages, write_json
    from mxtrain.errors import printable
    from mxtrain.training import replay

    if quiet:
        found = replay(run, model=model)
    else:
        with messages().status(f"replaying {printable(run)}"):
            found = replay(run, model=model)
    for note in found.notes:
        messages().print(printable(note), soft_wrap=True)
    if as_json:
        causes = {"changes": found.changes} if found.differences else {}
        write_json({"run_dir": run, "exact": not found.differences, "differences": found.differences, **causes})
    elif found.differences:
        _tell(f"{printable(run)} does not replay to the byte; what differs:", found.differences)
        if found.changes:
            _tell("the likely cause is what is not as it was when the run was trained:", found.changes)
        else:
            typer.echo("data, versions, machine and backend are as they were when the run was trained")
    elif not quiet:
        typer.echo(f"{printable(run)} replays to the byte")
    raise typer.Exit(1 if found.differences else 0)


def _tell(title: str, lines: "Iterable[str]") -> None:
    from mxtrain.errors import printable

    typer.echo(title)
    for line in lines:
        typer.echo(f"  {printable(line)}")
