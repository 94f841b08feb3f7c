"""Tables in memory: missing values, checks of features, and conversion from columns and arrays."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import Missing
from mxtrain.data.preprocessing.classes import class_dtype, classes_of_array, is_label, number_classes
from mxtrain.data.readers.columns import CategoricalColumn, Column, Columns, RowLabel
from mxtrain.data.readers.numpy_files import NpzArrays, check_finite_numbers
from mxtrain.errors import DataError
from mxtrain.types import describe


def numbered_row(row: int) -> str:
    """Return the name of a row in error messages if only its number is known."""
    return f"row {row + 1}"


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A data set in memory: n samples of c columns, and a target for each.

    Attributes:
        inputs: (n, c), in the dtype of the source. A column of text holds indices into its labels. NaN is a missing
            value, in tables that allow them.
        targets: (n,); float64 numbers, or int64 indices into `class_names`.
        column_names: the c names.
        target_name: the name of the column or array of the targets.
        class_names: the classes in order, or None if the targets are numbers.
        class_dtype: the dtype of predicted classes, from `classes.class_dtype`.
        labels: the different texts of each column of text, in any order.
        row_label: the name of a row in error messages.
        found: the fields of `data` that describe the table as it was read, from `resolved_fields`.
    """

    inputs: NDArray[Any]
    targets: NDArray[np.float64] | NDArray[np.int64]
    column_names: tuple[str, ...]
    target_name: str
    class_names: tuple[str, ...] | None = None
    class_dtype: str = "str"
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    row_label: RowLabel = numbered_row
    found: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.inputs)


MAX_CATEGORIES = 1000
"""Largest number of categories of a column; a column with more is probably an identifier."""


def array_feature_names(name: str, count: int) -> tuple[str, ...]:
    """Return the names of the features of an array.

    >>> array_feature_names("images", 2)
    ('images[0]', 'images[1]')
    """
    return tuple(f"{name}[{i}]" for i in range(count))


def table_from_arrays(arrays: NpzArrays, source: str, target: str, classes: bool) -> Table:
    """Return the table of an archive of arrays.

    Args:
        arrays: the inputs and the targets.
        source: the name of the archive in error messages.
        target: the name of the array of the targets.
        classes: True if the targets are class labels, False if they are numbers.

    Raises:
        DataError: a target is not a finite number, or the labels are not classes.

    Example:
        >>> arrays = NpzArrays("images", np.zeros((3, 2)), np.array(["cat", "ant", "cat"]))
        >>> table = table_from_arrays(arrays, "pets.npz", "labels", classes=True)
        >>> table.column_names, table.targets.tolist(), table.class_names
        (('images[0]', 'images[1]'), [1, 0, 1], ('ant', 'cat'))
    """
    names = array_feature_names(arrays.name, arrays.inputs.shape[1])
    where = f"{source}: array {target!r}"
    if classes:
        class_names, indices, dtype = classes_of_array(arrays.targets, where)
        return Table(arrays.inputs, indices, names, target, class_names, dtype)
    check_finite_numbers(arrays.targets, where)
    return Table(arrays.inputs, arrays.targets.astype(np.float64), names, target)


def table_from_columns(columns: Columns, target: str, classes: bool, missing: Missing) -> Table:
    """Return the table of columns.

    Args:
        columns: the features and, last, the target.
        target: the name of the column to predict.
        classes: True if the targets are class labels, False if they are numbers.
        missing: the treatment of missing values; with `mean`, NaN stays in the inputs.

    Raises:
        DataError: there is no sample; a column has no values, holds dates, or has too many categories; or a value is
            missing.

    Example:
        >>> from mxtrain.data.in_memory_data import columns_of
        >>> data = {"age": [3, 5, None], "size": ["big", "small", "big"], "species": ["cat", "ant", "ant"]}
        >>> table = table_from_columns(columns_of(data, lambda _, names: dict.fromkeys(names)), "species", True, "drop")
        >>> table.inputs.tolist(), table.labels, table.targets.tolist(), table.class_names
        ([[3.0, 0.0], [5.0, 1.0]], {'size': ('big', 'small')}, [1, 0], ('ant', 'cat'))
    """
    if not len(columns):
        raise DataError(f"{columns.source}: has a header but no samples")
    # Spellings are not merged by readers, because runs of earlier versions have a category for each spelling.
    merged = {name: _merge_spellings(column) for name, column in columns.columns.items()}
    columns = Columns(columns.source, merged, columns.row_label)
    for name, column in merged.items():
        _check_values(column, f"{columns.source}: column {name!r}", name != target)
    if missing == "drop" and classes:
        columns = mark_invalid_labels_missing(columns, target)
    features = {name: column for name, column in columns.columns.items() if name != target}
    kept = rows_to_keep(columns, missing, may_be_filled=features)

    def row_label(row: int) -> str:
        return columns.row_label(int(kept[row]))

    inputs = matrix(features, kept)
    labels = {name: column.labels for name, column in features.items() if isinstance(column, CategoricalColumn)}
    targets = columns.columns[target].take(kept)
    if not isinstance(targets, CategoricalColumn):
        return Table(inputs, targets.values, tuple(features), target, labels=labels, row_label=row_label)
    class_names, indices = _number_target_classes(targets, f"{columns.source}: column {target!r}", row_label, target)
    dtype = class_dtype(class_names, targets.dtype)
    return Table(inputs, indices, tuple(features), target, class_names, dtype, labels, row_label)


def rows_to_keep(columns: Columns, missing: Missing, may_be_filled: Collection[str] = ()) -> NDArray[np.int64]:
    """Return the rows to keep, ascending: all of them, or with `drop` those without missing values.

    Args:
        columns: the columns to check.
        missing: the treatment of missing values.
        may_be_filled: the names of the columns in which `mean` allows missing values.

    Raises:
        DataError: a missing value is an error, or no row is left.
    """
    is_incomplete = np.zeros(len(columns), dtype=bool)
    for name, column in columns.columns.items():
        gaps = column.missing
        if missing == "error" or (missing == "mean" and name not in may_be_filled):
            if gaps.any():
                remedy = "drop or mean" if name in may_be_filled else "drop"
                where = f"{columns.row_label(int(gaps.argmax()))}: column {name!r}"
                raise DataError(f"{where}: a value is missing; fill it in, or set data.missing: {remedy}")
        elif missing == "drop":
            is_incomplete |= gaps
    if is_incomplete.all():
        raise DataError(f"{columns.source}: every sample lacks a value, so data.missing: drop leaves none")
    return np.flatnonzero(~is_incomplete)


def mark_invalid_labels_missing(columns: Columns, target: str) -> Columns:
    """Return the columns with those labels of the target missing that cannot name a class, such as `nan`."""
    column = columns.columns[target]
    assert isinstance(column, CategoricalColumn), "classes are read as text"
    is_valid = np.array([*map(is_label, column.labels), False])  # the last for the code -1
    codes = np.where(is_valid[column.codes], column.codes, -1)
    marked = CategoricalColumn(codes, column.labels, column.dtype, column.typed)
    return Columns(columns.source, {**columns.columns, target: marked}, columns.row_label)


def matrix(columns: Mapping[str, Column], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return rows of columns as an array, (n, c): numbers, indices of labels, and NaN for missing values."""
    inputs = np.empty((len(rows), len(columns)))
    for index, column in enumerate(columns.values()):
        if isinstance(column, CategoricalColumn):
            inputs[:, index] = np.where(column.missing, np.nan, column.codes)[rows]
        else:
            inputs[:, index] = column.values[rows]
    return inputs


def _check_values(column: Column, where: str, is_feature: bool) -> None:
    """Raise a DataError for a column without values, and for a feature of too many categories."""
    if column.missing.all():
        remedy = "; leave it out with data.features" if is_feature else ""
        raise DataError(f"{where}: has no values{remedy}")
    if not is_feature or not isinstance(column, CategoricalColumn):
        return
    labels = _occurring_labels(column)
    if len(labels) > MAX_CATEGORIES:
        raise DataError(
            f"{where}: has {len(labels):,} categories, at most {MAX_CATEGORIES:,} are allowed; leave the column out "
            "with data.features"
        )


def _occurring_labels(column: CategoricalColumn) -> Sequence[str]:
    return [column.labels[code] for code in np.unique(column.codes).tolist() if code >= 0]


def _merge_spellings(column: Column) -> Column:
    return column.merge_spellings() if isinstance(column, CategoricalColumn) else column


def _number_target_classes(
    column: CategoricalColumn, where: str, row_label: RowLabel, target: str
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    present, codes = np.unique(column.codes, return_inverse=True)
    labels = [column.labels[code] for code in present.tolist()]
    for code, label in enumerate(labels):
        if not is_label(label):
            row = row_label(int((codes == code).argmax()))
            raise DataError(f"{row}: column {target!r}: must be the name or number of a class, got {describe(label)}")
    return number_classes(labels, codes, where)
