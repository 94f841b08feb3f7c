"""Type inference: columns of numbers or text, built from cells or Python values."""

import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import inf, isfinite, isnan, nan
from typing import TypeAlias, cast

import numpy as np

from mxtrain.data.readers.columns import CategoricalColumn, Column, Kind, NumericColumn, RowLabel
from mxtrain.data.readers.values import MISSING_VALUE_SPELLINGS, value_key
from mxtrain.errors import DataError
from mxtrain.names import is_unicode
from mxtrain.types import describe

_Scalar: TypeAlias = str | bool | int | float

AS_TEXT_REMEDY = "correct it, or, to take the whole column as text, name it in data.categorical"
"""The remedy for a column of which only some values are numbers."""

_DTYPES: Mapping[str, type] = {"str": str, "bool": bool, "int64": int, "float64": float}
"""Names of dtypes, and the types of their values; `bool` is a subclass of `int`, so it comes first."""

_FORMATTED_NUMBER = re.compile(
    r"[-+\u2212]?[$€£¥]?\s?"
    r"(\d+(\.\d+)?|\d+,\d+|\d{1,3}([,'\u2019\s]\d{3})+([.,]\d+)?|\d{1,3}(\.\d{3})+,\d+)"
    r"\s?[%$€£¥]?"
)
"""Numbers that are formatted for people, which `float` does not read: `1,234`, `0,5`, `5%`, `$3`."""


class ColumnBuilder:
    """Builder of a column from values that arrive in chunks.

    If `kind` is None, the first value that is not missing decides whether the column holds numbers or text, and a
    later value of the other kind is an error. Whitespace around text is removed, and blank text is missing.

    In a source with types (JSON, Python, Arrow), None and NaN are missing too, text is never a number, and booleans are
    the text `true` or `false`. In a column that is declared as text, dates, times and decimals are text too.

    In a source without types (CSV), all values are text. Marks such as `NA` are missing in columns of numbers, and
    before the kind is known; in columns of text they are labels.

    Args:
        name: the name of the column.
        kind: `number` or `text`; None infers it.
        row_label: the name of a row in error messages.
        source_has_types: False if numbers arrive as text.

    Example:
        >>> builder = ColumnBuilder("size", None, lambda row: f"row {row + 1}")
        >>> builder.extend([None, " big "])
        >>> builder.extend(["small", "big"])
        >>> builder.column().codes.tolist(), builder.column().labels
        ([-1, 0, 1, 0], ('big', 'small'))
        >>> builder.extend([3.5])
        Traceback (most recent call last):
        mxtrain.errors.DataError: row 5: column 'size': must be text, as the values before it, got 3.5; ...
        >>> builder = ColumnBuilder("age", None, lambda row: f"row {row + 1}", source_has_types=False)
        >>> builder.extend(["NA", "7"])
        >>> builder.column().values
        array([nan,  7.])
    """

    def __init__(self, name: str, kind: Kind | None, row_label: RowLabel, source_has_types: bool = True) -> None:
        self.name = name
        self._kind = kind
        self._is_declared = kind is not None
        self._row_label = row_label
        self._source_has_types = source_has_types
        self._undecided: list[object] = []  # missing, but in a CSV column of text spellings such as NA become labels
        self._numbers = array("d")
        self._codes = array("q")
        self._labels: dict[str, int] = {}
        self._code_of_cell: dict[object, int] = {}
        self._typed_labels: set[str] = set()
        self._dtypes: set[str] = set()

    def extend(self, values: Sequence[object]) -> None:
        """Append values.

        Raises:
            DataError: a value is of the wrong kind, not finite, or neither a number nor text; with its row.
        """
        if self._kind is None:
            values = self._infer_kind(values)
        if self._kind == "number":
            self._extend_numbers(values)
        elif self._kind == "text":
            self._extend_text(values)

    def column(self) -> Column:
        """Return the column of all values so far; a numeric one if all values are missing and no kind is declared."""
        if self._kind == "text":
            codes = np.array(self._codes, dtype=np.int64)
            return CategoricalColumn(codes, tuple(self._labels), _common_dtype(self._dtypes), self._typed_labels)
        numbers = self._numbers if self._kind else [nan] * len(self._undecided)
        return NumericColumn(np.array(numbers, dtype=np.float64))

    def _infer_kind(self, values: Sequence[object]) -> Sequence[object]:
        """Set the kind, and return the values to append; all are held back if none of them decides."""
        for index, value in enumerate(values):
            scalar = self._to_scalar(value)
            if scalar is not None:
                self._kind = self._kind_of_first(scalar)
                values = [*self._undecided, *values[index:]]
                self._undecided = []
                return values
            self._undecided.append(value)
        return ()

    def _kind_of_first(self, value: _Scalar) -> Kind:
        if self._to_number(value) is not None:
            return "number"
        if not self._source_has_types and _FORMATTED_NUMBER.fullmatch(str(value)):
            raise self._error(
                f"must be a number in plain notation, such as 1234.5, got {describe(value)}; {AS_TEXT_REMEDY}"
            )
        return "text"

    def _extend_numbers(self, values: Sequence[object]) -> None:
        numbers = self._parse_plain_numbers(values)
        if numbers is not None:
            self._numbers.extend(numbers)
            return
        for value in values:
            self._numbers.append(self._parse_number(value))

    def _parse_plain_numbers(self, values: Sequence[object]) -> "array[float] | None":
        """Return the values as an array if all are finite numbers or NaN, without a Python call for each."""
        if self._source_has_types and not set(map(type, values)) <= {int, float}:
            return None
        try:
            numbers = array("d", map(float, cast("Sequence[str | float]", values)))
        except (ValueError, OverflowError):
            return None
        # `float` reads `1_0` as 10 and `1e999` as infinity.
        has_underscore = not self._source_has_types and "_" in "".join(cast("Sequence[str]", values))
        return None if has_underscore or np.isinf(numbers).any() else numbers

    def _parse_number(self, value: object) -> float:
        scalar = self._to_scalar(value)
        if scalar is None:
            return nan
        number = self._to_number(scalar)
        if number is None:
            raise self._error(mixed_kinds_message("number", describe(scalar), not self._is_declared))
        if not isfinite(number):
            raise self._error(f"must be a finite number, got {describe(scalar)}")
        return number

    def _extend_text(self, values: Sequence[object]) -> None:
        codes, code_of_cell, is_text = self._codes, self._code_of_cell, not self._source_has_types
        for value in values:
            code = code_of_cell.get(value) if is_text or isinstance(value, str) else None
            codes.append(self._text_code(value) if code is None else code)

    def _text_code(self, value: object) -> int:
        """Return the code of a value that is missing, new, or not a string."""
        scalar = self._to_scalar(value)
        if scalar is None:
            code = -1
        else:
            if not self._is_declared and self._is_number(scalar):
                raise self._error(mixed_kinds_message("text", describe(scalar), is_open=True))
            label = str(scalar).lower() if isinstance(scalar, bool) else str(scalar)
            if label not in self._labels and not is_unicode(label):
                raise self._error("must be Unicode text, got an unpaired surrogate")
            code = self._labels.setdefault(label, len(self._labels))
            if self._source_has_types:
                self._dtypes.add(next(name for name, kind in _DTYPES.items() if isinstance(scalar, kind)))
                if not isinstance(scalar, str):
                    self._typed_labels.add(label)
        if isinstance(value, str):
            self._code_of_cell[value] = code
        return code

    def _to_scalar(self, value: object) -> _Scalar | None:
        """Return a value as Python's str, bool, int or float; None if it is missing."""
        if isinstance(value, np.datetime64 | np.timedelta64):
            value = value.astype(f"{value.dtype.kind}8[us]")  # `item` of nanoseconds is an integer
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, str):
            value = value.strip()
        if _is_missing(value) or (not self._source_has_types and self._kind != "text" and _is_missing_mark(value)):
            return None
        if isinstance(value, str | bool | int | float):
            return value
        if self._is_declared and self._kind == "text" and isinstance(value, date | time | timedelta | Decimal):
            return _format_as_pandas(value)
        if isinstance(value, date | time | timedelta):
            raise self._error(dates_message(f", such as {value}", may_be_categories=not self._is_declared))
        raise self._error(unsupported_values_message(describe(value)))

    def _to_number(self, value: _Scalar) -> float | None:
        """Return a number, which may be infinite; None for text."""
        if isinstance(value, bool) or (self._source_has_types and isinstance(value, str)):
            return None
        try:
            number = float(value)
        except OverflowError:
            return inf
        except ValueError:
            return None
        return None if isnan(number) or (isinstance(value, str) and "_" in value) else number

    def _is_number(self, value: _Scalar) -> bool:
        is_mark = not self._source_has_types and _is_missing_mark(value)
        return not is_mark and self._to_number(value) is not None

    def _error(self, problem: str) -> DataError:
        row = len(self._undecided) + len(self._numbers) + len(self._codes)
        return DataError(f"{self._row_label(row)}: column {self.name!r}: {problem}")


def _is_missing(value: object) -> bool:
    """Return True for None, NaN, blank text, and pandas' NA, which has no truth value, and NaT."""
    if isinstance(value, str | float):
        return value == "" or value != value
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _is_missing_mark(value: object) -> bool:
    return isinstance(value, str) and value.lower() in MISSING_VALUE_SPELLINGS


def _format_as_pandas(value: date | time | timedelta | Decimal) -> str:
    """Return the text of a date, a time or a Decimal, as pandas writes it into a CSV file."""
    if isinstance(value, datetime):
        return value_key(value.isoformat(" "))
    if isinstance(value, Decimal):
        return f"{value:f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _common_dtype(dtypes: Iterable[str]) -> str | None:
    """Return the dtype of values of several dtypes; None for values without types."""
    distinct = set(dtypes)
    if len(distinct) < 2:
        return next(iter(distinct), None)
    return "float64" if distinct == {"int64", "float64"} else "str"


def dates_message(got: str = "", may_be_categories: bool = True) -> str:
    """Return the error message for a column of dates or times."""
    remedy = "turn them into numbers, or leave the column out with data.features"
    if may_be_categories:
        remedy += "; to take each as a category, name the column in data.categorical"
    return f"holds dates or times{got}; {remedy}"


def mixed_kinds_message(expected: Kind, got: str, is_open: bool) -> str:
    """Return the error message for a value of another kind than its column.

    Args:
        expected: the kind of the column.
        got: the value.
        is_open: True if the kind was inferred, so that the config may declare it.
    """
    remedy = f"; {AS_TEXT_REMEDY}" if is_open else ""
    if expected == "text":
        return f"must be text, as the values before it, got {got}{remedy}"
    return f"must be a number, got {got}{remedy}"


def unsupported_values_message(got: str) -> str:
    """Return the error message for values that are neither numbers nor text."""
    return f"must hold numbers or text, got {got}; leave the column out with data.features"
