"""Compiled code for tiles of matrix products: bias and activation are applied while the tile is in the cache."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types

from mxtrain.optim.backends.arrays import thread_count
from mxtrain.optim.backends.compiled import numba_intrinsics
from mxtrain.optim.backends.compiled.jit_cache import compile_callback, read_sources
from mxtrain.optim.backends.compiled.numba_intrinsics import as_pointer_to, call_gemm
from mxtrain.optim.backends.compiled.scheduler import run_serial
from mxtrain.optim.backends.compiled.thread_pool import shared_pool
from mxtrain.optim.backends.matmul import tiled_matmul
from mxtrain.optim.backends.matmul.tiled_matmul import (
    BIAS,
    BIAS_AND_RELU,
    COPY_TRANSPOSED,
    NO_EPILOGUE,
    RELU_BACKWARD,
    SIGMOID_BACKWARD,
    TANH_BACKWARD,
    TILE_FIELDS,
)


def make_task(gemm: int, dtype: str, table: Any) -> tuple[Any, ...]:
    """Return the task that `run_tiles` runs.

    Args:
        gemm: the address of the CBLAS function of the dtype.
        dtype: `float32` or `float64`.
        table: the tiles, as `tile_table` returns them.
    """
    return _LOOPS[dtype].address, np.array([gemm]).view(np.uint8), table, np.arange(len(table) + 1)


def run_tiles(task: tuple[Any, ...], stage_starts: Any, max_threads: int) -> None:
    """Compute all tiles of a task.

    Args:
        task: the result of `make_task`.
        stage_starts: the first tile of each stage, and after the last stage the number of tiles. A stage needs the
            results of the stage before.
        max_threads: the largest number of threads that have work to do.
    """
    workers = min(thread_count(), max_threads) - 1 if max_threads > 1 else 0
    if workers < 1 or not shared_pool().run(task, 1, workers, stage_starts):
        run_serial(*task)


@njit(error_model="numpy")
def _apply_epilogue(
    out: Any, row_stride: Any, rows: Any, columns: Any, epilogue: Any, operand: Any, zero: Any, one: Any
) -> None:
    """Apply the epilogue to a tile, with the operations and the rounding of `MatMul.apply_epilogue`."""
    for i in range(rows):
        start = i * row_stride
        if epilogue == BIAS:
            for j in range(columns):
                out[start + j] += operand[j]
        elif epilogue == BIAS_AND_RELU:
            for j in range(columns):
                z = out[start + j] + operand[j]
                out[start + j] = z if z > zero or z != z else zero  # unlike max, this keeps NaN
        elif epilogue == RELU_BACKWARD:
            for j in range(start, start + columns):
                out[j] *= one if operand[j] > zero else zero
        elif epilogue == TANH_BACKWARD:
            for j in range(start, start + columns):
                out[j] *= one - operand[j] * operand[j]
        elif epilogue == SIGMOID_BACKWARD:
            for j in range(start, start + columns):
                out[j] = out[j] * operand[j] * (one - operand[j])
        elif epilogue == COPY_TRANSPOSED:
            for j in range(columns):
                operand[j * row_stride + i] = out[start + j]


@njit(error_model="numpy")
def _run_tiles(gemm: Any, table: Any, low: Any, high: Any, zero: Any, one: Any) -> None:
    """Compute the tiles `low` to `high - 1`, whose dtype is that of `zero` and `one`."""
    for tile in range(low, high):
        t = TILE_FIELDS * tile
        m, n, c, ldc, epilogue = table[t + 2], table[t + 3], table[t + 9], table[t + 10], table[t + 11]
        call_gemm(
            gemm, table[t], table[t + 1], m, n, table[t + 4], table[t + 5], table[t + 6], table[t + 7], table[t + 8],
            c, ldc, one,
        )  # fmt: skip
        if epilogue != NO_EPILOGUE:
            _apply_epilogue(as_pointer_to(c, one), ldc, m, n, epilogue, as_pointer_to(table[t + 12], one), zero, one)


def _run_tiles_float32(gemm: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _run_tiles(gemm[0], table, low, high, np.float32(0), np.float32(1))


def _run_tiles_float64(gemm: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _run_tiles(gemm[0], table, low, high, 0.0, 1.0)


def _compiled(function: Callable[..., None]) -> Any:
    """Compile a function at import, or load its machine code from the cache."""
    pointer: Any = types.CPointer
    numbers, number = pointer(types.int64), types.int64
    signature = types.void(numbers, numbers, numbers, number, number, number)
    source = read_sources(__file__, numba_intrinsics.__file__, tiled_matmul.__file__)
    return compile_callback(function, signature, source, error_model="numpy")


_LOOPS = {"float32": _compiled(_run_tiles_float32), "float64": _compiled(_run_tiles_float64)}
