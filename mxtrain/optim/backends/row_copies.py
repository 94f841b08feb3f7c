"""Copies of rows of arrays: to compact arrays, and back."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.optim.backends.arrays import Backend, array_kind, array_module
from mxtrain.optim.backends.selection import is_worth_compiling
from mxtrain.types import Array

_SECONDS_PER_ROW = 20e-9
"""Time that compiled loops save on each row."""
_MAX_ROW_BYTES = 2048
"""Longer rows are copied by NumPy, which takes no longer."""


def gather_rows(arrays: Sequence[Array], indices: NDArray[np.int64], backend: Backend | None = None) -> list[Array]:
    """Return C-contiguous copies of rows of NumPy or CuPy arrays.

    Args:
        arrays: arrays with at least one axis.
        indices: the numbers of the rows, all in range.
        backend: the backend, which decides whether compiled loops are used; None for NumPy.

    >>> gather_rows([np.array([[0, 1], [2, 3], [4, 5]])], np.array([2, 0]))[0].tolist()
    [[4, 5], [0, 1]]
    """
    if _copies_compiled(backend, arrays, indices):
        rows = [np.empty((len(indices), *array.shape[1:]), array.dtype) for array in arrays]
        if _copy_compiled("gather", arrays, indices, rows):
            return rows
    return [_gather(array, indices) for array in arrays]


def scatter_rows(
    arrays: Sequence[Array], indices: NDArray[np.int64], rows: Sequence[Array], backend: Backend | None = None
) -> None:
    """Write rows to NumPy or CuPy arrays.

    Args:
        arrays: arrays with at least one axis.
        indices: the numbers of the rows, each once.
        rows: the new rows, as `gather_rows` returns them.
        backend: the backend, which decides whether compiled loops are used; None for NumPy.

    >>> target = np.zeros((3, 2))
    >>> scatter_rows([target], np.array([2, 0]), [np.array([[4.0, 5.0], [6.0, 7.0]])])
    >>> target.tolist()
    [[6.0, 7.0], [0.0, 0.0], [4.0, 5.0]]
    """
    if len({(each.dtype, each.shape[1:]) for each in arrays}) > 1:  # the rows of a half-precision weight differ
        for array, compact in zip(arrays, rows, strict=True):
            scatter_rows([array], indices, [compact], backend)
        return
    if _copies_compiled(backend, arrays, indices) and _copy_compiled("scatter", arrays, indices, rows):
        return
    for array, compact in zip(arrays, rows, strict=True):
        _scatter(array, indices, compact)


def _copies_compiled(backend: Backend | None, arrays: Sequence[Array], indices: NDArray[np.int64]) -> bool:
    """Return whether compiled loops can copy rows of these arrays, and are worthwhile."""
    if backend is None or not len(indices) or not arrays or not isinstance(arrays[0], np.ndarray):
        return False
    size, row_shape, dtype = arrays[0].dtype.itemsize, arrays[0].shape[1:], arrays[0].dtype
    if not 0 < size * prod(row_shape) <= _MAX_ROW_BYTES:
        return False
    if any(each.shape[1:] != row_shape or each.dtype != dtype or not _has_plain_rows(each) for each in arrays):
        return False
    seconds = len(arrays) * len(indices) * _SECONDS_PER_ROW
    return backend.name == "compiled" or (backend.name == "auto" and is_worth_compiling(seconds))


def _has_plain_rows(array: NDArray[Any]) -> bool:
    """Return whether each row is C-contiguous and aligned."""
    flags = array.flags
    if flags.c_contiguous and flags.aligned:
        return True
    has_rows = array[0].flags.c_contiguous and array.strides[0] % array.dtype.itemsize == 0
    return bool(has_rows and flags.aligned)


def _copy_compiled(direction: str, arrays: Sequence[Array], indices: NDArray[np.int64], rows: Sequence[Array]) -> bool:
    """Copy rows with compiled loops; return False without Numba."""
    try:
        from mxtrain.optim.backends.compiled.numba_rows import copy_rows  # loads the compiler
    except ImportError:
        return False
    copy_rows(direction, arrays, indices, rows)
    return True


def _gather(array: Array, indices: NDArray[np.int64]) -> Array:
    if array_kind(array) != "numpy":
        with array.device:
            xp: Any = array_module("cupy")
            return xp.ascontiguousarray(array[xp.asarray(indices)])
    rows = _as_items(array)
    if rows is not None:
        return rows.take(indices).view(array.dtype).reshape(len(indices), *array.shape[1:])
    return np.ascontiguousarray(array[indices])


def _scatter(array: Array, indices: NDArray[np.int64], compact: Array) -> None:
    if array_kind(array) != "numpy":
        with array.device:
            array[array_module("cupy").asarray(indices)] = compact
        return
    rows, items = _as_items(array), _as_items(compact)
    if rows is not None and items is not None:
        rows[indices] = items
    else:
        array[indices] = compact


def _as_items(array: NDArray[Any]) -> NDArray[Any] | None:
    """Return a view of an array with one element for each row, which NumPy copies faster; None if there is none."""
    size = array.dtype.itemsize * prod(array.shape[1:])
    if not array.flags.c_contiguous or not size or not len(array):
        return None
    return array.reshape(len(array), -1).view(f"V{size}")[:, 0]
