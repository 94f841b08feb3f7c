"""Search of the generalized Cauchy point in compiled functions of L-BFGS-B: the operations of `cauchy_point`."""

from typing import Any

import numpy as np
from numba import njit

from mxtrain.minimization.compiled_box_vectors import HIGH, LOW, PATH_D, SS, SY, TIMES, G, X, dot
from mxtrain.minimization.compiled_small_systems import inner

_EPSILON = float(np.finfo(np.float64).eps)

_factor_middle, _multiply_middle = inner["factor_middle"], inner["multiply_middle"]
_pass_breakpoints = inner["pass_breakpoints"]


@njit(error_model="numpy")
def _is_later(times: Any, i: Any, j: Any) -> Any:
    return times[i] > times[j] or (times[i] == times[j] and i > j)


@njit(error_model="numpy")
def _sift(heap: Any, times: Any, root: Any, end: Any) -> None:
    """Move the root of a heap of variables, the latest first, to its place among those before `end`."""
    while 2 * root + 1 < end:
        child = 2 * root + 1
        if child + 1 < end and _is_later(times, heap[child + 1], heap[child]):
            child += 1
        if not _is_later(times, heap[child], heap[root]):
            return
        heap[root], heap[child] = heap[child], heap[root]
        root = child


@njit(error_model="numpy")
def _breakpoints(context: Any, low: Any, high: Any) -> Any:
    """Return the variables that reach their bounds after `low`, at the latest at `high`, in this order."""
    matrix, rows = context[0], context[1]
    times, limits = matrix[rows[TIMES]], np.empty(2, matrix.dtype)
    limits[0], limits[1] = low, high
    chosen, count = np.empty(len(times), np.int64), 0
    for i in range(len(times)):
        if times[i] > limits[0] and times[i] <= limits[1]:
            chosen[count] = i
            count += 1
    for root in range(count // 2 - 1, -1, -1):
        _sift(chosen, times, root, count)
    for end in range(count - 1, 0, -1):
        chosen[0], chosen[end] = chosen[end], chosen[0]
        _sift(chosen, times, 0, end)
    return chosen[:count]


@njit(error_model="numpy")
def cauchy_time(context: Any, sources: Any, products: Any, theta: Any) -> Any:
    """Return the time of the Cauchy point; -1 if the model is not positive definite: `PathSearch.run`."""
    m, d = products.shape[1], context[1][PATH_D]
    square = dot(context, d, d)
    if square == 0.0:
        return 0.0
    if m == 0:
        return 1.0 / theta
    p, middle_p, factor = np.empty(2 * m), np.empty(2 * m), np.zeros((m, m))
    for i in range(m):
        p[i] = dot(context, sources[m + i], d)
        p[m + i] = dot(context, sources[i], d) * theta
    curvature = theta * square
    if not _factor_middle(products[SY], products[SS], theta, factor):
        return -1.0
    _multiply_middle(factor, products[SY], p, middle_p)
    state = np.empty(5)
    state[4] = _EPSILON * curvature
    for i in range(2 * m):
        curvature = curvature - p[i] * middle_p[i]
    if not (np.isfinite(curvature) and curvature > 0.0):
        return -1.0
    state[0], state[1], state[2], state[3] = 0.0, -square, curvature, square / curvature
    return _pass_all(context, sources, products, theta, factor, p, state)


@njit(error_model="numpy")
def _pass_all(context: Any, sources: Any, products: Any, theta: Any, factor: Any, p: Any, state: Any) -> Any:
    """Return the time of the minimum along the path: `PathSearch._pass_breakpoints`."""
    matrix, rows = context[0], context[1]
    m, c = products.shape[1], np.zeros(len(p))
    x, g, low, high = matrix[rows[X]], matrix[rows[G]], matrix[rows[LOW]], matrix[rows[HIGH]]
    while True:
        chosen = _breakpoints(context, state[0], state[0] + state[3])
        count = len(chosen)
        if count == 0:
            break
        columns, weights = np.empty((3, count)), np.empty((count, 2 * m))
        for k in range(count):
            i = chosen[k]
            columns[0, k], columns[1, k] = matrix[rows[TIMES], i], g[i]
            columns[2, k] = (high[i] if g[i] < 0 else low[i]) - x[i]
            for j in range(m):
                weights[k, j] = matrix[sources[m + j], i]
                weights[k, m + j] = np.float64(matrix[sources[j], i]) * theta
        if _pass_breakpoints(
            columns[0], columns[1], columns[2], weights, factor, products[SY], theta, p, c, state
        ) < count:  # fmt: skip
            break
    return state[0] + (max(state[3], 0.0))
