"""Operations on whole arrays for matrix rules, on NumPy and CuPy arrays; see `MatrixOperations`.

**Order of summation along axes.** Sums of squares are added in float64, in an order that depends only on the shape, so
that compiled code on any number of threads gives the same bits:

1. The elements of a row are cut into pieces of 128 lanes, the last one padded with zeros. Each lane adds its elements
   in order, and the lanes are added in halves, as `summation` does.
2. Columns are added row by row within groups of `group_rows(columns)` rows, and the sums of the groups in order.
3. The sum of a whole matrix is the sum of its rows, in halves.
"""

from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.optim.backends.arrays import ProgramArrays, array_module
from mxtrain.optim.backends.matmul.products import multiply
from mxtrain.optim.ir import Program, Workspace
from mxtrain.optim.ir.summation import LANES, SUM_BLOCK, combine, reduce_blocks
from mxtrain.types import Array

_GROUP_SIZE = 1 << 17
"""Approximate number of elements in a group of rows."""
_BLOCK_SIZE = 1 << 15
"""Approximate number of elements of temporary arrays, which stay in the cache."""
_NORM_CHUNK = 16 * SUM_BLOCK


def group_rows(columns: int) -> int:
    """Return the number of rows whose column sums are added one after the other.

    >>> group_rows(4096), group_rows(3), group_rows(10**6)
    (32, 1024, 8)
    """
    return max(8, min(1024, _GROUP_SIZE // padded_width(columns)))


def padded_width(columns: int) -> int:
    """Return the number of columns, rounded up to whole pieces of 128 lanes."""
    return -(-columns // LANES) * LANES


class NumPyMatrixOperations:
    """Operations on NumPy arrays, with NumPy's functions; temporary arrays are no larger than a few hundred kilobytes.

    Args:
        workspace: the buffers.
    """

    xp: ModuleType = np

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def buffer(self, name: str, shape: tuple[int, ...], example: Array) -> Array:
        """Return an array of the workspace."""
        return self.workspace.array(name, shape, example)

    def multiply(
        self, a: Array, b: Array, out: Array, *, transpose_a: bool = False, transpose_b: bool = False,
        symmetric: bool = False,
    ) -> None:  # fmt: skip
        """Compute `out ← a·b` for matrices."""
        multiply(a, b, out, transpose_a=transpose_a, transpose_b=transpose_b, symmetric=symmetric)

    def norm(self, x: Array) -> float:
        """Return the Euclidean norm of all elements, added in the order of `summation`."""
        flat = x.reshape(-1)
        chunks = [flat[low : low + _NORM_CHUNK] for low in range(0, flat.size, _NORM_CHUNK)]
        return float(np.sqrt(combine("dot", np.concatenate([reduce_blocks("dot", each, each) for each in chunks]))))

    def axis_square_sums(self, x: Array) -> tuple[Array, Array]:
        """Return the sums of the squares of each row and of each column of a matrix."""
        rows, columns = x.shape
        row_sums = np.empty(rows)
        per_group = group_rows(columns)
        groups = []
        for low in range(0, rows, per_group):
            total = np.zeros(padded_width(columns))
            for begin, end, squares in _blocks(low, min(low + per_group, rows), columns):
                _square(x[begin:end], squares[1:, :columns])
                row_sums[begin:end] = _add_lanes(squares[1:])
                squares[0] = total
                total = np.add.reduce(squares, axis=0)
            groups.append(total[:columns])
        return row_sums, add_groups(np.array(groups))

    def column_square_sums(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Return the sums of the squares of each column of two matrices of one shape and dtype."""
        return self.axis_square_sums(x)[1], self.axis_square_sums(y)[1]

    def run_with_factors(
        self, program: Program, arrays: ProgramArrays, factors: Array, scalars: Sequence[float]
    ) -> bool:
        """Return False, because a copy of the gradient is scaled."""
        return False

    def scale_columns(self, x: Array, factors: Array, out: Array) -> None:
        """Compute `out ← x⊙factors`, with a factor of each column."""
        np.multiply(x, factors, out=out)

    def square_sum(self, x: Array) -> float:
        """Return the sum of the squares of a matrix."""
        row_sums = np.empty(len(x))
        for begin, end, squares in _blocks(0, *x.shape):
            _square(x[begin:end], squares[1:, : x.shape[1]])
            row_sums[begin:end] = _add_lanes(squares[1:])
        return float(combine("sum", row_sums))

    def scaled_square_sum(self, g: Array, rows: Array, columns: Array, largest: float) -> float:
        """Return the sum of the squares of `g⊙min(rows⊗columns, largest)`."""
        row_sums = np.empty(len(g))
        for begin, end, squares in _blocks(0, *g.shape):
            _square(_scaled(g, rows, columns, largest, begin, end), squares[1:, : g.shape[1]])
            row_sums[begin:end] = _add_lanes(squares[1:])
        return float(combine("sum", row_sums))

    def scaled_step(
        self, W: Array, g: Array, rows: Array, columns: Array, *, largest: float, step: float, decay: float
    ) -> None:
        """Compute `W ← W + (decay·W + step·(g⊙min(rows⊗columns, largest)))` in place."""
        for begin, end, _ in _blocks(0, *g.shape):
            change = _scaled(g, rows, columns, largest, begin, end)
            change *= step
            np.add(decay * W[begin:end], change, out=change)
            W[begin:end] += change


def _blocks(low: int, high: int, columns: int) -> Iterator[tuple[int, int, NDArray[np.float64]]]:
    """Yield ranges of rows, each with zeros for its padded squares, and a row above them that may be used."""
    per_block = max(1, _BLOCK_SIZE // padded_width(columns))
    squares = np.zeros((1 + min(per_block, high - low), padded_width(columns)))
    for begin in range(low, high, per_block):
        end = min(begin + per_block, high)
        yield begin, end, squares[: 1 + end - begin]


def _square(x: NDArray[Any], out: NDArray[np.float64]) -> None:
    np.copyto(out, x)
    np.multiply(out, out, out=out)


def _add_lanes(squares: NDArray[np.float64]) -> Any:
    """Return the sum of each row, whose length is a multiple of the lanes."""
    return combine("sum", np.add.reduce(squares.reshape(len(squares), -1, LANES), axis=1))


def add_groups(groups: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the column sums of a matrix from those of its groups, one row each, added in order."""
    total: NDArray[np.float64] = groups[0].copy()
    for each in groups[1:]:
        total += each
    return total


def _scaled(g: Array, rows: Array, columns: Array, largest: float, begin: int, end: int) -> NDArray[Any]:
    """Return rows of `g⊙min(rows⊗columns, largest)`, in a new array."""
    result: NDArray[Any] = np.multiply(rows[begin:end, None], columns)
    np.minimum(result, largest, out=result)
    np.multiply(g[begin:end], result, out=result)
    return result


class CuPyMatrixOperations:
    """Operations on CuPy arrays, with CuPy's functions.

    Args:
        workspace: the buffers.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.xp: ModuleType = array_module("cupy")

    def buffer(self, name: str, shape: tuple[int, ...], example: Array) -> Array:
        """Return an array of the workspace."""
        return self.workspace.array(name, shape, example, self.xp)

    def multiply(
        self, a: Array, b: Array, out: Array, *, transpose_a: bool = False, transpose_b: bool = False,
        symmetric: bool = False,
    ) -> None:  # fmt: skip
        """Compute `out ← a·b` for matrices."""
        self.xp.matmul(a.T if transpose_a else a, b.T if transpose_b else b, out=out)

    def norm(self, x: Array) -> float:
        """Return the Euclidean norm of all elements."""
        return float(self.xp.sqrt(self.square_sum(x)))

    def axis_square_sums(self, x: Array) -> tuple[Array, Array]:
        """Return the sums of the squares of each row and of each column of a matrix."""
        squares = self.xp.square(x.astype(self.xp.float64))
        return squares.sum(axis=1), squares.sum(axis=0)

    def column_square_sums(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Return the sums of the squares of each column of two matrices of one shape and dtype."""
        x_sums, y_sums = (self.xp.square(each.astype(self.xp.float64)).sum(axis=0) for each in (x, y))
        return x_sums, y_sums

    def run_with_factors(
        self, program: Program, arrays: ProgramArrays, factors: Array, scalars: Sequence[float]
    ) -> bool:
        """Return False, because a copy of the gradient is scaled."""
        return False

    def scale_columns(self, x: Array, factors: Array, out: Array) -> None:
        """Compute `out ← x⊙factors`, with a factor of each column."""
        self.xp.multiply(x, factors, out=out)

    def square_sum(self, x: Array) -> float:
        """Return the sum of the squares of a matrix."""
        return float(self.xp.square(x.astype(self.xp.float64)).sum())

    def scaled_square_sum(self, g: Array, rows: Array, columns: Array, largest: float) -> float:
        """Return the sum of the squares of `g⊙min(rows⊗columns, largest)`."""
        return self.square_sum(self._scaled(g, rows, columns, largest))

    def scaled_step(
        self, W: Array, g: Array, rows: Array, columns: Array, *, largest: float, step: float, decay: float
    ) -> None:
        """Compute `W ← W + (decay·W + step·(g⊙min(rows⊗columns, largest)))` in place."""
        W += decay * W + step * self._scaled(g, rows, columns, largest)

    def _scaled(self, g: Array, rows: Array, columns: Array, largest: float) -> Array:
        return g * self.xp.minimum(rows[:, None] * columns, largest)
