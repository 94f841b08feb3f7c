"""Numeric and text columns, the common output of all table readers."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite, nan
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mxtrain.data.readers.values import merge_spellings, value_key
from mxtrain.errors import DataError
from mxtrain.names import is_unicode
from mxtrain.types import describe

Kind = Literal["number", "text"]
Choose: TypeAlias = Callable[[str, Sequence[str]], Mapping[str, Kind | None]]
"""From the place of a table's header and its names to the columns to read; None leaves the kind to the values."""
AS_TEXT_REMEDY = "correct it, or, to take the whole column as text, name it in data.categorical"
"""The remedy for a column of which only some values are numbers."""
Place: TypeAlias = Callable[[int], str]
"""From a row, 0 for the first, to what a message calls it, such as `train.csv:17`."""


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """A column of numbers: (n,), finite, and NaN where a value is missing."""

    values: NDArray[np.float64]

    @property
    def missing(self) -> NDArray[np.bool_]:
        return np.isnan(self.values)

    def take(self, rows: NDArray[np.int64]) -> "Numbers":
        return Numbers(self.values[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """A column of text: (n,) indices into its labels, in any order, and -1 where a value is missing.

    Attributes:
        codes, labels: the indices, and the texts.
        dtype: NumPy's name of the dtype that the values had, `str` for text; None for files without types, such as CSV.
        typed: the labels of values that are numbers or booleans in the data, rather than text.
    """

    codes: NDArray[np.int64]
    labels: tuple[str, ...]
    dtype: str | None = None
    typed: Collection[str] = ()

    @property
    def missing(self) -> NDArray[np.bool_]:
        return self.codes < 0

    def take(self, rows: NDArray[np.int64]) -> "Texts":
        return Texts(self.codes[rows], self.labels, self.dtype, self.typed)

    def merged(self) -> "Texts":
        """The column with one label for all spellings of a value."""
        labels, codes = merge_spellings(self.labels, self.codes, self.typed)
        return Texts(codes, labels, self.dtype)


Column: TypeAlias = Numbers | Texts


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The columns of a table that were asked for, in that order.

    Attributes:
        source: what messages call the table.
        columns: each by its name, all of one length.
        place: what messages call a row.
    """

    source: str
    columns: Mapping[str, Column]
    place: Place

    def __len__(self) -> int:
        return max((len(column.missing) for column in self.columns.values()), default=0)


@dataclass(slots=True)
class ColumnBuilder:
    """Makes a column of Python values that come one by one, as JSON has them.

    The first value that is not missing says whether a column holds numbers or text, where `kind` does not. None, NaN
    and blank text are missing; blanks around text do not count; a bool is the text `true` or `false`. Where `kind` is
    `text`, dates and times are text too.

    Example:
        >>> builder = ColumnBuilder("size", None, lambda row: f"row {row + 1}")
        >>> for value in [None, " big ", "small", "big"]:
        ...     builder.add(value)
        >>> builder.column().codes.tolist(), builder.column().labels
        ([-1, 0, 1, 0], ('big', 'small'))
        >>> builder.add(3.5)
        Traceback (most recent call last):
        mxtrain.errors.DataError: row 5: column 'size': must be text, as the values before it, got 3.5; ...
    """

    name: str
    kind: Kind | None
    place: Place
    found: Kind | None = None
    numbers: list[float] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    typed: set[str] = field(default_factory=set)
    types: set[str] = field(default_factory=set)

    def add(self, value: object) -> None:
        """Append a value."""
        if isinstance(value, np.datetime64 | np.timedelta64):
            value = value.astype(f"{value.dtype.kind}8[us]")  # an `item` of nanoseconds is an integer
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, str):
            value = value.strip()
        if _is_missing(value):
            self.numbers.append(nan)
            self.codes.append(-1)
            return
        if self.kind == "text" and isinstance(value, date | time | timedelta | Decimal):
            value = _format_moment(value)
        kind: Kind = "text" if isinstance(value, str | bool) else "number"
        if not isinstance(value, str | bool | int | float):
            is_moment = isinstance(value, date | time | timedelta)
            raise self._error(
                dates(f", such as {value}", may_be_categories=self.kind is None)
                if is_moment
                else unsupported_values_message(describe(value))
            )
        wanted = self.kind or self.found or kind
        if kind != wanted and self.kind != "text":
            raise self._error(mixed(wanted, describe(value), self.kind is None))
        self.found = wanted
        if wanted == "text":
            label = _format_text(value)
            if not isinstance(value, str):
                self.typed.add(label)
            self.types.add(next(name for name, kind in _DTYPES.items() if isinstance(value, kind)))
            self.numbers.append(nan)
            self.codes.append(self._code(label))
        else:
            assert not isinstance(value, str), "text is of another kind"
            self.numbers.append(self._number(value))
            self.codes.append(-1)

    def column(self) -> Column:
        """The column of all values so far; of numbers where every value is missing."""
        if (self.kind or self.found) == "text":
            codes = np.array(self.codes, dtype=np.int64)
            return Texts(codes, tuple(self.labels), _common_dtype(self.types), self.typed)
        return Numbers(np.array(self.numbers, dtype=np.float64))

    def _code(self, label: str) -> int:
        if label not in self.labels and not is_unicode(label):
            raise self._error("must be Unicode text, got half of a surrogate pair")
        return self.labels.setdefault(label, len(self.labels))

    def _number(self, value: int | float) -> float:
        try:
            if isfinite(number := float(value)):
                return number
        except OverflowError:
            pass
        raise self._error(f"must be a finite number, got {describe(value)}")

    def _error(self, problem: str) -> DataError:
        return DataError(f"{self.place(len(self.codes))}: column {self.name!r}: {problem}")


def columns_of(data: Mapping[str, Iterable[object]], choose: Choose, source: str = "data") -> Columns:
    """The columns of a mapping from names to Python values.

    Example:
        >>> columns = columns_of({"age": [3, None], "species": ["cat", "ant"]}, lambda _, names: dict.fromkeys(names))
        >>> columns.columns["age"].values.tolist(), columns.place(1)
        ([3.0, nan], 'data: row 2')
    """

    def place(row: int) -> str:
        return f"{source}: row {row + 1}"

    columns: dict[str, Column] = {}
    for name, kind in choose(source, list(data)).items():
        columns[name] = _column_from_array(data[name], kind) or _column_from_values(
            _python_values(data[name], kind, f"{source}: column {name!r}"), ColumnBuilder(name, kind, place)
        )
        dtype, column = getattr(data[name], "dtype", None), columns[name]
        if isinstance(column, Texts) and isinstance(dtype, np.dtype) and dtype.kind == "f":
            columns[name] = replace(column, dtype=dtype.name)
    lengths = {len(column.missing): name for name, column in columns.items()}
    if len(lengths) > 1:
        (some, one), (more, other), *_ = sorted(lengths.items())
        raise DataError(f"{source}: the columns must be of one length, got {some} for {one!r} and {more} for {other!r}")
    return Columns(source, columns, place)


def _column_from_values(values: Iterable[object], builder: ColumnBuilder) -> Column:
    for value in values:
        builder.add(value)
    return builder.column()


def _column_from_array(column: object, kind: Kind | None) -> Column | None:
    """The column that an array of numbers makes, in memory of its own; None where each value must be looked at."""
    if getattr(getattr(column, "dtype", None), "kind", None) not in ("i", "u", "f") or np.ma.isMaskedArray(column):
        return None
    if hasattr(column, "__cuda_array_interface__"):
        return None
    array = np.asarray(column)  # of pandas, which has arrays of other kinds too
    if array.ndim != 1 or array.dtype.kind not in ("iu" if kind == "text" else "iuf"):
        return None
    if kind == "text":
        labels, codes = np.unique(array, return_inverse=True)
        return Texts(codes.astype(np.int64), tuple(map(str, labels.tolist())), array.dtype.name)
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float64)
    return None if np.isinf(numbers).any() else Numbers(numbers)


def _is_missing(value: object) -> bool:
    """Whether a value stands for none: also pandas' own NA, which has no truth value, and NaT."""
    if isinstance(value, str | float):
        return value == "" or value != value
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _python_values(column: Iterable[object], kind: Kind | None, where: str) -> Iterable[object]:
    """A column's values as Python has them, where it is an array or a column of a data frame."""
    if getattr(getattr(column, "dtype", None), "kind", None) in ("m", "M"):
        if kind != "text":
            raise DataError(f"{where}: {dates(may_be_categories=kind is None)}")
        return list(column)  # `tolist` makes integers of nanoseconds
    for method in ("tolist", "to_pylist"):
        if hasattr(column, method):
            column = getattr(column, method)()
    if isinstance(column, str | bytes) or not isinstance(column, Iterable):
        raise DataError(f"{where}: must hold one value for each sample, got {describe(column)}")
    return column


def _format_text(value: str | bool | int | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_DTYPES: Mapping[str, type] = {"str": str, "bool": bool, "int64": int, "float64": float}  # a bool is an int too


def _format_moment(value: date | time | timedelta | Decimal) -> str:
    """Return the text of a date, a time or a Decimal, as pandas writes it into a CSV file."""
    if isinstance(value, datetime):
        return value_key(value.isoformat(" "))
    if isinstance(value, Decimal):
        return f"{value:f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _common_dtype(types: set[str]) -> str | None:
    """Return the dtype of values of several types."""
    if len(types) < 2:
        return next(iter(types), None)
    return "float64" if types == {"int64", "float64"} else "str"


def dates(got: str = "", may_be_categories: bool = True) -> str:
    """Return the error message for a column of dates or times."""
    remedy = "turn them into numbers, or leave the column out with data.features"
    if may_be_categories:
        remedy += "; to take each as a category, name the column in data.categorical"
    return f"holds dates or times{got}; {remedy}"


def mixed(wanted: Kind, got: str, is_open: bool) -> str:
    """What is said of a value that is of another kind than its column; `is_open` where the config may name a kind."""
    remedy = f"; {AS_TEXT_REMEDY}" if is_open else ""
    if wanted == "text":
        return f"must be text, as the values before it, got {got}{remedy}"
    return f"must be a number, got {got}{remedy}"


def unsupported_values_message(what: str) -> str:
    """What is said of values that no model can be trained on."""
    return f"must hold numbers or text, got {what}; leave the column out with data.features"
