"""Reader of JSON tables: an array of objects, an object a line, or an object of columns."""

import json
from collections.abc import Iterator, Mapping, Sequence
from json.decoder import WHITESPACE  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any, BinaryIO

from mxtrain.data.readers.columns import check_header, check_width
from mxtrain.data.readers.raw_table import Problem, RawTable, problems_error
from mxtrain.data.readers.table_bytes import memory_limit
from mxtrain.data.readers.text_blocks import TextBlocks
from mxtrain.errors import DataError
from mxtrain.names import is_unicode, nfc
from mxtrain.types import describe

if TYPE_CHECKING:
    import polars

_MAX_INT = 2**63
_CELL_BYTES = 64
"""Memory of a value as a Python object."""


def read_json(stream: BinaryIO, source: str) -> RawTable:
    r"""Read a JSON table; a key that an object lacks is a missing value.

    An array of objects, objects on a line each, and an object of columns (lists, or objects by row as pandas writes
    them) are read. A column of several types is a column of Python objects.

    Args:
        stream: the content of the file.
        source: the name of the file in error messages.

    Raises:
        DataError: the file is not such a table. Malformed lines are in `RawTable.problems`.

    Example:
        >>> from io import BytesIO
        >>> table = read_json(BytesIO(b'[{"age": 3},\n {"age": null, "species": "cat"}]'), "pets.json")
        >>> {name: column.to_list() for name, column in table.columns.items()}, table.row_label(1)
        ({'age': [3, None], 'species': [None, 'cat']}, 'pets.json:2')
    """
    blocks = TextBlocks(stream, source, None)
    blocks.quote = ""
    content = b"".join(blocks)
    problems: list[Problem] = []
    if content.lstrip()[:1] == b"[":
        records = list(_array_records(content, source, problems))
    elif (columns := _columns_object(content)) is not None:
        return _table(columns, source, lambda row: f"{source}: row {row + 1}", problems)
    else:
        records = list(_line_records(content, source, problems))
    names = list(dict.fromkeys(name for _, record in records for name in record))
    if problems and not names:
        raise problems_error(problems)
    check_header(names, source, "is empty; it must be an array of objects, or hold an object a line")
    if len(names) * len(records) * _CELL_BYTES > memory_limit():
        size = f"{len(records):,} objects with {len(names):,} different names"
        raise DataError(
            f"{source}: holds {size}, too many values for this machine's memory; give each object the same names"
        )
    values = {name: [record.get(name) for _, record in records] for name in names}
    lines = [line for line, _ in records]
    if len(records) > 1 and lines[-1] == lines[0]:
        return _table(values, source, lambda row: f"{source}: object {row + 1}", problems)
    return _table(values, source, lambda row: f"{source}:{lines[row]}", problems)


def _table(values: Mapping[str, Sequence[Any]], source: str, row_label: Any, problems: list[Problem]) -> RawTable:
    check_width(len(values), source)
    columns = {name: series_of_values(name, column) for name, column in values.items()}
    return RawTable(source, columns, row_label, source, has_types=True, problems=problems)


def series_of_values(name: str, values: Sequence[Any]) -> "polars.Series":
    """Return a column of Python values with their common type: integers, floats, booleans or text, else objects."""
    import polars as pl

    kinds = {type(value) for value in values} - {type(None)}
    if not kinds:
        return pl.Series(name, [None] * len(values), pl.Null)
    if kinds == {bool}:
        return pl.Series(name, values, pl.Boolean)
    if kinds == {str} and all(value is None or is_unicode(value) for value in values):
        return pl.Series(name, values, pl.String)
    if kinds == {int} and all(value is None or -_MAX_INT <= value < _MAX_INT for value in values):
        return pl.Series(name, values, pl.Int64)
    if kinds <= {int, float} and all(value is None or abs(value) <= 2**53 or value != value for value in values):
        return pl.Series(name, [None if value is None else float(value) for value in values], pl.Float64)
    if kinds == {float}:
        return pl.Series(name, values, pl.Float64)
    return pl.Series(name, values, pl.Object)


def _columns_object(content: bytes) -> dict[str, list[Any]] | None:
    """Return the columns of a file that is one object of columns; None for other files."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not found:
        return None
    if all(isinstance(column, list) for column in found.values()):
        columns = {nfc(name): column for name, column in found.items()}
    elif all(isinstance(column, dict) for column in found.values()):
        rows = list(dict.fromkeys(row for column in found.values() for row in column))
        columns = {nfc(name): [column.get(row) for row in rows] for name, column in found.items()}
    else:
        return None
    return columns if len({len(column) for column in columns.values()}) == 1 else None


def _line_records(content: bytes, source: str, problems: list[Problem]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each object of a file with an object a line, with its line; an empty one for a malformed line."""
    row = 0
    for line, text in enumerate(content.split(b"\n"), 1):
        if not text.strip():
            continue
        record, problem = _parse_object(text)
        if problem is not None:
            problems.append(Problem(row, f"{source}:{line}", problem))
        yield line, record
        row += 1


def _parse_object(text: bytes) -> tuple[dict[str, Any], str | None]:
    """Return the object of a line, and what is wrong with it."""
    try:
        found = json.loads(text.decode(), object_pairs_hook=_object_of_pairs)
    except UnicodeDecodeError:
        return {}, "is not UTF-8 text; save it as UTF-8"
    except json.JSONDecodeError as error:
        return {}, f"is not JSON: {error.msg} at column {error.colno}"
    except RecursionError:
        return {}, "is nested too deeply"
    except ValueError as error:
        return {}, f"cannot be read: {str(error).splitlines()[0]}"
    return (found, None) if isinstance(found, dict) else ({}, f"must be a JSON object, got {describe(found)}")


def _array_records(content: bytes, source: str, problems: list[Problem]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each object of an array with its line."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{source}:{line}: is not UTF-8 text; save it as UTF-8") from None
    decoder = json.JSONDecoder(object_pairs_hook=_object_of_pairs)
    offset = _skip(text, text.index("[") + 1)
    line, counted, row = 1, 0, 0
    while text[offset : offset + 1] != "]":
        line, counted = line + text.count("\n", counted, offset), offset
        try:
            found, offset = decoder.raw_decode(text, offset)
        except json.JSONDecodeError as error:
            raise DataError(f"{source}:{error.lineno}: is not JSON: {error.msg} at column {error.colno}") from None
        except (ValueError, RecursionError) as error:
            reason = "is nested too deeply" if isinstance(error, RecursionError) else f"cannot be read: {error}"
            raise DataError(f"{source}:{line}: {reason}") from None
        if not isinstance(found, dict):
            problems.append(
                Problem(row, f"{source}:{line}: object {row + 1}", f"must be a JSON object, got {describe(found)}")
            )
            found = {}
        yield line, found
        row, offset = row + 1, _skip(text, offset)
        if text[offset : offset + 1] == ",":
            offset = _skip(text, offset + 1)
        elif text[offset : offset + 1] != "]":
            raise DataError(f"{source}:{line}: is not JSON: the array is not closed, or lacks a comma")
    if (end := _skip(text, offset + 1)) < len(text):
        line = text.count("\n", 0, end) + 1
        got = describe(text[end : end + 20].strip())
        raise DataError(f"{source}:{line}: must end after the array, got {got}; write all objects into one array")


def _skip(text: str, offset: int) -> int:
    return int(WHITESPACE.match(text, offset).end())


def _object_of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = {nfc(name): value for name, value in pairs}
    if len(found) < len(pairs):
        raise ValueError("one name appears twice in an object")
    return found
