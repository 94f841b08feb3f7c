"""Updates of C-contiguous arrays with a factor of each column of the gradient, in one compiled loop."""

from collections.abc import Sequence

import numpy as np

from mxtrain.optim.backends.arrays import ProgramArrays, round_scalars
from mxtrain.optim.backends.compiled.numba_backend import compile_loop
from mxtrain.optim.backends.compiled.numba_tasks import run_task
from mxtrain.optim.ir import Program
from mxtrain.optim.ir.factors import with_factors
from mxtrain.types import Array

_MIN_PIECE = 1 << 12
"""Smallest number of elements in a row of the table: a shorter row of factors is repeated."""


def run_with_factors(program: Program, arrays: ProgramArrays, factors: Array, scalars: Sequence[float]) -> None:
    """Run a program in place on C-contiguous arrays, with a factor of each column of the gradient.

    The loop gets pieces of the arrays, each of whole rows, as arrays of their own, and every piece the same factors.

    Args:
        program: the program of a rule.
        arrays: its arrays, C-contiguous and aligned.
        factors: a factor of each column, in their dtype.
        scalars: the scalars of the program, in float64.
    """
    W = arrays[0]
    factors = np.tile(factors, -(-_MIN_PIECE // len(factors)))
    width = len(factors)
    places = np.arange(-(-W.size // width) + 1, dtype=np.int64) * width
    steps = np.array([W.itemsize] * len(arrays) + [0], dtype=np.int64)
    addresses = np.array([_address(each) for each in (*arrays, factors)], dtype=np.int64)
    table = addresses + places[:-1, np.newaxis] * steps
    constants = round_scalars(scalars, W.dtype).view(np.uint8)
    loop = compile_loop(with_factors(program), W.dtype).address
    run_task((loop, constants, table, np.minimum(places, W.size)), W.size, None)


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])
