"""The data of a run in memory, passed from Python."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import DataConfig
from mxtrain.config.data_sources import IN_MEMORY
from mxtrain.data.data_parts import Data, DataParts, as_parts
from mxtrain.data.dataset_config import DatasetConfig
from mxtrain.data.digests import array_digest, column_digest
from mxtrain.data.kinds.frames import raw_table_of
from mxtrain.data.loading import select_training_columns, training_table, type_training_columns
from mxtrain.data.preprocessing.table import Table, array_feature_names, table_from_columns
from mxtrain.data.preprocessing.weights import weights_of_array
from mxtrain.data.python_columns import (
    column_names,
    columns_by_name,
    columns_of_records,
    describe_data,
    read_target_columns,
    to_numeric_array,
    unpack_pair,
    with_dtypes,
)
from mxtrain.data.readers.columns import (
    Columns,
    check_selected_names,
)
from mxtrain.data.readers.numpy_files import flatten_inputs
from mxtrain.errors import ConfigError, ConfigProblem, DataError
from mxtrain.types import CLASS_LOSSES


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
    return InMemoryData(with_dtypes(type_training_columns(raw_table_of(columns), kinds, config.data), columns))
