"""What a run is trained on, where Python hands it over: read once, into memory of the run's own."""

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.run import CLASS_LOSSES, RunConfig
from mxtrain.data.arrays import as_rows
from mxtrain.data.columns import Column, Columns, Texts, columns_of
from mxtrain.data.csv_file import check_wanted
from mxtrain.data.in_python import columns_by_name, kind_of, names_of, pair_of, rows_of, target_of
from mxtrain.data.npz_file import array_features
from mxtrain.data.table import Table
from mxtrain.data.table_file import columns_to_train_on
from mxtrain.data.tabulate import tabulate
from mxtrain.errors import ConfigError, DataError, Problem

_BLOCK = 4096
"""Samples whose values are widened at once."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Data that were handed over. They share no memory with what was: neither ever changes the other.

    Attributes:
        columns: the target, and the features that are columns.
        inputs: (n, d), C-contiguous, float32 or float64, the features that are an array; None where they are columns.
    """

    columns: Columns
    inputs: NDArray[Any] | None = None

    def table(self, config: RunConfig) -> Table:
        """The data as they are split and learnt from; a DataError as `tabulate`."""
        classes, data = config.decoding in CLASS_LOSSES, config.data
        if self.inputs is None:
            assert data.target is not None, "take_over asks it of every table"
            return tabulate(self.columns, data.target, classes, data.missing, data.categorical or ())
        return replace(
            tabulate(self.columns, "y", classes, data.missing),
            inputs=self.inputs,
            column_names=array_features("X", self.inputs.shape[1]),
        )

    def fingerprint(self) -> str:
        """The SHA-256, in hexadecimal, of all values that are learnt from, whatever held them: equal numbers in a list,
        and in arrays of any dtype, byte order and memory layout, have one.
        """
        lines = [f"{json.dumps(name)} {_digest(column)}" for name, column in self.columns.columns.items()]
        if self.inputs is not None:
            lines.append(f"X {self.inputs.shape[1]} {_sha256(self.inputs)}")
        return sha256("\n".join(lines).encode()).hexdigest()


def take_over(config: RunConfig, given: Any) -> TrainingData | None:
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
        ...     "data": {"source": "handed_over"}, "model": {"kind": "linear"}, "loss": "softmax_cross_entropy",
        ...     "optimizer": {"kind": "adam"}})
        >>> taken = take_over(run, ([[1, 2], [3, 4], [5, 6]], ["cat", "ant", "cat"]))
        >>> table = taken.table(run)
        >>> table.column_names, table.targets.tolist(), table.class_names
        (('X[0]', 'X[1]'), [1, 0, 1], ('ant', 'cat'))
    """
    problem = config.data.why_not(handed_over=given is not None)
    if problem is not None:
        raise ConfigError([Problem("data.source", problem)])
    if given is None:
        return None
    taken = _pair(config, given) if isinstance(given, tuple) else _columns(config, given)
    if not len(taken.columns):
        raise DataError("data: has no samples")
    return taken


def _pair(config: RunConfig, given: tuple[Any, ...]) -> TrainingData:
    if config.data.target is not None:
        message = f"{config.data.target!r} names a column, and (X, y) has none; leave it out, or hand columns over"
        raise ConfigError([Problem("data.target", message)])
    features, targets = pair_of(given)
    if names_of(features) is not None:
        remedy = "hand over one table with the target in it, and name that in data.target"
        raise DataError(f"data: X is a table, whose names (X, y) would lose; {remedy}")
    found = rows_of(features, "data: X")
    dtype = np.float32 if found.dtype == np.float32 else np.float64
    with np.errstate(over="ignore"):  # longer numbers than float64 has; as_rows tells of infinities
        inputs = as_rows(np.array(found, dtype=dtype, order="C"), "data: X")
    column = target_of(targets, classes=config.decoding in CLASS_LOSSES)
    if len(inputs) != len(column.missing):
        raise DataError(f"data: X and y must be of one length, got {len(inputs)} and {len(column.missing)} samples")
    return TrainingData(Columns("data", {"y": column}, lambda row: f"data: row {row + 1}"), inputs)


def _columns(config: RunConfig, given: Any) -> TrainingData:
    names = names_of(given)
    if names is None:
        raise DataError(f"data: must be (X, y), columns by name, or a data frame, got {kind_of(given)}")
    if config.data.target is None:
        some = f"{', '.join(map(repr, names[:8]))}{', ...' if len(names) > 8 else ''}" or "none at all"
        message = f"required, as columns were handed over: name the one to predict; there are: {some}"
        raise ConfigError([Problem("data.target", message)])
    wanted = columns_to_train_on(config.data, config.decoding in CLASS_LOSSES)("data", names)
    check_wanted(names, wanted, "data")
    return TrainingData(columns_of(columns_by_name(given, wanted), lambda *_: wanted))


def _digest(column: Column) -> str:
    """The SHA-256 of a column's values: labels are numbered by their order as text, not as they came."""
    if not isinstance(column, Texts):
        return _sha256(np.where(column.missing, np.nan, column.values))  # there are many NaNs
    labels = sorted(column.labels)
    rank = {label: code for code, label in enumerate(labels)}
    codes = np.array([*(rank[label] for label in column.labels), -1], dtype=np.int64)[column.codes]
    return _sha256(codes, json.dumps(labels).encode())


def _sha256(values: NDArray[Any], before: bytes = b"") -> str:
    digest = sha256(before)
    wide = np.dtype("<f8" if values.dtype.kind == "f" else "<i8")
    for start in range(0, len(values), _BLOCK):
        digest.update(values[start : start + _BLOCK].astype(wide, copy=False).reshape(-1).data)
    return digest.hexdigest()
