"""Compiled operations of matrix rules: the bits of `NumPyMatrixOperations` on all cores."""

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
from numba import njit, types

from mxtrain.optim.backends import numba_intrinsics
from mxtrain.optim.backends.arrays import thread_count
from mxtrain.optim.backends.jit_cache import compile_callback, read_sources
from mxtrain.optim.backends.matrix_operations import NumPyMatrixOperations, add_groups, group_rows
from mxtrain.optim.backends.numba_intrinsics import as_pointer_to
from mxtrain.optim.backends.scheduler import run_serial
from mxtrain.optim.backends.thread_pool import shared_pool
from mxtrain.optim.ir.summation import combine
from mxtrain.types import Array

_MIN_PARALLEL_SIZE = 1 << 16
"""Elements from which several threads work on a matrix."""


class NumbaMatrixOperations(NumPyMatrixOperations):
    """Operations on NumPy arrays with compiled loops, which read each array once.

    Args:
        workspace: the buffers.
    """

    def axis_square_sums(self, x: Array) -> tuple[Array, Array]:
        """Return the sums of the squares of each row and of each column of a matrix."""
        if not _has_contiguous_rows(x):
            return super().axis_square_sums(x)
        rows, columns = x.shape
        row_sums = np.empty(rows)
        groups = np.empty((-(-rows // group_rows(columns)), columns))
        _run("axis_square_sums", x, x, row_sums, groups)
        return row_sums, add_groups(groups)

    def square_sum(self, x: Array) -> float:
        """Return the sum of the squares of a matrix."""
        if not _has_contiguous_rows(x):
            return super().square_sum(x)
        row_sums = np.empty(len(x))
        _run("square_sum", x, x, row_sums, row_sums)
        return float(combine("sum", row_sums))

    def factored_square_sum(self, g: Array, rows: Array, columns: Array, floor: float) -> float:
        """Return the sum of the squares of `g/√max(rows⊗columns, floor)`."""
        if not _has_contiguous_rows(g):
            return super().factored_square_sum(g, rows, columns, floor)
        row_sums = np.empty(len(g))
        _run("factored_square_sum", g, g, row_sums, row_sums, (rows, columns), (floor, 0.0, 0.0))
        return float(combine("sum", row_sums))

    def factored_step(
        self, W: Array, g: Array, rows: Array, columns: Array, *, floor: float, step: float, decay: float
    ) -> None:
        """Compute `W ← W + (decay·W + step·(g/√max(rows⊗columns, floor)))` in place."""
        if not (_has_contiguous_rows(g) and _has_contiguous_rows(W)):
            return super().factored_step(W, g, rows, columns, floor=floor, step=step, decay=decay)
        _run("factored_step", g, W, rows, rows, (rows, columns), (floor, step, decay))
        return None


def _has_contiguous_rows(x: Array) -> bool:
    return bool(x.strides[1] == x.itemsize and x.strides[0] % x.itemsize == 0 and x.flags.aligned)


def _run(
    name: str, g: Array, W: Array, row_sums: Array, groups: Array, factors: tuple[Array, ...] = (),
    scalars: tuple[float, ...] = (0.0, 0.0, 0.0),
) -> None:  # fmt: skip
    """Run a loop over groups of rows; arguments that the loop does not use are placeholders.

    The loop gets them as integers: 0-2 rows, columns and rows of a group; 3, 4 the address of g and the elements from
    row to row; 5, 6 the same of W; 7-9 the addresses of the row sums, the group sums and the scalars; 10, 11 those of
    the factors of rows and of columns.
    """
    rows, columns = g.shape
    per_group = group_rows(columns)
    factors = tuple(np.ascontiguousarray(each) for each in factors)
    numbers = np.array(scalars)
    words = np.array(
        [
            *(rows, columns, per_group),
            *(word for each in (g, W) for word in (_address(each), each.strides[0] // each.itemsize)),
            *map(_address, (row_sums, groups, numbers, *(factors or (g, g)))),
        ],
        dtype=np.int64,
    )
    starts = np.array([0, -(-rows // per_group)], dtype=np.int64)
    task = _LOOPS[name, g.dtype.name].address, words.view(np.uint8), np.zeros((1, 1), dtype=np.int64), starts
    workers = min(thread_count(), int(starts[1])) - 1 if g.size >= _MIN_PARALLEL_SIZE else 0
    if workers < 1 or not shared_pool().run(task, 1, workers):
        run_serial(*task)


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


@njit(error_model="numpy")
def _add_halves(lanes: Any) -> Any:
    half = 64
    while half:
        for i in range(half):
            lanes[i] += lanes[i + half]
        half //= 2
    return lanes[0]


@njit(error_model="numpy")
def _axis_square_sums(words: Any, itemsize: Any, low: Any, high: Any, one: Any) -> None:
    rows, columns, per_group = words[0], words[1], words[2]
    row_sums, lanes = as_pointer_to(words[7], 0.0), np.empty(128)
    for group in range(low, high):
        totals = as_pointer_to(words[8] + 8 * group * columns, 0.0)
        for j in range(columns):
            totals[j] = 0.0
        for i in range(group * per_group, min((group + 1) * per_group, rows)):
            x = as_pointer_to(words[3] + itemsize * i * words[4], one)
            lanes[:] = 0.0
            for base in range(0, columns, 128):
                if base + 128 <= columns:
                    for lane in range(128):
                        value = np.float64(x[base + lane])
                        lanes[lane] += value * value
                        totals[base + lane] += value * value
                else:
                    for lane in range(columns - base):
                        value = np.float64(x[base + lane])
                        lanes[lane] += value * value
                        totals[base + lane] += value * value
            row_sums[i] = _add_halves(lanes)


@njit(error_model="numpy")
def _square_sum(words: Any, itemsize: Any, low: Any, high: Any, one: Any) -> None:
    rows, columns, per_group = words[0], words[1], words[2]
    row_sums, lanes = as_pointer_to(words[7], 0.0), np.empty(128)
    for i in range(low * per_group, min(high * per_group, rows)):
        x = as_pointer_to(words[3] + itemsize * i * words[4], one)
        lanes[:] = 0.0
        for base in range(0, columns, 128):
            if base + 128 <= columns:
                for lane in range(128):
                    value = np.float64(x[base + lane])
                    lanes[lane] += value * value
            else:
                for lane in range(columns - base):
                    value = np.float64(x[base + lane])
                    lanes[lane] += value * value
        row_sums[i] = _add_halves(lanes)


@njit(error_model="numpy")
def _factored(g: Any, factor: Any, column_factor: Any, floor: Any) -> Any:
    """Return `g/√max(factor·column_factor, floor)`; the maximum keeps NaN."""
    v = factor * column_factor
    return g / sqrt(max(v, floor))


@njit(error_model="numpy")
def _factored_square_sum(words: Any, itemsize: Any, low: Any, high: Any, one: Any, floor: Any) -> None:
    rows, columns, per_group = words[0], words[1], words[2]
    row_sums, lanes = as_pointer_to(words[7], 0.0), np.empty(128)
    factors, column_factors = as_pointer_to(words[10], one), as_pointer_to(words[11], one)
    for i in range(low * per_group, min(high * per_group, rows)):
        g, factor = as_pointer_to(words[3] + itemsize * i * words[4], one), factors[i]
        lanes[:] = 0.0
        for base in range(0, columns, 128):
            if base + 128 <= columns:
                for lane in range(128):
                    value = np.float64(_factored(g[base + lane], factor, column_factors[base + lane], floor))
                    lanes[lane] += value * value
            else:
                for lane in range(columns - base):
                    value = np.float64(_factored(g[base + lane], factor, column_factors[base + lane], floor))
                    lanes[lane] += value * value
        row_sums[i] = _add_halves(lanes)


@njit(error_model="numpy")
def _factored_step(words: Any, itemsize: Any, low: Any, high: Any, one: Any, floor: Any, step: Any, decay: Any) -> None:
    rows, columns, per_group = words[0], words[1], words[2]
    factors, column_factors = as_pointer_to(words[10], one), as_pointer_to(words[11], one)
    for i in range(low * per_group, min(high * per_group, rows)):
        g, factor = as_pointer_to(words[3] + itemsize * i * words[4], one), factors[i]
        W = as_pointer_to(words[5] + itemsize * i * words[6], one)
        for j in range(columns):
            W[j] = W[j] + (decay * W[j] + step * _factored(g[j], factor, column_factors[j], floor))


def _axis_square_sums_float32(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _axis_square_sums(words, 4, low, high, np.float32(1))


def _axis_square_sums_float64(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _axis_square_sums(words, 8, low, high, 1.0)


def _square_sum_float32(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _square_sum(words, 4, low, high, np.float32(1))


def _square_sum_float64(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _square_sum(words, 8, low, high, 1.0)


def _factored_square_sum_float32(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _factored_square_sum(words, 4, low, high, np.float32(1), np.float32(as_pointer_to(words[9], 0.0)[0]))


def _factored_square_sum_float64(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _factored_square_sum(words, 8, low, high, 1.0, as_pointer_to(words[9], 0.0)[0])


def _factored_step_float32(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    numbers = as_pointer_to(words[9], 0.0)
    floor, step, decay = np.float32(numbers[0]), np.float32(numbers[1]), np.float32(numbers[2])
    _factored_step(words, 4, low, high, np.float32(1), floor, step, decay)


def _factored_step_float64(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    numbers = as_pointer_to(words[9], 0.0)
    _factored_step(words, 8, low, high, 1.0, numbers[0], numbers[1], numbers[2])


def _compiled(function: Callable[..., None]) -> Any:
    """Compile a function at import, or load its machine code from the cache."""
    pointer: Any = types.CPointer
    numbers, number = pointer(types.int64), types.int64
    signature = types.void(numbers, numbers, numbers, number, number, number)
    source = read_sources(__file__, numba_intrinsics.__file__)
    return compile_callback(function, signature, source, error_model="numpy")


_LOOPS = {
    ("axis_square_sums", "float32"): _compiled(_axis_square_sums_float32),
    ("axis_square_sums", "float64"): _compiled(_axis_square_sums_float64),
    ("square_sum", "float32"): _compiled(_square_sum_float32),
    ("square_sum", "float64"): _compiled(_square_sum_float64),
    ("factored_square_sum", "float32"): _compiled(_factored_square_sum_float32),
    ("factored_square_sum", "float64"): _compiled(_factored_square_sum_float64),
    ("factored_step", "float32"): _compiled(_factored_step_float32),
    ("factored_step", "float64"): _compiled(_factored_step_float64),
}
