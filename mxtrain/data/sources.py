"""Data sources: table files, packaged data sets, and data passed from Python."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import TABLES, DataConfig, has_ending
from mxtrain.config.run_section import RunConfig
from mxtrain.data.preprocessing.table import Table, check_names_exist, choose_features, table_from_columns
from mxtrain.data.readers.columns import Choose, Column, Columns, Kind, Texts, columns_of
from mxtrain.data.readers.csv_file import check_selected_names, read_csv
from mxtrain.data.readers.in_memory import (
    array_of_rows,
    column_names_of,
    columns_by_name,
    describe_data,
    target_column,
    unpack_pair,
)
from mxtrain.data.readers.json_lines import read_json_lines
from mxtrain.data.readers.npz_file import array_feature_names, flatten_inputs, read_npz
from mxtrain.data.readers.open_file import opened
from mxtrain.data.readers.polars_file import read_arrow, read_parquet
from mxtrain.errors import ConfigError, ConfigProblem, DataError
from mxtrain.types import CLASS_LOSSES


@dataclass(frozen=True, slots=True)
class Packaged:
    """A file in `tables/`: the array to predict, and the names of the features."""

    target: str
    feature_names: tuple[str, ...]


PACKAGED: Mapping[str, Packaged] = {
    "digits": Packaged("digit", tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8))),
    "diabetes": Packaged("progression", ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")),
}
"""`digits`: 1,797 images of 8 x 8 pixels in ten classes. `diabetes`: 442 patients, a number to predict."""


def load_packaged(name: str, classes: bool) -> Table:
    """A data set in the package.

    Example:
        >>> load_packaged("digits", classes=True).inputs.shape
        (1797, 64)
    """
    entry = PACKAGED[name]
    with files("mxtrain.data").joinpath("tables", f"{name}.npz").open("rb") as file:
        table = read_npz(cast("BinaryIO", file), name, entry.target, None, classes)
    return replace(table, column_names=entry.feature_names, class_dtype="int64" if classes else "str")


_READERS: Mapping[str, Callable[[BinaryIO, str, Choose], Columns]] = {
    ".csv": read_csv,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".parquet": read_parquet,
    ".arrow": read_arrow,
    ".feather": read_arrow,
}


def read_columns(source: str, choose: Choose) -> Columns:
    """Columns of a file whose name says what it is.

    Raises:
        DataError: the file is missing, cannot be read, or holds what is no number and no text.
    """
    with opened(source) as file:
        return _READERS[Path(source).suffix.lower()](file, source, choose)


def select_training_columns(config: DataConfig, classes: bool) -> Choose:
    """What a config asks of a table: its features and, at the end, its target."""
    target, categorical = config.target or "", config.categorical or ()

    def choose(header: str, names: Sequence[str]) -> Mapping[str, Kind | None]:
        features = choose_features(header, "column", names, target, config.features)
        check_names_exist(f"{header}: data.categorical", "feature", features, *categorical)
        kinds: dict[str, Kind | None] = {name: "text" if name in categorical else None for name in features}
        return kinds | {target: "text" if classes else "number"}

    return choose


def select_inference_columns(features: Mapping[str, Kind], target: str, classes: bool) -> Choose:
    """What a trained model asks of a table: its features as they were, and its target if it is there and not `""`."""

    def choose(header: str, names: Sequence[str]) -> Mapping[str, Kind | None]:
        check_names_exist(header, "column", names, *features)
        kinds: dict[str, Kind | None] = dict(features)
        return kinds | ({target: "text" if classes else "number"} if target and target in names else {})

    return choose


def load(config: DataConfig, classes: bool) -> Table:
    """The table that a config names.

    Args:
        config: what to read; a relative path is relative to the working directory.
        classes: whether the target names classes or is a number.

    Raises:
        DataError: the file is missing, cannot be read, or holds anything that cannot be learnt from; or there is none,
            because the data are to be handed over.

    Example:
        >>> table = load(DataConfig(source="diabetes"), classes=False)
        >>> table.column_names[:4], table.targets[:3].tolist()
        (('age', 'sex', 'bmi', 'bp'), [151.0, 75.0, 141.0])
    """
    source, target = config.source, config.target
    if config.is_in_memory:
        raise DataError(f"data.source: {config.source_problem(in_memory=False)}")
    if not config.is_file:
        return load_packaged(source, classes)
    assert target is not None, "DataConfig asks it of every file"
    if has_ending(source, TABLES):
        columns = read_columns(source, select_training_columns(config, classes))
        return table_from_columns(columns, target, classes, config.missing, config.categorical or ())
    with opened(source) as file:
        return read_npz(file, source, target, config.features, classes)


_DIGEST_ROWS = 4096
"""Samples whose values are widened at once."""


@dataclass(frozen=True, slots=True, eq=False)
class InMemoryData:
    """Data that were handed over. They share no memory with what was: neither ever changes the other.

    Attributes:
        columns: the target, and the features that are columns.
        inputs: (n, d), C-contiguous, float32 or float64, the features that are an array; None where they are columns.
    """

    columns: Columns
    inputs: NDArray[Any] | None = None

    def table(self, config: RunConfig) -> Table:
        """The data as they are split and learnt from; a DataError as `table_from_columns`."""
        classes, data = config.decoding in CLASS_LOSSES, config.data
        if self.inputs is None:
            assert data.target is not None, "take_over asks it of every table"
            return table_from_columns(self.columns, data.target, classes, data.missing, data.categorical or ())
        return replace(
            table_from_columns(self.columns, "y", classes, data.missing),
            inputs=self.inputs,
            column_names=array_feature_names("X", self.inputs.shape[1]),
        )

    def fingerprint(self) -> str:
        """The SHA-256, in hexadecimal, of all values that are learnt from, whatever held them: equal numbers in a list,
        and in arrays of any dtype, byte order and memory layout, have one.
        """
        lines = [f"{json.dumps(name)} {_column_digest(column)}" for name, column in self.columns.columns.items()]
        if self.inputs is not None:
            lines.append(f"X {self.inputs.shape[1]} {_array_digest(self.inputs)}")
        return sha256("\n".join(lines).encode()).hexdigest()


def read_in_memory_data(config: RunConfig, given: Any) -> InMemoryData | None:
    """Read what was handed over for a run; None where nothing was, and nothing is asked for.

    Args:
        config: `data.source` says whether data are handed over; `data.target` names the one of their columns that is
            predicted, and is left out for arrays.
        given: `(X, y)`, with X of (n, ...) and y of (n,) or (n, 1); or columns by name, or a data frame. Of NumPy or
            CuPy, or lists. None for nothing.

    Raises:
        ConfigError: the config asks for data and there are none, or the other way round, or its target does not suit.
        DataError: they are not of one length, empty, or hold what cannot be learnt from.

    Example:
        >>> run = RunConfig.model_validate({
        ...     "data": {"source": "in_memory"}, "model": {"kind": "linear"}, "loss": "softmax_cross_entropy",
        ...     "optimizer": {"kind": "adam"}})
        >>> taken = read_in_memory_data(run, ([[1, 2], [3, 4], [5, 6]], ["cat", "ant", "cat"]))
        >>> table = taken.table(run)
        >>> table.column_names, table.targets.tolist(), table.class_names
        (('X[0]', 'X[1]'), [1, 0, 1], ('ant', 'cat'))
    """
    problem = config.data.source_problem(in_memory=given is not None)
    if problem is not None:
        raise ConfigError([ConfigProblem("data.source", problem)])
    if given is None:
        return None
    taken = _from_pair(config, given) if isinstance(given, tuple) else _from_columns(config, given)
    if not len(taken.columns):
        raise DataError("data: has no samples")
    return taken


def _from_pair(config: RunConfig, given: tuple[Any, ...]) -> InMemoryData:
    if config.data.target is not None:
        message = f"{config.data.target!r} names a column, and (X, y) has none; leave it out, or hand columns over"
        raise ConfigError([ConfigProblem("data.target", message)])
    features, targets = unpack_pair(given)
    if column_names_of(features) is not None:
        remedy = "hand over one table with the target in it, and name that in data.target"
        raise DataError(f"data: X is a table, whose names (X, y) would lose; {remedy}")
    found = array_of_rows(features, "data: X")
    dtype = np.float32 if found.dtype == np.float32 else np.float64
    with np.errstate(over="ignore"):  # longer numbers than float64 has; as_rows tells of infinities
        inputs = flatten_inputs(np.array(found, dtype=dtype, order="C"), "data: X")
    column = target_column(targets, classes=config.decoding in CLASS_LOSSES)
    if len(inputs) != len(column.missing):
        raise DataError(f"data: X and y must be of one length, got {len(inputs)} and {len(column.missing)} samples")
    return InMemoryData(Columns("data", {"y": column}, lambda row: f"data: row {row + 1}"), inputs)


def _from_columns(config: RunConfig, given: Any) -> InMemoryData:
    names = column_names_of(given)
    if names is None:
        raise DataError(f"data: must be (X, y), columns by name, or a data frame, got {describe_data(given)}")
    if config.data.target is None:
        some = f"{', '.join(map(repr, names[:8]))}{', ...' if len(names) > 8 else ''}" or "none at all"
        message = f"required, as columns were handed over: name the one to predict; there are: {some}"
        raise ConfigError([ConfigProblem("data.target", message)])
    wanted = select_training_columns(config.data, config.decoding in CLASS_LOSSES)("data", names)
    check_selected_names(names, wanted, "data")
    return InMemoryData(columns_of(columns_by_name(given, wanted), lambda *_: wanted))


def _column_digest(column: Column) -> str:
    """The SHA-256 of a column's values: labels are numbered by their order as text, not as they came."""
    if not isinstance(column, Texts):
        return _array_digest(np.where(column.missing, np.nan, column.values))  # there are many NaNs
    labels = sorted(column.labels)
    rank = {label: code for code, label in enumerate(labels)}
    codes = np.array([*(rank[label] for label in column.labels), -1], dtype=np.int64)[column.codes]
    return _array_digest(codes, json.dumps(labels).encode())


def _array_digest(values: NDArray[Any], before: bytes = b"") -> str:
    digest = sha256(before)
    wide = np.dtype("<f8" if values.dtype.kind == "f" else "<i8")
    for start in range(0, len(values), _DIGEST_ROWS):
        digest.update(values[start : start + _DIGEST_ROWS].astype(wide, copy=False).reshape(-1).data)
    return digest.hexdigest()
