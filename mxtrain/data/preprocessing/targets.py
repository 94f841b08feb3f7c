"""Encoding of targets in the form that the loss expects."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.data.preprocessing.classes import class_indices
from mxtrain.data.preprocessing.preprocessing import Preprocessing, too_large
from mxtrain.data.readers.columns import Column, Place, Texts
from mxtrain.errors import DataError
from mxtrain.types import describe


def encode_targets(values: NDArray[Any], preprocessing: Preprocessing, source: str) -> NDArray[Any]:
    """Numbers, standardized where the run asks for it, or indices of classes, as the loss takes them.

    Raises:
        DataError: they are too large for its dtype.
    """
    scale, dtype = preprocessing.target_scale, preprocessing.target_dtype
    with np.errstate(over="ignore"):
        exact = values if scale is None else scale.apply(values)
        targets = exact.astype(dtype, copy=False)
    if targets.dtype.kind == "f" and not np.isfinite(targets).all():
        remedy = "set data.standardize_target: true" if scale is None else "correct it, or leave its sample out"
        raise too_large(source, preprocessing.target, dtype, exact.astype(np.float64), remedy)
    return targets


def encode_target_column(column: Column, preprocessing: Preprocessing, place: Place, source: str) -> NDArray[Any]:
    """The targets in a column of another file than the training's.

    Raises:
        DataError: a value is missing, or is of a class that was not trained on.
    """
    name = preprocessing.target
    if column.missing.any():
        raise DataError(f"{place(int(column.missing.argmax()))}: column {name!r}: a value is missing; fill it in")
    if isinstance(column, Texts):
        values: NDArray[Any] = encode_classes(column.labels, column.codes, preprocessing, place)
    else:
        values = column.values
    return encode_targets(values, preprocessing, source)


def encode_classes(
    labels: tuple[str, ...], codes: NDArray[np.int64], preprocessing: Preprocessing, place: Place
) -> NDArray[np.int64]:
    """The indices of the classes that were trained on; a DataError for any other."""
    names = preprocessing.class_names or ()
    indices = np.array(class_indices(labels, names), dtype=np.int64)[codes]
    if (indices < 0).any():
        row = int((indices < 0).argmax())
        some = ", ".join(map(repr, names[:8])) + (", ..." if len(names) > 8 else "")
        label = describe(labels[int(codes[row])])
        message = f"the class {label} does not occur in the data that the model is trained on, which have {some}"
        raise DataError(f"{place(row)}: column {preprocessing.target!r}: {message}")
    return indices
