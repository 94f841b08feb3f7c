"""Compiled operations on vectors, on several threads for large ones: bit-for-bit equal to `NumPyVectorOperations`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from mxtrain.minimization.vector_operations import Rows, row_numbers
from mxtrain.optim.backends.arrays import round_scalars, thread_count
from mxtrain.optim.backends.compiled import numba_intrinsics
from mxtrain.optim.backends.compiled.jit_cache import compile_callback, compile_function, read_sources
from mxtrain.optim.backends.compiled.numba_backend import compile_loop
from mxtrain.optim.backends.compiled.numba_intrinsics import as_pointer_to
from mxtrain.optim.backends.compiled.numba_tasks import run_task
from mxtrain.optim.backends.compiled.thread_pool import shared_pool
from mxtrain.optim.ir import Program
from mxtrain.types import Array

_MIN_PARALLEL_SIZE = 1 << 17
"""Elements, of all vectors of an operation together, from which several threads are used."""
_CHUNKS_PER_THREAD = 8


class CompiledVectorOperations:
    """Operations in compiled loops. An instance belongs to one matrix, whose memory does not move."""

    def __init__(self) -> None:
        self._programs: dict[tuple[Program, Rows], tuple[int, NDArray[np.int64], NDArray[np.int64]]] = {}

    def run(self, matrix: Array, program: Program, rows: Rows, scalars: Sequence[float]) -> None:
        """Run a program on rows of the matrix in place, as `NumbaBackend` does, with less to prepare for each call."""
        prepared = self._programs.get((program, rows))
        if prepared is None:
            first, stride = matrix.__array_interface__["data"][0], matrix.strides[0]
            table = np.array([[first + stride * row for row in rows]], dtype=np.int64)
            starts = np.array([0, matrix.shape[1]], dtype=np.int64)
            prepared = self._programs[program, rows] = compile_loop(program, matrix.dtype).address, table, starts
        loop, table, starts = prepared
        run_task((loop, round_scalars(scalars, matrix.dtype).view(np.uint8), table, starts), matrix.shape[1], None)

    def dots(self, matrix: Array, rows: Rows, columns: Rows) -> NDArray[np.float64]:
        """Return inner products; see `VectorOperations.dots`."""
        result = np.empty((len(rows), len(columns)))
        row_array, column_array = row_numbers(rows), row_numbers(columns)
        size = matrix.shape[1]
        blocks = -(-size // 4096)
        if size * len(rows) < _MIN_PARALLEL_SIZE or blocks < 2:
            _SERIAL["dots", matrix.itemsize](matrix, row_array, column_array, result)
            return result
        partials = np.empty((result.size, blocks))
        words = _words(matrix, len(rows), row_array, len(columns), column_array, partials)
        if not _run_parallel(LOOPS["dots", matrix.itemsize].address, words, blocks):
            _SERIAL["dots", matrix.itemsize](matrix, row_array, column_array, result)
            return result
        _COMBINE_PARTIALS(partials, result.reshape(-1))
        return result

    def combine(self, matrix: Array, target: int, coefficients: Sequence[float], sources: Rows) -> None:
        """Compute a linear combination; see `VectorOperations.combine`."""
        numbers, factors = row_numbers(sources), np.array(coefficients, dtype=np.float64)
        size = matrix.shape[1]
        blocks = -(-size // 4096)
        if size * len(sources) >= _MIN_PARALLEL_SIZE and blocks > 1:
            words = _words(matrix, target, factors, len(sources), numbers, factors)
            if _run_parallel(LOOPS["combine", matrix.itemsize].address, words, blocks):
                return
        _SERIAL["combine", matrix.itemsize](matrix, target, factors, numbers)

    def max_abs(self, matrix: Array, row: int) -> float:
        """Return the largest absolute element; see `VectorOperations.max_abs`."""
        size = matrix.shape[1]
        blocks = -(-size // 4096)
        if size >= _MIN_PARALLEL_SIZE:
            partials = np.empty(blocks)
            words = _words(matrix, row, partials, 0, partials, partials)
            if _run_parallel(LOOPS["max_abs", matrix.itemsize].address, words, blocks):
                return float(partials.max())
        return float(_SERIAL["max_abs", matrix.itemsize](matrix, row))


def _run_parallel(loop: int, words: NDArray[np.int64], blocks: int) -> bool:
    """Run a loop over blocks on several threads; return False, without running anything, if there is only one."""
    threads = thread_count()
    workers = min(threads, blocks) - 1
    if workers < 1:
        return False
    chunk = max(blocks // (threads * _CHUNKS_PER_THREAD), 1)
    starts = np.array([0, blocks], dtype=np.int64)
    return shared_pool().run((loop, words.view(np.uint8), _NO_TABLE, starts), chunk, workers)


_NO_TABLE = np.zeros((1, 1), dtype=np.int64)


def _words(matrix: Array, first: int, a: Array, second: int, b: Array, c: Array) -> NDArray[np.int64]:
    """Return the arguments of a loop as integers; arrays by their addresses."""
    size = matrix.shape[1]
    addresses = [each.__array_interface__["data"][0] for each in (matrix, a, b, c)]
    return np.array([size, addresses[0], first, addresses[1], second, addresses[2], addresses[3]], dtype=np.int64)


# The functions below get pointers. `matrix` is the first element of row 0; `size` the elements of a row.


@njit(error_model="numpy")
def _join_halves(lanes: Any, width: Any) -> Any:
    half = width // 2
    while half:
        for j in range(half):
            lanes[j] += lanes[j + half]
        half //= 2
    return lanes[0]


@njit(error_model="numpy")
def _dot_block(a: Any, b: Any, start: Any, size: Any, lanes: Any) -> Any:
    """Return the inner product of a block of 4,096 elements that begins at `start`."""
    count = min(size - start, 4096)
    if count <= 128:  # halves of lanes that are zero change nothing
        width = 1
        while width < count:
            width *= 2
        for j in range(width):
            lanes[j] = 0.0
        for j in range(count):
            lanes[j] += np.float64(a[start + j]) * np.float64(b[start + j])
        return _join_halves(lanes, width)
    for j in range(128):
        lanes[j] = 0.0
    full = count // 128
    for line in range(full):
        first = start + 128 * line
        for j in range(128):  # a constant number compiles to faster code
            lanes[j] += np.float64(a[first + j]) * np.float64(b[first + j])
    first = start + 128 * full
    for j in range(count - 128 * full):
        lanes[j] += np.float64(a[first + j]) * np.float64(b[first + j])
    return _join_halves(lanes, 128)


@njit(error_model="numpy")
def _dot_blocks(
    matrix: Any, size: Any, row_count: Any, rows: Any, column_count: Any, columns: Any, partials: Any, low: Any,
    high: Any, itemsize: Any, one: Any,
) -> None:  # fmt: skip
    """Store the products of the blocks `low` to `high - 1` of all rows with all columns."""
    blocks = (size + 4095) // 4096
    lanes = np.empty(128)
    for block in range(low, high):
        for i in range(row_count):
            a = as_pointer_to(matrix + itemsize * size * rows[i], one)
            for j in range(column_count):
                b = as_pointer_to(matrix + itemsize * size * columns[j], one)
                place = (i * column_count + j) * blocks + block
                partials[place] = _dot_block(a, b, 4096 * block, size, lanes)


@njit(error_model="numpy")
def _combine_blocks(
    matrix: Any, size: Any, target: Any, coefficients: Any, count: Any, sources: Any, low: Any, high: Any,
    itemsize: Any, one: Any,
) -> None:  # fmt: skip
    """Compute the blocks `low` to `high - 1`, of 4,096 elements, of a linear combination."""
    total = np.empty(1024)
    out = as_pointer_to(matrix + itemsize * size * target, one)
    for start in range(4096 * low, min(4096 * high, size), 1024):
        length = min(1024, size - start)
        c, v = coefficients[0], as_pointer_to(matrix + itemsize * size * sources[0], one)
        for k in range(length):
            total[k] = c * np.float64(v[start + k])
        i = 1
        while i + 1 < count:  # two at a time, which reads and writes the total half as often
            c, v = coefficients[i], as_pointer_to(matrix + itemsize * size * sources[i], one)
            d, w = coefficients[i + 1], as_pointer_to(matrix + itemsize * size * sources[i + 1], one)
            for k in range(length):
                total[k] = (total[k] + c * np.float64(v[start + k])) + d * np.float64(w[start + k])
            i += 2
        if i < count:
            c, v = coefficients[i], as_pointer_to(matrix + itemsize * size * sources[i], one)
            for k in range(length):
                total[k] += c * np.float64(v[start + k])
        for k in range(length):
            out[start + k] = total[k]


@njit(error_model="numpy")
def largest(v: Any, low: Any, high: Any) -> Any:
    """Return the largest absolute value of the elements `low` to `high - 1`; NaN if one is NaN."""
    largest, total = 0.0, 0.0
    for k in range(low, high):
        value = abs(np.float64(v[k]))
        largest = max(largest, value)
        total += value * 0.0  # NaN if the value is NaN or infinite
    if total != total:
        for k in range(low, high):
            if v[k] != v[k]:
                return np.nan
    return largest


@njit(error_model="numpy")
def _dots_loop(words: Any, low: Any, high: Any, itemsize: Any, one: Any) -> None:
    index = words[0]
    _dot_blocks(
        words[1], words[0], words[2], as_pointer_to(words[3], index), words[4], as_pointer_to(words[5], index),
        as_pointer_to(words[6], 0.0), low, high, itemsize, one,
    )  # fmt: skip


@njit(error_model="numpy")
def _combine_loop(words: Any, low: Any, high: Any, itemsize: Any, one: Any) -> None:
    _combine_blocks(
        words[1], words[0], words[2], as_pointer_to(words[3], 0.0), words[4], as_pointer_to(words[5], words[0]),
        low, high, itemsize, one,
    )  # fmt: skip


@njit(error_model="numpy")
def _max_abs_loop(words: Any, low: Any, high: Any, itemsize: Any, one: Any) -> None:
    v, result = as_pointer_to(words[1] + itemsize * words[0] * words[2], one), as_pointer_to(words[3], 0.0)
    for block in range(low, high):
        result[block] = largest(v, 4096 * block, min(4096 * (block + 1), words[0]))


def _dots_float32(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _dots_loop(words, low, high, 4, np.float32(0))


def _dots_float64(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _dots_loop(words, low, high, 8, 0.0)


def _combine_float32(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _combine_loop(words, low, high, 4, np.float32(0))


def _combine_float64(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _combine_loop(words, low, high, 8, 0.0)


def _max_abs_float32(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _max_abs_loop(words, low, high, 4, np.float32(0))


def _max_abs_float64(words: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _max_abs_loop(words, low, high, 8, 0.0)


# The functions below get arrays, which is faster for a few elements.


def _combine_partials(partials: Any, result: Any) -> None:
    """Add the results of the blocks in halves: step 4 of `mxtrain.optim.ir.summation`."""
    blocks = partials.shape[1]
    width = 1
    while width < blocks:
        width *= 2
    values = np.empty(width)
    for number in range(len(result)):
        for i in range(width):
            values[i] = partials[number, i] if i < blocks else 0.0
        result[number] = _join_halves(values, width)


def _dots_serial(matrix: Any, rows: Any, columns: Any, result: Any) -> None:
    size = matrix.shape[1]
    blocks = (size + 4095) // 4096
    if blocks == 0:
        result[:] = 0.0
        return
    partials = np.empty((result.size, blocks))
    index = np.int64(0)
    _dot_blocks(
        matrix.ctypes.data, size, len(rows), as_pointer_to(rows.ctypes.data, index), len(columns),
        as_pointer_to(columns.ctypes.data, index), as_pointer_to(partials.ctypes.data, 0.0), 0, blocks,
        matrix.itemsize, matrix[0, 0],
    )  # fmt: skip
    _combine_in_halves(partials, result.reshape(-1))


def _combine_serial(matrix: Any, target: Any, coefficients: Any, sources: Any) -> None:
    size = matrix.shape[1]
    if size:
        _combine_blocks(
            matrix.ctypes.data, size, target, as_pointer_to(coefficients.ctypes.data, 0.0), len(sources),
            as_pointer_to(sources.ctypes.data, np.int64(0)), 0, (size + 4095) // 4096, matrix.itemsize, matrix[0, 0],
        )  # fmt: skip


def _max_abs_serial(matrix: Any, row: Any) -> Any:
    return largest(matrix[row], 0, matrix.shape[1])


_SOURCE = read_sources(__file__, numba_intrinsics.__file__)


def _compiled_loop(function: Callable[..., None]) -> Any:
    """Compile a loop at import, or load its machine code from the cache."""
    pointer: Any = types.CPointer
    numbers, number = pointer(types.int64), types.int64
    signature = types.void(numbers, numbers, numbers, number, number, number)
    return compile_callback(function, signature, _SOURCE, error_model="numpy")


def _compiled(function: Callable[..., Any], signature: Any) -> Any:
    return compile_function(function, signature, _SOURCE, error_model="numpy")


_reals, _table = types.float64[::1], types.float64[:, ::1]
_numbers = types.Array(types.int64, 1, "C", readonly=True)
_combine_in_halves = njit(error_model="numpy")(_combine_partials)
_COMBINE_PARTIALS = _compiled(_combine_partials, types.void(_table, _reals))
LOOPS = {
    ("dots", 4): _compiled_loop(_dots_float32),
    ("dots", 8): _compiled_loop(_dots_float64),
    ("combine", 4): _compiled_loop(_combine_float32),
    ("combine", 8): _compiled_loop(_combine_float64),
    ("max_abs", 4): _compiled_loop(_max_abs_float32),
    ("max_abs", 8): _compiled_loop(_max_abs_float64),
}
"""Loops over the blocks of all rows, by operation and size of an element; see `_words` for their arguments."""
_SIGNATURES: dict[str, tuple[Callable[..., Any], Any, tuple[Any, ...]]] = {
    "dots": (_dots_serial, types.void, (_numbers, _numbers, _table)),
    "combine": (_combine_serial, types.void, (types.int64, _reals, _numbers)),
    "max_abs": (_max_abs_serial, types.float64, (types.int64,)),
}
"""Function, type of the result, and types of the arguments after the matrix."""
_SERIAL = {
    (name, dtype.bitwidth // 8): _compiled(function, result(dtype[:, ::1], *arguments))
    for dtype in (types.float32, types.float64)
    for name, (function, result, arguments) in _SIGNATURES.items()
}
