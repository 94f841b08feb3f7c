"""SHA-256 of columns and arrays in memory, which depends on their values alone."""

import json
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.data.readers.columns import CategoricalColumn, Column

_DIGEST_ROWS = 4096
"""Number of rows that are converted together for a digest."""


def column_digest(column: Column) -> str:
    """Return the SHA-256 of a column's values, in which labels are numbered in the order of their text."""
    if not isinstance(column, CategoricalColumn):
        return array_digest(np.where(column.missing, np.nan, column.values))  # one bit pattern for all NaNs
    labels = sorted(column.labels)
    rank = {label: code for code, label in enumerate(labels)}
    codes = np.array([*(rank[label] for label in column.labels), -1], dtype=np.int64)[column.codes]
    return array_digest(codes, json.dumps(labels).encode())


def array_digest(values: NDArray[Any], prefix: bytes = b"") -> str:
    """Return the SHA-256 of numbers as float64 or int64, after a prefix."""
    digest = sha256(prefix)
    wide = np.dtype("<f8" if values.dtype.kind == "f" else "<i8")
    for start in range(0, len(values), _DIGEST_ROWS):
        digest.update(values[start : start + _DIGEST_ROWS].astype(wide, copy=False).reshape(-1).data)
    return digest.hexdigest()
