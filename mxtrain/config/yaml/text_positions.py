"""Lines and columns of the characters of a string in the file that holds it, in any style of YAML."""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from mxtrain.config.yaml.source_text import SourceText
from mxtrain.errors import Location

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)")
_SPACES_OF_ESCAPES = "nrt0abefvNLP_ \t"
_LINE_BREAK = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class TextSpan:
    """The part of a source text that a string was read from.

    Attributes:
        text: the source text.
        start, end: its first line and column, and those after its end, from 0.
        style: the style: `|`, `>`, one of two quotes, or an empty string.
    """

    text: SourceText
    start: tuple[int, int]
    end: tuple[int, int]
    style: str = ""

    def locate(self, value: str, start: int, stop: int) -> Location | None:
        """Return the location of the characters `start` to `stop - 1` of the string; None if it is unknown.

        Styles differ in line breaks, indentation and escapes, but not in the order of the other characters.
        """
        characters = list(self._characters())
        numbers = [number for number, each in enumerate(value) if not each.isspace()]
        if len(characters) != len(numbers):
            return None
        first = bisect_left(numbers, start)
        last = max(bisect_left(numbers, stop) - 1, first)
        if first >= len(characters):
            return None
        line, column, _ = characters[first]
        ends = [at + width for row, at, width in characters[first : last + 1] if row == line]
        text = self.text.lines[line]
        return Location(self.text.source, line + 1, column + 1, text, max(1, ends[-1] - column))

    def _characters(self) -> Iterator[tuple[int, int, int]]:
        """Yield the line, the column and the width in the source of each character that is not a space."""
        first, last = self.start[0], min(self.end[0], len(self.text.lines) - 1)
        for line in range(first, last + 1):
            if line == first and self.style in ("|", ">"):
                continue  # the header of the block
            text = self.text.lines[line]
            begin = self.start[1] + bool(self.style) if line == first else 0
            end = self.end[1] - (self.style in ("'", '"')) if line == self.end[0] else len(text)
            yield from ((line, column, width) for column, width in self._characters_of_line(text, begin, end))

    def _characters_of_line(self, text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
        column = begin
        while column < end:
            width = 1
            if self.style == "'" and text.startswith("''", column):
                width = 2
            elif self.style == '"' and (escape := _ESCAPE.match(text, column, end)):
                width = len(escape[0])
                if escape[1] in _SPACES_OF_ESCAPES:
                    column += width
                    continue
            elif self.style == '"' and text[column] == "\\":  # the line continues
                column += 1
                continue
            if not text[column].isspace():
                yield column, width
            column += width


def locate_in_value(field: str, value: str, start: int, stop: int) -> Location:
    """Return the location in a string that no file holds; its source is the name of the field.

    >>> str(locate_in_value("update", "m = g\\nW = q", 10, 11))
    'update:2:5'
    """
    before = _LINE_BREAK.split(value[:start])
    line, column = len(before) - 1, len(before[-1])
    text = _LINE_BREAK.split(value)[line]
    return Location(field, line + 1, column + 1, text, max(1, min(stop - start, len(text) - column)))
