"""Detection of the format of a text table: separator, header, quoting, decimal mark, comment lines."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from mxtrain.data.readers.header_detection import count_type_lines, has_header
from mxtrain.names import nfc

BLANKS = " "
"""The separator that stands for any number of blanks."""
_SEPARATORS = ("\t", ";", "|", ",", "::")
_COMMENTS = ("#", "%", "//")
_SAMPLE_ROWS = 200
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_WORDS = re.compile(r"\"[^\"]*\"|'[^']*'|\S+")
_DECIMAL_COMMA = re.compile(r"[-+]?(\d+,(\d{1,2}|\d{4,})|0,\d+|\d{1,3}(\.\d{3})+,\d+)\s*[%€$]?")
_DECIMAL_POINT = re.compile(r"[-+]?(\d*\.(\d{1,2}|\d{4,})|0\.\d+|\d{1,3}(,\d{3})+\.\d+)\s*[%€$]?|[€$£]\d[\d,]*\.\d\d")
_FRACTION = re.compile(r"[-+]?\d*[.,]\d+")
"""Numbers that name no rows; a row that begins with one, and is too long, has a separator in a value."""
_SINGLE_QUOTED = re.compile(r"(?:^|(?<=[,;\t| ]))'[^'\n]*'(?=[,;\t| ]|$)", re.MULTILINE)
_COMMA_NUMBER = re.compile(r"\s*[-+]?[$€£]?[\d.]*,\d+(,\d{3})*(\.\d+)?\s*[%€$]?\s*")


class FormatSettings(Protocol):
    """The fields of the `data` section that describe the format of a table; None where it is to be detected."""

    @property
    def separator(self) -> str | None: ...
    @property
    def header(self) -> bool | tuple[str, ...] | None: ...
    @property
    def quote(self) -> str | None: ...
    @property
    def decimal(self) -> str | None: ...
    @property
    def thousands(self) -> str | None: ...
    @property
    def comment(self) -> str | None: ...
    @property
    def encoding(self) -> str | None: ...
    @property
    def missing_values(self) -> tuple[str, ...] | None: ...


@dataclass(frozen=True, slots=True)
class FormatOptions:
    """The format of a text table, so far as it is known; see `FormatSettings`."""

    separator: str | None = None
    header: bool | tuple[str, ...] | None = None
    quote: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    comment: str | None = None
    encoding: str | None = None
    missing_values: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """The format of a text table.

    Attributes:
        separator: the text between values; a blank stands for any number of blanks.
        quote: the character around values that hold separators; empty for none.
        comment: the beginning of lines to skip; empty for none.
        decimal: the decimal mark; None if the sample has no number that tells.
        names: the names as the file has them; numbers from 0 without a header.
        has_header: True if the file names the columns.
        header_line: the line of the names, from 1.
        first_line: the line of the first row.
        width: the number of values of a row.
        row_names: True if the first value of a row is a name that the header does not mention.
        skips_blanks: True if blanks after a separator come before a quote.
    """

    separator: str
    quote: str
    comment: str
    decimal: str | None
    names: tuple[str, ...]
    has_header: bool
    header_line: int
    first_line: int
    width: int
    row_names: bool = False
    skips_blanks: bool = False


@dataclass(slots=True)
class _Split:
    """The rows of a sample, split by one separator."""

    separator: str
    quote: str
    rows: list[tuple[int, list[str]]] = field(default_factory=list)
    width: int = 1
    score: float = 0.0


def detect_dialect(text: str, settings: FormatSettings, is_whole: bool) -> Dialect | None:
    r"""Return the format of a table; None if it has no lines.

    Args:
        text: the beginning of the table.
        settings: what is known of the format.
        is_whole: True if `text` is the whole table, so that its last row is complete.

    Example:
        >>> from mxtrain.config.data_section import DataConfig
        >>> dialect = detect_dialect("a;b\n1,5;x\n2,5;y\n", DataConfig(source="digits"), is_whole=True)
        >>> dialect.separator, dialect.decimal, dialect.names
        (';', ',', ('a', 'b'))
    """
    lines = text.split("\n")
    if lines[-1] == "" or not is_whole:
        lines.pop()
    start, named = 0, None
    if lines and (match := _SEPARATOR_LINE.fullmatch(lines[0])):
        start, named = 1, match[1]
    comment = _leading_comment(lines[start:]) if settings.comment is None else settings.comment
    body = [(i, line) for i, line in enumerate(lines) if i >= start and not (comment and line.startswith(comment))]
    body = [(i, line) for i, line in body if line.strip()][: 4 * _SAMPLE_ROWS]
    if not body:
        return None
    skips_blanks = re.search(r"[,;|]\s+\"", text) is not None and re.search(r"[,;|]\"", text) is None
    with unlimited_field_size():
        split = _best_split(body, settings.separator or named, settings.quote, skips_blanks)
    first, cells = split.rows[0]
    others = [row for _, row in split.rows[1:]]
    width, is_short = split.width, False
    header: bool | tuple[str, ...] | None = settings.header
    commented = None
    if header is None or header is True:
        is_short = len(cells) == width - 1 and (header is True or _are_names(cells)) and not _is_aligned(body, split)
        is_named = is_short or has_header(cells, others)
        commented = None if is_named else _commented_header(lines, split, comment)
        header = commented is None and (header is True or is_named)
    if isinstance(header, tuple):
        names: Sequence[str] = header
        is_short = len(names) == width - 1
    elif commented is not None:
        names = commented[1]
    else:
        names = cells if header else [str(i) for i in range(width)]
    trailing = is_short and all(not row[-1].strip() for row in others if len(row) == width)
    if header is True and is_short and not trailing:
        is_short = not any(_FRACTION.fullmatch(row[0].strip()) for row in others if len(row) == width)
    if not is_short and header is True:
        width = len(names)
    first_row = first
    if header is True:
        skipped = 1 + count_type_lines(others)
        first_row = split.rows[skipped][0] if len(split.rows) > skipped else len(lines)
    return Dialect(
        separator=split.separator,
        quote=split.quote,
        comment=comment,
        decimal=_set_decimal(settings) or decimal_mark(row for _, row in split.rows[:100]),
        names=tuple(nfc(name.strip()) for name in names) + (("",) if trailing else ()),
        has_header=header is not False or commented is not None,
        header_line=(commented[0] if commented is not None else first) + 1,
        first_line=first_row + 1,
        width=width,
        row_names=is_short and not trailing,
        skips_blanks=skips_blanks,
    )


def _set_decimal(settings: FormatSettings) -> str | None:
    """Return the decimal mark that is set, or follows from the separator of thousands."""
    return settings.decimal or {".": ",", ",": "."}.get(settings.thousands or "")


def _is_aligned(lines: Sequence[tuple[int, str]], split: _Split) -> bool:
    """Return True if columns are aligned by blanks under a header at the margin, so that values may hold blanks."""
    if split.separator != BLANKS or lines[0][1][:1].isspace():
        return False
    return sum("  " in line.strip() for _, line in lines[1:]) > len(lines) / 2


def _leading_comment(lines: Sequence[str]) -> str:
    first = next((line for line in lines if line.strip()), "")
    found = next((mark for mark in _COMMENTS if first.startswith(mark)), "")
    rest = next((line for line in lines if line.strip() and not line.startswith(found)), None) if found else None
    return found if rest is not None else ""


def _commented_header(lines: Sequence[str], split: _Split, comment: str) -> tuple[int, list[str]] | None:
    """Return the names that the last comment before the first row holds, with their line, if it has as many values."""
    if not comment:
        return None
    above = [i for i in range(split.rows[0][0]) if lines[i].startswith(comment)]
    if not above or split.width < 2:
        return None
    text = lines[above[-1]].lstrip(comment[0]).strip()
    names = next((row for _, row in split_rows([(0, text)], split.separator, split.quote)), [])
    return (above[-1], names) if len(names) == split.width and _are_names(names) else None


def _are_names(cells: Sequence[str]) -> bool:
    """Return True if no cell is a number and all differ."""
    names = [cell.strip() for cell in cells]
    return len(set(names)) == len(names) and not any(name.replace(".", "", 1).isdigit() for name in names)


def split_rows(
    lines: Sequence[tuple[int, str]], separator: str, quote: str, skips_blanks: bool = False
) -> list[tuple[int, list[str]]]:
    """Return up to 200 rows of numbered lines, with the number of their first line."""
    if separator == BLANKS or len(separator) > 1:
        found = [(number, split_line(line, separator, quote)) for number, line in lines[:_SAMPLE_ROWS]]
        return [row for row in found if row[1]]
    reader = csv.reader(
        (line + "\n" for _, line in lines),
        delimiter=separator,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        skipinitialspace=skips_blanks,
    )
    rows, consumed = [], 0
    for cells in islice(reader, _SAMPLE_ROWS):
        rows.append((lines[consumed][0], cells))
        consumed = reader.line_num
    return rows


def split_line(line: str, separator: str, quote: str) -> list[str]:
    """Return the values of a line that are separated by blanks, or by several characters.

    Example:
        >>> split_line("18.0  8  'a b'", " ", "'"), split_line("1::2::x", "::", "")
        (['18.0', '8', 'a b'], ['1', '2', 'x'])
    """
    if separator != BLANKS:
        return line.split(separator)
    if not quote or quote not in line:
        return line.split()
    words = _WORDS.findall(line)
    return [word[1:-1] if len(word) > 1 and word[0] == word[-1] == quote else word for word in words]


@contextmanager
def unlimited_field_size() -> Iterator[None]:
    """Lift the limit of the csv module inside the `with` block."""
    limit = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _best_split(
    lines: Sequence[tuple[int, str]], separator: str | None, quote: str | None, skips_blanks: bool
) -> _Split:
    quotes = [quote] if quote is not None else ['"']
    if quote is None and '"' in (text := "\n".join(line for _, line in lines)):
        balanced = [(number, line) for number, line in lines if line.count('"') % 2 == 0]
        if len(lines) - len(balanced) > max(2, 0.05 * len(lines)):
            quotes.append("")
        elif (len(lines) - len(balanced)) % 2 and len(balanced) > 1:
            lines = balanced  # one quote that is not closed would hide the rows after it
    elif quote is None and "'" in text:
        quoted = _SINGLE_QUOTED.findall(text)
        if 2 * len(quoted) >= len(lines) or len(_SINGLE_QUOTED.findall(lines[0][1])) > 1:
            quotes.insert(0, "'")
    candidates = [separator] if separator is not None else [*_SEPARATORS, BLANKS]
    splits = [_scored(lines, each, mark, skips_blanks) for mark in quotes for each in candidates]
    best = splits[0]
    for other in splits[1:]:
        if _is_better(other, best):
            best = other
    if separator is None and best.width == 1:
        comma = next(split for split in splits if split.separator == "," and split.quote == quotes[0])
        return best if best.separator != BLANKS and best.score > comma.score else comma
    return best


def _scored(lines: Sequence[tuple[int, str]], separator: str, quote: str, skips_blanks: bool) -> _Split:
    split = _Split(separator, quote)
    try:
        split.rows = split_rows(lines, separator, quote, skips_blanks)
    except csv.Error:
        split.rows = [(number, [line]) for number, line in lines[:_SAMPLE_ROWS]]
        return split
    counts = [len(cells) for _, cells in split.rows[1:]] or [len(split.rows[0][1])]
    split.width, times = Counter(counts).most_common(1)[0]
    header = len(split.rows[0][1])
    if split.width < 2 and header < 2:
        return split
    matches = header == split.width or (header == split.width - 1 and header > 1)
    if split.width < 2 or not matches:
        split.score = 0.4 * times / len(counts)
        return split
    split.score = times / len(counts) - 0.3 * (1 - _clean_share(split))
    if separator == BLANKS:
        split.score -= 0.25  # text has blanks
    if not quote:
        split.score -= 0.05
    if header < split.width:
        split.score -= 0.02  # rows with names are rarer than quotes of another kind
    return split


def _is_better(other: _Split, best: _Split) -> bool:
    if other.separator == BLANKS and best.separator == "\t" and best.width > 1 and other.score > 0.7:
        return _are_blank_separated_numbers(best)
    return other.score > best.score + 0.01 or (abs(other.score - best.score) <= 0.01 and other.width > best.width)


def _are_blank_separated_numbers(split: _Split) -> bool:
    """Return True if a value is a sequence of numbers, so that tabs separate only some of the columns."""
    words = [cell.split() for _, cells in split.rows[1:20] for cell in cells]
    several = [w for w in words if len(w) > 2 and all(re.fullmatch(r"[-+]?\d*\.?\d*", word) for word in w)]
    return 2 * len(several) >= len(split.rows[1:20]) > 0


def _clean_share(split: _Split) -> float:
    """Return the share of values that hold no other separator, except commas of numbers and of prose."""
    cells = [cell for _, row in split.rows[:100] for cell in row]
    pattern = re.compile("[" + "".join({";", ",", "\t", "|"} - {split.separator}) + r"](?=\S)")
    unclean = sum(
        1 for cell in cells if pattern.search(cell) and not _COMMA_NUMBER.fullmatch(cell) and not cell.startswith("{")
    )
    return 1 - unclean / max(len(cells), 1)


def first_rows(text: str, dialect: Dialect) -> list[list[str]]:
    """Return the first rows of a table after its header, stripped."""
    numbered = list(enumerate(text.split("\n")))[dialect.first_line - 1 :]
    lines = [(i, line) for i, line in numbered if line.strip()]
    if dialect.comment:
        lines = [(i, line) for i, line in lines if not line.startswith(dialect.comment)]
    with unlimited_field_size():
        rows = split_rows(lines[:_SAMPLE_ROWS], dialect.separator, dialect.quote, dialect.skips_blanks)
    return [[cell.strip() for cell in row] for _, row in rows]


def decimal_mark(rows: Iterable[Sequence[str]]) -> str | None:
    """Return the decimal mark of numbers; None if no value tells."""
    commas = points = 0
    for row in rows:
        for cell in row:
            value = cell.strip()
            commas += _DECIMAL_COMMA.fullmatch(value) is not None
            points += _DECIMAL_POINT.fullmatch(value) is not None
    if commas == points:
        return None
    return "," if commas > points else "."
