"""Conversion of data from Python: arrays, columns by name, data frames and records."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.data.kinds.frames import raw_table_of
from mxtrain.data.kinds.typed_columns import DETECTED, ValueFormats, type_columns
from mxtrain.data.readers.columns import (
    CategoricalColumn,
    Column,
    Columns,
    ColumnSelector,
)
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


def columns_of_records(data: Any) -> Any:
    """Return a list of dicts, one for each sample, as columns by name; anything else unchanged.

    A key that a dict lacks is a missing value.

    >>> columns_of_records([{"age": 3, "size": "big"}, {"age": 4}]), columns_of_records([[1, 2]])
    ({'age': [3, 4], 'size': ['big', None]}, [[1, 2]])
    """
    if not isinstance(data, list) or not data or not all(isinstance(record, Mapping) for record in data):
        return data
    names = dict.fromkeys(name for record in data for name in record)
    return {name: [record.get(name) for record in data] for name in names}


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


def columns_of(
    data: Mapping[str, Iterable[object]],
    select: ColumnSelector,
    source: str = "data",
    formats: ValueFormats = DETECTED,
) -> Columns:
    """Return the selected columns of a mapping from names to arrays, columns of a data frame, or other iterables.

    Args:
        data: the columns.
        select: returns the columns to read, and their kinds.
        source: the name of the data in error messages.
        formats: what is known of the spelling of values.

    Raises:
        DataError: a value is invalid, or the columns differ in length.

    Example:
        >>> columns = columns_of({"age": [3, None], "species": ["cat", "ant"]}, lambda _, names: dict.fromkeys(names))
        >>> columns.columns["age"].values.tolist(), columns.row_label(1)
        ([3.0, nan], 'data: row 2')
    """
    selected = select(source, list(data))
    raw = raw_table_of({name: data[name] for name in selected}, source)
    return with_dtypes(type_columns(raw, selected, formats), data)


def with_dtypes(columns: Columns, data: Mapping[str, Iterable[object]]) -> Columns:
    """Return columns whose labels have the dtypes of the arrays that hold them; text stays text."""
    return replace(columns, columns={name: _with_dtype(each, data[name]) for name, each in columns.columns.items()})


def _with_dtype(column: Column, values: object) -> Column:
    """Return a column of labels with the dtype of the array that holds them; text stays text."""
    dtype = getattr(values, "dtype", None)
    if isinstance(column, CategoricalColumn) and column.dtype is None:
        return replace(column, dtype="str")
    if not isinstance(column, CategoricalColumn) or not isinstance(dtype, np.dtype) or dtype.kind not in "biuf":
        return column
    return replace(column, dtype=dtype.name)


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


def unpack_pair(data: tuple[Any, ...], source: str = "data") -> tuple[Any, Any]:
    """Return X and y; a DataError if there are not two."""
    if len(data) != 2:
        remedy = "; pass weights as sample_weight=" if len(data) == 3 else ""
        raise DataError(f"{source}: must be a pair (X, y), got a tuple of {len(data)}{remedy}")
    return data[0], data[1]


def read_target_columns(targets: Any, classes: bool, allow_several: bool = True, source: str = "data") -> Columns:
    """Return the targets that belong to an array of inputs: the column `y`, or for k targets `y[0]`, `y[1]` and so on.

    Args:
        targets: (n,) or (n, k): an array, a list, or a column of a data frame.
        classes: True if the targets are class labels, which are read as text.
        allow_several: False to refuse k > 1.
        source: the name of the data in error messages.

    Raises:
        DataError: a value is missing or invalid, or the shape is wrong.

    Example:
        >>> read_target_columns(["cat", "ant", "cat"], classes=True).columns["y"].labels
        ('ant', 'cat')
        >>> list(read_target_columns(np.zeros((3, 2)), classes=False).columns)
        ['y[0]', 'y[1]']
    """
    names = column_names(targets)
    if names is not None:
        several = ", or y.to_numpy() for several targets" if allow_several and len(names) > 1 else ""
        raise DataError(f"{source}: y is a table; pass the column that is to be predicted{several}")
    targets = _to_host(targets)
    if isinstance(targets, list | tuple) and len(targets) and isinstance(targets[0], list | tuple):
        targets = _rows_to_array(targets, source)
    shape: tuple[int, ...] = getattr(targets, "shape", (0,))
    named = {"y": targets}
    if len(shape) == 2 and shape[1] == 1:
        named = {"y": targets.reshape(-1)}
    elif len(shape) == 2 and shape[1] and allow_several:
        array = targets if np.ma.isMaskedArray(targets) else np.asarray(targets)
        named = {f"y[{index}]": array[:, index] for index in range(shape[1])}
    elif len(shape) != 1:
        remedy = "; for one-hot classes, pass y.argmax(axis=1)" if classes and len(shape) == 2 else ""
        raise DataError(f"{source}: y must hold one value for each sample, got the shape {tuple(shape)}{remedy}")
    columns = columns_of(named, lambda *_: dict.fromkeys(named, "category" if classes else "number"), source)
    for name, column in columns.columns.items():
        if column.missing.any():
            where = columns.row_label(int(column.missing.argmax()))
            raise DataError(
                f"{where}: column {name!r}: a value is missing; fill it in, or leave the sample out of X and y"
            )
    return columns


def _rows_to_array(rows: Sequence[Any], source: str) -> NDArray[Any]:
    try:
        return np.array(rows)
    except ValueError as error:
        raise DataError(f"{source}: y must hold as many values for each sample: {error}") from None


def describe_data(data: Any) -> str:
    """Return a short description of an object for error messages."""
    shape = getattr(data, "shape", None)
    return describe(data) if shape is None else f"an array of the shape {tuple(shape)}"


def _to_host(data: Any) -> Any:
    """Return a CuPy array as a NumPy array; anything else unchanged."""
    return data.get() if hasattr(data, "__cuda_array_interface__") and hasattr(data, "get") else data
