"""The commands, in the order in which --help lists them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mxtrain.cli import (
    bench_command,
    check_commands,
    evaluate_command,
    list_command,
    predict_command,
    report_command,
    resume_command,
    run_commands,
    runs_command,
    schedule_command,
    show_command,
    sweep_command,
)
from mxtrain.errors import printable
from mxtrain.redaction import redact

_CommandLineError: Any = typer.BadParameter.__mro__[2]
"""Click's `ClickException`, of the Click that Typer uses."""
assert _CommandLineError.__name__ == "ClickException"


class EscapingGroup(TyperGroup):
    """A command group that escapes control characters in messages about the command line."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with _escaped_errors():
            return super().make_context(*arguments, **options)

    def invoke(self, *arguments: Any, **options: Any) -> Any:
        with _escaped_errors():
            return super().invoke(*arguments, **options)


@contextmanager
def _escaped_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # The message of NoArgsIsHelpError is the help, which has many lines and quotes nothing from the command line.
        if isinstance(error, _CommandLineError) and type(error).__name__ != "NoArgsIsHelpError":
            error.message = printable(redact(error.message))
        raise


app = typer.Typer(
    cls=EscapingGroup,
    help="Optimizers as data: training runs from YAML files.",
    epilog="Results go to stdout, messages to stderr. Exit status: 0; 1 where a run failed; "
    "2 where a config or the command line is wrong; 130 after Ctrl-C, 143 after SIGTERM.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"mxtrain {version('mxtrain')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of `mxtrain` itself."""


app.command("fit")(run_commands.train)
app.command("resume")(resume_command.resume_run)
app.command("sweep")(sweep_command.search)
app.command("evaluate")(evaluate_command.evaluate)
app.command("predict")(predict_command.predict)
app.command("report")(report_command.report)
app.command("runs")(runs_command.list_runs)
app.command("validate")(check_commands.validate)
app.command("show")(show_command.show)
app.command("list")(list_command.list_all)
app.command("schedule")(schedule_command.draw)
app.command("schema")(check_commands.schema)
app.command("bench")(bench_command.bench)
