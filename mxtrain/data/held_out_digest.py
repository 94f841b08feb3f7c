"""SHA-256 of validation and test data that Python passes."""

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from mxtrain.data.dataset_config import DatasetConfig
from mxtrain.data.digests import array_digest, column_digest
from mxtrain.data.kinds.frames import raw_table_of
from mxtrain.data.preprocessing.weights import weights_of_array
from mxtrain.data.python_columns import (
    column_names,
    columns_by_name,
    columns_of_records,
    describe_data,
    read_target_columns,
    to_numeric_array,
    unpack_pair,
)
from mxtrain.errors import DataError
from mxtrain.types import CLASS_LOSSES

if TYPE_CHECKING:
    import polars


def held_out_digest(data: Any, config: DatasetConfig, source: str) -> str:
    """Return the SHA-256 of the values of validation or test data, in hexadecimal.

    Equal values have equal digests, also in lists, arrays and frames of different dtypes. Columns that `data.features`
    or `data.exclude` leave out do not matter.

    Args:
        data: see `HeldOut`, without fractions and paths.
        config: the config of the run.
        source: the name of the data in error messages.

    Raises:
        DataError: the data are neither arrays nor columns.
    """
    data = columns_of_records(data)
    lines = _pair_lines(data, config, source) if isinstance(data, tuple) else _column_lines(data, config, source)
    return sha256("\n".join(lines).encode()).hexdigest()


def _pair_lines(data: tuple[Any, ...], config: DatasetConfig, source: str) -> list[str]:
    features, targets = unpack_pair(data if len(data) != 3 else data[:2], source)
    classes = config.equivalent_builtin_loss in CLASS_LOSSES
    columns = read_target_columns(targets, classes, source=source).columns
    lines = [f"{name} {column_digest(column)}" for name, column in columns.items()]
    if column_names(features) is None:
        inputs = to_numeric_array(features, f"{source}: X")
        lines.append(f"X {inputs.shape[1:]} {array_digest(np.ascontiguousarray(inputs, dtype=np.float64))}")
    else:
        lines += _column_lines(features, config, source)
    if len(data) == 3 and data[2] is not None:
        samples = max(len(column.missing) for column in columns.values())
        lines.append(f"weights {array_digest(weights_of_array(data[2], samples, f'{source}: weights'))}")
    return lines


def _column_lines(data: Any, config: DatasetConfig, source: str) -> list[str]:
    names = column_names(data)
    if names is None:
        raise DataError(f"{source}: must be (X, y), or columns by name, got {describe_data(data)}")
    chosen = sorted(set(names) - set(config.data.exclude or ()))
    if config.data.features is not None:
        read = {*config.data.features, *config.data.target_names, config.data.weight_column}
        chosen = [name for name in chosen if name in read]
    table = raw_table_of(columns_by_name(data, chosen), source)
    return [f"{json.dumps(name)} {_series_digest(table.columns[name])}" for name in chosen]


def _series_digest(series: "polars.Series") -> str:
    import polars as pl

    if series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.Null):
        numbers = series.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        return array_digest(np.where(np.isnan(numbers), np.nan, numbers))  # one bit pattern for all NaNs
    values = [None if value is None else str(value) for value in series.to_list()]
    return sha256(json.dumps(values).encode()).hexdigest()
