"""Tables in memory: missing values, checks of features, and conversion from columns and arrays."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import ColumnKind, Missing
from mxtrain.data.kinds.cell_problems import yaml_text
from mxtrain.data.kinds.date_columns import order_note
from mxtrain.data.preprocessing.classes import class_dtype, classes_of_array, is_label, number_classes
from mxtrain.data.preprocessing.multilabel import boolean_array, boolean_targets
from mxtrain.data.preprocessing.weights import weights_of_column
from mxtrain.data.readers.columns import (
    CategoricalColumn,
    Column,
    Columns,
    DateColumn,
    RowLabel,
)
from mxtrain.data.readers.numpy_files import NpzArrays, check_finite_numbers
from mxtrain.data.readers.raw_table import Problem, problems_error
from mxtrain.errors import DataError


def numbered_row(row: int) -> str:
    """Return the name of a row in error messages if only its number is known."""
    return f"row {row + 1}"


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A data set in memory: n samples of c columns, and a target for each.

    Attributes:
        inputs: (n, c), in the dtype of the source. A column of text holds indices into its labels. NaN is a missing
            value, in tables that allow them.
        targets: (n,), float64 numbers or int64 indices into `class_names`; for k targets (n, k), float64, of booleans 0
            and 1.
        column_names: the c names.
        target_name: the name of the column or array of the targets; those of several columns are joined.
        class_names: the classes in order, or None if the targets are numbers, or several.
        class_dtype: the dtype of predicted classes, from `classes.class_dtype`.
        labels: the different texts of each column of text, in any order.
        row_label: the name of a row in error messages.
        kinds: the kinds of columns that are neither numbers nor categories.
        with_time: the columns of dates with a time of day.
        date_formats: the formats of columns of dates that were text.
        groups: (n,), the number of each sample's group, whose samples stay together; None without groups.
        weights: (n,), the weights of the samples, at least 0; None if all count alike.
        notes: messages about what was left out, and why.
        found: the fields of `data` that describe the table as it was read, from `resolved_fields`.
        target_columns: the names of k targets; empty for one.
        positions: the names of all columns of a file that does not name them; otherwise None.
    """

    inputs: NDArray[Any]
    targets: NDArray[np.float64] | NDArray[np.int64]
    column_names: tuple[str, ...]
    target_name: str
    class_names: tuple[str, ...] | None = None
    class_dtype: str = "str"
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    row_label: RowLabel = numbered_row
    kinds: Mapping[str, ColumnKind] = field(default_factory=dict)
    with_time: Collection[str] = ()
    date_formats: Mapping[str, str] = field(default_factory=dict)
    groups: NDArray[np.int64] | None = None
    weights: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()
    found: Mapping[str, Any] = field(default_factory=dict)
    target_columns: tuple[str, ...] = ()
    positions: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def kind(self, name: str) -> ColumnKind:
        """Return the kind of a column: number, category, boolean, date or text."""
        return self.kinds.get(name, "category" if name in self.labels else "number")


MAX_CATEGORIES = 1000
"""Largest number of categories of a column whose kind is not known; one with more is probably an identifier."""


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
    if classes and arrays.targets.ndim == 1:
        class_names, indices, dtype = classes_of_array(arrays.targets, where)
        return Table(arrays.inputs, indices, names, target, class_names, dtype)
    several = array_feature_names(target, arrays.targets.shape[1]) if arrays.targets.ndim > 1 else ()
    if classes:
        values, dtype = boolean_array(arrays.targets, where)
        return Table(arrays.inputs, values, names, target, None, dtype, target_columns=several)
    check_finite_numbers(arrays.targets, where)
    return Table(arrays.inputs, arrays.targets.astype(np.float64), names, target, target_columns=several)


def table_from_columns(
    columns: Columns,
    target: str | Sequence[str],
    classes: bool,
    missing: Missing,
    *,
    weight: str | None = None,
    sample_weights: NDArray[np.float64] | None = None,
    groups: str | None = None,
    has_features: bool = True,
) -> Table:
    """Return the table of columns; samples that lack a target are left out, and counted in its notes.

    Args:
        columns: the features, the targets, and the columns of weights and groups.
        target: the name of the column to predict, or of several.
        classes: True if the targets are class labels, False if they are numbers.
        missing: the treatment of missing values in features; with `impute` and `mean`, NaN stays in the inputs.
        weight: the column of the weights of samples.
        sample_weights: (n,), the weights of the samples if they are no column.
        groups: the column of the groups of samples.
        has_features: False if the features are an array, and so not among the columns.

    Raises:
        DataError: there is no sample; a column has no values or too many categories; a value is
            missing; or a weight is missing or negative.

    Example:
        >>> from mxtrain.data.python_columns import columns_of
        >>> data = {"age": [3, 5, None], "size": ["big", "small", "big"], "species": ["cat", "ant", "ant"]}
        >>> table = table_from_columns(columns_of(data, lambda _, names: dict.fromkeys(names)), "species", True, "drop")
        >>> table.inputs.tolist(), table.labels, table.targets.tolist(), table.class_names
        ([[3.0, 0.0], [5.0, 1.0]], {'size': ('big', 'small')}, [1, 0], ('ant', 'cat'))
    """
    if not len(columns):
        raise DataError(f"{columns.source}: has a header but no samples")
    # Spellings are not merged by readers, because runs of earlier versions have a category for each spelling.
    merged = {name: _merge_spellings(column) for name, column in columns.columns.items()}
    columns = replace(columns, columns=merged)
    names = (target,) if isinstance(target, str) else tuple(target)
    features = [name for name in merged if name not in (*names, weight, groups)]
    for name in (*features, *names):
        _check_values(columns, name, name not in names)
    rows, notes = _rows_of_samples(columns, names, features, classes, missing)
    columns = columns.take(rows) if len(rows) < len(columns) else columns
    selected = {name: columns.columns[name] for name in features}
    values, class_names, dtype = _target_values(columns, names)
    if not features and has_features:
        raise _no_feature_error(columns, names)
    if weight is not None:
        weights: NDArray[np.float64] | None = weights_of_column(columns, weight)
    else:
        weights = None if sample_weights is None else sample_weights[rows]
    dates = {name: column for name, column in selected.items() if isinstance(column, DateColumn)}
    notes += [*columns.notes, *filter(None, (order_note(name, column) for name, column in dates.items()))]
    notes += [f"left out column {name!r}: {reason}" for name, reason in columns.left_out.items()]
    return Table(
        inputs=matrix(selected, np.arange(len(columns))),
        targets=values,
        column_names=tuple(features),
        target_name=", ".join(names),
        class_names=class_names,
        class_dtype=dtype,
        labels={name: column.labels for name, column in selected.items() if isinstance(column, CategoricalColumn)},
        row_label=columns.row_label,
        kinds=_special_kinds(selected, columns.kinds),
        with_time=[name for name, column in dates.items() if column.has_time],
        date_formats={name: column.format for name, column in dates.items() if column.format is not None},
        groups=None if groups is None else _group_numbers(columns.columns[groups]),
        weights=weights,
        notes=tuple(notes),
        target_columns=names if len(names) > 1 else (),
        positions=columns.positions,
    )


def _rows_of_samples(
    columns: Columns, targets: Sequence[str], features: Iterable[str], classes: bool, missing: Missing
) -> tuple[NDArray[np.int64], list[str]]:
    """Return the rows that have all targets and, with `drop`, all features; and messages with the number of others."""
    rows, notes = rows_with_target(columns, targets, classes)
    columns = columns.take(rows) if len(rows) < len(columns) else columns
    kept = rows_to_keep(columns, missing, features)
    if len(kept) < len(rows):
        notes.append(f"left out {count_samples(len(rows) - len(kept))} that lack a value (data.missing: drop)")
    return rows[kept], notes


def _no_feature_error(columns: Columns, targets: Sequence[str]) -> DataError:
    reasons = "; ".join(f"{name!r}: {reason}" for name, reason in columns.left_out.items())
    some = next(iter(columns.left_out), "name")
    remedy = f"say with data.columns what a column holds, such as data.columns: {{{yaml_text(some)}: category}}"
    names = ", ".join(map(repr, targets))
    return DataError(f"{columns.source}: no column is left to predict {names} from ({reasons}); {remedy}")


def count_samples(rows: int) -> str:
    """Return a number of samples as text.

    >>> count_samples(1), count_samples(1200)
    ('1 sample', '1,200 samples')
    """
    return "1 sample" if rows == 1 else f"{rows:,} samples"


def rows_with_target(columns: Columns, targets: Sequence[str], classes: bool) -> tuple[NDArray[np.int64], list[str]]:
    """Return the rows that have all targets, and a message with the number of others, if there are any."""
    gaps, lacking = np.zeros(len(columns), dtype=bool), []
    for target in targets:
        marked = mark_invalid_labels_missing(columns, target) if classes else columns
        found = marked.columns[target].missing
        if found.all():
            raise DataError(f"{columns.source}: column {target!r}: no sample has a target; choose another column")
        if found.any():
            gaps |= found
            lacking.append(target)
    if not lacking:
        return np.arange(len(columns)), []
    if gaps.all():
        raise DataError(f"{columns.source}: no sample has all targets {', '.join(map(repr, lacking))}; leave one out")
    names = f"the target {lacking[0]!r}" if len(lacking) == 1 else f"one of the targets {', '.join(map(repr, lacking))}"
    return np.flatnonzero(~gaps), [f"left out {count_samples(int(gaps.sum()))} without {names}"]


def _target_values(columns: Columns, names: Sequence[str]) -> tuple[NDArray[Any], tuple[str, ...] | None, str]:
    """Return the targets, (n,) or (n, k), the classes of one target, and the dtype of predicted classes."""
    found = [columns.columns[name] for name in names]
    if len(found) > 1 and isinstance(found[0], CategoricalColumn):
        values, dtype = boolean_targets(columns, names)
        return values, None, dtype
    if len(found) > 1:
        return (
            np.stack([column.values for column in found if not isinstance(column, CategoricalColumn)], 1),
            None,
            "str",
        )
    if isinstance(found[0], CategoricalColumn):
        class_names, indices = _number_target_classes(found[0], columns, names[0])
        return indices, class_names, class_dtype(class_names, found[0].dtype)
    return found[0].values, None, "str"


def _special_kinds(columns: Mapping[str, Column], kinds: Mapping[str, ColumnKind]) -> dict[str, ColumnKind]:
    """Return the kinds of the columns that are booleans, dates or text."""
    found: dict[str, ColumnKind] = {}
    for name, column in columns.items():
        if isinstance(column, DateColumn):
            found[name] = "date"
        elif isinstance(column, CategoricalColumn) and kinds.get(name) == "boolean" and len(column.labels) == 2:
            found[name] = "boolean"
        elif isinstance(column, CategoricalColumn) and kinds.get(name) == "text":
            found[name] = "text"
    return found


def _group_numbers(column: Column) -> NDArray[np.int64]:
    """Return the number of each sample's group, (n,); a sample without a group is a group of its own."""
    values = column.codes if isinstance(column, CategoricalColumn) else column.values
    _, numbers = np.unique(values, return_inverse=True)
    gaps = column.missing
    numbers[gaps] = len(values) + np.arange(int(gaps.sum()))
    return np.unique(numbers, return_inverse=True)[1].astype(np.int64)


def rows_to_keep(columns: Columns, missing: Missing, features: Iterable[str]) -> NDArray[np.int64]:
    """Return the rows to keep, ascending: all of them, or with `drop` those without missing values.

    Args:
        columns: the columns.
        missing: the treatment of missing values.
        features: the names of the columns to check.

    Raises:
        DataError: a missing value is an error, or no row is left.
    """
    is_incomplete = np.zeros(len(columns), dtype=bool)
    problems = []
    for name in features:
        gaps = columns.columns[name].missing
        if missing == "error":
            problems += [
                Problem(
                    row,
                    f"{columns.row_label(row)}: column {name!r}",
                    "a value is missing; fill it in, or set data.missing: impute or drop",
                )
                for row in np.flatnonzero(gaps).tolist()
            ]
        elif missing == "drop":
            is_incomplete |= gaps
    if problems:
        raise problems_error(problems)
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
    return replace(columns, columns={**columns.columns, target: marked})


def matrix(columns: Mapping[str, Column], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return rows of columns as an array, (n, c): numbers, indices of labels, and NaN for missing values."""
    inputs = np.empty((len(rows), len(columns)))
    for index, column in enumerate(columns.values()):
        if isinstance(column, CategoricalColumn):
            inputs[:, index] = np.where(column.missing, np.nan, column.codes)[rows]
        else:
            inputs[:, index] = column.values[rows]
    return inputs


def _check_values(columns: Columns, name: str, is_feature: bool) -> None:
    """Raise a DataError for a column without values, and for a feature of unknown kind with too many categories."""
    column, where = columns.columns[name], f"{columns.source}: column {name!r}"
    if column.missing.all():
        remedy = "; leave it out with data.exclude" if is_feature else ""
        raise DataError(f"{where}: has no values{remedy}")
    if not is_feature or not isinstance(column, CategoricalColumn) or name in columns.kinds:
        return
    labels = _occurring_labels(column)
    if len(labels) > MAX_CATEGORIES:
        raise DataError(
            f"{where}: has {len(labels):,} categories, at most {MAX_CATEGORIES:,} are allowed; leave the column out "
            "with data.exclude"
        )


def _occurring_labels(column: CategoricalColumn) -> Sequence[str]:
    return [column.labels[code] for code in np.unique(column.codes).tolist() if code >= 0]


def _merge_spellings(column: Column) -> Column:
    return column.merge_spellings() if isinstance(column, CategoricalColumn) else column


def _number_target_classes(
    column: CategoricalColumn, columns: Columns, target: str
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    present, codes = np.unique(column.codes, return_inverse=True)
    labels = [column.labels[code] for code in present.tolist()]
    return number_classes(labels, codes, f"{columns.source}: column {target!r}")
