"""Arrays, data frames, and mappings of columns passed from Python."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.data.readers.columns import Column, columns_of
from mxtrain.errors import DataError
from mxtrain.names import nfc
from mxtrain.types import describe


def column_names_of(given: Any) -> Sequence[str] | None:
    """Return the names of columns, in NFC; None for an array, and for a frame made from one.

    >>> column_names_of({"age": [3]}), column_names_of(np.zeros(2, [("age", "f8")])), column_names_of(np.zeros((2, 3)))
    (['age'], ['age'], None)
    """
    names = _names_as_given(given)
    return None if names is None else list(map(nfc, names))


def columns_by_name(given: Any, wanted: Iterable[str]) -> dict[str, Any]:
    """Return columns by name, all of which exist; a DataError if one is an array of several dimensions.

    >>> columns_by_name({"gro\u0308ße": [3], "age": [7]}, ["größe"])
    {'größe': [3]}
    """
    spelled = {nfc(name): name for name in _names_as_given(given) or ()}
    return {name: _column(given[spelled[name]], name) for name in wanted}


def _names_as_given(given: Any) -> Sequence[str] | None:
    if hasattr(given, "collect"):
        raise DataError(f"data: is a {type(given).__name__}, of which nothing is read yet; hand over its collect()")
    names = list(given) if isinstance(given, Mapping) else getattr(getattr(given, "dtype", None), "names", None)
    for attribute in ("column_names", "columns"):
        if names is None and hasattr(given, attribute):
            names = list(getattr(given, attribute))
    is_text = names is not None and all(isinstance(name, str) for name in names)
    if isinstance(given, Mapping) and not is_text:
        raise DataError("data: the names of columns must be text")
    if not is_text:
        return None
    return list(names or ())


def _column(column: Any, name: str) -> Any:
    shape: tuple[int, ...] = getattr(column, "shape", (0,))
    if len(shape) > 1:
        got = f"an array of the shape {tuple(shape)}"
        raise DataError(
            f"data: column {name!r}: must hold one value for each sample, got {got}; hand over arrays without names"
        )
    return column


def array_of_rows(given: Any, where: str) -> NDArray[Any]:
    """An array of numbers, (n, ...), on the host; NaN where a masked array masks.

    Raises:
        DataError: it holds anything else, or has fewer than two dimensions.
    """
    wanted = f"{where} must be numbers, one row for each sample"
    try:
        given = _to_host(given)
        array = np.asarray(np.ma.filled(given.astype(float), np.nan) if np.ma.isMaskedArray(given) else given)
    except (ValueError, TypeError, RuntimeError) as error:  # RuntimeError: a tensor that is part of a graph
        raise DataError(f"{wanted}: {error}") from None
    if array.dtype.kind not in "biuf" or array.ndim < 2:
        raise DataError(f"{wanted}, got {array.dtype} of {array.shape}{_shape_remedy(array)}")
    return array


def _shape_remedy(array: NDArray[Any]) -> str:
    if array.ndim == 1 and array.dtype.kind in "biuf":
        return "; of one feature, reshape(-1, 1) makes rows, and of one sample reshape(1, -1)"
    return (
        "; where all are numbers, astype(float) makes them such" if array.ndim > 1 and array.dtype.kind in "OU" else ""
    )


def unpack_pair(given: tuple[Any, ...]) -> tuple[Any, Any]:
    """X and y; a DataError where it is not these two."""
    if len(given) != 2:
        raise DataError(f"data: must be the two of (X, y), got {len(given)} things")
    return given[0], given[1]


def target_column(given: Any, classes: bool) -> Column:
    """The column of targets that stands beside an array of inputs: numbers, or for classes their labels.

    Args:
        given: (n,) or (n, 1): an array, a list, or a column of a data frame.
        classes: whether the target names classes or is a number.

    Raises:
        DataError: a value is missing, or is not what it must be.

    Example:
        >>> target_column(["cat", "ant", "cat"], classes=True).labels
        ('cat', 'ant')
    """
    if column_names_of(given) is not None:
        raise DataError("data: y is a table; hand over the one column of it that is to be predicted")
    given = _to_host(given)
    shape: tuple[int, ...] = getattr(given, "shape", (0,))
    if len(shape) == 2 and shape[1] == 1:
        given = given.reshape(-1)
    elif len(shape) != 1:
        remedy = "; of one column for each class, y.argmax(axis=1) makes classes" if classes and len(shape) == 2 else ""
        raise DataError(f"data: y must hold one value for each sample, got the shape {tuple(shape)}{remedy}")
    columns = columns_of({"y": given}, lambda *_: {"y": "text" if classes else "number"})
    column = columns.columns["y"]
    if column.missing.any():
        place = columns.place(int(column.missing.argmax()))
        raise DataError(f"{place}: column 'y': a value is missing; fill it in, or leave the sample out of X and y")
    return column


def describe_data(given: Any) -> str:
    """What a message calls something that is no data."""
    shape = getattr(given, "shape", None)
    return describe(given) if shape is None else f"an array of the shape {tuple(shape)}"


def _to_host(given: Any) -> Any:
    """What CuPy has on a device, as NumPy has it; all else as it is."""
    return given.get() if hasattr(given, "__cuda_array_interface__") and hasattr(given, "get") else given
