"""Entry point of the command line; it imports the rest where Ctrl-C prints one line."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mxtrain.cli.app import app as app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the arguments after `mxtrain`; None reads them from the command line.

    Returns:
        The exit status.
    """
    try:
        from mxtrain.cli.app import run

        return run(arguments)
    except KeyboardInterrupt:
        import sys

        sys.stderr.write("interrupted\n")
        return 130


def __getattr__(name: str) -> Any:
    if name == "app":
        from mxtrain.cli.app import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
