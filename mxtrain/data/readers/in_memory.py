"""Reader of data passed from Python: arrays, data frames, and mappings from names to columns."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.data.readers.columns import CategoricalColumn, Column, Columns, ColumnSelector, Kind, NumericColumn
from mxtrain.data.readers.type_inference import ColumnBuilder, dates_message
from mxtrain.errors import DataError
from mxtrain.names import nfc
from mxtrain.types import describe


def column_names(data: Any) -> Sequence[str] | None:
    """Return the names of columns, in NFC; None for an array, and for a data frame with names that are not text.

    >>> column_names({"age": [3]}), column_names(np.zeros(2, [("age", "f8")])), column_names(np.zeros((2, 3)))
    (['age'], ['age'], None)
    """
    names = _names_as_spelled(data)
    return None if names is None else list(map(nfc, names))


def columns_by_name(data: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return columns by their names in NFC, all of which exist; a DataError if one is an array with several axes.

    >>> columns_by_name({"gro\u0308ße": [3], "age": [7]}, ["größe"])
    {'größe': [3]}
    """
    spelled = {nfc(name): name for name in _names_as_spelled(data) or ()}
    return {name: _check_one_axis(data[spelled[name]], name) for name in names}


def _names_as_spelled(data: Any) -> Sequence[str] | None:
    if hasattr(data, "collect"):
        raise DataError(f"data: lazy frames are not supported, got {type(data).__name__}; pass data.collect()")
    names = list(data) if isinstance(data, Mapping) else getattr(getattr(data, "dtype", None), "names", None)
    for attribute in ("column_names", "columns"):
        if names is None and hasattr(data, attribute):
            names = list(getattr(data, attribute))
    is_text = names is not None and all(isinstance(name, str) for name in names)
    if isinstance(data, Mapping) and not is_text:
        raise DataError("data: the names of columns must be text")
    return list(names or ()) if is_text else None


def _check_one_axis(column: Any, name: str) -> Any:
    shape: tuple[int, ...] = getattr(column, "shape", (0,))
    if len(shape) > 1:
        got = f"an array of the shape {tuple(shape)}"
        raise DataError(
            f"data: column {name!r}: must hold one value for each sample, got {got}; pass arrays without names"
        )
    return column


def columns_of(data: Mapping[str, Iterable[object]], select: ColumnSelector, source: str = "data") -> Columns:
    """Return the selected columns of a mapping from names to arrays, columns of a data frame, or other iterables.

    Args:
        data: the columns.
        select: returns the columns to read, and their kinds.
        source: the name of the data in error messages.

    Raises:
        DataError: a value is invalid, or the columns differ in length.

    Example:
        >>> columns = columns_of({"age": [3, None], "species": ["cat", "ant"]}, lambda _, names: dict.fromkeys(names))
        >>> columns.columns["age"].values.tolist(), columns.row_label(1)
        ([3.0, nan], 'data: row 2')
    """

    def row_label(row: int) -> str:
        return f"{source}: row {row + 1}"

    columns: dict[str, Column] = {}
    for name, kind in select(source, list(data)).items():
        column = _column_from_array(data[name], kind)
        if column is None:
            builder = ColumnBuilder(name, kind, row_label)
            builder.extend(_to_python_values(data[name], kind, f"{source}: column {name!r}"))
            column = builder.column()
        dtype = getattr(data[name], "dtype", None)
        if isinstance(column, CategoricalColumn) and isinstance(dtype, np.dtype) and dtype.kind == "f":
            column = replace(column, dtype=dtype.name)
        columns[name] = column
    lengths = {len(column.missing): name for name, column in columns.items()}
    if len(lengths) > 1:
        (some, one), (more, other), *_ = sorted(lengths.items())
        raise DataError(f"{source}: the columns must be of one length, got {some} for {one!r} and {more} for {other!r}")
    return Columns(source, columns, row_label)


def _column_from_array(column: object, kind: Kind | None) -> Column | None:
    """Return the column of an array of numbers, as a copy; None if each value must be checked."""
    if getattr(getattr(column, "dtype", None), "kind", None) not in ("i", "u", "f") or np.ma.isMaskedArray(column):
        return None
    if hasattr(column, "__cuda_array_interface__"):
        return None
    array = np.asarray(column)  # pandas' extension arrays become arrays of objects
    if array.ndim != 1 or array.dtype.kind not in ("iu" if kind == "text" else "iuf"):
        return None
    if kind == "text":
        labels, codes = np.unique(array, return_inverse=True)
        return CategoricalColumn(codes.astype(np.int64), tuple(map(str, labels.tolist())), array.dtype.name)
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float64)
    return None if np.isinf(numbers).any() else NumericColumn(numbers)


def _to_python_values(column: Iterable[object], kind: Kind | None, where: str) -> Sequence[object]:
    if getattr(getattr(column, "dtype", None), "kind", None) in ("m", "M"):
        if kind != "text":
            raise DataError(f"{where}: {dates_message(may_be_categories=kind is None)}")
        return list(column)  # `tolist` converts nanoseconds to integers
    for method in ("tolist", "to_pylist"):
        if hasattr(column, method):
            column = getattr(column, method)()
    if isinstance(column, str | bytes) or not isinstance(column, Iterable):
        raise DataError(f"{where}: must hold one value for each sample, got {describe(column)}")
    return list(column)


def to_numeric_array(data: Any, where: str) -> NDArray[Any]:
    """Return data as an array of numbers on the host, (n, ...); NaN replaces masked values.

    Raises:
        DataError: the data are not numbers, or have fewer than two axes.
    """
    expected = f"{where} must be numbers, one row for each sample"
    try:
        data = _to_host(data)
        array = np.asarray(np.ma.filled(data.astype(float), np.nan) if np.ma.isMaskedArray(data) else data)
    except (ValueError, TypeError, RuntimeError) as error:  # RuntimeError: a tensor that requires a gradient
        raise DataError(f"{expected}: {error}") from None
    if array.dtype.kind not in "biuf" or array.ndim < 2:
        raise DataError(f"{expected}, got {array.dtype} of {array.shape}{_shape_remedy(array)}")
    return array


def _shape_remedy(array: NDArray[Any]) -> str:
    if array.ndim == 1 and array.dtype.kind in "biuf":
        return "; use reshape(-1, 1) for one feature, or reshape(1, -1) for one sample"
    return "; if all values are numbers, pass astype(float)" if array.ndim > 1 and array.dtype.kind in "OU" else ""


def unpack_pair(data: tuple[Any, ...]) -> tuple[Any, Any]:
    """Return X and y; a DataError if there are not two."""
    if len(data) != 2:
        raise DataError(f"data: must be a pair (X, y), got a tuple of {len(data)}")
    return data[0], data[1]


def read_target_column(targets: Any, classes: bool) -> Column:
    """Return the column of the targets that belong to an array of inputs.

    Args:
        targets: (n,) or (n, 1): an array, a list, or a column of a data frame.
        classes: True if the targets are class labels, which are read as text.

    Raises:
        DataError: a value is missing or invalid, or the shape is wrong.

    Example:
        >>> read_target_column(["cat", "ant", "cat"], classes=True).labels
        ('cat', 'ant')
    """
    if column_names(targets) is not None:
        raise DataError("data: y is a table; pass the column that is to be predicted")
    targets = _to_host(targets)
    shape: tuple[int, ...] = getattr(targets, "shape", (0,))
    if len(shape) == 2 and shape[1] == 1:
        targets = targets.reshape(-1)
    elif len(shape) != 1:
        remedy = "; for one-hot classes, pass y.argmax(axis=1)" if classes and len(shape) == 2 else ""
        raise DataError(f"data: y must hold one value for each sample, got the shape {tuple(shape)}{remedy}")
    columns = columns_of({"y": targets}, lambda *_: {"y": "text" if classes else "number"})
    column = columns.columns["y"]
    if column.missing.any():
        where = columns.row_label(int(column.missing.argmax()))
        raise DataError(f"{where}: column 'y': a value is missing; fill it in, or leave the sample out of X and y")
    return column


def describe_data(data: Any) -> str:
    """Return a short description of an object for error messages."""
    shape = getattr(data, "shape", None)
    return describe(data) if shape is None else f"an array of the shape {tuple(shape)}"


def _to_host(data: Any) -> Any:
    """Return a CuPy array as a NumPy array; anything else unchanged."""
    return data.get() if hasattr(data, "__cuda_array_interface__") and hasattr(data, "get") else data
