"""Reading of table files of all formats as a `RawTable`."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from mxtrain.data.readers.dialect import FormatSettings
from mxtrain.data.readers.frame_files import FRAME_FORMATS, frame_format, read_frame
from mxtrain.data.readers.json_table import read_json
from mxtrain.data.readers.plain_numbers import as_numbers
from mxtrain.data.readers.raw_table import Problem, RawTable, check_polars
from mxtrain.data.readers.table_bytes import STDIN, expand_paths, memory_limit, open_table, share_read
from mxtrain.data.readers.text_table import ColumnTypeError, TextChunk, TextTable
from mxtrain.errors import DataError
from mxtrain.names import is_unicode
from mxtrain.types import describe

if TYPE_CHECKING:
    import polars

_ROW_NAMES = "row_names"
"""The name of a first column that the header does not name."""
_JSON = (".json", ".jsonl", ".ndjson")
_SAMPLE_CHUNKS = 4
"""Number of chunks after which the memory of the whole table is estimated."""
_UNEVEN = 4
"""Factor by which the rest of a compressed file may need less memory than its beginning."""
_CHUNK_ROWS = 100_000
"""Number of rows of a chunk of a table that is read as a whole."""


def read_raw(source: str, settings: FormatSettings) -> RawTable:
    """Read a table file, several files of one shape, or standard input.

    The content decides between the formats, and the suffix where it does not: text tables, JSON arrays and lines,
    Parquet, Arrow, and spreadsheets, each also compressed with gzip, bzip2, xz, Zstandard, or as the one file of a zip
    archive.

    Args:
        source: a path, in which `~` and `${VAR}` are replaced; a pattern such as `part-*.csv`; or `-` for standard
            input.
        settings: the format of the file, as far as it is known.

    Raises:
        DataError: the file is missing, cannot be read, or is larger than half of the memory. Malformed rows are in
            `RawTable.problems`.

    Example:
        >>> import tempfile
        >>> from mxtrain.config.data_section import DataConfig
        >>> path = f"{tempfile.mkdtemp()}/pets.csv"
        >>> _ = Path(path).write_text("age;species\\n3,5;cat\\n;ant\\n")
        >>> table = read_raw(path, DataConfig(source="digits"))
        >>> table.names, table.columns["age"].to_list(), table.found["decimal"]
        (['age', 'species'], ['3,5', None], ',')
    """
    check_polars(source)
    tables = [_read_file(path, settings) for path in expand_paths(source)]
    return tables[0] if len(tables) == 1 else _concatenate(source, tables)


def raw_chunks(source: str, settings: FormatSettings) -> Iterator[RawTable]:
    """Yield a table in chunks, so that it need not fit in memory; see `read_raw`.

    Text tables are read in chunks of about 16 MiB, whose values are text, also those of numbers. Other formats are read
    as a whole, and are divided. `Problem.row` counts from the first row of a chunk.

    Args:
        source: as for `read_raw`.
        settings: the format of the file, as far as it is known.
    """
    check_polars(source)
    for path in expand_paths(source):
        with open_table(path) as (stream, name):
            kind = _format(stream, name)
            if kind == "text":
                table = TextTable(stream, _label(path), settings)
                for chunk in table.chunks():
                    yield _raw_text(table, [chunk], _label(path), is_whole=False)
                continue
        whole = _read_file(path, settings)
        for start in range(0, max(len(whole), 1), _CHUNK_ROWS):
            yield _slice(whole, start)


def _read_file(path: str, settings: FormatSettings) -> RawTable:
    label = _label(path)
    with open_table(path, memory_limit()) as (stream, name):
        kind = _format(stream, name)
        if kind == "json":
            return read_json(stream, label)
        if kind != "text":
            return read_frame(stream, label, kind)
        table = TextTable(stream, label, settings)
        as_text: Collection[int] = ()
        try:
            chunks = _within_memory(table.chunks(with_numbers=path != STDIN), stream, label)
        except ColumnTypeError as error:
            as_text = error.columns
    if as_text:
        with open_table(path, memory_limit()) as (stream, _):
            table = TextTable(stream, label, settings)
            chunks = _within_memory(table.chunks(with_numbers=True, as_text=as_text), stream, label)
    return _raw_text(table, chunks, label, is_whole=True)


def _within_memory(chunks: Iterable[TextChunk], stream: BinaryIO, source: str) -> list[TextChunk]:
    """Return the chunks of a table; a DataError if they need, or are about to need, more than half of the memory.

    The first chunks and the share of the file that they take tell how much the whole needs, so that a file of a few MB
    that expands to billions of rows is refused at once.
    """
    found, size, limit = [], 0, memory_limit()
    for chunk in chunks:
        found.append(chunk)
        size += len(chunk.lines) * 16 * (len(chunk.columns) + 1)
        share = share_read(stream) if len(found) > _SAMPLE_CHUNKS else None
        expected = max(size, size / share / _UNEVEN if share else 0)
        if expected > limit:
            remedy = "split it, or save its numbers as a folder of .npy arrays, which are read batch by batch"
            raise DataError(
                f"{source}: needs more than {limit / 2**30:.3g} GiB, half of this machine's memory; {remedy}"
            )
    return found


def _label(path: str) -> str:
    return "standard input" if path == STDIN else path


def _format(stream: BinaryIO, name: str) -> str:
    """Return the format of a file by its first bytes, or by the suffix of its name."""
    head = stream.peek(16)[:16]  # type: ignore[attr-defined]
    suffix = Path(name).suffix.lower()
    if kind := frame_format(head, suffix):
        return kind
    if suffix in FRAME_FORMATS:
        return FRAME_FORMATS[suffix]
    begins_json = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") and suffix in ("", ".txt", ".data")
    return "json" if suffix in _JSON or begins_json else "text"


def _raw_text(table: TextTable, chunks: Sequence[TextChunk], source: str, is_whole: bool) -> RawTable:
    """Return the chunks of a text table as one table, with plain numbers converted if it is whole."""
    import polars as pl

    dialect = table.dialect
    problems, names = _names(dialect.names, table.header)
    if dialect.row_names:
        names = [_unused(_ROW_NAMES, names), *names]
    starts = np.cumsum([0, *(len(chunk.lines) for chunk in chunks)])
    for start, chunk in zip(starts, chunks, strict=False):
        problems += [Problem(int(start) + problem.row, problem.where, problem.message) for problem in chunk.problems]
    if (summary := _mismatch_summary(table, len(problems), int(starts[-1]))) is not None:
        problems.append(summary)
    lines = np.concatenate([chunk.lines for chunk in chunks]) if chunks else np.zeros(0, dtype=np.int64)
    parts = [chunk.columns for chunk in chunks]
    columns: dict[str, polars.Series] = {}
    can_convert = is_whole and dialect.decimal != ","
    for index, name in enumerate(names):
        column = _joined([part[index] for part in parts], name)
        for part in parts:  # so that text and numbers of one column are in memory at a time
            part[index] = part[index].clear()
        columns[name] = as_numbers(column) if can_convert and column.dtype == pl.String else column
    if dialect.names and dialect.names[-1] == "" and columns[names[-1]].null_count() == len(lines):
        del columns[names[-1]]
    return RawTable(
        source=source,
        columns=columns,
        row_label=lambda row: f"{source}:{lines[row]}",
        header=table.header,
        has_types=False,
        row_names=names[0] if dialect.row_names else None,
        found=table.found,
        problems=problems,
    )


def _mismatch_summary(table: TextTable, malformed: int, rows: int) -> Problem | None:
    """Return the problem of a table most of whose rows are malformed, as with text above the header."""
    if malformed < 10 or 2 * malformed < rows:
        return None
    separator = describe(table.dialect.separator)
    remedy = "delete lines that are not part of the table, or set data.separator, data.header or data.comment"
    return Problem(
        -1, table.header, f"{malformed:,} of {rows:,} rows do not match this line, split by {separator}; {remedy}"
    )


def _joined(parts: Sequence["polars.Series"], name: str) -> "polars.Series":
    import polars as pl

    if not parts:
        return pl.Series(name, [], pl.String)
    return pl.concat(parts, rechunk=False).alias(name)


def _names(names: Sequence[str], header: str) -> tuple[list[Problem], list[str]]:
    """Return unique names of columns, and the problems of names that are not unique."""
    problems = []
    if not all(map(is_unicode, names)):
        raise DataError(f"{header}: the names must be Unicode text, got an unpaired surrogate")
    for name, times in Counter(names).items():
        if name and times > 1:
            problems.append(Problem(-1, header, f"{times} columns are named {describe(name)}; rename them"))
    unique: dict[str, None] = {}
    for index, name in enumerate(names):
        wanted = name or f"unnamed_{index}"
        unique[wanted if wanted not in unique else _unused(f"{wanted}_{index}", unique)] = None
    return problems, list(unique)


def _unused(name: str, names: Collection[str]) -> str:
    while name in names:
        name += "_"
    return name


def _slice(table: RawTable, start: int) -> RawTable:
    columns = {name: column.slice(start, _CHUNK_ROWS) for name, column in table.columns.items()}
    inside = [problem for problem in table.problems if problem.row < 0 or start <= problem.row < start + _CHUNK_ROWS]
    problems = [Problem(max(problem.row - start, -1), problem.where, problem.message) for problem in inside]
    return RawTable(
        table.source,
        columns,
        lambda row: table.row_label(row + start),
        table.header,
        table.has_types,
        table.row_names,
        table.found,
        problems,
    )


def _concatenate(source: str, tables: Sequence[RawTable]) -> RawTable:
    """Return the rows of several files as one table; each file must have the columns of the first."""
    import polars as pl

    first = tables[0]
    problems: list[Problem] = []
    starts = np.cumsum([0, *map(len, tables)])
    for start, table in zip(starts, tables, strict=False):
        if set(table.names) != set(first.names):
            different = sorted(set(table.names) ^ set(first.names))
            names = ", ".join(map(describe, different[:5]))
            message = f"must have the columns of {first.source}, and differs in {names}"
            raise DataError(f"{table.header}: {message}")
        problems += [
            Problem(problem.row if problem.row < 0 else int(start) + problem.row, problem.where, problem.message)
            for problem in table.problems
        ]
    columns = {}
    for name in first.names:
        parts = [table.columns[name] for table in tables]
        if len({part.dtype for part in parts}) > 1:
            parts = _with_one_dtype(parts)
        columns[name] = pl.concat(parts, rechunk=False)

    def row_label(row: int) -> str:
        index = int(np.searchsorted(starts, row, side="right")) - 1
        return tables[index].row_label(row - int(starts[index]))

    found = _common_format(tables)
    return RawTable(source, columns, row_label, first.header, first.has_types, first.row_names, found, problems)


def _with_one_dtype(parts: Sequence["polars.Series"]) -> list["polars.Series"]:
    import polars as pl

    if all(part.dtype.is_numeric() or part.dtype == pl.Null for part in parts):
        return [part.cast(pl.Float64) for part in parts]
    return [part.cast(pl.String) for part in parts]


def _common_format(tables: Sequence[RawTable]) -> dict[str, Any]:
    """Return the fields of the format that all files share; the others are detected in each file, also in later runs.

    Raises:
        DataError: the files have different decimal marks, so that 1.234 may be two numbers.
    """
    first = tables[0].found
    found = {name: value for name, value in first.items() if all(each.found.get(name) == value for each in tables)}
    marks = {each.found["decimal"]: each for each in reversed(tables) if each.found.get("decimal") is not None}
    if len(marks) > 1:
        comma, point = marks[","], marks["."]
        message = f"has decimal commas, and {point.source} has decimal points; write all files alike"
        raise DataError(f"{comma.header}: {message}")
    return found | ({"decimal": next(iter(marks))} if marks else {})
