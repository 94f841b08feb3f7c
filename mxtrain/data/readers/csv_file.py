"""CSV reader: comma-separated, UTF-8, with a header."""

import csv
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from itertools import islice
from typing import BinaryIO

from mxtrain.data.readers.columns import Choose, Columns
from mxtrain.data.readers.type_inference import CellColumn
from mxtrain.errors import DataError
from mxtrain.names import is_unicode, nfc
from mxtrain.types import describe

_CHUNK_ROWS = 1024
"""Rows that are turned into columns at once."""


def read_csv(file: BinaryIO, source: str, choose: Choose) -> Columns:
    """Read columns; the others may hold anything.

    Blank lines are skipped, and blanks around names and values do not count. A blank cell is a missing value, and in
    a column of numbers so are `nan`, `NA`, `N/A`, `null` and `?`. A message calls a row by the line it begins at.

    Args:
        file: the file, open in binary.
        source: what messages call it.
        choose: says which columns to read, and as what.

    Raises:
        DataError: with the line and the column.

    Example:
        >>> from io import BytesIO
        >>> file = BytesIO(b"age,species\\n3,cat\\n,ant\\n")
        >>> columns = read_csv(file, "pets.csv", lambda _, names: dict.fromkeys(names))
        >>> columns.columns["age"].values.tolist(), columns.columns["species"].labels, columns.place(1)
        ([3.0, nan], ('cat', 'ant'), 'pets.csv:3')
    """
    with _unlimited_field_size():
        return _read_rows(_rows(_decode(file.read(), source), source), source, choose)


def _read_rows(rows: Iterator[tuple[int, list[str]]], source: str, choose: Choose) -> Columns:
    line, header = next(rows, (1, []))
    where = f"{source}:{line}"
    names = [nfc(name.strip()) for name in header]
    check_names(names, where, "is empty; the first line must name the columns")
    _check_separator(names, where)
    wanted = choose(where, names)
    check_selected_names(names, wanted, where)
    lines = array("q")

    def place(row: int) -> str:
        return f"{source}:{lines[row]}"

    index_of = {name: index for index, name in enumerate(names)}
    columns = [(index_of[name], CellColumn(name, kind, place)) for name, kind in wanted.items()]
    rows = (row for row in rows if len(names) == 1 or not _is_blank(row[1]))
    while chunk := list(islice(rows, _CHUNK_ROWS)):
        for line, cells in chunk:
            if len(cells) != len(names):
                raise DataError(f"{source}:{line}: must have {len(names)} values, as the header has, got {len(cells)}")
            lines.append(line)
        by_column = list(zip(*(cells for _, cells in chunk), strict=True))
        for index, column in columns:
            column.add(by_column[index])
    return Columns(source, {column.name: column.column() for _, column in columns}, place)


def _is_blank(cells: Sequence[str]) -> bool:
    return len(cells) == 1 and not cells[0].strip()


def check_names(names: Sequence[str], where: str, empty: str) -> None:
    """Refuse a header without names, or with names that are no text."""
    if not names:
        raise DataError(f"{where}: {empty}")
    if not all(map(is_unicode, names)):
        raise DataError(f"{where}: the names must be Unicode text, got half of a surrogate pair")


def check_selected_names(names: Sequence[str], wanted: Iterable[str], where: str) -> None:
    """Refuse to read a nameless column, or one whose name another has too; where nobody asks, both may be there."""
    times = Counter(names)
    for name in wanted:
        if not name:
            remedy = "name it, or say with data.features which columns to use"
            raise DataError(f"{where}: column {names.index('') + 1} has no name; {remedy}")
        if times[name] > 1:
            raise DataError(f"{where}: {times[name]} columns are named {describe(name)}; rename them")


def _check_separator(names: Sequence[str], where: str) -> None:
    for separator, plural in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(names) == 1 and separator in names[0]:
            raise DataError(f"{where}: is separated by {plural}; save it separated by commas")


def _decode(content: bytes, source: str) -> str:
    place = content.find(b"\0")
    if place < 0:
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            place = error.start
    line = content.count(b"\n", 0, place) + 1
    raise DataError(f"{source}:{line}: is not UTF-8 text; save it as UTF-8")


@contextmanager
def _unlimited_field_size() -> Iterator[None]:
    """The module `csv` refuses long ones, unless told otherwise, even in columns that nobody asked for."""
    usual = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(usual)


def _rows(text: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line that it begins at."""
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{source}:{line}: cannot be read as CSV: {error}") from None
