"""Reader of text tables: blocks of rows through Polars, and line by line where a block is malformed."""

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mxtrain.data.readers.block_scan import BlockScan, prefetched
from mxtrain.data.readers.columns import check_width
from mxtrain.data.readers.dialect import (
    BLANKS,
    Dialect,
    FormatSettings,
    split_line,
    unlimited_field_size,
)
from mxtrain.data.readers.plain_numbers import as_numbers
from mxtrain.data.readers.quotes import are_quotes_regular, has_separators_inside, quotes_inside
from mxtrain.data.readers.raw_table import Problem
from mxtrain.data.readers.recorded_format import RecordedFormat, choose_dialect
from mxtrain.data.readers.text_blocks import TextBlocks
from mxtrain.errors import DataError

if TYPE_CHECKING:
    import polars

_MAX_OPEN_QUOTES = 100
"""Number of quotes without an end in a block after which the rest of the block is not searched for rows."""
_SAMPLE = 2**18
"""Number of bytes at the beginning in which the format is detected."""
_LONG_LINE = 2**16
"""Number of characters from which the values of a line are counted before they are split."""
_EXCESS_SEPARATORS = 2**20
"""Number of separators by which a block may exceed four times those of its rows, to be read by Polars."""


class ColumnTypeError(Exception):
    """Columns of numbers hold something else in later rows; the table must be read again with them as text.

    Attributes:
        columns: the indices of all such columns.
    """

    def __init__(self, columns: Collection[int]) -> None:
        super().__init__(f"columns of text: {sorted(columns)}")
        self.columns = frozenset(columns)


@dataclass(frozen=True, slots=True)
class TextChunk:
    """Consecutive rows of a text table.

    Attributes:
        columns: the columns in the order of the file, of text or of plain numbers; null for a blank cell.
        lines: the line of each row, from 1, (n,).
        problems: the malformed rows, which have null in every column; `row` counts from the first row of the chunk.
        is_plain: True if every row is a line.
    """

    columns: list["polars.Series"]
    lines: NDArray[np.int64]
    problems: list[Problem]
    is_plain: bool = False


class TextTable:
    """A text table, whose format is known, and whose rows are read in chunks.

    Args:
        stream: the bytes of the table.
        source: the name of the table in error messages.
        settings: what is known of the format.

    Raises:
        DataError: the table is empty, or has too many columns.

    Attributes:
        dialect: the format, as it was set or found.
    """

    def __init__(self, stream: BinaryIO, source: str, settings: FormatSettings) -> None:
        self._source = source
        is_recorded = isinstance(settings, RecordedFormat)
        self._blocks = TextBlocks(stream, source, settings.encoding, is_fallback=is_recorded)
        self._blocks.quote = '"' if settings.quote is None else settings.quote
        self._iterator = iter(self._blocks)
        self._first = next(self._iterator, b"")
        is_whole = len(self._first) <= _SAMPLE
        end = self._first.rfind(b"\n", 0, _SAMPLE) + 1 or self._first.find(b"\n", _SAMPLE) + 1
        sample = self._first if is_whole else self._first[:end]
        text = sample.decode("utf-8", "replace")
        dialect = choose_dialect(text, settings, is_whole, source)
        if dialect is None:
            raise DataError(f"{source}:1: is empty; the first line must name the columns")
        self.dialect: Dialect = dialect
        self._blocks.quote = dialect.quote
        check_width(dialect.width, source)

    @property
    def header(self) -> str:
        """The location of the names in error messages."""
        return f"{self._source}:{self.dialect.header_line}"

    @property
    def found(self) -> Mapping[str, Any]:
        """The fields of the `data` section that describe the format, so far as they are known."""
        dialect = self.dialect
        found: dict[str, Any] = {"separator": dialect.separator, "header": dialect.has_header}
        found |= {"quote": dialect.quote, "encoding": self._blocks.found_encoding}
        found |= {"decimal": dialect.decimal} if dialect.decimal is not None else {}
        return found | ({"comment": dialect.comment} if dialect.comment else {})

    def chunks(self, with_numbers: bool = False, as_text: Collection[int] = ()) -> Iterator[TextChunk]:
        """Yield the rows in chunks of about 16 MiB of the file.

        Args:
            with_numbers: True to pass columns as integers or floats whose values are all numbers in plain notation.
            as_text: the indices of columns that are text, whatever the first chunk holds.

        Raises:
            ColumnTypeError: columns of numbers in the first chunk hold something else in later chunks.
        """
        line = self.dialect.first_line
        with_numbers = with_numbers and self.dialect.decimal != ","
        types: list[Any] | None = None
        others: set[int] = set()
        for block, scan in prefetched(self._scanned_blocks()):
            chunk = self._chunk(block, scan, line, types)
            line += len(chunk.lines) if chunk.is_plain else scan.newlines
            if with_numbers:
                columns = self._with_types(chunk.columns, types, as_text, others)
                chunk = TextChunk(columns, chunk.lines, chunk.problems)
                types = types or [column.dtype for column in columns]
            if not others:
                yield chunk
        if others:
            raise ColumnTypeError(others)

    def _scanned_blocks(self) -> Iterator[tuple[bytes, BlockScan]]:
        separator = self.dialect.separator.encode()
        block: bytes | None = _after_lines(self._first, self.dialect.first_line - 1)
        self._first = b""
        while block is not None:
            if block:
                yield block, BlockScan.of(block, separator, self.dialect.width)
            block = next(self._iterator, None)

    def _with_types(
        self,
        columns: Sequence["polars.Series"],
        types: list[Any] | None,
        as_text: Collection[int],
        others: set[int],
    ) -> list["polars.Series"]:
        """Return columns with numbers, if all are; adds the columns that are none, although `types` has numbers."""
        import polars as pl

        if types is None:
            return [column if i in as_text else as_numbers(column) for i, column in enumerate(columns)]
        found = []
        for index, (column, dtype) in enumerate(zip(columns, types, strict=True)):
            typed = column if column.dtype == dtype else _with_type(column, dtype)
            if typed is None:
                others.add(index)
                types[index] = pl.String
            found.append(column if typed is None else typed)
        return found

    def _chunk(self, block: bytes, scan: BlockScan, line: int, types: Sequence[Any] | None) -> TextChunk:
        is_plain = self._is_plain(block, scan)
        if is_plain and types is not None and (chunk := self._read_typed(block, scan, line, types)) is not None:
            return chunk
        chunk = self._read_fast(block, scan, line) if is_plain else None
        return self._read_lines(block, line) if chunk is None else chunk

    def _read_typed(self, block: bytes, scan: BlockScan, line: int, types: Sequence[Any]) -> TextChunk | None:
        """Return the rows with columns of these types; None if text must be examined before it becomes numbers."""
        import polars as pl

        dialect = self.dialect
        if any(types[i] != pl.String for i in scan.codes) or (dialect.quote and dialect.quote.encode() in block):
            return None
        frame = _parse(block, dialect, types)
        if frame is None or scan.separators + scan.newlines != len(frame) * dialect.width:
            return None
        if not all(frame.select(pl.col(pl.Float64).is_finite().all()).row(0) if pl.Float64 in types else ()):
            return None
        columns = frame.get_columns()
        if scan.is_padded:
            columns = [_stripped(column) if column.dtype == pl.String else column for column in columns]
        return TextChunk(columns, np.arange(line, line + len(frame), dtype=np.int64), [], is_plain=True)

    def _is_plain(self, block: bytes, scan: BlockScan) -> bool:
        """Return True if Polars may read the block: no blank lines, comments, or bytes that are not text."""
        dialect = self.dialect
        if len(dialect.separator.encode()) > 1 or dialect.separator == BLANKS or dialect.skips_blanks:
            return False
        if b"\0" in block or len(dialect.quote.encode()) > 1 or (dialect.width == 1 and b"\n\n" in b"\n" + block):
            return False  # with several columns, blank lines are found by the number of separators
        if scan.separators > 4 * dialect.width * scan.newlines + _EXCESS_SEPARATORS:
            return False  # Polars needs 400 bytes for each value of a row that is too long
        comment = dialect.comment.encode()
        if comment and (block.startswith(comment) or b"\n" + comment in block):
            return False
        return block.isascii() or _is_utf8(block)

    def _read_fast(self, block: bytes, scan: BlockScan, line: int) -> TextChunk | None:
        """Return the rows as Polars reads them; None if the values do not add up to the bytes of the block."""
        import polars as pl

        dialect = self.dialect
        frame = _parse(block, dialect, [pl.String] * dialect.width)
        if frame is None:
            return None
        rows = len(frame)
        quote = dialect.quote.encode()
        quotes = block.count(quote) if quote else 0
        sizes = frame.select(pl.all().str.len_bytes().sum()).row(0)
        inner = quotes_inside(frame, dialect.quote) if quotes else 0
        if inner is None or sum(sizes) + quotes - inner + rows * dialect.width != len(block):
            return None
        is_regular = not quotes or are_quotes_regular(block, dialect)
        if not is_regular and (not inner or has_separators_inside(frame, dialect)):
            return None
        lines = np.arange(line, line + rows, dtype=np.int64)
        if quotes and scan.newlines != rows:
            breaks = frame.select(pl.sum_horizontal(pl.all().str.count_matches("\n", literal=True).fill_null(0)))
            lines[1:] += np.cumsum(breaks.to_series().to_numpy().astype(np.int64))[:-1]
        columns = frame.get_columns()
        if scan.is_padded or (quote and quote + quote in block):
            columns = [_stripped(column) for column in columns]
        return TextChunk(columns, lines, [])

    def _read_lines(self, block: bytes, line: int) -> TextChunk:
        """Return the rows of a block that may hold malformed ones."""
        import polars as pl

        width, where = self.dialect.width, self._source
        lines: list[int] = []
        cells: list[Sequence[str | None]] = []
        problems: list[Problem] = []
        blank = (None,) * width
        with unlimited_field_size():
            for number, row in self._rows(block.decode("utf-8", "surrogateescape"), line):
                problem = row if isinstance(row, str) else self._row_problem(row)
                if problem is not None:
                    problems.append(Problem(len(lines), f"{where}:{number}", problem))
                lines.append(number)
                cells.append(blank if problem is not None else row)
        transposed = zip(*cells, strict=True) if cells else [()] * width
        columns = [_stripped(pl.Series(f"c{i}", values, pl.String)) for i, values in enumerate(transposed)]
        return TextChunk(columns, np.array(lines, dtype=np.int64), problems)

    def _row_problem(self, row: Sequence[str]) -> str | None:
        width = self.dialect.width
        if len(row) != width:
            source = "as the header has" if self.dialect.has_header else "as the other rows have"
            if self.dialect.row_names:
                source = "a row name and one for each name in the header"
            return f"must have {width} values, {source}, got {len(row)}"
        text = "".join(row)
        if "\0" in text:
            return "has a NUL byte; remove it"
        try:
            text.encode()
        except UnicodeEncodeError:
            return "is not UTF-8 text; save it as UTF-8, or set data.encoding"
        return None

    def _rows(self, text: str, first_line: int) -> Iterator[tuple[int, list[str] | str]]:
        """Yield each row, or what is wrong with it, with its line."""
        lines = text.split("\n")
        lines.pop()
        if comment := self.dialect.comment:
            lines = ["" if line.startswith(comment) else line for line in lines]
        if self.dialect.separator == BLANKS or len(self.dialect.separator) > 1:
            split = ((i, split_line(line, self.dialect.separator, self.dialect.quote)) for i, line in enumerate(lines))
            found: Iterator[tuple[int, list[str] | str]] = ((i, row) for i, row in split if lines[i].strip())
        else:
            found = self._csv_rows(lines)
        too_long = self._replace_long_rows(lines)
        for index, row in found:
            if index in too_long:
                row = f"must have {self.dialect.width} values, got {too_long[index]:,}"
            if isinstance(row, str) or not _is_blank(row, self.dialect.width):
                yield first_line + index, row

    def _replace_long_rows(self, lines: list[str]) -> dict[int, int]:
        """Replace lines of very many values, and return the number of values of each."""
        separator, found = self.dialect.separator, {}
        for index, line in enumerate(lines):
            if len(line) <= _LONG_LINE or (self.dialect.quote and self.dialect.quote in line):
                continue
            if (count := line.count(separator)) > 10 * self.dialect.width + 1000:
                found[index], lines[index] = count + 1, "-"
        return found

    def _csv_rows(self, lines: Sequence[str]) -> Iterator[tuple[int, list[str] | str]]:
        """Yield the rows of lines, each with its first line; a malformed row ends where the next can begin."""
        start = open_quotes = 0
        while start < len(lines):
            index = start
            reader = self._csv_reader(lines, start)
            try:
                for row in reader:
                    yield index, row
                    index = start + reader.line_num
                return
            except csv.Error as error:
                is_open = "unexpected end" in str(error)
                yield index, "has a quote that is not closed" if is_open else _quote_message(self.dialect)
                open_quotes += is_open
                start = index + 1 if is_open else start + reader.line_num
            if open_quotes >= _MAX_OPEN_QUOTES:
                yield start, f"{len(lines) - start:,} lines after this are not read, because of unclosed quotes"
                return

    def _csv_reader(self, lines: Sequence[str], start: int) -> Any:
        dialect = self.dialect
        return csv.reader(
            (lines[i] + "\n" for i in range(start, len(lines))),
            delimiter=dialect.separator,
            quotechar=dialect.quote or None,
            quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
            skipinitialspace=dialect.skips_blanks,
            strict=True,
        )


def _quote_message(dialect: Dialect) -> str:
    return f"has text after a closing quote; double a quote that is part of a value ({dialect.quote * 2})"


def _is_blank(row: Sequence[str], width: int) -> bool:
    return not row or (width > 1 and len(row) == 1 and not row[0].strip())


def _is_utf8(block: bytes) -> bool:
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True


def _after_lines(block: bytes, count: int) -> bytes:
    """Return a block without its first lines."""
    offset = 0
    for _ in range(count):
        offset = block.find(b"\n", offset) + 1
        if not offset:
            return b""
    return block[offset:]


def _parse(block: bytes, dialect: Dialect, types: Sequence[Any]) -> "polars.DataFrame | None":
    """Return the values of a block without a header; None if Polars refuses it."""
    import polars as pl

    try:
        return pl.read_csv(
            block,
            has_header=False,
            separator=dialect.separator,
            quote_char=dialect.quote or None,
            schema={f"c{i}": dtype for i, dtype in enumerate(types)},
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None


def _with_type(column: "polars.Series", dtype: Any) -> "polars.Series | None":
    """Return a column of text with the type of the chunks before it; None if it holds something else."""
    import polars as pl

    if dtype == pl.String:
        return column
    numbers = as_numbers(column)
    is_wider = dtype == pl.Float64 and numbers.dtype == pl.Int64
    return numbers.cast(dtype) if numbers.dtype == dtype or is_wider or numbers.null_count() == len(numbers) else None


def _stripped(column: "polars.Series") -> "polars.Series":
    """Return text without surrounding whitespace, and null for blank text."""
    import polars as pl

    text = column.str.strip_chars()
    return text.set(text == "", None) if (text == "").any() else text.cast(pl.String)
