"""Source text of configs: read files with limits, and locate lines and columns."""

import os
import re
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from mxtrain.config.yaml.problem_report import ProblemReport
from mxtrain.errors import Location, escape_unprintable
from mxtrain.paths import url_problem

MAX_BYTES = 256 * 1024
"""Size of one file: some hundred times what a run needs, and little enough to be read at once."""

_CONFIG_FILES_OF_FOLDERS = ("config.yaml", "sweep.yaml")
"""The config files in the folders of runs and of sweeps."""
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# Line breaks that only YAML 1.1 knows are refused too: editors do not count them as lines.
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_LINE_BREAK = re.compile(r"\r\n|\r|\n")


class UnreadableError(Exception):
    """A file cannot be read; the message says why, without its name."""


class Mark(Protocol):
    """A position as PyYAML gives it, counted from 0."""

    line: int
    column: int


@dataclass(frozen=True)
class SourceText:
    """A text, what it is called in messages, and whether its lines are worth naming."""

    source: str
    content: str
    has_lines: bool = True

    @cached_property
    def lines(self) -> list[str]:
        """The lines, without what ends them."""
        return _LINE_BREAK.split(self.content)

    def at(self, line: int, column: int, width: int = 1) -> Location:
        """The place at a line and a column, both counted from 0."""
        if not self.has_lines:
            return Location(self.source)
        text = self.lines[line] if line < len(self.lines) else ""
        return Location(self.source, line + 1, column + 1, text, width)

    def between(self, start: Mark, end: Mark) -> Location:
        """The place from one mark to another, or to the end of the line where that is earlier."""
        stop = end.column if end.line == start.line else len(self.lines[start.line])
        return self.at(start.line, start.column, max(1, stop - start.column))

    def character(self, mark: Mark) -> str:
        """The character at a mark; nothing at the end of a line."""
        line = self.lines[mark.line] if mark.line < len(self.lines) else ""
        return line[mark.column : mark.column + 1]


def read_text(source: str, report: ProblemReport) -> SourceText:
    """The text of a file; UnreadableError where there is none, ConfigError where it is not plain UTF-8."""
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
    """Fail at the first character that no text file should hold."""
    if found := _FORBIDDEN.search(text.content):
        before = _LINE_BREAK.split(text.content[: found.start()])
        message = f"the character U+{ord(found[0]):04X} may not stand here; remove it, or write an escape for it"
        report.fail("", message, text.at(len(before) - 1, len(before[-1])))


def _read_bytes(source: str) -> bytes:
    try:
        # Before opening, because opening a pipe waits for whoever writes to it.
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
        raise UnreadableError("is not the name of a file") from None
    if status.st_size > MAX_BYTES or len(content) > MAX_BYTES:
        raise UnreadableError(f"is larger than {MAX_BYTES // 1024} KiB")
    return content
