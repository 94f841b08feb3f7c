"""Copies of rows of arrays with Numba, on one thread: waiting for other threads takes longer than most copies.

A loop gets a table with a row for each pair of arrays: the address of the whole array, of the compact array and of the
indices, the numbers between two rows of the whole array, and the numbers in a row.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from mxtrain.optim.backends.compiled import numba_intrinsics
from mxtrain.optim.backends.compiled.jit_cache import compile_callback, read_sources
from mxtrain.optim.backends.compiled.numba_intrinsics import as_pointer_to
from mxtrain.optim.backends.compiled.scheduler import run_serial
from mxtrain.processes import fork_lock

_INDEX = np.int64(0)
_NO_SCALARS = np.zeros(0, dtype=np.uint8)


def _prefetch(typing: Any, address: Any) -> Any:
    """Load the cache line at an address into the cache, without waiting for it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        is_write, locality, is_data = number(0), number(3), number(1)
        builder.call(function, [builder.inttoptr(arguments[0], pointer), is_write, locality, is_data])
        return context.get_dummy_value()

    return types.void(types.int64), generate


prefetch: Any = intrinsic(_prefetch)
_LINE = 64
_AHEAD_BYTES, _MAX_AHEAD = 2048, 16
"""Bytes that are loaded into the cache ahead of the copy, and the largest number of rows."""


def _make_gather(word: Any) -> Any:
    size = word.itemsize

    def gather_loop(s: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
        while starts[row] < high:
            start, stride, width = starts[row], table[5 * row + 3], table[5 * row + 4]
            address, count = table[5 * row], starts[row + 1] - start
            whole, compact = as_pointer_to(address, word), as_pointer_to(table[5 * row + 1], word)
            indices = as_pointer_to(table[5 * row + 2], _INDEX)
            ahead = min(max(_AHEAD_BYTES // (width * size), 2), _MAX_AHEAD)
            row += 1
            for i in range(max(low - start, 0), min(high - start, count)):
                if i + ahead < count:
                    first = address + indices[i + ahead] * stride * size
                    for offset in range(0, width * size, _LINE):
                        prefetch(first + offset)
                    prefetch(first + width * size - 1)
                source, target = indices[i] * stride, i * width
                for j in range(width):
                    compact[target + j] = whole[source + j]

    return gather_loop


def _make_scatter(word: Any) -> Any:
    def scatter_loop(s: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
        while starts[row] < high:
            start, stride, width = starts[row], table[5 * row + 3], table[5 * row + 4]
            whole, compact = as_pointer_to(table[5 * row], word), as_pointer_to(table[5 * row + 1], word)
            indices = as_pointer_to(table[5 * row + 2], _INDEX)
            row += 1
            for i in range(max(low - start, 0), min(high, starts[row]) - start):
                source, target = i * width, indices[i] * stride
                for j in range(width):
                    whole[target + j] = compact[source + j]

    return scatter_loop


_LOOPS = {"gather": _make_gather, "scatter": _make_scatter}


@cache
def _compile_loop(direction: str, size: int) -> Any:
    """Return a compiled loop for numbers of `size` bytes, loaded from the cache on disk if it is there."""
    pointer_to: Any = types.CPointer
    number = types.int64
    signature = types.void(number, pointer_to(number), pointer_to(number), number, number, number)
    sources = read_sources(__file__, numba_intrinsics.__file__)
    source = None if sources is None else f"{direction} {size}".encode() + sources
    with fork_lock:
        return compile_callback(_LOOPS[direction](np.dtype(f"u{size}").type(0)), signature, source, error_model="numpy")


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def copy_rows(
    direction: str, arrays: Sequence[NDArray[Any]], indices: NDArray[np.int64], rows: Sequence[NDArray[Any]]
) -> None:
    """Copy rows of arrays to compact arrays, or back.

    Args:
        direction: `gather` to compact arrays, or `scatter` from them.
        arrays: arrays whose rows are C-contiguous, at least one; all rows have the same shape and dtype.
        indices: the numbers of the rows, a C-contiguous array.
        rows: the compact arrays, C-contiguous.
    """
    size = min(arrays[0].dtype.itemsize, 8)
    width = rows[0].nbytes // (len(indices) * size)
    address = _address(indices)
    table = np.array(
        [
            [_address(whole), _address(compact), address, whole.strides[0] // size, width]
            for whole, compact in zip(arrays, rows, strict=True)
        ],
        dtype=np.int64,
    )
    starts = np.arange(len(arrays) + 1, dtype=np.int64) * len(indices)
    loop = _compile_loop(direction, size).address
    run_serial(loop, _NO_SCALARS, table, starts)
