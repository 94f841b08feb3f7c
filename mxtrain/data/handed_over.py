"""Samples that are handed over in Python to a trained model: columns by name, a data frame, or arrays."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mxtrain.data.columns import columns_of
from mxtrain.data.csv_file import check_wanted
from mxtrain.data.in_python import columns_by_name, kind_of, names_of, pair_of, rows_of, target_of
from mxtrain.data.preprocessing import Preprocessing
from mxtrain.data.table import row_number
from mxtrain.data.table_file import columns_to_predict_from
from mxtrain.data.targets import targets_of
from mxtrain.errors import DataError


class Frame(Protocol):
    """A data frame, of pandas, Polars or Arrow: columns that are got by name."""

    def __getitem__(self, name: str, /) -> Any: ...


Data: TypeAlias = tuple[ArrayLike, Any] | Mapping[str, Iterable[object]] | Frame
"""`(X, y)`, with X of (n, ...) and y of (n,); or columns by name, or a data frame, the target among them."""


def inputs_of(given: Any, preprocessing: Preprocessing) -> NDArray[Any]:
    """The inputs of a model, (n, d).

    Args:
        given: a mapping from names to columns or a data frame (pandas, Polars, Arrow), whose other columns do not
            matter, nor their order; or an array, (n, ...), with the features in theirs. What a masked array masks
            is missing.
        preprocessing: what was fitted when the model was trained.

    Raises:
        DataError: a feature is missing, or a value is not as in training.

    Example:
        >>> from mxtrain.data.preprocessing import Number
        >>> fitted = Preprocessing((Number("age"), Number("size")), "y", None, "float32")
        >>> inputs_of({"size": np.arange(2), "age": [7, 8]}, fitted).tolist()
        [[7.0, 0.0], [8.0, 1.0]]
    """
    names = names_of(given)
    if names is not None:
        kinds = preprocessing.kinds
        check_wanted(names, kinds, "data")
        columns = columns_by_name(given, (name for name in names if name in kinds))
        choose = columns_to_predict_from(kinds, "", classes=False)
        return preprocessing.apply(columns_of(columns, lambda where, _: choose(where, names)))
    array = rows_of(given, "inputs")
    if not len(array):
        return np.empty((0, len(preprocessing.feature_names)), preprocessing.dtype)
    return preprocessing.apply(array, "inputs")


def samples_of(given: Any, preprocessing: Preprocessing) -> tuple[NDArray[Any], NDArray[Any]]:
    """The inputs of a model, (n, d), and the targets to compare its predictions with, (n,).

    Args:
        given: see `Data`.
        preprocessing: what was fitted when the model was trained.

    Raises:
        DataError: there is no target, or no sample, or a value or a class is not as in training.

    Example:
        >>> from mxtrain.data.preprocessing import Number
        >>> fitted = Preprocessing((Number("age"),), "species", ("ant", "cat"), "float32")
        >>> samples_of({"age": [7, 8], "species": ["cat", "ant"]}, fitted)[1].tolist()
        [1, 0]
    """
    target, classes = preprocessing.target, preprocessing.class_names is not None
    if isinstance(given, tuple):
        features, targets = pair_of(given)
        inputs, column, name = inputs_of(features, preprocessing), target_of(targets, classes), "y"
    else:
        names = names_of(given)
        if names is None:
            raise DataError(f"data: must be (X, y), or columns by name, got {kind_of(given)}")
        if target not in names:
            raise DataError(f"data: has no {target!r} to compare predictions with")
        check_wanted(names, [target], "data")
        inputs, name = inputs_of(given, preprocessing), target
        found = columns_of(columns_by_name(given, [target]), columns_to_predict_from({}, target, classes))
        column = found.columns[target]
    if len(inputs) != len(column.missing) or not len(inputs):
        got = f"{len(inputs)} samples and {len(column.missing)} values of {name!r}"
        raise DataError(f"data: must have one target for each sample, and at least one sample, got {got}")
    return inputs, targets_of(column, preprocessing, lambda row: f"data: {row_number(row)}", "data")
