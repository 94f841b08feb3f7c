"""Samples that are handed over in Python: columns by name, a data frame, or an array."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.data.columns import columns_of
from mxtrain.data.csv_file import check_wanted
from mxtrain.data.preprocessing import Preprocessing
from mxtrain.data.table_file import columns_to_predict_from
from mxtrain.errors import DataError


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
    names = _names(given)
    if names is not None:
        kinds = preprocessing.kinds
        check_wanted(names, kinds, "data")
        columns = {name: given[name] for name in names if name in kinds}
        choose = columns_to_predict_from(kinds, "", classes=False)
        return preprocessing.apply(columns_of(columns, lambda where, _: choose(where, names)))
    try:
        array = np.asarray(np.ma.filled(given.astype(float), np.nan) if np.ma.isMaskedArray(given) else given)
    except (ValueError, TypeError) as error:
        raise DataError(f"inputs must be numbers, one row for each sample: {error}") from None
    if array.dtype.kind not in "biuf" or array.ndim < 2:
        raise DataError(f"inputs must be numbers, one row for each sample, got {array.dtype} of {array.shape}")
    if not len(array):
        return np.empty((0, len(preprocessing.feature_names)), preprocessing.dtype)
    return preprocessing.apply(array, "inputs")


def _names(given: Any) -> Sequence[str] | None:
    """The names of the columns, or None where there are none: of an array, and of a frame made from one."""
    names = list(given) if isinstance(given, Mapping) else None
    for attribute in ("column_names", "columns"):
        if names is None and hasattr(given, attribute):
            names = list(getattr(given, attribute))
    is_text = names is not None and all(isinstance(name, str) for name in names)
    if isinstance(given, Mapping) and not is_text:
        raise DataError("data: the names of columns must be text")
    return names if is_text else None
