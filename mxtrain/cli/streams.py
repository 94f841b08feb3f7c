"""Standard output and standard error: results go to stdout, messages to stderr.

Names of files and folders may contain control characters, such as ESC. Every function of this module escapes them."""

import io
import os
import sys
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO

from mxtrain.errors import escape_unprintable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PIPED_WIDTH = 160
"""Width of tables that are not printed on a terminal."""


def make_streams_safe() -> None:
    """Print characters that an encoding lacks, such as η in ASCII, as escapes."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed when mxtrain started
            setattr(sys, name, io.StringIO())
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def discard_stdout() -> None:
    """Discard all further output to stdout, also that in its buffer when the interpreter exits."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class ErrorTolerantStream:
    """A stream that drops text if it cannot be written, so that the program continues.

    Args:
        stream: the stream to write to.
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
        """Discard the buffer, which would fail again when the interpreter exits."""
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def supports_unicode() -> bool:
    """Return whether stdout can show Greek letters and box-drawing characters."""
    return (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")


def results() -> "Console":
    """Return the console of stdout, for results."""
    return _console(sys.stdout)


def print_results(*parts: "RenderableType") -> None:
    """Print results one below the other, without the spaces of tables at the ends of lines."""
    console = results()
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def messages() -> "Console":
    """Return the console of stderr, for messages; a full disk or a closed pipe does not end a run."""
    return _console(ErrorTolerantStream(sys.stderr))


def print_plain_error(message: str) -> None:
    """Write a line to stderr without Rich."""
    stream = ErrorTolerantStream(sys.stderr)
    stream.write(f"{escape_unprintable(message)}\n")
    stream.flush()


def write_file_text(text: str) -> None:
    """Write text that may be redirected into a file that mxtrain reads, as UTF-8 in any locale.

    A file or a pipe gets the text unchanged; on a terminal control characters are escaped.
    """
    if sys.stdout.isatty():
        text = "\n".join(map(escape_unprintable, text.split("\n")))
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.write(text)


def write_json(value: Any, indent: int | None = None) -> None:
    """Write JSON, with JSON escapes for control characters and for letters that the encoding lacks."""
    import json

    text = json.dumps(value, indent=indent, ensure_ascii=not supports_unicode())
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    sys.stdout.write(f"{text}\n")


def _console(file: Any) -> "Console":
    width = None if file.isatty() else PIPED_WIDTH
    return _console_class()(file=file, width=width, markup=False, emoji=False, highlight=False)


@cache
def _console_class() -> "type[Console]":
    """Return a subclass of Rich's console that escapes control characters, except for Rich's own."""
    from collections.abc import Iterable

    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment

    class EscapingConsole(Console):
        def render(self, renderable: "RenderableType", options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                text, style, control = segment
                if control or text.isprintable() or text == "\n":
                    yield segment
                else:
                    yield Segment("\n".join(map(escape_unprintable, text.split("\n"))), style)

    return EscapingConsole
