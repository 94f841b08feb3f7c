"""Numeric and categorical columns, the common output of all table readers, and checks of their names."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import ColumnKind
from mxtrain.data.readers.values import merge_spellings
from mxtrain.errors import DataError
from mxtrain.names import is_unicode, nearest
from mxtrain.types import describe

MAX_COLUMNS = 100_000
"""Largest number of columns of a table; wider data are arrays."""
ColumnSelector: TypeAlias = Callable[[str, Sequence[str]], Mapping[str, ColumnKind | None]]
"""Function of the location of a header and its names; returns the columns to read. A kind of None is inferred."""
RowLabel: TypeAlias = Callable[[int], str]
"""Function of a row, 0 for the first; returns its name in error messages, such as `train.csv:17`."""


@dataclass(frozen=True, slots=True, eq=False)
class NumericColumn:
    """A column of finite numbers, (n,); NaN marks a missing value."""

    values: NDArray[np.float64]

    @property
    def missing(self) -> NDArray[np.bool_]:
        """The rows without a value, (n,)."""
        return np.isnan(self.values)

    def take(self, rows: NDArray[np.int64]) -> "NumericColumn":
        """Return the column of the given rows."""
        return NumericColumn(self.values[rows])


@dataclass(frozen=True, slots=True, eq=False)
class CategoricalColumn:
    """A column of text.

    Attributes:
        codes: (n,); indices into `labels`, and -1 for a missing value.
        labels: the different texts, in any order.
        dtype: NumPy's name of the dtype of the values, `str` for text; None for files without types, such as CSV.
        typed: the labels of values that are numbers or booleans in the data, rather than text.
    """

    codes: NDArray[np.int64]
    labels: tuple[str, ...]
    dtype: str | None = None
    typed: Collection[str] = ()

    @property
    def missing(self) -> NDArray[np.bool_]:
        """The rows without a value, (n,)."""
        return self.codes < 0

    def take(self, rows: NDArray[np.int64]) -> "CategoricalColumn":
        """Return the column of the given rows."""
        return CategoricalColumn(self.codes[rows], self.labels, self.dtype, self.typed)

    def merge_spellings(self) -> "CategoricalColumn":
        """Return the column with one label for all spellings of a value."""
        labels, codes = merge_spellings(self.labels, self.codes, self.typed)
        return CategoricalColumn(codes, labels, self.dtype)


@dataclass(frozen=True, slots=True, eq=False)
class DateColumn:
    """A column of dates or of dates with a time.

    Attributes:
        values: (n,); the days since 1970-01-01, with a fraction for the time of day; NaN for a missing value.
        has_time: True if a value has a time of day.
        format: the format of the texts, as `data.date_format` has it; None for values that were typed.
        other_format: the format with days and months exchanged, if it fits all values as well.
    """

    values: NDArray[np.float64]
    has_time: bool = False
    format: str | None = None
    other_format: str | None = None

    @property
    def missing(self) -> NDArray[np.bool_]:
        """The rows without a value, (n,)."""
        return np.isnan(self.values)

    def take(self, rows: NDArray[np.int64]) -> "DateColumn":
        """Return the column of the given rows."""
        return replace(self, values=self.values[rows])


Column: TypeAlias = NumericColumn | CategoricalColumn | DateColumn


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The selected columns of a table.

    Attributes:
        source: the name of the table in error messages.
        columns: the columns by name, all of the same length.
        row_label: the name of a row in error messages.
        kinds: what each column of the table holds, also of those that were left out.
        left_out: the reason for each column that was left out of `columns`.
        found: the fields of `data` that describe the format of the file, as in `RawTable`.
        positions: the names of all columns of a file that does not name them; otherwise None.
        notes: messages about assumptions that were made.
    """

    source: str
    columns: Mapping[str, Column]
    row_label: RowLabel
    kinds: Mapping[str, ColumnKind] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict)
    positions: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return max((len(column.missing) for column in self.columns.values()), default=0)

    def take(self, rows: NDArray[np.int64]) -> "Columns":
        """Return the columns of the given rows, which keep their names in error messages."""
        taken = {name: column.take(rows) for name, column in self.columns.items()}
        return replace(self, columns=taken, row_label=lambda row: self.row_label(int(rows[row])))


def check_header(names: Sequence[str], where: str, if_empty: str) -> None:
    """Raise a DataError if a table has no columns or too many, or if a name is not valid Unicode."""
    if not names:
        raise DataError(f"{where}: {if_empty}")
    check_width(len(names), where)
    if not all(map(is_unicode, names)):
        raise DataError(f"{where}: the names must be Unicode text, got an unpaired surrogate")


def check_width(width: int, where: str) -> None:
    """Raise a DataError if a table has too many columns."""
    if width > MAX_COLUMNS:
        remedy = "save the values as an array in an .npz file"
        raise DataError(f"{where}: has {width:,} columns, at most {MAX_COLUMNS:,} are read; {remedy}")


def check_selected_names(names: Sequence[str], selected: Iterable[str], where: str) -> None:
    """Raise a DataError if a selected column has no name or shares its name; other columns are not checked."""
    times = Counter(names)
    for name in selected:
        if not name:
            remedy = "name it, or say with data.features which columns to use"
            raise DataError(f"{where}: column {names.index('') + 1} has no name; {remedy}")
        if times[name] > 1:
            raise DataError(f"{where}: {times[name]} columns are named {describe(name)}; rename them")


def check_names_exist(where: str, noun: str, names: Iterable[str], *selected: str) -> None:
    """Raise a DataError that names the selected names that do not exist, and suggests the nearest name for one.

    Example:
        >>> check_names_exist("a.csv:1", "column", ["age", "size"], "age", "city", "zip")
        Traceback (most recent call last):
        mxtrain.errors.DataError: a.csv:1: there are no columns 'city', 'zip'; there are: 'age', 'size'
    """
    known = dict.fromkeys(names)
    unknown = [name for name in dict.fromkeys(selected) if name not in known]
    if not unknown:
        return
    guess = nearest(unknown[0], known) if len(unknown) == 1 else None
    remedy = f"did you mean {guess!r}?" if guess else f"there are: {_some(known)}" if known else "there are none"
    if _lacks_header(known):
        remedy += "; if a later row holds the names, delete the rows above it"
    lacking = f"is no {noun} {unknown[0]!r}" if len(unknown) == 1 else f"are no {noun}s {_some(unknown)}"
    raise DataError(f"{where}: there {lacking}; {remedy}")


def _some(names: Collection[str]) -> str:
    return ", ".join(map(describe, islice(names, 8))) + (", ..." if len(names) > 8 else "")


def _lacks_header(names: Collection[str]) -> bool:
    """Return True if nearly all columns are named by their number, as below a title in the first row."""
    numbered = sum(name.isdecimal() or name.startswith("unnamed_") for name in names)
    return len(names) > 1 and numbered >= len(names) - 1


def names_in_other_case(names: Iterable[str], wanted: Iterable[str]) -> dict[str, str]:
    """Return the wanted name for each name that differs from it only in upper and lower case.

    Names that are wanted as they are, and those of which several could be meant, are left out.

    Example:
        >>> names_in_other_case(["Age", "size", "SIZE"], ["age", "size"])
        {'Age': 'age'}
    """
    have = list(names)
    lacking = [name for name in wanted if name not in have]
    taken = set(wanted)
    found: dict[str, str] = {}
    for name in lacking:
        like = [each for each in have if each.casefold() == name.casefold() and each not in taken]
        rivals = [each for each in lacking if each.casefold() == name.casefold()]
        if len(like) == len(rivals) == 1:
            found[like[0]] = name
    return found


def select_features(
    where: str, noun: str, names: Sequence[str], target: str | Sequence[str], features: Sequence[str] | None
) -> tuple[str, ...]:
    """Return the names of the features: `features`, or if that is None all names but the targets.

    Args:
        where: the location for error messages, such as `train.csv:1`.
        noun: what the names refer to, `column` or `array`.
        names: the names in the file.
        target: the name of the target, or of several.
        features: the names that the config selects.

    Raises:
        DataError: a name is unknown, given twice, or both target and feature; or there is no feature.

    Example:
        >>> select_features("iris.csv:1", "column", ["width", "length", "species"], "species", None)
        ('width', 'length')
    """
    targets = (target,) if isinstance(target, str) else tuple(target)
    check_names_exist(f"{where}: data.target", noun, names, *targets)
    selected = tuple(name for name in names if name not in targets) if features is None else tuple(features)
    check_names_exist(f"{where}: data.features", noun, names, *selected)
    for name in selected:
        if name in targets:
            raise DataError(f"{where}: data.features: {name!r} is the target; leave it out")
    for name, times in Counter(features or ()).items():
        if times > 1:
            raise DataError(f"{where}: data.features: {name!r} is named twice")
    if not selected:
        what = f"the target {targets[0]!r} to predict it" if len(targets) == 1 else "the targets to predict them"
        raise DataError(f"{where}: there is no {noun} besides {what} from")
    return selected
