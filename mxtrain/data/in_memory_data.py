"""Training data passed from Python: arrays, columns by name, or a data frame."""

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import DataConfig
from mxtrain.data.loading import select_training_columns
from mxtrain.data.preprocessing.table import Table, array_feature_names, table_from_columns
from mxtrain.data.readers.columns import CategoricalColumn, Column, Columns, check_selected_names
from mxtrain.data.readers.in_memory import (
    column_names,
    columns_by_name,
    columns_of,
    describe_data,
    read_target_column,
    to_numeric_array,
    unpack_pair,
)
from mxtrain.data.readers.numpy_files import flatten_inputs
from mxtrain.errors import ConfigError, ConfigProblem, DataError
from mxtrain.types import CLASS_LOSSES, DataType, LossName

_DIGEST_ROWS = 4096
"""Number of rows that are converted together for a digest."""


class DatasetConfig(Protocol):
    """The fields of a run's config that determine its data set; `RunConfig` has them."""

    @property
    def data(self) -> DataConfig: ...

    @property
    def seed(self) -> int: ...

    @property
    def dtype(self) -> DataType: ...

    @property
    def decoding(self) -> LossName: ...

    @property
    def has_custom_loss(self) -> bool: ...


@dataclass(frozen=True, slots=True, eq=False)
class InMemoryData:
    """Training data passed from Python, as a copy that shares no memory with the caller's objects.

    Attributes:
        columns: the target, and the features if they are columns.
        inputs: the features if they are an array, (n, d), C-contiguous, float32 or float64; else None.
    """

    columns: Columns
    inputs: NDArray[Any] | None = None

    def table(self, config: DatasetConfig) -> Table:
        """Return the data as a table; a DataError as for `table_from_columns`."""
        classes, data = config.decoding in CLASS_LOSSES, config.data
        if self.inputs is None:
            assert data.target is not None, "read_in_memory_data requires it for columns"
            return table_from_columns(self.columns, data.target, classes, data.missing, data.categorical or ())
        return replace(
            table_from_columns(self.columns, "y", classes, data.missing),
            inputs=self.inputs,
            column_names=array_feature_names("X", self.inputs.shape[1]),
        )

    def fingerprint(self) -> str:
        """Return the SHA-256 of all values, in hexadecimal.

        Equal values have equal fingerprints, whether they come from lists or from arrays of any dtype, byte order and
        memory layout.
        """
        lines = [f"{json.dumps(name)} {_column_digest(column)}" for name, column in self.columns.columns.items()]
        if self.inputs is not None:
            lines.append(f"X {self.inputs.shape[1]} {_array_digest(self.inputs)}")
        return sha256("\n".join(lines).encode()).hexdigest()


def read_in_memory_data(config: DatasetConfig, data: Any) -> InMemoryData | None:
    """Read the training data that were passed from Python.

    Args:
        config: `data.source` is `in_memory` if data must be passed; `data.target` names the column to predict, and is
            left out for arrays.
        data: `(X, y)`, with X of (n, ...) and y of (n,) or (n, 1), as NumPy or CuPy arrays or lists; or columns by
            name, or a data frame; or None.

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
    problem = config.data.source_problem(in_memory=data is not None)
    if problem is not None:
        raise ConfigError([ConfigProblem("data.source", problem)])
    if data is None:
        return None
    found = _read_pair(config, data) if isinstance(data, tuple) else _read_columns(config, data)
    if not len(found.columns):
        raise DataError("data: has no samples")
    return found


def _read_pair(config: DatasetConfig, data: tuple[Any, ...]) -> InMemoryData:
    if config.data.target is not None:
        message = f"{config.data.target!r} names a column, and (X, y) has none; leave it out, or pass columns"
        raise ConfigError([ConfigProblem("data.target", message)])
    features, targets = unpack_pair(data)
    if column_names(features) is not None:
        remedy = "pass one table that includes the target, and name it in data.target"
        raise DataError(f"data: X is a table, whose names (X, y) would lose; {remedy}")
    array = to_numeric_array(features, "data: X")
    dtype = np.float32 if array.dtype == np.float32 else np.float64
    with np.errstate(over="ignore"):  # numbers beyond float64 become infinite, which `flatten_inputs` reports
        inputs = flatten_inputs(np.array(array, dtype=dtype, order="C"), "data: X")
    column = read_target_column(targets, classes=config.decoding in CLASS_LOSSES)
    if len(inputs) != len(column.missing):
        raise DataError(f"data: X and y must be of one length, got {len(inputs)} and {len(column.missing)} samples")
    return InMemoryData(Columns("data", {"y": column}, lambda row: f"data: row {row + 1}"), inputs)


def _read_columns(config: DatasetConfig, data: Any) -> InMemoryData:
    names = column_names(data)
    if names is None:
        raise DataError(f"data: must be (X, y), columns by name, or a data frame, got {describe_data(data)}")
    if config.data.target is None:
        some = f"{', '.join(map(repr, names[:8]))}{', ...' if len(names) > 8 else ''}" or "none"
        message = f"required, as data= holds columns: name the one to predict; there are: {some}"
        raise ConfigError([ConfigProblem("data.target", message)])
    kinds = select_training_columns(config.data, config.decoding in CLASS_LOSSES)("data", names)
    check_selected_names(names, kinds, "data")
    return InMemoryData(columns_of(columns_by_name(data, kinds), lambda *_: kinds))


def _column_digest(column: Column) -> str:
    """Return the SHA-256 of a column's values, in which labels are numbered in the order of their text."""
    if not isinstance(column, CategoricalColumn):
        return _array_digest(np.where(column.missing, np.nan, column.values))  # one bit pattern for all NaNs
    labels = sorted(column.labels)
    rank = {label: code for code, label in enumerate(labels)}
    codes = np.array([*(rank[label] for label in column.labels), -1], dtype=np.int64)[column.codes]
    return _array_digest(codes, json.dumps(labels).encode())


def _array_digest(values: NDArray[Any], prefix: bytes = b"") -> str:
    digest = sha256(prefix)
    wide = np.dtype("<f8" if values.dtype.kind == "f" else "<i8")
    for start in range(0, len(values), _DIGEST_ROWS):
        digest.update(values[start : start + _DIGEST_ROWS].astype(wide, copy=False).reshape(-1).data)
    return digest.hexdigest()
