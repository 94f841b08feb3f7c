"""Typer application: registration of the commands in the order of --help, error output and exit status."""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
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
from mxtrain.cli.streams import discard_stdout, make_streams_safe, print_plain_error
from mxtrain.errors import CacheWarning, MxtrainError, escape_unprintable
from mxtrain.formatting import redact

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

INTERRUPTED = 130
_FORMAT_WARNING = warnings.formatwarning


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the arguments after `mxtrain`; None reads them from the command line.

    Returns:
        The exit status.
    """
    make_streams_safe()
    warnings.formatwarning = _format_warning
    try:
        status = _status(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        # The reader of the results has closed the pipe.
        discard_stdout()
        return 1
    except MemoryError as error:
        print_plain_error(
            f"error: not enough memory{f': {error}' if str(error) else ''}; make the model or the batches smaller"
        )
        return 1
    except OSError as error:
        discard_stdout()
        place = f"{escape_unprintable(os.fsdecode(error.filename))}: " if error.filename is not None else ""
        print_plain_error(f"error: {place}{error.strerror or error}")
        return 1
    return status


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Format a warning of mxtrain on one line, and any other as Python does."""
    if issubclass(category, CacheWarning):
        return f"warning: {escape_unprintable(str(message))}\n"
    return _FORMAT_WARNING(message, category, filename, lineno, line)


def _interrupted() -> int:
    print_plain_error("interrupted")
    return INTERRUPTED


def _status(arguments: Sequence[str] | None) -> int:
    from mxtrain.cli.options import accept_shell_name

    accept_shell_name(sys.argv[1:] if arguments is None else arguments)
    try:
        app(args=arguments, prog_name="mxtrain")
    except SystemExit as end:
        if end.code == INTERRUPTED:
            return _interrupted()
        return end.code if isinstance(end.code, int) else 0
    except MxtrainError as error:
        from mxtrain.cli.rich_output import print_error

        return print_error(error)
    return 0
