"""JSON Lines reader: one JSON object per line."""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from mxtrain.data.readers.columns import Columns, ColumnSelector, check_header, check_selected_names
from mxtrain.data.readers.type_inference import ColumnBuilder
from mxtrain.errors import DataError
from mxtrain.names import nfc
from mxtrain.types import describe


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
