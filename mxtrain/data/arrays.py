"""What arrays must be to be learnt from, whatever file they come from."""

from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.data.classes import class_dtype, number_classes
from mxtrain.errors import DataError

NOT_OF_NUMPY = (ValueError, TypeError, LookupError, RuntimeError, MemoryError, OverflowError, SyntaxError, TokenError)
"""What NumPy raises on the header of an array that it did not write."""


def as_rows(array: NDArray[Any], where: str) -> NDArray[Any]:
    """Inputs, (n, ...), as (n, d); a DataError where there are none, or where they are not all finite numbers."""
    if array.ndim == 0 or array.size == 0:
        raise DataError(f"{where}: must hold at least one sample and one feature, got the shape {array.shape}")
    check_numbers(array, where)
    return array.reshape(len(array), -1)


def one_for_each(array: NDArray[Any], samples: int, where: str) -> NDArray[Any]:
    """Targets, (n,) or (n, 1), as (n,); a DataError where they are not one for each of n samples."""
    if array.ndim == 0 or array.shape[1:] not in ((), (1,)):
        raise DataError(f"{where}: must hold one value for each sample, got the shape {array.shape}")
    if len(array) != samples:
        raise DataError(f"{where}: must hold {samples} values, one for each sample, got {len(array)}")
    return array.reshape(-1)


def check_numbers(array: NDArray[Any], where: str, first_row: int = 0) -> None:
    """A DataError where not all are finite numbers; `first_row` is where the array begins in its file."""
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where}: must hold numbers, got the dtype {array.dtype}")
    if array.dtype.kind != "f":
        return
    finite = np.isfinite(array)
    if not finite.all():
        row, *rest = np.argwhere(~finite)[0].tolist()
        place = f"[{', '.join(map(str, (first_row + row, *rest)))}]"
        raise DataError(f"{where}: {place}: must be a finite number, got {array[row, *rest]}")


def labels_of(targets: NDArray[Any], where: str) -> tuple[list[str], NDArray[np.int64]]:
    """The labels that occur, and for each sample which it is."""
    if targets.dtype.kind != "U":
        check_numbers(targets, where)
    distinct, codes = np.unique(targets, return_inverse=True)
    return [str(label) for label in distinct.tolist()], codes.astype(np.int64, copy=False)


def classes_of(targets: NDArray[Any], where: str) -> tuple[tuple[str, ...], NDArray[np.int64], str]:
    """Return the names of the classes in order, the class of each sample, and the dtype of the classes."""
    names, indices = number_classes(*labels_of(targets, where), where)
    return names, indices, class_dtype(names, "str" if targets.dtype.kind == "U" else targets.dtype.name)
