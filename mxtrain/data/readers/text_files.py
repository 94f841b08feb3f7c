"""Readers of CSV files and JSON lines."""

import csv
import json
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from itertools import islice
from typing import Any, BinaryIO

from mxtrain.data.readers.columns import Columns, ColumnSelector, check_header, check_selected_names
from mxtrain.data.readers.type_inference import ColumnBuilder
from mxtrain.errors import DataError
from mxtrain.names import nfc
from mxtrain.types import describe

_CHUNK_ROWS = 1024
"""Number of rows that are converted to columns at once."""


def read_csv(file: BinaryIO, source: str, select: ColumnSelector) -> Columns:
    """Read the selected columns of a CSV file; other columns may hold anything.

    Blank lines are skipped, and whitespace around names and values is removed. A blank cell is a missing value, and in
    a column of numbers so are `nan`, `NA`, `N/A`, `null` and `?`. Error messages name a row by its first line.

    Args:
        file: the file, open in binary mode.
        source: the name of the file in error messages.
        select: returns the columns to read, and their kinds.

    Raises:
        DataError: the file is not valid CSV, or a value is invalid; with the line and the column.

    Example:
        >>> from io import BytesIO
        >>> file = BytesIO(b"age,species\\n3,cat\\n,ant\\n")
        >>> columns = read_csv(file, "pets.csv", lambda _, names: dict.fromkeys(names))
        >>> columns.columns["age"].values.tolist(), columns.columns["species"].labels, columns.row_label(1)
        ([3.0, nan], ('cat', 'ant'), 'pets.csv:3')
    """
    with _unlimited_field_size():
        return _read_rows(_rows(_decode(file.read(), source), source), source, select)


def _read_rows(rows: Iterator[tuple[int, list[str]]], source: str, select: ColumnSelector) -> Columns:
    line, header = next(rows, (1, []))
    where = f"{source}:{line}"
    names = [nfc(name.strip()) for name in header]
    check_header(names, where, "is empty; the first line must name the columns")
    _check_separator(names, where)
    kinds = select(where, names)
    check_selected_names(names, kinds, where)
    lines = array("q")

    def row_label(row: int) -> str:
        return f"{source}:{lines[row]}"

    index_of = {name: index for index, name in enumerate(names)}
    builders = [
        (index_of[name], ColumnBuilder(name, kind, row_label, source_has_types=False)) for name, kind in kinds.items()
    ]
    rows = (row for row in rows if len(names) == 1 or not _is_blank(row[1]))
    while chunk := list(islice(rows, _CHUNK_ROWS)):
        for line, cells in chunk:
            if len(cells) != len(names):
                raise DataError(f"{source}:{line}: must have {len(names)} values, as the header has, got {len(cells)}")
            lines.append(line)
        cells_of_columns = list(zip(*(cells for _, cells in chunk), strict=True))
        for index, builder in builders:
            builder.extend(cells_of_columns[index])
    return Columns(source, {builder.name: builder.column() for _, builder in builders}, row_label)


def _is_blank(cells: Sequence[str]) -> bool:
    return len(cells) == 1 and not cells[0].strip()


def _check_separator(names: Sequence[str], where: str) -> None:
    for separator, plural in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(names) == 1 and separator in names[0]:
            raise DataError(f"{where}: is separated by {plural}; save it separated by commas")


def _decode(content: bytes, source: str) -> str:
    offset = content.find(b"\0")
    if offset < 0:
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            offset = error.start
    line = content.count(b"\n", 0, offset) + 1
    raise DataError(f"{source}:{line}: is not UTF-8 text; save it as UTF-8")


@contextmanager
def _unlimited_field_size() -> Iterator[None]:
    """Lift the limit of the csv module, which also applies to columns that are not selected."""
    limit = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _rows(text: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with its first line."""
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{source}:{line}: cannot be read as CSV: {error}") from None


def read_json_lines(file: BinaryIO, source: str, select: ColumnSelector) -> Columns:
    """Read the selected columns of a JSON Lines file; other columns may hold anything.

    A key that an object lacks, `null` and blank text are missing values. Blank lines are skipped. Error messages name
    a row by its line.

    Args:
        file: the file, open in binary mode.
        source: the name of the file in error messages.
        select: returns the columns to read, and their kinds.

    Raises:
        DataError: a line is not a JSON object, or a value is invalid; with the line and the column.

    Example:
        >>> from io import BytesIO
        >>> file = BytesIO(b'{"age": 3, "species": "cat"}\\n{"species": "ant"}\\n')
        >>> columns = read_json_lines(file, "pets.jsonl", lambda _, names: dict.fromkeys(names))
        >>> columns.columns["age"].values.tolist(), columns.columns["species"].labels
        ([3.0, nan], ('cat', 'ant'))
    """
    lines, objects = [], []
    for line, found in _objects(file, source):
        lines.append(line)
        objects.append(found)
    names = list(dict.fromkeys(name for found in objects for name in found))
    check_header(names, source, "is empty; each line must be a JSON object with a sample's values")

    def row_label(row: int) -> str:
        return f"{source}:{lines[row]}"

    columns = {}
    kinds = select(source, names)
    check_selected_names(names, kinds, source)
    for name, kind in kinds.items():
        builder = ColumnBuilder(name, kind, row_label)
        builder.extend([found.get(name) for found in objects])
        columns[name] = builder.column()
    return Columns(source, columns, row_label)


def _objects(file: BinaryIO, source: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each object with its line."""
    for line, content in enumerate(file, 1):
        try:
            text = content.decode("utf-8-sig" if line == 1 else "utf-8").strip()
            if not text:
                continue
            found = json.loads(text, object_pairs_hook=_object_of_pairs)
        except UnicodeDecodeError:
            raise DataError(f"{source}:{line}: is not UTF-8 text; save it as UTF-8") from None
        except json.JSONDecodeError as error:
            raise DataError(f"{source}:{line}: is not JSON: {error.msg} at column {error.colno}") from None
        except RecursionError:
            raise DataError(f"{source}:{line}: is nested too deeply") from None
        except ValueError as error:
            raise DataError(f"{source}:{line}: cannot be read: {str(error).splitlines()[0]}") from None
        if not isinstance(found, dict):
            raise DataError(f"{source}:{line}: must be a JSON object, got {describe(found)}")
        yield line, found


def _object_of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = {nfc(name): value for name, value in pairs}
    if len(found) < len(pairs):
        raise ValueError("one name appears twice in an object")
    return found
