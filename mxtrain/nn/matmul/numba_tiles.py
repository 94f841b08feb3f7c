"""Numba implementation of tiled matrix products: each tile gets its bias and activation while it is in the cache."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types

from mxtrain.nn.matmul import tiled_matmul as fields
from mxtrain.nn.matmul.tiled_matmul import (
    BIAS,
    BIAS_AND_RELU,
    NO_EPILOGUE,
    RELU_BACKWARD,
    SIGMOID_BACKWARD,
    TANH_BACKWARD,
    TILE_FIELDS,
)
from mxtrain.optim.backends import numba_intrinsics
from mxtrain.optim.backends.jit_cache import compile_callback, read_sources
from mxtrain.optim.backends.numba_intrinsics import as_pointer_to, call_gemm
from mxtrain.optim.backends.scheduler import run_serial
from mxtrain.optim.backends.thread_pool import shared_pool
from mxtrain.optim.backends.threads import thread_count


def task(gemm: int, dtype: str, table: Any) -> tuple[Any, ...]:
    """What `run` is given: the loop, the address of what multiplies, and the tiles, as `tile_table` has them."""
    return _LOOPS[dtype].address, np.array([gemm]).view(np.uint8), table, np.arange(len(table) + 1)


def run(task: tuple[Any, ...], stage_starts: Any, max_threads: int) -> None:
    """Do all tiles.

    Args:
        task: what `task` returned.
        turns: the number of each stage's first tile, and at the end that of all: a stage needs what the one before has
            done.
        most: how many threads there is work for.
    """
    workers = min(thread_count(), max_threads) - 1 if max_threads > 1 else 0
    if workers < 1 or not shared_pool().run(task, 1, workers, stage_starts):
        run_serial(*task)


@njit(error_model="numpy")
def _apply_epilogue(out: Any, row: Any, rows: Any, columns: Any, end: Any, other: Any, zero: Any, one: Any) -> None:
    """What follows on a tile; every operation as `MatMul.finish` has it, and rounded like it."""
    for i in range(rows):
        start = i * row
        if end == BIAS:
            for j in range(columns):
                out[start + j] += other[j]
        elif end == BIAS_AND_RELU:
            for j in range(columns):
                z = out[start + j] + other[j]
                out[start + j] = z if z > zero or z != z else zero  # unlike max, which would make 0 of a NaN
        elif end == RELU_BACKWARD:
            for j in range(start, start + columns):
                out[j] *= one if other[j] > zero else zero
        elif end == TANH_BACKWARD:
            for j in range(start, start + columns):
                out[j] *= one - other[j] * other[j]
        elif end == SIGMOID_BACKWARD:
            for j in range(start, start + columns):
                out[j] = out[j] * other[j] * (one - other[j])


@njit(error_model="numpy")
def _run_tiles(gemm: Any, table: Any, low: Any, high: Any, zero: Any, one: Any) -> None:
    """Do tiles, of the type of `zero` and `one`."""
    for tile in range(low, high):
        t = TILE_FIELDS * tile
        m, n, c, row_of_c, end = table[t + 2], table[t + 3], table[t + 9], table[t + 10], table[t + 11]
        call_gemm(
            gemm, table[t], table[t + 1], m, n, table[t + 4], table[t + 5], table[t + 6], table[t + 7], table[t + 8],
            c, row_of_c, one,
        )  # fmt: skip
        if end != NO_EPILOGUE:
            _apply_epilogue(as_pointer_to(c, one), row_of_c, m, n, end, as_pointer_to(table[t + 12], one), zero, one)


def _run_tiles_float32(gemm: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _run_tiles(gemm[0], table, low, high, np.float32(0), np.float32(1))


def _run_tiles_float64(gemm: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _run_tiles(gemm[0], table, low, high, 0.0, 1.0)


def _compiled(function: Callable[..., None]) -> Any:
    pointer: Any = types.CPointer
    numbers, number = pointer(types.int64), types.int64
    signature = types.void(numbers, numbers, numbers, number, number, number)
    source = read_sources(__file__, numba_intrinsics.__file__, fields.__file__)
    return compile_callback(function, signature, source, error_model="numpy")


_LOOPS = {"float32": _compiled(_run_tiles_float32), "float64": _compiled(_run_tiles_float64)}
