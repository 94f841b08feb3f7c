"""Vectors and operations in compiled functions of L-BFGS-B; see `compiled_box_steps`.

`context` is the tuple (matrix, rows, programs, scalars, table, words, result): the vectors, the row of each of `NAMES`,
the address, input scalar and arrays of each program, the scalars of the programs, and memory for arguments of loops.
"""

from typing import Any

import numpy as np
from numba import njit

from mxtrain.minimization import box_programs
from mxtrain.optim.backends.compiled.numba_intrinsics import call_loop

NAMES = (
    *("x", "g", "trial", "trial_g", "d", "low", "high", "times", "path_d", "point", "free", "was_free", "target"),
    *("right", "y_free", "s_active", "scratch", "s", "y"),
)
"""Vectors in the order of `rows`; s and y are the last pair."""
G, TRIAL_G, D, LOW, HIGH, TIMES, PATH_D, POINT, FREE, WAS_FREE, TARGET, RIGHT, Y_FREE, S_ACTIVE = (
    NAMES.index(name)
    for name in (
        *("g", "trial_g", "d", "low", "high", "times", "path_d", "point", "free", "was_free", "target", "right"),
        *("y_free", "s_active"),
    )
)
X, SCRATCH, S, Y = (NAMES.index(name) for name in ("x", "scratch", "s", "y"))
SY, SS, YY, YY_FREE, SS_ACTIVE, MIXED = range(6)
"""Matrices of products in the order of `subspace.PRODUCTS`."""

PROGRAMS = (
    (box_programs.PATH, "x g low high times path_d"),
    (box_programs.CAUCHY_POINT, "x g low high times path_d point free"),
    (box_programs.RIGHT_SIDE, "free x g point right"),
    (box_programs.MASKED_PAIR, "free s y y_free s_active"),
    (box_programs.PROJECTED_POINT, "free x low high point target d"),
    (box_programs.TRUNCATION, "free x low high point scratch right"),
    (box_programs.TRUNCATED_POINT, "free x low high point scratch d"),
    (box_programs.DIFFERENCE, "x point d"),
    (box_programs.REACH, "x d low high scratch"),
    (box_programs.PROJECTED_GRADIENT, "x g low high scratch"),
)
(
    PATH, CAUCHY_POINT, RIGHT_SIDE, MASKED_PAIR, PROJECTED_POINT, TRUNCATION, TRUNCATED_POINT, DIFFERENCE,
    REACH, PROJECTED_GRADIENT, DOTS, DOTS_FLOAT64, COMBINE,
) = range(len(PROGRAMS) + 3)  # fmt: skip
MAX_ARRAYS = 8


@njit(error_model="numpy")
def run_program(context: Any, number: Any, value: Any) -> None:
    """Run a program; `value` is its scalar, if it has one."""
    matrix, rows, programs, scalars, table = context[:5]
    if programs[number, 1] >= 0:
        scalars[number, programs[number, 1]] = value
    for i in range(MAX_ARRAYS):
        vector = programs[number, 2 + i]
        if vector >= 0:
            table[i] = matrix.ctypes.data + rows[vector] * matrix.strides[0]
    table[MAX_ARRAYS], table[MAX_ARRAYS + 1] = 0, matrix.shape[1]
    call_loop(
        programs[number, 0], scalars.ctypes.data + number * scalars.strides[0], table.ctypes.data,
        table.ctypes.data + 8 * MAX_ARRAYS, 0, 0, matrix.shape[1],
    )  # fmt: skip


@njit(error_model="numpy")
def dot_of_rows(loop: Any, matrix: Any, a: Any, b: Any, words: Any, result: Any) -> Any:
    """Return the inner product of two rows of a matrix, computed by the loop of `compiled_vectors`."""
    first = words.ctypes.data
    words[0], words[1], words[2], words[3] = matrix.shape[1], matrix.ctypes.data, 1, first + 8 * 7
    words[4], words[5], words[6], words[7], words[8] = 1, first + 8 * 8, result.ctypes.data, a, b
    call_loop(loop, first, 0, 0, 0, 0, 1)
    return result[0]


@njit(error_model="numpy")
def dot(context: Any, a: Any, b: Any) -> Any:
    """Return the inner product of two vectors."""
    return dot_of_rows(context[2][DOTS, 0], context[0], a, b, context[5], context[6])


@njit(error_model="numpy")
def copy(context: Any, source: Any, target: Any) -> None:
    matrix, rows = context[0], context[1]
    for k in range(matrix.shape[1]):
        matrix[rows[target], k] = matrix[rows[source], k]


@njit(error_model="numpy")
def slope_and_norm(context: Any) -> Any:
    rows = context[1]
    slope, square = dot(context, rows[G], rows[D]), dot(context, rows[D], rows[D])
    return slope, np.sqrt(square) if square >= 0.0 else square
