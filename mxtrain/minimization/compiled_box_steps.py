"""Parts of an iteration of L-BFGS-B for few variables, each in one compiled call.

For few variables, the calls of small operations take most of the time of an iteration. The functions here run the same
operations in the same order as `cauchy_point`, `subspace` and `lbfgsb`, with equal bits: they call the compiled loops
of the same traced programs, and the compiled functions of `small_systems`.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numba import njit, types

from mxtrain.minimization import (
    box_programs,
    compiled_box_vectors,
    compiled_cauchy_point,
    compiled_small_systems,
    compiled_vectors,
    small_systems,
)
from mxtrain.minimization.compiled_box_vectors import (
    CAUCHY_POINT,
    COMBINE,
    DIFFERENCE,
    DOTS,
    DOTS_FLOAT64,
    FREE,
    MASKED_PAIR,
    MAX_ARRAYS,
    MIXED,
    NAMES,
    PATH,
    POINT,
    PROGRAMS,
    PROJECTED_GRADIENT,
    PROJECTED_POINT,
    REACH,
    RIGHT,
    RIGHT_SIDE,
    S_ACTIVE,
    SCRATCH,
    SS,
    SS_ACTIVE,
    SY,
    TARGET,
    TRIAL_G,
    TRUNCATED_POINT,
    TRUNCATION,
    WAS_FREE,
    Y_FREE,
    YY,
    YY_FREE,
    D,
    G,
    S,
    Y,
    copy,
    dot,
    dot_of_rows,
    run_program,
    slope_and_norm,
)
from mxtrain.minimization.compiled_cauchy_point import cauchy_time
from mxtrain.minimization.compiled_small_systems import inner
from mxtrain.minimization.compiled_vectors import LOOPS, largest
from mxtrain.minimization.curvature_pairs import CurvaturePairs
from mxtrain.minimization.vector_operations import row_numbers
from mxtrain.optim.backends.compiled import numba_intrinsics
from mxtrain.optim.backends.compiled.jit_cache import compile_function, read_sources
from mxtrain.optim.backends.compiled.numba_backend import compile_loop
from mxtrain.optim.backends.compiled.numba_intrinsics import call_loop
from mxtrain.types import Array

_subspace_coefficients = inner["subspace_coefficients"]


class CompiledBoxSteps:
    """Compiled parts of the iterations on one matrix of vectors.

    Args:
        matrix: the vectors, on the host, of 1 to 4,096 elements, one block of a sum.
        rows: the row of each vector by name, which may change between calls.
        pairs: the pairs, with the products of `subspace.PRODUCTS`.
    """

    def __init__(self, matrix: Array, rows: Mapping[str, int], pairs: CurvaturePairs) -> None:
        self._matrix, self._rows, self._pairs = matrix, rows, pairs
        self._programs = np.full((len(PROGRAMS) + 3, 2 + MAX_ARRAYS), -1, dtype=np.int64)
        self._scalars = np.zeros((len(PROGRAMS), 4), dtype=matrix.dtype)
        self._table = np.zeros(MAX_ARRAYS + 2, dtype=np.int64)
        self._functions = _compiled(matrix.itemsize)
        for number, (program, names) in enumerate(PROGRAMS):
            arrays = [NAMES.index(name) for name in names.split()]
            inputs = [i for i, scalar in enumerate(program.scalars) if scalar.operation == "input"]
            values = program.evaluate_scalars({str(program.scalars[i].label): 0.0 for i in inputs})
            self._scalars[number, : len(values)] = values
            self._programs[number, 0] = compile_loop(program, matrix.dtype).address
            self._programs[number, 1 : 1 + len(inputs)] = inputs
            self._programs[number, 2 : 2 + len(arrays)] = arrays
        for number, loop in ((DOTS, "dots"), (COMBINE, "combine")):
            self._programs[number, 0] = LOOPS[loop, matrix.itemsize].address
        self._programs[DOTS_FLOAT64, 0] = LOOPS["dots", 8].address

    def direction(self, has_new_pair: bool) -> tuple[float, float, float, bool]:
        """Compute the direction to the minimum of the model in the box.

        Args:
            has_new_pair: whether the products of the last pair over free and active variables are to be computed.

        Returns:
            Its product with the gradient and its norm, both 0 to discard the pairs; the reciprocal of its step to the
            nearest bound; and whether the products are those of the present free variables.
        """
        result = self._call("direction", self._pairs.theta, has_new_pair)
        slope, norm, reach, is_updated = result
        return slope, norm, reach, is_updated > 0.0

    def add_pair(self, step: float) -> None:
        """Compute the last pair from the step, the trial point and its gradient, and its products."""
        self._call("add_pair", step)

    def gradient_norm(self) -> float:
        """Return the largest absolute element of the projected gradient."""
        return float(self._call("gradient_norm"))

    def _call(self, name: str, *arguments: Any) -> Any:
        pairs, rows = self._pairs, self._rows
        last = (pairs.steps[-1], pairs.changes[-1]) if pairs.steps else (0, 0)
        return self._functions[name](
            self._matrix,
            row_numbers((*rows.values(), *last)),
            row_numbers((*pairs.steps, *pairs.changes, rows["g"])),
            self._programs,
            self._scalars,
            self._table,
            pairs.product_matrices,
            *arguments,
        )


@njit(error_model="numpy")
def _move_variables(context: Any, sources: Any, products: Any, m: Any) -> None:
    """Change the products of the first m pairs to the present free variables: `Subspace._move_variables`."""
    matrix, rows, loop = context[0], context[1], context[2][DOTS_FLOAT64, 0]
    count, free, was_free = products.shape[1], matrix[rows[FREE]], matrix[rows[WAS_FREE]]
    for sign in (1.0, -1.0):
        changed = 0
        for k in range(len(free)):
            changed += free[k] != was_free[k] and (free[k] > 0) == (sign > 0.0)
        if changed == 0:
            continue
        values, column = np.empty((2 * m, changed)), 0
        for k in range(len(free)):
            if free[k] != was_free[k] and (free[k] > 0) == (sign > 0.0):
                for i in range(m):
                    values[i, column], values[m + i, column] = matrix[sources[i], k], matrix[sources[count + i], k]
                column += 1
        for i in range(m):
            for j in range(m):
                s_s = dot_of_rows(loop, values, i, j, context[5], context[6])
                y_y = dot_of_rows(loop, values, m + i, m + j, context[5], context[6])
                s_y = dot_of_rows(loop, values, i, m + j, context[5], context[6])
                products[YY_FREE, i, j] += sign * y_y
                products[SS_ACTIVE, i, j] -= sign * s_s
                products[MIXED, i, j] += (-sign if j < i else sign) * s_y
    copy(context, FREE, WAS_FREE)


@njit(error_model="numpy")
def _update_subspace(context: Any, sources: Any, products: Any, theta: Any, has_new_pair: Any, right: Any) -> Any:
    """Update the products, compute W'·q, and return the number of free variables: `Subspace.update`."""
    rows, m = context[1], products.shape[1]
    run_program(context, RIGHT_SIDE, theta)
    _move_variables(context, sources, products, m - 1 if has_new_pair else m)
    if has_new_pair:
        run_program(context, MASKED_PAIR, 0.0)
        last = m - 1
        for i in range(m):
            s, y = sources[i], sources[m + i]
            products[YY_FREE, i, last] = products[YY_FREE, last, i] = dot(context, y, rows[Y_FREE])
            products[SS_ACTIVE, i, last] = products[SS_ACTIVE, last, i] = dot(context, s, rows[S_ACTIVE])
            products[MIXED, last, i] = dot(context, y, rows[S_ACTIVE])
        for i in range(m):
            products[MIXED, i, last] = dot(context, sources[i], rows[Y_FREE])
    for i in range(m):
        right[i] = dot(context, sources[m + i], rows[RIGHT])
        right[m + i] = theta * dot(context, sources[i], rows[RIGHT])
    count = dot(context, rows[FREE], rows[FREE])
    if count == context[0].shape[1]:
        for i in range(m):
            for j in range(m):
                products[SS_ACTIVE, i, j] = 0.0
                if j < i:
                    products[MIXED, i, j] = 0.0
    return count


@njit(error_model="numpy")
def _subspace_step(context: Any, sources: Any, products: Any, theta: Any, z: Any) -> Any:
    """Compute the step of the free variables; return False if there is none: `Subspace.minimize`."""
    matrix, rows, m = context[0], context[1], products.shape[1]
    if not _subspace_coefficients(
        products[SY], products[YY_FREE], products[SS_ACTIVE], products[MIXED], theta, z
    ):  # fmt: skip
        return False
    coefficients = np.empty(2 * m + 1)
    for i in range(m):
        coefficients[i] = -z[m + i] / theta
        coefficients[m + i] = -z[i] / (theta * theta)
    coefficients[2 * m] = -1.0 / theta
    words = context[5]
    words[0], words[1], words[2], words[3] = (
        matrix.shape[1],
        matrix.ctypes.data,
        rows[TARGET],
        coefficients.ctypes.data,
    )
    words[4], words[5] = len(sources), sources.ctypes.data
    call_loop(context[2][COMBINE, 0], words.ctypes.data, 0, 0, 0, 0, 1)
    is_finite = True
    for i in range(2 * m + 1):
        is_finite = is_finite and np.isfinite(coefficients[i])
    return is_finite


@njit(error_model="numpy")
def _project(context: Any) -> Any:
    """Return slope and norm of the direction to the projected minimum: `LBFGSB._minimize_in_subspace`."""
    matrix, rows = context[0], context[1]
    copy(context, TARGET, SCRATCH)
    run_program(context, PROJECTED_POINT, 0.0)
    slope, norm = slope_and_norm(context)
    if slope < 0.0:
        return slope, norm
    run_program(context, TRUNCATION, 0.0)
    ratio = largest(matrix[rows[RIGHT]], 0, matrix.shape[1])
    run_program(context, TRUNCATED_POINT, 1.0 / ratio if ratio > 1.0 else 1.0)
    copy(context, SCRATCH, TARGET)
    return slope_and_norm(context)


def _direction(
    matrix: Any, rows: Any, sources: Any, programs: Any, scalars: Any, table: Any, products: Any, theta: Any,
    has_new_pair: Any,
) -> Any:  # fmt: skip
    context = (matrix, rows, programs, scalars, table, np.empty(9, np.int64), np.empty(1))
    m, count, is_updated = products.shape[1], 0.0, 0.0
    run_program(context, PATH, np.inf)
    time = cauchy_time(context, sources, products, theta)
    if time == -1.0:
        return 0.0, 0.0, 0.0, 0.0
    run_program(context, CAUCHY_POINT, time)
    right = np.empty(2 * m)
    if m > 0:
        count, is_updated = _update_subspace(context, sources, products, theta, has_new_pair, right), 1.0
    if count > 0.0:
        if not _subspace_step(context, sources, products, theta, right):
            return 0.0, 0.0, 0.0, 1.0
        slope, norm = _project(context)
    else:
        run_program(context, DIFFERENCE, 0.0)
        copy(context, POINT, TARGET)
        slope, norm = slope_and_norm(context)
    run_program(context, REACH, 0.0)
    return slope, norm, largest(matrix[rows[SCRATCH]], 0, matrix.shape[1]), is_updated


def _add_pair(
    matrix: Any, rows: Any, sources: Any, programs: Any, scalars: Any, table: Any, products: Any, step: Any
) -> None:
    """Compute the last pair, and its products: `LBFGS._store_pair` and `LBFGSB._update_products`."""
    context = (matrix, rows, programs, scalars, table, np.empty(9, np.int64), np.empty(1))
    m, s, y = products.shape[1], rows[S], rows[Y]
    for k in range(matrix.shape[1]):
        matrix[s, k] = step * np.float64(matrix[rows[D], k])
        matrix[y, k] = np.float64(matrix[rows[TRIAL_G], k]) - np.float64(matrix[rows[G], k])
    last = m - 1
    for i in range(m):
        products[SS, i, last] = products[SS, last, i] = dot(context, sources[i], s)
        products[YY, i, last] = products[YY, last, i] = dot(context, sources[m + i], y)
        products[SY, last, i] = dot(context, sources[m + i], s)
        products[SY, i, last] = dot(context, sources[i], y)


def _gradient_norm(matrix: Any, rows: Any, sources: Any, programs: Any, scalars: Any, table: Any, products: Any) -> Any:
    run_program((matrix, rows, programs, scalars, table), PROJECTED_GRADIENT, 0.0)
    return largest(matrix[rows[SCRATCH]], 0, matrix.shape[1])


_SOURCE = read_sources(
    *(
        module.__file__
        for module in (
            compiled_box_vectors,
            compiled_cauchy_point,
            box_programs,
            compiled_small_systems,
            compiled_vectors,
            small_systems,
            numba_intrinsics,
        )
    ),
    __file__,
)
_numbers = types.Array(types.int64, 1, "C", readonly=True)
_number, _real = types.int64, types.float64
_tuple: Any = types.UniTuple
_SIGNATURES: dict[str, tuple[Any, Any, Sequence[Any]]] = {
    "direction": (_direction, _tuple(_real, 4), (_real, types.boolean)),
    "add_pair": (_add_pair, types.void, (_real,)),
    "gradient_norm": (_gradient_norm, _real, ()),
}
"""Function, type of the result, and types of the arguments after the first seven."""


@cache
def _compiled(itemsize: int) -> dict[str, Any]:
    """Return the functions for a dtype, compiled or loaded from the cache."""
    real = types.float32 if itemsize == 4 else types.float64
    common = (
        *(real[:, ::1], _numbers, _numbers, _number[:, ::1], real[:, ::1], _number[::1], _real[:, :, ::1]),
    )  # fmt: skip
    return {
        name: compile_function(function, result(*common, *extra), _SOURCE, error_model="numpy")
        for name, (function, result, extra) in _SIGNATURES.items()
    }
