"""Tables from CSV files: comma-separated, UTF-8, with a header."""

import csv
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from io import StringIO
from math import isfinite
from typing import BinaryIO

import numpy as np

from mxtrain.data.classes import is_label, number_classes
from mxtrain.data.table import Table, choose_features
from mxtrain.errors import DataError
from mxtrain.types import describe


def read_csv(file: BinaryIO, source: str, target: str, features: Sequence[str] | None, classes: bool) -> Table:
    """Read a table. Chosen columns must have every value; the others may hold anything.

    Blank lines are skipped, and blanks around names and values do not count.

    Args:
        file: the file, open in binary.
        source: what errors call it.
        target: the column to predict.
        features: the columns to predict from; None takes all the others.
        classes: whether the target names classes or is a number.

    Raises:
        DataError: with the line and the column.

    Example:
        >>> from io import BytesIO
        >>> file = BytesIO(b"age,species\\n3,cat\\n5,ant\\n")
        >>> table = read_csv(file, "pets.csv", "species", None, classes=True)
        >>> table.class_names, table.targets.tolist(), table.inputs.tolist()
        (('ant', 'cat'), [1, 0], [[3.0], [5.0]])
    """
    rows = _rows(_decode(file.read(), source), source)
    header_line, header = next(rows, (1, []))
    names = [name.strip() for name in header]
    _check_header(names, f"{source}:{header_line}")
    chosen = choose_features(f"{source}:{header_line}", "column", names, target, features)
    columns, target_column = [names.index(name) for name in chosen], names.index(target)

    inputs, numbers, codes, labels = array("d"), array("d"), array("q"), dict[str, int]()
    for line, cells in rows:
        if len(cells) != len(names):
            raise DataError(f"{source}:{line}: must have {len(names)} values, as the header has, got {len(cells)}")
        for column in columns:
            inputs.append(_number(cells[column], source, line, names[column]))
        if classes:
            label = _label(cells[target_column], source, line, target)
            codes.append(labels.setdefault(label, len(labels)))
        else:
            numbers.append(_number(cells[target_column], source, line, target))
    if not inputs:
        raise DataError(f"{source}: has a header but no samples")

    matrix = np.frombuffer(inputs).reshape(-1, len(columns))
    if not classes:
        return Table(matrix, np.frombuffer(numbers), chosen, target)
    where = f"{source}: column {target!r}"
    class_names, targets = number_classes(list(labels), np.frombuffer(codes, dtype=np.int64), where)
    return Table(matrix, targets, chosen, target, class_names)


def _decode(content: bytes, source: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{source}:{line}: is not UTF-8 text; save it as UTF-8") from None


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


def _check_header(names: list[str], where: str) -> None:
    if not names:
        raise DataError(f"{where}: is empty; the first line must name the columns")
    if "" in names:
        raise DataError(f"{where}: column {names.index('') + 1} has no name")
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise DataError(f"{where}: {times} columns are named {name!r}")


def _number(cell: str, source: str, line: int, column: str) -> float:
    try:
        number = float(cell)
        if isfinite(number) and "_" not in cell:
            return number
    except ValueError:
        number = 0.0
    raise _misfit(cell, "a number" if isfinite(number) else "a finite number", source, line, column)


def _label(cell: str, source: str, line: int, column: str) -> str:
    if not is_label(cell):
        raise _misfit(cell, "the name or number of a class", source, line, column)
    return cell.strip()


def _misfit(cell: str, expected: str, source: str, line: int, column: str) -> DataError:
    problem = f"must be {expected}, got {describe(cell)}" if cell.strip() else "a value is missing"
    return DataError(f"{source}:{line}: column {column!r}: {problem}")
