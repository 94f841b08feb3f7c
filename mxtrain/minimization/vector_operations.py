"""Inner products and linear combinations of the rows of a matrix.

All implementations have the same bits, on any number of threads:

- An inner product is added in the order of `mxtrain.optim.ir.summation`, in float64.
- A linear combination `c1*v1 + c2*v2 + ...` is computed from left to right in float64, each product and sum rounded
  once, and rounded at the end to the dtype of the vectors.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mxtrain.optim.ir.summation import LANES, SUM_BLOCK, combine, reduce_blocks
from mxtrain.types import Array

Rows: TypeAlias = tuple[int, ...]
"""Numbers of vectors."""

_CHUNK = 16 * SUM_BLOCK
"""Elements that NumPy processes at once: a few such chunks fit in the cache."""


class VectorOperations(Protocol):
    """Operations on the rows of a matrix; all implementations give the same bits."""

    def dots(self, matrix: Array, rows: Rows, columns: Rows) -> NDArray[np.float64]:
        """Return the inner products of some rows with other rows, of shape `(len(rows), len(columns))`."""

    def combine(self, matrix: Array, target: int, coefficients: Sequence[float], sources: Rows) -> None:
        """Replace a row by a linear combination of rows, which may include itself."""

    def max_abs(self, matrix: Array, row: int) -> float:
        """Return the largest absolute element of a row; NaN if one is NaN, 0 without elements."""


class NumPyVectorOperations:
    """Operations in NumPy, chunk by chunk; the reference for the others."""

    def dots(self, matrix: Array, rows: Rows, columns: Rows) -> NDArray[np.float64]:
        """Return inner products; see `VectorOperations.dots`."""
        size = matrix.shape[1]
        parts = []
        with np.errstate(all="ignore"):  # overflow and NaN are valid results
            if size <= LANES:  # one element in each lane, so that all products are added together
                products = np.multiply(matrix[list(rows), None], matrix[list(columns)], dtype=np.float64)
                return np.asarray(combine("sum", products + 0.0))  # a lane adds to 0, which makes -0 positive
            for start in range(0, size, _CHUNK):
                chunk = matrix[:, start : start + _CHUNK]
                parts.append([[reduce_blocks("dot", chunk[row], chunk[column]) for column in columns] for row in rows])
            if not parts:
                return np.zeros((len(rows), len(columns)))
            return np.asarray(combine("sum", np.concatenate(parts, axis=-1)))

    def combine(self, matrix: Array, target: int, coefficients: Sequence[float], sources: Rows) -> None:
        """Compute a linear combination; see `VectorOperations.combine`."""
        with np.errstate(all="ignore"):
            for start in range(0, matrix.shape[1], _CHUNK):
                chunk = matrix[:, start : start + _CHUNK]
                total = np.multiply(chunk[sources[0]], coefficients[0], dtype=np.float64)
                for coefficient, source in zip(coefficients[1:], sources[1:], strict=True):
                    total += np.multiply(chunk[source], coefficient, dtype=np.float64)
                chunk[target] = total

    def max_abs(self, matrix: Array, row: int) -> float:
        """Return the largest absolute element; see `VectorOperations.max_abs`."""
        return float(np.abs(matrix[row]).max(initial=0.0))


@lru_cache(maxsize=4096)
def row_numbers(rows: Rows) -> NDArray[np.int64]:
    """Return the numbers of vectors as a read-only array."""
    numbers = np.array(rows, dtype=np.int64)
    numbers.flags.writeable = False
    return numbers
