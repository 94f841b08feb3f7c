"""Entry point of the command line: run one command and return its exit status.

Exit status: 0; 1 if a run failed; 2 if a config or the command line is wrong; 130 after Ctrl-C, 143 after
SIGTERM."""

import os
import sys
import warnings
from collections.abc import Sequence

from mxtrain.cli.streams import discard_stdout, make_streams_safe, print_plain_error
from mxtrain.errors import CacheWarning, MxtrainError, escape_unprintable

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
    from mxtrain.cli.app import app  # a slow import, which Ctrl-C may interrupt
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
