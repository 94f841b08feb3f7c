"""A pass in compiled code: tile after tile, each finished while it is in the cache."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types

from mxtrain.backends import words
from mxtrain.backends.crew import crew
from mxtrain.backends.kept_code import compile_callback, sources
from mxtrain.backends.native import alone
from mxtrain.backends.threads import thread_count
from mxtrain.backends.words import elements, multiply
from mxtrain.passes import table as fields
from mxtrain.passes.table import BIAS, BIAS_AND_RELU, FIELDS, NOTHING, RELU_SLOPE, SIGMOID_SLOPE, TANH_SLOPE


def task(gemm: int, dtype: str, table: Any) -> tuple[Any, ...]:
    """What `run` is given: the loop, the address of what multiplies, and the tiles, as `table_of` has them."""
    return _LOOPS[dtype].address, np.array([gemm]).view(np.uint8), table, np.arange(len(table) + 1)


def run(task: tuple[Any, ...], turns: Any, most: int) -> None:
    """Do all tiles.

    Args:
        task: what `task` returned.
        turns: the number of each stage's first tile, and at the end that of all: a stage needs what the one before has
            done.
        most: how many threads there is work for.
    """
    helpers = min(thread_count(), most) - 1 if most > 1 else 0
    if helpers < 1 or not crew().run(task, 1, helpers, turns):
        alone(*task)


@njit(error_model="numpy")
def _finish(out: Any, row: Any, rows: Any, columns: Any, end: Any, other: Any, zero: Any, one: Any) -> None:
    """What follows on a tile; every operation as `Product.finish` has it, and rounded like it."""
    for i in range(rows):
        start = i * row
        if end == BIAS:
            for j in range(columns):
                out[start + j] += other[j]
        elif end == BIAS_AND_RELU:
            for j in range(columns):
                z = out[start + j] + other[j]
                out[start + j] = z if z > zero or z != z else zero  # unlike max, which would make 0 of a NaN
        elif end == RELU_SLOPE:
            for j in range(start, start + columns):
                out[j] *= one if other[j] > zero else zero
        elif end == TANH_SLOPE:
            for j in range(start, start + columns):
                out[j] *= one - other[j] * other[j]
        elif end == SIGMOID_SLOPE:
            for j in range(start, start + columns):
                out[j] = out[j] * other[j] * (one - other[j])


@njit(error_model="numpy")
def _do(gemm: Any, table: Any, low: Any, high: Any, zero: Any, one: Any) -> None:
    """Do tiles, of the type of `zero` and `one`."""
    for tile in range(low, high):
        t = FIELDS * tile
        m, n, c, row_of_c, end = table[t + 2], table[t + 3], table[t + 9], table[t + 10], table[t + 11]
        multiply(
            gemm, table[t], table[t + 1], m, n, table[t + 4], table[t + 5], table[t + 6], table[t + 7], table[t + 8],
            c, row_of_c, one,
        )  # fmt: skip
        if end != NOTHING:
            _finish(elements(c, one), row_of_c, m, n, end, elements(table[t + 12], one), zero, one)


def _do_floats(gemm: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _do(gemm[0], table, low, high, np.float32(0), np.float32(1))


def _do_doubles(gemm: Any, table: Any, starts: Any, row: Any, low: Any, high: Any) -> None:
    _do(gemm[0], table, low, high, 0.0, 1.0)


def _compiled(function: Callable[..., None]) -> Any:
    pointer: Any = types.CPointer
    numbers, number = pointer(types.int64), types.int64
    signature = types.void(numbers, numbers, numbers, number, number, number)
    source = sources(__file__, words.__file__, fields.__file__)
    return compile_callback(function, signature, source, error_model="numpy")


_LOOPS = {"float32": _compiled(_do_floats), "float64": _compiled(_do_doubles)}
