"""Compiled operations of matrix rules on all cores, bit-for-bit equal to `NumPyMatrixOperations`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import njit, types

from mxtrain.optim.backends.arrays import ProgramArrays, thread_count
from mxtrain.optim.backends.compiled import numba_intrinsics
from mxtrain.optim.backends.compiled.jit_cache import compile_callback, read_sources
from mxtrain.optim.backends.compiled.numba_factors import run_with_factors
from mxtrain.optim.backends.compiled.numba_intrinsics import as_pointer_to
from mxtrain.optim.backends.compiled.scheduler import run_serial
from mxtrain.optim.backends.compiled.thread_pool import shared_pool
from mxtrain.optim.backends.matrix_operations import NumPyMatrixOperations, add_groups, group_rows, padded_width
from mxtrain.optim.ir import Program
from mxtrain.optim.ir.summation import LANES, combine
from mxtrain.types import Array

_MIN_PARALLEL_SIZE = 1 << 16
"""Elements from which several threads work on a matrix."""
_MIN_COLUMNS = 32
"""Columns from which a loop over the rows is faster than NumPy."""


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
        groups = np.empty((-(-rows // group_rows(columns)), padded_width(columns)))
        _run("axis_square_sums", x, x, row_sums, groups)
        return row_sums, add_groups(groups[:, :columns])

    def column_square_sums(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Return the sums of the squares of each column of two matrices of one shape and dtype."""
        if not (_has_contiguous_rows(x) and _has_contiguous_rows(y)):
            return super().column_square_sums(x, y)
        rows, columns = x.shape
        count, width = -(-rows // group_rows(columns)), padded_width(columns)
        groups = self.workspace.array("sums of groups", (2, count, width), np.empty(0))
        _run("column_square_sums", x, y, groups[0], groups[1])
        sums = np.empty((2, width))
        _run("add_groups", groups[0], groups[1], sums[0], sums[1], items=2 * width // LANES)
        return sums[0, :columns], sums[1, :columns]

    def scale_columns(self, x: Array, factors: Array, out: Array) -> None:
        """Compute `out ← x⊙factors`, with a factor of each column."""
        if x.shape[1] < _MIN_COLUMNS or not (_has_contiguous_rows(x) and _has_contiguous_rows(out)):
            return super().scale_columns(x, factors, out)
        _run("scale_columns", x, out, factors, factors, (factors, factors))
        return None

    def run_with_factors(
        self, program: Program, arrays: ProgramArrays, factors: Array, scalars: Sequence[float]
    ) -> bool:
        """Run a program with a factor of each column of the gradient; False for arrays that are small or strided."""
        is_contiguous = all(each.flags.c_contiguous and each.flags.aligned for each in arrays)
        if arrays[0].size < _MIN_PARALLEL_SIZE or not is_contiguous:
            return False
        run_with_factors(program, arrays, factors, scalars)
        return True

    def square_sum(self, x: Array) -> float:
        """Return the sum of the squares of a matrix."""
        if not _has_contiguous_rows(x):
            return super().square_sum(x)
        row_sums = np.empty(len(x))
        _run("square_sum", x, x, row_sums, row_sums)
        return float(combine("sum", row_sums))

    def scaled_square_sum(self, g: Array, rows: Array, columns: Array, largest: float) -> float:
        """Return the sum of the squares of `g⊙min(rows⊗columns, largest)`."""
        if not _has_contiguous_rows(g):
            return super().scaled_square_sum(g, rows, columns, largest)
        row_sums = np.empty(len(g))
        _run("scaled_square_sum", g, g, row_sums, row_sums, (rows, columns), (largest, 0.0, 0.0))
        return float(combine("sum", row_sums))

    def scaled_step(
        self, W: Array, g: Array, rows: Array, columns: Array, *, largest: float, step: float, decay: float
    ) -> None:
        """Compute `W ← W + (decay·W + step·(g⊙min(rows⊗columns, largest)))` in place."""
        if not (_has_contiguous_rows(g) and _has_contiguous_rows(W)):
            return super().scaled_step(W, g, rows, columns, largest=largest, step=step, decay=decay)
        _run("scaled_step", g, W, rows, rows, (rows, columns), (largest, step, decay))
        return None


def _has_contiguous_rows(x: Array) -> bool:
    return bool(x.strides[1] == x.itemsize and x.strides[0] % x.itemsize == 0 and x.flags.aligned)


def _run(
    name: str, g: Array, W: Array, row_sums: Array, groups: Array, factors: tuple[Array, ...] = (),
    scalars: tuple[float, ...] = (0.0, 0.0, 0.0), items: int | None = None,
) -> None:  # fmt: skip
    """Run a loop over groups of rows, or over other items; arguments that the loop does not use are placeholders.

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
    starts = np.array([0, items or -(-rows // per_group)], dtype=np.int64)
    task = _LOOPS[name, g.dtype.name].address, words.view(np.uint8), np.zeros((1, 1), dtype=np.int64), starts
    workers = min(thread_count(), int(starts[1])) - 1 if g.size >= _MIN_PARALLEL_SIZE else 0
    if workers < 1 or not shared_pool().run(task, 1, workers):
        run_serial(*task)


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


# Four rows are added at once, because a core reads several streams of memory faster than one.


@njit(error_model="numpy")
def _load(words: Any, itemsize: Any, row: Any, end: Any, base: Any, one: Any, terms: Any) -> None:
    """Copy 128 columns of the next four rows before `end` to `terms`; zeros stand for what is missing."""
    columns = words[1]
    for k in range(4):
        count = min(columns - base, 128) if row + k < end else 0
        x = as_pointer_to(words[3] + itemsize * (row + k) * words[4], one)
        if count == 128:  # a constant number compiles to faster code
            for lane in range(128):
                terms[k, lane] = x[base + lane]
            continue
        for lane in range(128):
            terms[k, lane] = x[base + lane] if lane < count else 0 * one


@njit(error_model="numpy")
def _scale(words: Any, row: Any, end: Any, base: Any, largest: Any, one: Any, terms: Any) -> None:
    """Multiply `terms` by the factors of their rows and columns."""
    row_factors, column_factors = as_pointer_to(words[10], one), as_pointer_to(words[11], one)
    for k in range(4):
        if row + k < end:
            factor = row_factors[row + k]
            for lane in range(min(words[1] - base, 128)):
                terms[k, lane] = terms[k, lane] * _factor(factor, column_factors[base + lane], largest)


@njit(error_model="numpy")
def _factor(row_factor: Any, column_factor: Any, largest: Any) -> Any:
    """Return `min(row_factor·column_factor, largest)`, or NaN if it is NaN."""
    factor = row_factor * column_factor
    return min(factor, largest)


@njit(error_model="numpy")
def _add_squares(terms: Any, lanes: Any) -> None:
    for k in range(4):
        for lane in range(128):
            value = np.float64(terms[k, lane])
            lanes[k, lane] += value * value


@njit(error_model="numpy")
def _store_row_sums(lanes: Any, row: Any, end: Any, row_sums: Any) -> None:
    """Add the lanes of four rows in halves, and store the sums of those before `end`."""
    half = 64
    while half:
        for k in range(4):
            for lane in range(half):
                lanes[k, lane] += lanes[k, lane + half]
        half //= 2
    for k in range(min(end - row, 4)):
        row_sums[row + k] = lanes[k, 0]


@njit(error_model="numpy")
def _axis_square_sums(words: Any, itemsize: Any, low: Any, high: Any, one: Any) -> None:
    rows, columns, per_group = words[0], words[1], words[2]
    width = (columns + 127) // 128 * 128
    row_sums, lanes, terms = as_pointer_to(words[7], 0.0), np.empty((4, 128)), np.empty((4, 128), type(one))
    for group in range(low, high):
        totals = as_pointer_to(words[8] + 8 * group * width, 0.0)
        for j in range(width):
            totals[j] = 0.0
        end = min((group + 1) * per_group, rows)
        for row in range(group * per_group, end, 4):
            lanes[:] = 0.0
            for base in range(0, columns, 128):
                _load(words, itemsize, row, end, base, one, terms)
                for lane in range(128):
                    a, b = np.float64(terms[0, lane]), np.float64(terms[1, lane])
                    c, d = np.float64(terms[2, lane]), np.float64(terms[3, lane])
                    lanes[0, lane] += a * a
                    lanes[1, lane] += b * b
                    lanes[2, lane] += c * c
                    lanes[3, lane] += d * d
                    totals[base + lane] = (((totals[base + lane] + a * a) + b * b) + c * c) + d * d
            _store_row_sums(lanes, row, end, row_sums)


@njit(error_model="numpy")
def _column_square_sums(words: Any, itemsize: Any, low: Any, high: Any, one: Any) -> None:
    """Add the squares of groups of rows of two matrices."""
    rows, columns, per_group = words[0], words[1], words[2]
    width = (columns + 127) // 128 * 128
    for item in range(2 * low, 2 * high):
        matrix, group = item % 2, item // 2
        address, stride = words[3 + 2 * matrix], itemsize * words[4 + 2 * matrix]
        totals = as_pointer_to(words[7 + matrix] + 8 * group * width, 0.0)
        for j in range(width):
            totals[j] = 0.0
        row, end = group * per_group, min((group + 1) * per_group, rows)
        while row + 8 <= end:
            _add_eight_rows(address + row * stride, stride, columns, one, totals)
            row += 8
        while row < end:
            x = as_pointer_to(address + row * stride, one)
            for j in range(columns):
                totals[j] += np.float64(x[j]) * np.float64(x[j])
            row += 1


@njit(error_model="numpy")
def _add_eight_rows(first: Any, stride: Any, columns: Any, one: Any, totals: Any) -> None:
    """Add the squares of eight rows to the totals of the columns, one after the other."""
    x0, x1 = as_pointer_to(first, one), as_pointer_to(first + stride, one)
    x2, x3 = as_pointer_to(first + 2 * stride, one), as_pointer_to(first + 3 * stride, one)
    x4, x5 = as_pointer_to(first + 4 * stride, one), as_pointer_to(first + 5 * stride, one)
    x6, x7 = as_pointer_to(first + 6 * stride, one), as_pointer_to(first + 7 * stride, one)
    for j in range(columns):
        a, b, c, d = np.float64(x0[j]), np.float64(x1[j]), np.float64(x2[j]), np.float64(x3[j])
        total = (((totals[j] + a * a) + b * b) + c * c) + d * d
        a, b, c, d = np.float64(x4[j]), np.float64(x5[j]), np.float64(x6[j]), np.float64(x7[j])
        totals[j] = (((total + a * a) + b * b) + c * c) + d * d


@njit(error_model="numpy")
def _add_groups(words: Any, itemsize: Any, low: Any, high: Any, one: Any) -> None:
    """Add the rows of two matrices of sums in order, 128 columns in each item."""
    count, width = words[0], words[1]
    total = np.empty(128)
    for item in range(low, high):
        matrix, base = item // (width // 128), item % (width // 128) * 128
        sums, result = as_pointer_to(words[3 + 2 * matrix], one), as_pointer_to(words[7 + matrix], one)
        for lane in range(128):
            total[lane] = sums[base + lane]
        for group in range(1, count):
            for lane in range(128):
                total[lane] += sums[group * width + base + lane]
        for lane in range(128):
            result[base + lane] = total[lane]


@njit(error_model="numpy")
def _scale_columns(words: Any, itemsize: Any, low: Any, high: Any, one: Any) -> None:
    rows, columns, per_group = words[0], words[1], words[2]
    factors = as_pointer_to(words[11], one)
    for i in range(low * per_group, min(high * per_group, rows)):
        x = as_pointer_to(words[3] + itemsize * i * words[4], one)
        result = as_pointer_to(words[5] + itemsize * i * words[6], one)
        for j in range(columns):
            result[j] = x[j] * factors[j]


@njit(error_model="numpy")
def _square_sum(words: Any, itemsize: Any, low: Any, high: Any, one: Any) -> None:
    rows, columns, per_group = words[0], words[1], words[2]
    row_sums, lanes, terms = as_pointer_to(words[7], 0.0), np.empty((4, 128)), np.empty((4, 128), type(one))
    end = min(high * per_group, rows)
    for row in range(low * per_group, end, 4):
        lanes[:] = 0.0
        for base in range(0, columns, 128):
            _load(words, itemsize, row, end, base, one, terms)
            _add_squares(terms, lanes)
        _store_row_sums(lanes, row, end, row_sums)


@njit(error_model="numpy")
def _scaled_square_sum(words: Any, itemsize: Any, low: Any, high: Any, one: Any, largest: Any) -> None:
    rows, columns, per_group = words[0], words[1], words[2]
    row_sums, lanes, terms = as_pointer_to(words[7], 0.0), np.empty((4, 128)), np.empty((4, 128), type(one))
    end = min(high * per_group, rows)
    for row in range(low * per_group, end, 4):
        lanes[:] = 0.0
        for base in range(0, columns, 128):
            _load(words, itemsize, row, end, base, one, terms)
            _scale(words, row, end, base, largest, one, terms)
            _add_squares(terms, lanes)
        _store_row_sums(lanes, row, end, row_sums)


@njit(error_model="numpy")
def _scaled_step(words: Any, itemsize: Any, low: Any, high: Any, one: Any, largest: Any, step: Any, decay: Any) -> None:
    rows, columns, per_group = words[0], words[1], words[2]
    row_factors, column_factors = as_pointer_to(words[10], one), as_pointer_to(words[11], one)
    for i in range(low * per_group, min(high * per_group, rows)):
        g, factor = as_pointer_to(words[3] + itemsize * i * words[4], one), row_factors[i]
        W = as_pointer_to(words[5] + itemsize * i * words[6], one)
        for j in range(columns):
            W[j] = W[j] + (decay * W[j] + step * (g[j] * _factor(factor, column_factors[j], largest)))


def _axis_square_sums_float32(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _axis_square_sums(words, 4, low, high, np.float32(1))


def _axis_square_sums_float64(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _axis_square_sums(words, 8, low, high, 1.0)


def _column_square_sums_float32(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _column_square_sums(words, 4, low, high, np.float32(1))


def _column_square_sums_float64(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _column_square_sums(words, 8, low, high, 1.0)


def _add_groups_float64(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _add_groups(words, 8, low, high, 1.0)


def _scale_columns_float32(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _scale_columns(words, 4, low, high, np.float32(1))


def _scale_columns_float64(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _scale_columns(words, 8, low, high, 1.0)


def _square_sum_float32(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _square_sum(words, 4, low, high, np.float32(1))


def _square_sum_float64(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _square_sum(words, 8, low, high, 1.0)


def _scaled_square_sum_float32(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _scaled_square_sum(words, 4, low, high, np.float32(1), np.float32(as_pointer_to(words[9], 0.0)[0]))


def _scaled_square_sum_float64(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _scaled_square_sum(words, 8, low, high, 1.0, as_pointer_to(words[9], 0.0)[0])


def _scaled_step_float32(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    numbers = as_pointer_to(words[9], 0.0)
    largest, step, decay = np.float32(numbers[0]), np.float32(numbers[1]), np.float32(numbers[2])
    _scaled_step(words, 4, low, high, np.float32(1), largest, step, decay)


def _scaled_step_float64(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    numbers = as_pointer_to(words[9], 0.0)
    _scaled_step(words, 8, low, high, 1.0, numbers[0], numbers[1], numbers[2])


def _compiled(function: Callable[..., None]) -> Any:
    """Compile a function at import, or load its machine code from the cache."""
    pointer: Any = types.CPointer
    numbers, number = pointer(types.int64), types.int64
    signature = types.void(numbers, numbers, numbers, number, number, number)
    source = read_sources(__file__, numba_intrinsics.__file__)
    return compile_callback(function, signature, source, error_model="numpy")


_LOOPS = {
    ("column_square_sums", "float32"): _compiled(_column_square_sums_float32),
    ("column_square_sums", "float64"): _compiled(_column_square_sums_float64),
    ("add_groups", "float64"): _compiled(_add_groups_float64),
    ("scale_columns", "float32"): _compiled(_scale_columns_float32),
    ("scale_columns", "float64"): _compiled(_scale_columns_float64),
    ("axis_square_sums", "float32"): _compiled(_axis_square_sums_float32),
    ("axis_square_sums", "float64"): _compiled(_axis_square_sums_float64),
    ("square_sum", "float32"): _compiled(_square_sum_float32),
    ("square_sum", "float64"): _compiled(_square_sum_float64),
    ("scaled_square_sum", "float32"): _compiled(_scaled_square_sum_float32),
    ("scaled_square_sum", "float64"): _compiled(_scaled_square_sum_float64),
    ("scaled_step", "float32"): _compiled(_scaled_step_float32),
    ("scaled_step", "float64"): _compiled(_scaled_step_float64),
}
