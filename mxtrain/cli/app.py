"""Typer application: registration of the commands, in the order of --help."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mxtrain.cli import (
    bench_command,
    config_commands,
    inference_commands,
    results_commands,
    schedule_command,
    training_commands,
)
from mxtrain.errors import escape_unprintable
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
            error.message = escape_unprintable(redact(error.message))
        raise


app = typer.Typer(
    cls=EscapingGroup,
    help="Train models from YAML files; the optimizer is part of the file.",
    epilog="Results go to stdout, messages to stderr. Exit status: 0 on success; 1 if a run failed; "
    "2 if a config or the command line is invalid; 130 after Ctrl-C, 143 after SIGTERM.",
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


app.command("fit")(training_commands.train)
app.command("resume")(training_commands.resume_run)
app.command("sweep")(training_commands.search)
app.command("evaluate")(inference_commands.evaluate)
app.command("predict")(inference_commands.predict)
app.command("report")(results_commands.report)
app.command("runs")(results_commands.list_runs)
app.command("validate")(config_commands.validate)
app.command("show")(config_commands.show)
app.command("list")(config_commands.list_all)
app.command("schedule")(schedule_command.draw)
app.command("schema")(config_commands.schema)
app.command("bench")(bench_command.bench)
