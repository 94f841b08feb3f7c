"""Tables in memory: column selection, missing values, and conversion from columns."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import Missing
from mxtrain.data.preprocessing.classes import class_dtype, is_label, number_classes
from mxtrain.data.readers.columns import Column, Columns, Place, Texts, dates
from mxtrain.data.readers.values import find_date
from mxtrain.errors import DataError
from mxtrain.names import nearest
from mxtrain.types import describe


def row_number(row: int) -> str:
    """What messages call a row of a table that no file says more about."""
    return f"row {row + 1}"


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A data set in memory: n samples of c columns, and what is to be predicted for each.

    Attributes:
        inputs: (n, c), of the dtype in which they were found. A column of text holds indices into its labels. Of a
            table that may lack values, NaN stands for them.
        targets: (n,); float64 numbers, or int64 indices into `class_names`.
        column_names: c names.
        target_name: the column or array that the targets come from.
        class_names: the classes in order, or None where the targets are numbers.
        class_dtype: the dtype in which classes are predicted, as `classes.class_dtype` finds it.
        labels: for each column of text the texts in it, in any order.
        place: what messages call a row.
    """

    inputs: NDArray[Any]
    targets: NDArray[np.float64] | NDArray[np.int64]
    column_names: tuple[str, ...]
    target_name: str
    class_names: tuple[str, ...] | None = None
    class_dtype: str = "str"
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    place: Place = row_number

    def __len__(self) -> int:
        return len(self.inputs)


def choose_features(
    where: str, noun: str, names: Sequence[str], target: str, features: Sequence[str] | None
) -> tuple[str, ...]:
    """The names to predict from: `features`, or all but the target where that is None.

    Args:
        where: the place that an error names, such as `train.csv:1`.
        noun: what the names are names of, `column` or `array`.
        names, target, features: what there is, and what of it was asked for.

    Raises:
        DataError: a name is unknown, given twice, or both target and feature; or there is no feature.

    Example:
        >>> choose_features("iris.csv:1", "column", ["width", "length", "species"], "species", None)
        ('width', 'length')
    """
    check_names_exist(f"{where}: data.target", noun, names, target)
    chosen = tuple(name for name in names if name != target) if features is None else tuple(features)
    check_names_exist(f"{where}: data.features", noun, names, *chosen)
    if target in chosen:
        raise DataError(f"{where}: data.features: {target!r} is the target; leave it out")
    for name, times in Counter(features or ()).items():
        if times > 1:
            raise DataError(f"{where}: data.features: {name!r} is named twice")
    if not chosen:
        raise DataError(f"{where}: there is no {noun} besides the target {target!r} to predict it from")
    return chosen


def check_names_exist(where: str, noun: str, names: Iterable[str], *wanted: str) -> None:
    """Refuse the first name that is not among those there are, and say which was probably meant."""
    known = dict.fromkeys(names)
    unknown = next((name for name in wanted if name not in known), None)
    if unknown is None:
        return
    meant = nearest(unknown, known)
    some = ", ".join(map(describe, islice(known, 8))) + (", ..." if len(known) > 8 else "")
    remedy = f"did you mean {meant!r}?" if meant else f"there are: {some}" if known else "there is none at all"
    raise DataError(f"{where}: there is no {noun} {unknown!r}; {remedy}")


MAX_CATEGORIES = 1000
"""Categories of one column; more are names or numbers of samples rather than kinds of them."""


def table_from_columns(
    columns: Columns, target: str, classes: bool, missing: Missing, categorical: Collection[str] = ()
) -> Table:
    """Make a table of columns.

    Args:
        columns: the features, and the target.
        target: the column to predict.
        classes: whether the target names classes or is a number.
        missing: what is done where a value is missing; with `mean` NaN stays in the inputs.
        categorical: the columns whose values are categories even if they are dates.

    Raises:
        DataError: there is no sample, a column has no value, holds dates, or has too many categories, or a value is
            missing.

    Example:
        >>> from mxtrain.data.readers.columns import columns_of
        >>> data = {"age": [3, 5, None], "size": ["big", "small", "big"], "species": ["cat", "ant", "ant"]}
        >>> table = table_from_columns(columns_of(data, lambda _, names: dict.fromkeys(names)), "species", True, "drop")
        >>> table.inputs.tolist(), table.labels, table.targets.tolist(), table.class_names
        ([[3.0, 0.0], [5.0, 1.0]], {'size': ('big', 'small')}, [1, 0], ('ant', 'cat'))
    """
    if not len(columns):
        raise DataError(f"{columns.source}: has a header but no samples")
    # Not when columns are read, because to a model of an earlier version each spelling may be a category.
    merged = {name: _merge_spellings_of(column) for name, column in columns.columns.items()}
    columns = Columns(columns.source, merged, columns.place)
    features = {name: column for name, column in columns.columns.items() if name != target}
    for name, column in columns.columns.items():
        is_feature = name != target
        check_values(column, f"{columns.source}: column {name!r}", is_feature, name in categorical)
    truth = _mark_nonlabels_missing(columns, target) if classes and missing == "drop" else columns.columns[target]
    kept = rows_with_values(columns, {**features, target: truth}, missing, optional=features)
    inputs = matrix(features, kept)
    labels = {name: column.labels for name, column in features.items() if isinstance(column, Texts)}
    place = place_of_rows(columns, kept)
    if not isinstance(truth, Texts):
        return Table(inputs, truth.values[kept], tuple(features), target, labels=labels, place=place)
    where = f"{columns.source}: column {target!r}"
    class_names, targets = _number_target_classes(truth, kept, columns, target, where)
    dtype = class_dtype(class_names, truth.dtype)
    return Table(inputs, targets, tuple(features), target, class_names, dtype, labels, place)


def rows_with_values(
    columns: Columns, wanted: Mapping[str, Column], missing: Missing, optional: Mapping[str, Column]
) -> NDArray[np.int64]:
    """The rows to keep, ascending: all of them, or with `drop` those that lack nothing.

    Args:
        columns: where the columns are from.
        wanted: the columns that matter.
        missing: what is done where a value is missing.
        optional: the columns in which `mean` allows it.

    Raises:
        DataError: a value is missing that may not be, or no row is left.
    """
    lacking = np.zeros(len(columns), dtype=bool)
    for name, column in wanted.items():
        gaps = column.missing
        if missing == "error" or (missing == "mean" and name not in optional):
            if gaps.any():
                remedy = "drop or mean" if name in optional else "drop"
                where = f"{columns.place(int(gaps.argmax()))}: column {name!r}"
                raise DataError(f"{where}: a value is missing; fill it in, or set data.missing: {remedy}")
        elif missing == "drop":
            lacking |= gaps
    if lacking.all():
        raise DataError(f"{columns.source}: every sample lacks a value, so data.missing: drop leaves none")
    return np.flatnonzero(~lacking)


def matrix(features: Mapping[str, Column], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """The columns side by side, (n, c): numbers, indices of labels, and NaN for what is missing."""
    inputs = np.empty((len(rows), len(features)))
    for index, column in enumerate(features.values()):
        if isinstance(column, Texts):
            inputs[:, index] = np.where(column.missing, np.nan, column.codes)[rows]
        else:
            inputs[:, index] = column.values[rows]
    return inputs


def place_of_rows(columns: Columns, rows: NDArray[np.int64]) -> Place:
    """What messages call the rows that were kept."""
    return lambda row: columns.place(int(rows[row]))


def occurring_labels(column: Texts) -> Sequence[str]:
    """The labels that at least one row has."""
    return [column.labels[code] for code in np.unique(column.codes).tolist() if code >= 0]


def check_values(column: Column, where: str, is_feature: bool, is_category: bool = False) -> None:
    """Refuse a column without values, and a feature of dates or of too many categories."""
    if column.missing.all():
        remedy = "; leave it out with data.features" if is_feature else ""
        raise DataError(f"{where}: has no values{remedy}")
    if not is_feature or not isinstance(column, Texts):
        return
    labels = occurring_labels(column)
    moment = None if is_category else find_date(labels)
    if moment is not None:
        few = len(labels) <= MAX_CATEGORIES
        raise DataError(f"{where}: {dates(f', such as {describe(moment)}', may_be_categories=few)}")
    if len(labels) > MAX_CATEGORIES:
        raise DataError(
            f"{where}: has {len(labels):,} categories, at most {MAX_CATEGORIES:,} are allowed; leave the column out "
            "with data.features"
        )


def _merge_spellings_of(column: Column) -> Column:
    return column.merged() if isinstance(column, Texts) else column


def _mark_nonlabels_missing(columns: Columns, target: str) -> Texts:
    """The target with labels that name no class, such as `nan`, taken for missing ones."""
    column = columns.columns[target]
    assert isinstance(column, Texts), "classes are read as text"
    names_a_class = np.array([*map(is_label, column.labels), False])  # the last for the code -1
    return Texts(np.where(names_a_class[column.codes], column.codes, -1), column.labels, column.dtype)


def _number_target_classes(
    truth: Texts, kept: NDArray[np.int64], columns: Columns, target: str, where: str
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    present, codes = np.unique(truth.codes[kept], return_inverse=True)
    labels = [truth.labels[code] for code in present.tolist()]
    for code, label in enumerate(labels):
        if not is_label(label):
            place = columns.place(int(kept[int((codes == code).argmax())]))
            raise DataError(f"{place}: column {target!r}: must be the name or number of a class, got {describe(label)}")
    return number_classes(labels, codes, where)
