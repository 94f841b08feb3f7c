"""Small linear systems of limited-memory methods, of the order of twice the number of stored steps.

The functions are loops over numbers, without BLAS and LAPACK, whose results depend on their version and threads. They
run as Python, or compiled with equal bits; see `compiled_small_systems`.

Arguments: `sy[i, j]` is the inner product s_i·y_j of a step and a change of the gradient, in the order in which they
were stored; `yy` and `ss` accordingly. D is the diagonal of sy, L the part below it.
"""

from typing import Any

import numpy as np


def inverse_hessian_coefficients(sy: Any, yy: Any, s_g: Any, y_g: Any, gamma: Any, result: Any) -> None:
    """Compute the coefficients of the direction -H·g of L-BFGS by its two loops, on inner products.

    Args:
        sy, yy: the inner products; those of sy below its diagonal are not used.
        s_g, y_g: the products of all s and y with the gradient.
        gamma: the factor of the initial matrix.
        result: written: the coefficients of all s, then of all y, then of g.
    """
    m = len(s_g)
    alpha = np.zeros(m)
    for i in range(m - 1, -1, -1):
        total = s_g[i]
        for j in range(i + 1, m):
            total = total - alpha[j] * sy[i, j]
        alpha[i] = total / sy[i, i]
    for i in range(m):
        total = y_g[i]
        for j in range(m):
            total = total - alpha[j] * yy[i, j]
        total = gamma * total
        for k in range(i):
            total = total - result[k] * sy[k, i]
        result[i] = total / sy[i, i] - alpha[i]
    for j in range(m):
        result[m + j] = gamma * alpha[j]
    result[2 * m] = -gamma


def cholesky(a: Any) -> Any:
    """Replace the lower triangle of a symmetric matrix by its Cholesky factor; return False if it is not positive."""
    for j in range(len(a)):
        for i in range(j, len(a)):
            total = a[i, j]
            for k in range(j):
                total = total - a[i, k] * a[j, k]
            if i > j:
                a[i, j] = total / a[j, j]
            elif total > 0.0 and total < np.inf:
                a[j, j] = np.sqrt(total)
            else:
                return False
    return True


def solve_cholesky(factor: Any, b: Any) -> None:
    """Replace b by the solution of the system with a Cholesky factor."""
    m = len(b)
    for i in range(m):
        total = b[i]
        for k in range(i):
            total = total - factor[i, k] * b[k]
        b[i] = total / factor[i, i]
    for i in range(m - 1, -1, -1):
        total = b[i]
        for k in range(i + 1, m):
            total = total - factor[k, i] * b[k]
        b[i] = total / factor[i, i]


def factor_middle(sy: Any, ss: Any, theta: Any, factor: Any) -> Any:
    """Factorize θ·S'S + L·D⁻¹·L', which the products with the middle matrix of L-BFGS-B need.

    Returns:
        False if it is not positive definite.
    """
    m = len(sy)
    for i in range(m):
        for j in range(i + 1):
            total = theta * ss[i, j]
            for k in range(j):  # L is zero from its diagonal on
                total = total + sy[i, k] * sy[j, k] / sy[k, k]
            factor[i, j] = total
    return cholesky(factor)


def multiply_middle(factor: Any, sy: Any, v: Any, result: Any) -> None:
    """Compute the product of the middle matrix M of L-BFGS-B, `M⁻¹ = [[-D, L'], [L, θ·S'S]]`, with a vector."""
    m = len(sy)
    b = np.zeros(m)
    for i in range(m):
        total = v[m + i]
        for k in range(i):
            total = total + sy[i, k] * v[k] / sy[k, k]
        b[i] = total
    solve_cholesky(factor, b)
    for i in range(m):
        total = -v[i]
        for k in range(i + 1, m):
            total = total + sy[k, i] * b[k]
        result[i] = total / sy[i, i]
        result[m + i] = b[i]


def pass_breakpoints(
    times: Any, gradients: Any, shifts: Any, weights: Any, factor: Any, sy: Any, theta: Any, p: Any, c: Any, state: Any
) -> Any:
    """Search the minimum of the quadratic model along the projected gradient path: algorithm CP of the paper.

    Args:
        times: breakpoints in ascending order, after the current one.
        gradients, shifts: for each, the element of the gradient and of bound - x.
        weights: for each, its row of the matrix W = [Y, θ·S].
        factor, sy, theta: the middle matrix.
        p, c: changed: W'd, and W'(path - x).
        state: changed: the current time, slope and curvature of the model, the distance to its minimum, and the
            smallest curvature.

    Returns:
        The number of breakpoints before the minimum.
    """
    m = len(sy)
    product = np.zeros(2 * m)
    for b in range(len(times)):
        distance = times[b] - state[0]
        if state[3] < distance:
            return b
        g, theta_g = gradients[b], theta * gradients[b]
        slope = state[1] + distance * state[2] + g * g + theta_g * shifts[b]
        curvature = state[2] - theta_g * g
        if m > 0:
            multiply_middle(factor, sy, weights[b], product)
            w_c, w_p, w_w = 0.0, 0.0, 0.0
            for j in range(2 * m):
                c[j] = c[j] + distance * p[j]
                w_c = w_c + product[j] * c[j]
                w_p = w_p + product[j] * p[j]
                w_w = w_w + product[j] * weights[b, j]
                p[j] = p[j] + g * weights[b, j]
            slope = slope - g * w_c
            curvature = curvature - 2.0 * g * w_p - g * g * w_w
        if curvature < state[4]:
            curvature = state[4]
        state[0], state[1], state[2], state[3] = times[b], slope, curvature, -slope / curvature
    return len(times)


def subspace_coefficients(sy: Any, yy_free: Any, ss_active: Any, mixed: Any, theta: Any, v: Any) -> Any:
    """Solve the indefinite system of the subspace minimization by two Cholesky factorizations.

    The matrix is `[[-(D + Y'Y/θ), K'], [K, θ·S'S]]` with Y'Y over the free and S'S over the active variables.

    Args:
        sy, yy_free, ss_active, theta: its parts.
        mixed: S'Y over the active variables below its diagonal, over the free ones elsewhere; K is `mixed` with the
            sign of the latter changed.
        v: the right side; replaced by the solution.

    Returns:
        False if a matrix is not positive definite.
    """
    m = len(sy)
    first, second, columns = np.zeros((m, m)), np.zeros((m, m)), np.zeros((m, m))
    for i in range(m):
        for j in range(i + 1):
            first[i, j] = yy_free[i, j] / theta + (sy[i, i] if i == j else 0.0)
    if not cholesky(first):
        return False
    for i in range(m):  # row i of `columns` is column i of (D + Y'Y/θ)⁻¹·K'
        for j in range(m):
            columns[i, j] = mixed[i, j] if i > j else -mixed[i, j]
        solve_cholesky(first, columns[i])
    for i in range(m):
        for j in range(i + 1):
            total = theta * ss_active[i, j]
            for k in range(m):
                total = total + (mixed[i, k] if i > k else -mixed[i, k]) * columns[j, k]
            second[i, j] = total
    if not cholesky(second):
        return False
    for i in range(m):
        total = v[m + i]
        for k in range(m):
            total = total + columns[i, k] * v[k]
        v[m + i] = total
    solve_cholesky(second, v[m:])
    for i in range(m):
        total = -v[i]
        for k in range(m):
            total = total + (mixed[k, i] if k > i else -mixed[k, i]) * v[m + k]
        v[i] = total
    solve_cholesky(first, v[:m])
    return True
