"""Data passed from Python: arrays, columns by name, or a data frame; and the training data of a run in memory."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import DataConfig
from mxtrain.config.data_sources import IN_MEMORY
from mxtrain.data.data_parts import Data, DataParts, as_parts
from mxtrain.data.digests import array_digest, column_digest
from mxtrain.data.kinds.frames import raw_table_of
from mxtrain.data.kinds.typed_columns import DETECTED, ValueFormats, type_columns
from mxtrain.data.loading import select_training_columns, training_table, type_training_columns
from mxtrain.data.preprocessing.table import Table, array_feature_names, table_from_columns
from mxtrain.data.preprocessing.weights import weights_of_array
from mxtrain.data.readers.columns import (
    CategoricalColumn,
    Column,
    Columns,
    ColumnSelector,
    check_selected_names,
)
from mxtrain.data.readers.numpy_files import flatten_inputs
from mxtrain.errors import ConfigError, ConfigProblem, DataError
from mxtrain.loss_config import LossSpec
from mxtrain.names import nfc
from mxtrain.types import CLASS_LOSSES, DataType, LossName, describe


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
    return _with_dtypes(type_columns(raw, selected, formats), data)


def _with_dtypes(columns: Columns, data: Mapping[str, Iterable[object]]) -> Columns:
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


class DatasetConfig(Protocol):
    """The fields of a run's config that determine its data set; `RunConfig` has them."""

    @property
    def data(self) -> DataConfig: ...

    @property
    def seed(self) -> int: ...

    @property
    def dtype(self) -> DataType: ...

    @property
    def equivalent_builtin_loss(self) -> LossName: ...

    @property
    def loss_spec(self) -> LossSpec: ...

    @property
    def has_custom_loss(self) -> bool: ...

    @property
    def standardizes_target(self) -> bool: ...


@dataclass(frozen=True, slots=True, eq=False)
class InMemoryData:
    """Training data passed from Python, as a copy that shares no memory with the caller's objects.

    Attributes:
        columns: the targets, and the features if they are columns.
        inputs: the features if they are an array, (n, d), C-contiguous, float32 or float64; else None.
        sample_weights: (n,), the weights of the samples; None without them.
        held_out: the data of `validation` and `test` that were passed in memory, which are not copied.

    A run whose training data are a file has `columns` of None.
    """

    columns: Columns | None
    inputs: NDArray[Any] | None = None
    sample_weights: NDArray[np.float64] | None = None
    held_out: Mapping[str, Any] = field(default_factory=dict)

    def table(self, config: DatasetConfig) -> Table:
        """Return the data as a table; a DataError as for `table_from_columns`."""
        classes, data = config.equivalent_builtin_loss in CLASS_LOSSES, config.data
        assert self.columns is not None, "training data were passed"
        if self.inputs is None:
            return training_table(self.columns, data, classes, self.sample_weights)
        targets = tuple(self.columns.columns)
        return replace(
            table_from_columns(
                self.columns, targets, classes, data.missing, sample_weights=self.sample_weights, has_features=False
            ),
            target_name="y",
            inputs=self.inputs,
            column_names=array_feature_names("X", self.inputs.shape[1]),
        )

    def fingerprint(self) -> str:
        """Return the SHA-256 of the training data and their weights, in hexadecimal.

        Equal values have equal fingerprints, whether they come from lists or from arrays of any dtype, byte order and
        memory layout.
        """
        columns = {} if self.columns is None else self.columns.columns
        lines = [f"{json.dumps(name)} {column_digest(column)}" for name, column in columns.items()]
        if self.inputs is not None:
            lines.append(f"X {self.inputs.shape[1]} {array_digest(self.inputs)}")
        if self.sample_weights is not None:
            lines.append(f"sample_weight {array_digest(self.sample_weights)}")
        return sha256("\n".join(lines).encode()).hexdigest()


def read_in_memory_data(config: DatasetConfig, data: Data | DataParts | None) -> InMemoryData | None:
    """Read the data that were passed from Python.

    Args:
        config: `data.source` is `in_memory` if data must be passed; `data.target` names the column to predict, and is
            left out for arrays.
        data: `(X, y)`, with X of (n, ...) and y of (n,), or (n, k) for k targets, as NumPy or CuPy arrays or lists; or
            columns by name, or a data frame; or `DataParts` with other data too; or None.

    Returns:
        A copy of the data; None if the config needs none and none were passed.

    Raises:
        ConfigError: the config needs data and none were passed, or the other way round, or the target is wrong.
        DataError: the data differ in length, are empty, or hold invalid values.

    Example:
        >>> from mxtrain.config import run_from_dict
        >>> run = run_from_dict({
        ...     "data": {"source": "in_memory"}, "model": {"kind": "linear"}, "loss": "softmax_cross_entropy",
        ...     "optimizer": {"kind": "adam"}})
        >>> data = read_in_memory_data(run, ([[1, 2], [3, 4], [5, 6]], ["cat", "ant", "cat"]))
        >>> table = data.table(run)
        >>> table.column_names, table.targets.tolist(), table.class_names
        (('X[0]', 'X[1]'), [1, 0, 1], ('ant', 'cat'))
    """
    parts = as_parts(data)
    problems = [*config.data.in_memory_problems(parts.arguments), *_differences(config.data, parts)]
    if problems:
        raise ConfigError([ConfigProblem(f"data.{field}", message) for field, message in problems])
    held_out: dict[str, Any] = {
        name: getattr(parts, name) for name in ("validation", "test") if name in parts.arguments
    }
    if parts.data is None:
        return InMemoryData(None, held_out=held_out) if held_out else None
    data = columns_of_records(parts.data)
    found = _read_pair(config, data) if isinstance(data, tuple) else _read_columns(config, data)
    samples = 0 if found.columns is None else len(found.columns)
    if not samples:
        raise DataError("data: has no samples")
    weights = None if parts.sample_weight is None else weights_of_array(parts.sample_weight, samples)
    return replace(found, sample_weights=weights, held_out=held_out)


def _differences(config: DataConfig, parts: DataParts) -> Iterator[tuple[str, str]]:
    """Yield the fields whose fractions or paths differ from those that Python passes."""
    for name, value in parts.config_values().items():
        known = getattr(config, name)
        if IN_MEMORY not in (value, known) and known != value:
            yield name, f"is {known} in the config, got {name}={value}; leave it out, or pass the same"


def _read_pair(config: DatasetConfig, data: tuple[Any, ...]) -> InMemoryData:
    if config.data.target is not None:
        named = " and ".join(map(repr, config.data.target_names))
        verb = "names a column" if isinstance(config.data.target, str) else "name columns"
        message = f"{named} {verb}, and (X, y) has none; leave it out, or pass columns"
        raise ConfigError([ConfigProblem("data.target", message)])
    features, targets = unpack_pair(data)
    if column_names(features) is not None:
        remedy = "pass one table that includes the target, and name it in data.target"
        raise DataError(f"data: X is a table, whose names (X, y) would lose; {remedy}")
    array = to_numeric_array(features, "data: X")
    dtype = np.float32 if array.dtype == np.float32 else np.float64
    with np.errstate(over="ignore"):  # numbers beyond float64 become infinite, which `flatten_inputs` reports
        inputs = flatten_inputs(np.array(array, dtype=dtype, order="C"), "data: X")
    loss = config.equivalent_builtin_loss
    columns = read_target_columns(targets, loss in CLASS_LOSSES, allow_several=loss != "softmax_cross_entropy")
    if len(inputs) != len(columns):
        raise DataError(f"data: X and y must be of one length, got {len(inputs)} and {len(columns)} samples")
    return InMemoryData(Columns("data", columns.columns, columns.row_label), inputs)


def _read_columns(config: DatasetConfig, data: Any) -> InMemoryData:
    names = column_names(data)
    if names is None:
        raise DataError(f"data: must be (X, y), columns by name, or a data frame, got {describe_data(data)}")
    if config.data.target is None:
        some = f"{', '.join(map(repr, names[:8]))}{', ...' if len(names) > 8 else ''}" or "none"
        message = f"required, as data= holds columns: name the one to predict; there are: {some}"
        raise ConfigError([ConfigProblem("data.target", message)])
    kinds = select_training_columns(config.data, config.equivalent_builtin_loss in CLASS_LOSSES)("data", names)
    check_selected_names(names, kinds, "data")
    columns = columns_by_name(data, kinds)
    return InMemoryData(_with_dtypes(type_training_columns(raw_table_of(columns), kinds, config.data), columns))
