"""Typed columns of a table: the kind and the values of each, and all problems of the table at once."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mxtrain.config.data_section import ColumnKind
from mxtrain.data.kinds.cell_problems import CellProblem
from mxtrain.data.kinds.columns_left_out import LEFT_OUT
from mxtrain.data.kinds.detection import ColumnReader, Reading
from mxtrain.data.readers.columns import Column, Columns
from mxtrain.data.readers.raw_table import Problem, RawTable, problems_error

_NOTHING: Mapping[str, Collection[str]] = {}
_MANY_VALUES = 1_000_000
"""Number of values of a table from which its columns are read in threads."""
_MAX_MARKS = 12
"""Largest number of values that a remedy names; of more, it names one."""


def type_columns(
    raw: RawTable,
    wanted: Mapping[str, ColumnKind | None],
    missing_values: Collection[str] = (),
    decimal: str | None = None,
    kept: Mapping[str, Collection[str]] = _NOTHING,
) -> Columns:
    """Return the wanted columns of a table with their kinds and values.

    Args:
        raw: the table as it was read.
        wanted: the names of columns, each with its kind; None infers it from the values. Columns that turn out to be
            an identifier, free text, constant or an index are left out, with the reason.
        missing_values: marks of missing values in addition to the usual ones.
        decimal: the decimal mark, `.` or `,`; None finds it for each column.
        kept: for each column the categories that are never marks of missing values.

    Raises:
        DataError: a row is malformed, or a value does not suit its column; all such problems, each with its row.

    Example:
        >>> import polars as pl
        >>> data = {"age": pl.Series(["3", "-", "7"]), "note": pl.Series(["a", "a", "a"])}
        >>> raw = RawTable("pets.csv", data, lambda row: f"pets.csv:{row + 2}", "pets.csv:1", has_types=False)
        >>> columns = type_columns(raw, {"age": None, "note": None})
        >>> columns.columns["age"].values.tolist(), dict(columns.kinds)
        ([3.0, nan, 7.0], {'age': 'number', 'note': 'constant'})
        >>> columns.left_out
        {'note': 'constant: every row has the same value'}
    """
    found: list[tuple[str, CellProblem]] = []
    columns: dict[str, Column] = {}
    kinds: dict[str, ColumnKind] = {}
    left_out: dict[str, str] = {}
    decimal = decimal or raw.found.get("decimal")
    marks = frozenset(mark.strip().lower() for mark in missing_values)

    def read(name: str) -> Reading:
        values, is_row_names = raw.columns[name], raw.row_names == name
        reader = ColumnReader(name, values, raw.has_types, marks, decimal, is_row_names, kept.get(name, ()))
        kind = wanted[name]
        return reader.infer() if kind is None else reader.read_as(kind)

    for (name, kind), reading in zip(wanted.items(), _map_columns(read, wanted, len(raw)), strict=True):
        kinds[name] = reading.kind
        found += [(name, problem) for problem in reading.problems]
        if reading.column is not None:
            columns[name] = reading.column
        elif not reading.problems:
            has_values = raw.columns[name].null_count() < len(raw)
            left_out[name] = LEFT_OUT[reading.kind] if has_values or kind is not None else "it has no values"
    if raw.problems or found:
        raise problems_error([*raw.problems, *_located(raw, found, missing_values)])
    return Columns(raw.source, columns, raw.row_label, kinds, left_out, raw.found)


def _map_columns(read: Callable[[str], Reading], names: Collection[str], rows: int) -> Iterable[Reading]:
    """Return the columns, two at a time if they are long; NumPy and Polars release the lock of the interpreter."""
    if rows * len(names) < _MANY_VALUES:
        return map(read, names)
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(read, names))


def _located(raw: RawTable, found: Sequence[tuple[str, CellProblem]], known: Collection[str]) -> Iterator[Problem]:
    """Yield problems of columns with their location; the remedies name all marks of missing values together."""
    marks = list(dict.fromkeys([*known, *(problem.mark for _, problem in found if problem.mark is not None)]))
    for name, problem in found:
        place = raw.source if problem.row < 0 else raw.row_label(problem.row)
        shown = marks if len(marks) <= _MAX_MARKS else [*known, *filter(None, [problem.mark])]
        yield Problem(problem.row, f"{place}: column {name!r}", problem.explain(shown))


def resolved_fields(columns: Columns, targets: Collection[str]) -> Mapping[str, Any]:
    """Return the fields of `data` that describe a table as it was read: its format, and the kinds of its features.

    With them set, the table, and others like it, are read in the same way.

    Example:
        >>> columns = Columns("a.csv", {}, str, {"age": "number", "y": "category"}, found={"separator": ";"})
        >>> resolved_fields(columns, ["y"])
        {'separator': ';', 'columns': {'age': 'number'}}
    """
    kinds = {name: kind for name, kind in columns.kinds.items() if name not in targets}
    return {**columns.found, "columns": kinds} if kinds else columns.found
