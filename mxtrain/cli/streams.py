"""Standard output and standard error: results go to the one, messages to the other."""

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PIPED_WIDTH = 160
"""Columns that a table may take where nobody's screen bounds it."""


def make_streams_safe() -> None:
    """Make every text printable: what an encoding lacks, such as η in ASCII, becomes an escape."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # mxtrain was started with it closed
            setattr(sys, name, io.StringIO())
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def abandon_stdout() -> None:
    """Write to stdout no more, not even what is left in its buffer when the interpreter ends."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Unbreakable:
    """A stream for what nobody need read: where it can no longer be written to, the text is dropped, and nothing ends.

    Args:
        stream: where the text goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._abandon()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._abandon()

    def _abandon(self) -> None:
        """Empty what is left in its buffer into nothing, or it would fail once more when the interpreter ends."""
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def speaks_unicode() -> bool:
    """Whether stdout can show Greek letters and box-drawing characters."""
    return (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")


def results() -> "Console":
    """Where results go."""
    return _console(sys.stdout)


def print_results(*parts: "RenderableType") -> None:
    """Print results one below the other, without the blanks that tables put at the ends of lines."""
    console = results()
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def messages() -> "Console":
    """Where messages go; a disk that is full, or a reader that is gone, is no reason to end a run."""
    return _console(Unbreakable(sys.stderr))


def complain_plainly(message: str) -> None:
    """Write a line to stderr, without a look at its style."""
    stream = Unbreakable(sys.stderr)
    stream.write(f"{message}\n")
    stream.flush()


def write_file_text(text: str) -> None:
    """Write what may be redirected into a file that mxtrain reads: UTF-8, whatever the locale says."""
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.write(text)


def write_json(value: Any, indent: int | None = None) -> None:
    """Write JSON; where the encoding has no Greek letters, with JSON's own escapes."""
    import json

    sys.stdout.write(json.dumps(value, indent=indent, ensure_ascii=not speaks_unicode()) + "\n")


def _console(file: Any) -> "Console":
    from rich.console import Console

    width = None if file.isatty() else PIPED_WIDTH
    return Console(file=file, width=width, markup=False, emoji=False, highlight=False)
