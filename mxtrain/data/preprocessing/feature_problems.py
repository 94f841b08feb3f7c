"""Problems of features: gaps that cannot be filled, unseen categories, and overflow."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import Unseen
from mxtrain.data.preprocessing.features import (
    UNSEEN,
    BooleanFeature,
    DateFeature,
    Feature,
    NumericFeature,
    OneHotFeature,
)
from mxtrain.data.preprocessing.scalers import Standardization
from mxtrain.data.readers.columns import RowLabel
from mxtrain.data.readers.raw_table import Problem
from mxtrain.errors import DataError
from mxtrain.types import describe

_LARGEST_SQUARABLE = 1e150
"""Numbers below it have squares that are finite in float64."""


def invalid_gaps(column: Feature, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the rows in which a column lacks a value that cannot be replaced."""
    gaps = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), dtype=bool)
    match column:
        case NumericFeature() | DateFeature() | BooleanFeature():
            return gaps if column.fill is None else np.zeros_like(gaps)
        case OneHotFeature():
            return np.zeros_like(gaps) if column.fills_gaps or "" in column.values else gaps
    return np.zeros_like(gaps)


def value_problems(
    features: Sequence[Feature],
    inputs: NDArray[Any],
    labels: Mapping[str, Sequence[str]],
    row_label: RowLabel,
    unseen: Unseen,
) -> list[Problem]:
    """Return the missing values that cannot be replaced, and with `unseen` of `error` the unseen categories.

    Args:
        features: the c features.
        inputs: (n, c), as for `Preprocessing.transform`.
        labels: the labels of the columns of text.
        row_label: the name of a row.
        unseen: the treatment of unseen categories.
    """
    problems: list[Problem] = []
    if inputs.dtype.kind != "f" and not labels:
        return problems
    for index, feature in enumerate(features):
        values = inputs[:, index]
        for row in np.flatnonzero(invalid_gaps(feature, values)).tolist():
            message = "a value is missing; fill it in, or train with data.missing: impute"
            problems.append(Problem(row, f"{row_label(row)}: column {feature.name!r}", message))
        if unseen == "error" and isinstance(feature, OneHotFeature | BooleanFeature):
            names, known = labels[feature.name], [value for value in feature.values if value]
            some = ", ".join(map(repr, known[:8])) + (", ..." if len(known) > 8 else "")
            for row in np.flatnonzero(feature.encode(values, names) == UNSEEN).tolist():
                message = (
                    f"the category {describe(names[int(values[row])])} does not occur in the training set, "
                    f"which has {some}; correct it, or train with data.unseen: ignore"
                )
                problems.append(Problem(row, f"{row_label(row)}: column {feature.name!r}", message))
    return problems


def unseen_notes(name: str, values: NDArray[Any], labels: Sequence[str], codes: NDArray[np.int64]) -> Iterator[str]:
    """Yield a message with the number of values of a column with unseen categories, if there are any."""
    rows = np.flatnonzero(codes == UNSEEN)
    if len(rows):
        found = sorted({labels[code] for code in values[rows].astype(np.int64).tolist()})
        some = ", ".join(map(describe, found[:3])) + (", ..." if len(found) > 3 else "")
        noun = "value has a category" if len(rows) == 1 else "values have categories"
        yield f"column {name!r}: {len(rows):,} {noun} that the training set lacks: {some}"


def feature_overflow_error(
    source: str, name: str, dtype: str, values: NDArray[np.float64], standardization: Standardization
) -> DataError:
    """Return the error for a feature that overflows the dtype of the run.

    Args:
        source: the file.
        name: the name of the feature.
        dtype: the dtype of the run.
        values: (n,), the standardized feature in float64.
        standardization: the standardization of the run.
    """
    is_standardized = standardization.mean.any() or (standardization.scale != 1).any()
    remedy = "correct it, or leave its sample out" if is_standardized else "set data.standardize: features"
    return overflow_error(source, name, dtype, values, remedy)


def overflow_error(source: str, name: str, dtype: str, values: NDArray[np.float64], remedy: str) -> DataError:
    """Return the error for numbers that overflow a dtype; `remedy` applies if float64 does not help."""
    if dtype == "float32" and (np.abs(values) < _LARGEST_SQUARABLE).all():
        remedy = "set dtype: float64, or scale it down"
    return DataError(f"{source}: {name!r} has values too large to compute with in {dtype}; {remedy}")
