"""Typed columns of a table: the kind and the values of each, and all problems of the table at once."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mxtrain.config.data_section import ColumnKind
from mxtrain.data.kinds.cell_problems import CellProblem
from mxtrain.data.kinds.dates import order_of
from mxtrain.data.kinds.detection import ColumnReader
from mxtrain.data.kinds.left_out import LEFT_OUT, Reading
from mxtrain.data.readers.columns import Column, Columns, DateColumn, NumericColumn
from mxtrain.data.readers.raw_table import Problem, RawTable, check_polars, problems_error

_MANY_VALUES = 1_000_000
"""Number of values of a table from which its columns are read in threads."""
_MAX_MARKS = 12
"""Largest number of values that a remedy names; of more, it names one."""


@dataclass(frozen=True, slots=True)
class ValueFormats:
    """Known spellings of values.

    Attributes:
        missing_values: marks of missing values in addition to the usual ones.
        decimal: the decimal mark, `.` or `,`; None finds it for each column.
        thousands: the separator of thousands, empty for none; None for the usual ones.
        date_formats: the formats of columns of dates; None for one that a model was trained on without texts, so that
            the order of day and month must not be guessed.
        kept: for each column the categories that are never marks of missing values.
        named: the features that the user named, which are not left out as identifiers, row numbers or constants.
        is_fixed: True for the inputs of a trained model, for which no further mark of missing values can be set.
    """

    missing_values: Collection[str] = ()
    decimal: str | None = None
    thousands: str | None = None
    date_formats: Mapping[str, str | None] = field(default_factory=dict)
    kept: Mapping[str, Collection[str]] = field(default_factory=dict)
    named: Collection[str] = ()
    is_fixed: bool = False


DETECTED = ValueFormats()
"""Nothing is known of the spelling of values."""


def type_columns(raw: RawTable, wanted: Mapping[str, ColumnKind | None], formats: ValueFormats = DETECTED) -> Columns:
    """Return the wanted columns of a table with their kinds and values.

    Args:
        raw: the table as it was read.
        wanted: the names of columns, each with its kind; None infers it from the values. Columns that turn out to be
            an identifier, free text, constant or an index are left out, with the reason.
        formats: what is known of the spelling of values.

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

    if any(not raw.columns[name].dtype.is_numeric() for name in wanted):
        check_polars(raw.source)

    def read(name: str) -> Reading:
        reader, kind = _reader(raw, name, formats), wanted[name]
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
        raise problems_error([*raw.problems, *_located(raw, found, formats)])
    columns |= _in_the_order_of_others(raw, columns, formats)
    notes = tuple(_decimal_notes(raw, columns, formats))
    return Columns(raw.source, columns, raw.row_label, kinds, left_out, raw.found, notes=notes)


def _map_columns(read: Callable[[str], Reading], names: Collection[str], rows: int) -> Iterable[Reading]:
    """Return the columns, two at a time if they are long; NumPy and Polars release the lock of the interpreter."""
    if rows * len(names) < _MANY_VALUES:
        return map(read, names)
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(read, names))


def _reader(raw: RawTable, name: str, formats: ValueFormats) -> ColumnReader:
    decimal = formats.decimal or raw.found.get("decimal")
    return ColumnReader(
        name=name,
        values=raw.columns[name],
        has_types=raw.has_types,
        marks=frozenset(mark.strip().lower() for mark in formats.missing_values),
        decimal=decimal,
        row_names=raw.row_names == name,
        kept=formats.kept.get(name, ()),
        date_format=formats.date_formats.get(name),
        day_first=decimal == ",",  # countries with a decimal comma write the day first
        thousands=formats.thousands,
        is_named=name in formats.named,
        needs_order=name in formats.date_formats and formats.date_formats[name] is None,
    )


def use_only_columns(columns: Columns, raw: RawTable, formats: ValueFormats, others: Collection[str]) -> Columns:
    """Return columns with those of numbers that identify or count the rows, if no other feature is left.

    Args:
        columns: the columns of a table.
        raw: the table as it was read.
        formats: what is known of the spelling of values.
        others: the columns that are no features, such as the target.

    Example:
        >>> import polars as pl
        >>> data = {"index": pl.Series([str(i) for i in range(12)]), "y": pl.Series([str(i % 5) for i in range(12)])}
        >>> raw = RawTable("a.csv", data, str, "a.csv:1", has_types=False)
        >>> columns = type_columns(raw, {"index": None, "y": "number"})
        >>> columns.kinds["index"], use_only_columns(columns, raw, DETECTED, ["y"]).kinds["index"]
        ('index', 'number')
    """
    candidates = [name for name in columns.left_out if columns.kinds[name] in ("index", "identifier")]
    if not candidates or any(name not in others for name in columns.columns):
        return columns
    formats = replace(formats, named=candidates)
    found = type_columns(raw, dict.fromkeys(candidates), formats)
    used = {name: column for name, column in found.columns.items() if isinstance(column, NumericColumn)}
    notes = [f"column {name!r}: is used, as the only feature, although {columns.left_out[name]}" for name in used]
    return replace(
        columns,
        columns={**used, **columns.columns},
        kinds={**columns.kinds, **{name: found.kinds[name] for name in used}},
        left_out={name: reason for name, reason in columns.left_out.items() if name not in used},
        notes=(*columns.notes, *notes),
    )


def _decimal_notes(raw: RawTable, columns: Mapping[str, Column], formats: ValueFormats) -> Iterator[str]:
    """Yield a message for each column of numbers whose points may separate thousands."""
    if raw.found.get("separator") != ";" or formats.decimal or formats.thousands is not None or "decimal" in raw.found:
        return
    for name, column in columns.items():
        if not isinstance(column, NumericColumn):
            continue
        values = np.abs(column.values[~column.missing])
        pointed = values[values != np.round(values)]
        if len(pointed) and ((pointed > 1) & (pointed < 1000) & (np.round(pointed, 3) == pointed)).all():
            example = f"{pointed[0]:.3f}"
            remedy = "set data.decimal: ',' if it separates thousands"
            yield f"column {name!r}: the point of {example} is taken for a decimal point; {remedy}"


def _in_the_order_of_others(raw: RawTable, columns: Mapping[str, Column], formats: ValueFormats) -> dict[str, Column]:
    """Return the dates whose order of day and month is shown only by other columns of the table."""
    dates = {name: column for name, column in columns.items() if isinstance(column, DateColumn) and column.format}
    orders = {order_of(column.format or "") for column in dates.values() if column.other_format is None} - {None}
    if len(orders) != 1:
        return {}
    changed: dict[str, Column] = {}
    for name, column in dates.items():
        if column.other_format is None:
            continue
        if order_of(column.format or "") in orders:
            changed[name] = replace(column, other_format=None)
            continue
        reading = replace(_reader(raw, name, formats), date_format=column.other_format).read_as("date")
        changed[name] = reading.column or column
    return changed


def _located(raw: RawTable, found: Sequence[tuple[str, CellProblem]], formats: ValueFormats) -> Iterator[Problem]:
    """Yield problems of columns with their location; the remedies name all marks of missing values together."""
    known = formats.missing_values
    marks = list(dict.fromkeys([*known, *(problem.mark for _, problem in found if problem.mark is not None)]))
    for name, problem in found:
        place = raw.source if problem.row < 0 else raw.row_label(problem.row)
        shown = marks if len(marks) <= _MAX_MARKS else [*known, *filter(None, [problem.mark])]
        yield Problem(problem.row, f"{place}: column {name!r}", problem.explain(None if formats.is_fixed else shown))


def resolved_fields(columns: Columns, targets: Collection[str]) -> Mapping[str, Any]:
    """Return the fields of `data` that describe a table as it was read: its format, and the kinds of its features.

    With them set, the table, and others like it, are read in the same way. Dates have their formats.

    Example:
        >>> columns = Columns("a.csv", {}, str, {"age": "number", "y": "category"}, found={"separator": ";"})
        >>> resolved_fields(columns, ["y"])
        {'separator': ';', 'columns': {'age': 'number'}}
    """
    kinds = {name: kind for name, kind in columns.kinds.items() if name not in targets}
    dates = {name: column for name, column in columns.columns.items() if isinstance(column, DateColumn)}
    formats = {name: column.format for name, column in dates.items() if column.format is not None}
    found = {**columns.found, "date_format": formats} if formats else columns.found
    return {**found, "columns": kinds} if kinds else found
