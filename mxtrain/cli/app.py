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
from mxtrain.errors import CacheWarning, MxtrainError, escape_unprintable, is_wrong_path
from mxtrain.formatting import redact

_UsageError: Any
_CommandLineError: Any
_UsageError, _CommandLineError = typer.BadParameter.__mro__[1:3]
"""Click's `UsageError` and `ClickException`, of the Click that Typer uses."""
assert (_UsageError.__name__, _CommandLineError.__name__) == ("UsageError", "ClickException")


class CommandGroup(TyperGroup):
    """A command group whose messages about the command line have the style of those about configs."""

    _arguments: Sequence[str] = ()

    def make_context(self, info_name: str | None, args: list[str], *arguments: Any, **options: Any) -> Any:
        self._arguments = tuple(args)
        with self._reworded_errors():
            return super().make_context(info_name, args, *arguments, **options)

    def invoke(self, *arguments: Any, **options: Any) -> Any:
        with self._reworded_errors():
            return super().invoke(*arguments, **options)

    @contextmanager
    def _reworded_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            # The message of NoArgsIsHelpError is the help: many lines, which quote nothing from the command line.
            if not isinstance(error, _CommandLineError) or type(error).__name__ == "NoArgsIsHelpError":
                raise
            error.message = escape_unprintable(redact(self._message(error)))
            if type(error) is typer.BadParameter:  # its format would add "Invalid value for"
                raise _UsageError(error.message, ctx=error.ctx) from None
            raise

    def _message(self, error: Any) -> str:
        if type(error) is typer.BadParameter and (place := _parameter_name(error)):
            return f"{place}: {error.message}"
        if type(error).__name__ == "NoSuchOption" and _takes_overrides(error.ctx):
            from mxtrain.cli.options import override_hint

            if hint := override_hint(error.option_name, self._arguments):
                error.possibilities = None
                return f"{error.message}{hint}"
        return str(error.message)


def _parameter_name(error: Any) -> str | None:
    """Return the option or argument that an error is about, as `--help` prints it."""
    if error.param_hint is not None or error.param is None:
        return None if error.param_hint is None else str(error.param_hint)
    longest = max(error.param.opts, key=len)
    return str(longest if longest.startswith("-") else error.param.human_readable_name)


def _takes_overrides(context: Any) -> bool:
    return context is not None and any("--set" in parameter.opts for parameter in context.command.params)


app = typer.Typer(
    cls=CommandGroup,
    help="Train models from YAML files; the optimizer is part of the file.",
    epilog="Results go to stdout, messages to stderr. Exit status: 0 on success; 1 if a run or "
    "a sweep failed; 2 if the request is wrong: the command line, a config, a file that they name, or a package that "
    "they need; 130 after Ctrl-C, 143 after SIGTERM.",
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
USAGE_STATUS = 2
_FORMAT_WARNING = warnings.formatwarning


def run(arguments: Sequence[str] | None = None) -> int:
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
    except (OSError, MemoryError) as error:
        return _report_system_error(error)
    finally:
        if kinds := sys.modules.get("mxtrain.kinds"):  # imports Pydantic, which --help does not need
            kinds.unlist_plugins()
    return status


def _report_system_error(error: OSError | MemoryError) -> int:
    """Print an error of the operating system, and return the exit status."""
    if isinstance(error, MemoryError):
        reason = f": {error}" if str(error) else ""
        print_plain_error(f"error: not enough memory{reason}; make the model or the batches smaller")
        return 1
    discard_stdout()
    if isinstance(error, BrokenPipeError):  # the reader of the results has closed the pipe
        return 1
    place = f"{escape_unprintable(os.fsdecode(error.filename))}: " if error.filename is not None else ""
    print_plain_error(f"error: {place}{error.strerror or error}")
    return USAGE_STATUS if place and is_wrong_path(error) else 1


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
