"""Source text of configs: read files with limits, locate lines and columns, and collect the problems found."""

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NoReturn, Protocol

from mxtrain.errors import ConfigError, ConfigProblem, Location, escape_unprintable
from mxtrain.paths import url_problem

MAX_PROBLEMS = 100
"""Limit for the problems that are reported; the rest are only counted."""
MAX_BYTES = 256 * 1024
"""Limit for the size of a file: some hundred times what a run needs, and small enough to read at once."""

_CONFIG_FILES_OF_FOLDERS = ("config.yaml", "sweep.yaml")
"""The names of config files in the folders of runs and sweeps."""
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# Line breaks of YAML 1.1 alone are rejected too, because editors do not count them as lines.
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_LINE_BREAK = re.compile(r"\r\n|\r|\n")


class ProblemReport:
    """Problems of a config, collected so that all of them are reported at once, in reading order.

    Attributes:
        spell: replaces the names in the paths of later problems by those that the user typed.
    """

    def __init__(self) -> None:
        self.spell: Callable[[str], str] = lambda path: path
        self._problems: list[ConfigProblem] = []
        self._omitted = 0
        self._sources: dict[str, int] = {}

    @property
    def is_full(self) -> bool:
        """True if further problems are only counted."""
        return len(self._problems) >= MAX_PROBLEMS

    @property
    def problems(self) -> tuple[ConfigProblem, ...]:
        """The problems found so far."""
        return tuple(self._problems)

    def open(self, source: str) -> None:
        """Register a source; problems are reported in the order in which their sources were opened."""
        self._sources.setdefault(source, len(self._sources))

    def add(self, path: str, message: str, location: Location | None = None) -> None:
        """Add a problem."""
        if self.is_full:
            self._omitted += 1
        else:
            self._problems.append(ConfigProblem(self.spell(path), message, location))

    def count_omitted(self, count: int) -> None:
        """Count further problems that are not reported one by one."""
        self._omitted += count

    def fail(self, path: str, message: str, location: Location | None = None) -> NoReturn:
        """Add a problem and raise all problems, because the config cannot be read further."""
        self._problems.append(ConfigProblem(self.spell(path), message, location))
        raise self.error()

    def nest_under(self, name: str) -> None:
        """Prefix the paths so far with the name of a field, whose value the config turned out to be."""
        self._problems = [replace(problem, path=f"{name}.{problem.path}".rstrip(".")) for problem in self._problems]

    def check(self) -> None:
        """Raise a ConfigError if there are problems."""
        if self._problems:
            raise self.error()

    def error(self) -> ConfigError:
        """Return a ConfigError with all problems, in reading order."""
        problems = sorted(self._problems, key=self._reading_order)
        if self._omitted:
            problems.append(ConfigProblem("", f"and {self._omitted} more problems"))
        return ConfigError(problems)

    def _reading_order(self, problem: ConfigProblem) -> tuple[int, int, int]:
        location = problem.location
        if location is None:
            return (0, 0, 0)
        return (self._sources.get(location.source, len(self._sources)), location.line, location.column)


class UnreadableError(Exception):
    """A file cannot be read; the message gives the reason, without the name of the file."""


class Mark(Protocol):
    """A position of PyYAML, counted from 0."""

    line: int
    column: int


@dataclass(frozen=True)
class SourceText:
    """A text and its name in error messages.

    Attributes:
        source: the name.
        content: the text.
        has_lines: True if messages give the line and column.
    """

    source: str
    content: str
    has_lines: bool = True

    @cached_property
    def lines(self) -> list[str]:
        """The lines, without line breaks."""
        return _LINE_BREAK.split(self.content)

    def at(self, line: int, column: int, width: int = 1) -> Location:
        """Return the location of a line and a column, both counted from 0."""
        if not self.has_lines:
            return Location(self.source)
        text = self.lines[line] if line < len(self.lines) else ""
        return Location(self.source, line + 1, column + 1, text, width)

    def between(self, start: Mark, end: Mark) -> Location:
        """Return the location from one mark to another, or to the end of the line if that is earlier."""
        stop = end.column if end.line == start.line else len(self.lines[start.line])
        return self.at(start.line, start.column, max(1, stop - start.column))

    def character(self, mark: Mark) -> str:
        """Return the character at a mark; an empty string at the end of a line."""
        line = self.lines[mark.line] if mark.line < len(self.lines) else ""
        return line[mark.column : mark.column + 1]


def read_text(source: str, report: ProblemReport) -> SourceText:
    """Read a file.

    Raises:
        UnreadableError: there is no such file, or it cannot be read.
        ConfigError: it is not plain UTF-8.
    """
    content = _read_bytes(source)
    report.open(source)
    if content.startswith(_UTF16_MARKS):
        report.fail("", "is UTF-16, must be UTF-8; save it as UTF-8", Location(source))
    content = content.removeprefix(_UTF8_MARK)
    try:
        text = SourceText(source, content.decode())
    except UnicodeDecodeError as error:
        before = SourceText(source, content[: error.start].decode())
        whole = SourceText(source, content.decode(errors="replace"))
        line = len(before.lines) - 1
        message = f"must be UTF-8, got the byte 0x{content[error.start]:02x}; save it as UTF-8"
        report.fail("", message, whole.at(line, len(before.lines[line])))
    reject_control_characters(text, report)
    return text


def reject_control_characters(text: SourceText, report: ProblemReport) -> None:
    """Report the first control character and raise."""
    if found := _FORBIDDEN.search(text.content):
        before = _LINE_BREAK.split(text.content[: found.start()])
        message = f"the character U+{ord(found[0]):04X} is not allowed here; remove it, or write an escape for it"
        report.fail("", message, text.at(len(before) - 1, len(before[-1])))


def _read_bytes(source: str) -> bytes:
    try:
        # Checked first, because opening a pipe waits for a writer.
        status = Path(source).stat()
        if stat.S_ISDIR(status.st_mode):
            inside = next((path for name in _CONFIG_FILES_OF_FOLDERS if (path := Path(source, name)).is_file()), None)
            hint = f"; did you mean {escape_unprintable(str(inside))}?" if inside else ""
            raise UnreadableError(f"is a directory, must be a file{hint}")
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError("is not a regular file")
        with Path(source).open("rb") as file:
            content = b"" if status.st_size > MAX_BYTES else file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise UnreadableError(url_problem(source) or "no such file") from None
    except OSError as error:
        raise UnreadableError(f"cannot be read: {os.strerror(error.errno or 0)}") from None
    except ValueError:
        raise UnreadableError("is not a valid file name") from None
    if status.st_size > MAX_BYTES or len(content) > MAX_BYTES:
        raise UnreadableError(f"is larger than {MAX_BYTES // 1024} KiB")
    return content
