"""Test problems of J. J. Moré, B. S. Garbow and K. E. Hillstrom, Testing unconstrained optimization software, ACM
Transactions on Mathematical Software 7 (1981), 17-41.

Each problem is the sum of the squares of residuals. A function returns the residuals and their Jacobian at x; indices
in the formulas count from 1, as in the paper.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Residuals = Callable[[Vector], tuple[Any, Any]]


@dataclass(frozen=True)
class Problem:
    """A sum of squares.

    Attributes:
        name: the name.
        residuals: function from x to the residuals and their Jacobian.
        x0: the standard starting point.
        minima: values of local minima, from the paper.
    """

    name: str
    residuals: Residuals
    x0: Vector
    minima: tuple[float, ...] = (0.0,)

    @np.errstate(all="ignore")
    def __call__(self, x: Vector) -> tuple[float, Vector]:
        """Return the value and the gradient."""
        r, jacobian = self.residuals(x)
        r = np.asarray(r, dtype=np.float64)
        return float(r @ r), 2 * (np.asarray(jacobian, dtype=np.float64).T @ r)


def rosenbrock(x: Vector) -> Any:
    odd, even = x[0::2], x[1::2]
    r, J = np.empty(len(x)), np.zeros((len(x), len(x)))
    r[0::2], r[1::2] = 10 * (even - odd**2), 1 - odd
    i = np.arange(0, len(x), 2)
    J[i, i], J[i, i + 1], J[i + 1, i] = -20 * odd, 10, -1
    return r, J


def freudenstein_roth(x: Vector) -> Any:
    a, b = x
    r = [-13 + a + ((5 - b) * b - 2) * b, -29 + a + ((b + 1) * b - 14) * b]
    return r, [[1, 10 * b - 3 * b * b - 2], [1, 3 * b * b + 2 * b - 14]]


def powell_badly_scaled(x: Vector) -> Any:
    a, b = x
    r = [1e4 * a * b - 1, np.exp(-a) + np.exp(-b) - 1.0001]
    return r, [[1e4 * b, 1e4 * a], [-np.exp(-a), -np.exp(-b)]]


def brown_badly_scaled(x: Vector) -> Any:
    a, b = x
    return [a - 1e6, b - 2e-6, a * b - 2], [[1, 0], [0, 1], [b, a]]


def beale(x: Vector) -> Any:
    a, b = x
    i, y = np.arange(1, 4), np.array([1.5, 2.25, 2.625])
    return y - a * (1 - b**i), np.stack([b**i - 1, a * i * b ** (i - 1)], axis=1)


def jennrich_sampson(x: Vector) -> Any:
    i = np.arange(1, 11)
    e = np.exp(i[:, None] * x)
    return 2 + 2 * i - e.sum(axis=1), -i[:, None] * e


def helical_valley(x: Vector) -> Any:
    a, b, c = x
    square = a * a + b * b
    theta = np.arctan2(b, a) / (2 * np.pi)
    theta = theta + 1 if theta < -0.25 else theta  # the branch of the paper, from -1/4 to 3/4
    norm = np.sqrt(square)
    J = [
        [100 * b / (2 * np.pi * square), -100 * a / (2 * np.pi * square), 10],
        [10 * a / norm, 10 * b / norm, 0],
        [0, 0, 1],
    ]
    return [10 * (c - 10 * theta), 10 * (norm - 1), c], J


_BARD = np.array([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39])


def bard(x: Vector) -> Any:
    u = np.arange(1.0, 16)
    v = 16 - u
    w = np.minimum(u, v)
    q = v * x[1] + w * x[2]
    return _BARD - (x[0] + u / q), np.stack([-np.ones(15), u * v / q**2, u * w / q**2], axis=1)


_GAUSSIAN = np.array([0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521, 0.3989])


def gaussian(x: Vector) -> Any:
    t = (8 - np.arange(1, 16)) / 2
    d = t - x[2]
    e = np.exp(-x[1] * d**2 / 2)
    y = np.concatenate([_GAUSSIAN, _GAUSSIAN[-2::-1]])
    return x[0] * e - y, np.stack([e, -x[0] * e * d**2 / 2, x[0] * e * x[1] * d], axis=1)


_MEYER = np.array(
    [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872.0]
)


def meyer(x: Vector) -> Any:
    q = 45 + 5 * np.arange(1, 17) + x[2]
    e = np.exp(x[1] / q)
    return x[0] * e - _MEYER, np.stack([e, x[0] * e / q, -x[0] * e * x[1] / q**2], axis=1)


def gulf(x: Vector) -> Any:
    t = np.arange(1, 100) / 100
    d = 25 + (-50 * np.log(t)) ** (2 / 3) - x[1]
    power = np.abs(d) ** x[2]
    e = np.exp(-power / x[0])
    slope = e * power / x[0]
    return e - t, np.stack([slope / x[0], slope * x[2] / d, -slope * np.log(np.abs(d))], axis=1)


def box(x: Vector) -> Any:
    t = np.arange(1, 11) / 10
    a, b, c = np.exp(-t * x[0]), np.exp(-t * x[1]), np.exp(-t) - np.exp(-10 * t)
    return a - b - x[2] * c, np.stack([-t * a, t * b, -c], axis=1)


def powell_singular(x: Vector) -> Any:
    n = len(x)
    a, b, c, d = (x[i::4] for i in range(4))
    r, J, i = np.empty(n), np.zeros((n, n)), np.arange(0, n, 4)
    r[0::4], r[1::4], r[2::4], r[3::4] = a + 10 * b, np.sqrt(5) * (c - d), (b - 2 * c) ** 2, np.sqrt(10) * (a - d) ** 2
    J[i, i], J[i, i + 1], J[i + 1, i + 2], J[i + 1, i + 3] = 1, 10, np.sqrt(5), -np.sqrt(5)
    J[i + 2, i + 1], J[i + 2, i + 2] = 2 * (b - 2 * c), -4 * (b - 2 * c)
    J[i + 3, i], J[i + 3, i + 3] = 2 * np.sqrt(10) * (a - d), -2 * np.sqrt(10) * (a - d)
    return r, J


def wood(x: Vector) -> Any:
    a, b, c, d = x
    s, t = np.sqrt(90), np.sqrt(10)
    r = [10 * (b - a * a), 1 - a, s * (d - c * c), 1 - c, t * (b + d - 2), (b - d) / t]
    J = [[-20 * a, 10, 0, 0], [-1, 0, 0, 0], [0, 0, -2 * s * c, s], [0, 0, -1, 0], [0, t, 0, t], [0, 1 / t, 0, -1 / t]]
    return r, J


_KOWALIK = np.array([0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])
_KOWALIK_U = np.array([4.0, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])


def kowalik_osborne(x: Vector) -> Any:
    u = _KOWALIK_U
    p, q = u * u + u * x[1], u * u + u * x[2] + x[3]
    return _KOWALIK - x[0] * p / q, np.stack([-p / q, -x[0] * u / q, x[0] * p * u / q**2, x[0] * p / q**2], axis=1)


def brown_dennis(x: Vector) -> Any:
    t = np.arange(1, 21) / 5
    p, q = x[0] + t * x[1] - np.exp(t), x[2] + x[3] * np.sin(t) - np.cos(t)
    return p**2 + q**2, np.stack([2 * p, 2 * p * t, 2 * q, 2 * q * np.sin(t)], axis=1)


_OSBORNE_1 = np.array([
    0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751, 0.718, 0.685, 0.658, 0.628, 0.603, 0.580,
    0.558, 0.538, 0.522, 0.506, 0.490, 0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420, 0.414, 0.411, 0.406,
])  # fmt: skip


def osborne_1(x: Vector) -> Any:
    t = 10.0 * np.arange(33)
    a, b = np.exp(-t * x[3]), np.exp(-t * x[4])
    r = _OSBORNE_1 - (x[0] + x[1] * a + x[2] * b)
    return r, np.stack([-np.ones(33), -a, -b, t * x[1] * a, t * x[2] * b], axis=1)


def biggs_exp6(x: Vector) -> Any:
    t = np.arange(1, 14) / 10
    a, b, c = np.exp(-t * x[0]), np.exp(-t * x[1]), np.exp(-t * x[4])
    r = x[2] * a - x[3] * b + x[5] * c - (np.exp(-t) - 5 * np.exp(-10 * t) + 3 * np.exp(-4 * t))
    return r, np.stack([-t * x[2] * a, t * x[3] * b, a, -b, -t * x[5] * c, c], axis=1)


_OSBORNE_2 = np.array([
    1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608, 0.655, 0.616, 0.606, 0.602,
    0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661, 0.612, 0.558, 0.533, 0.495, 0.500, 0.423, 0.395, 0.375,
    0.372, 0.391, 0.396, 0.405, 0.428, 0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708, 0.633, 0.668, 0.645, 0.632, 0.591,
    0.559, 0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428, 0.292, 0.162, 0.098, 0.054,
])  # fmt: skip


def osborne_2(x: Vector) -> Any:
    t = np.arange(65) / 10
    first, d = np.exp(-t * x[4]), t[:, None] - x[8:11]
    e = np.exp(-(d**2) * x[5:8])
    r = _OSBORNE_2 - (x[0] * first + e @ x[1:4])
    J = np.column_stack([-first, -e, t * x[0] * first, x[1:4] * d**2 * e, -2 * x[1:4] * x[5:8] * d * e])
    return r, J


def watson(x: Vector) -> Any:
    n, t, j = len(x), np.arange(1, 30)[:, None] / 29, np.arange(len(x))
    powers = t**j
    derivatives = np.zeros((29, n))
    derivatives[:, 1:] = j[1:] * powers[:, :-1]
    total = powers @ x
    r = np.concatenate([derivatives @ x - total**2 - 1, [x[0], x[1] - x[0] ** 2 - 1]])
    J = np.zeros((31, n))
    J[:29], J[29, 0], J[30, 0], J[30, 1] = derivatives - 2 * total[:, None] * powers, 1, -2 * x[0], 1
    return r, J


def penalty_1(x: Vector) -> Any:
    a = np.sqrt(1e-5)
    return np.append(a * (x - 1), x @ x - 0.25), np.vstack([a * np.eye(len(x)), 2 * x])


def penalty_2(x: Vector) -> Any:
    n, a, e = len(x), np.sqrt(1e-5), np.exp(x / 10)
    i, weights = np.arange(2, n + 1), np.arange(n, 0, -1)
    y = np.exp(i / 10) + np.exp((i - 1) / 10)
    middle = [a * (e[1:] + e[:-1] - y), a * (e[1:] - np.exp(-0.1))]
    J, k = np.zeros((2 * n, n)), np.arange(1, n)
    J[0, 0], J[k, k], J[k, k - 1], J[n + k - 1, k] = 1, a * e[1:] / 10, a * e[:-1] / 10, a * e[1:] / 10
    J[2 * n - 1] = 2 * weights * x
    return np.concatenate([[x[0] - 0.2], *middle, [weights @ x**2 - 1]]), J


def variably_dimensioned(x: Vector) -> Any:
    j = np.arange(1, len(x) + 1)
    total = j @ (x - 1)
    return np.concatenate([x - 1, [total, total**2]]), np.vstack([np.eye(len(x)), j, 2 * total * j])


def trigonometric(x: Vector) -> Any:
    n, i, c, s = len(x), np.arange(1, len(x) + 1), np.cos(x), np.sin(x)
    return n - c.sum() + i * (1 - c) - s, np.tile(s, (n, 1)) + np.diag(i * s - c)


def brown_almost_linear(x: Vector) -> Any:
    n = len(x)
    r, J = x + x.sum() - (n + 1), np.ones((n, n)) + np.eye(n)
    r[-1] = np.prod(x) - 1
    J[-1] = [np.prod(np.delete(x, k)) for k in range(n)]
    return r, J


def discrete_boundary_value(x: Vector) -> Any:
    n = len(x)
    h = 1 / (n + 1)
    u = x + h * np.arange(1, n + 1) + 1
    r = 2 * x + h * h * u**3 / 2
    r[1:] -= x[:-1]
    r[:-1] -= x[1:]
    return r, np.diag(2 + 1.5 * h * h * u**2) - np.eye(n, k=1) - np.eye(n, k=-1)


def discrete_integral(x: Vector) -> Any:
    n = len(x)
    h = 1 / (n + 1)
    t = h * np.arange(1, n + 1)
    u = x + t + 1
    kernel = h / 2 * np.where(t <= t[:, None], (1 - t[:, None]) * t, t[:, None] * (1 - t))
    return x + kernel @ u**3, np.eye(n) + 3 * kernel * u**2


def broyden_tridiagonal(x: Vector) -> Any:
    r = (3 - 2 * x) * x + 1
    r[1:] -= x[:-1]
    r[:-1] -= 2 * x[1:]
    return r, np.diag(3 - 4 * x) - 2 * np.eye(len(x), k=1) - np.eye(len(x), k=-1)


def broyden_banded(x: Vector) -> Any:
    i = np.arange(len(x))
    distance = i[:, None] - i
    band = ((distance <= 5) & (distance >= -1) & (distance != 0)).astype(float)
    return x * (2 + 5 * x**2) + 1 - band @ (x * (1 + x)), np.diag(2 + 15 * x**2) - band * (1 + 2 * x)


def linear_full_rank(m: int) -> Residuals:
    def residuals(x: Vector) -> Any:
        J = np.eye(m, len(x)) - 2 / m
        return J @ x - 1, J

    return residuals


def linear_rank_1(m: int) -> Residuals:
    def residuals(x: Vector) -> Any:
        J = np.outer(np.arange(1, m + 1), np.arange(1, len(x) + 1))
        return J @ x - 1, J

    return residuals


def linear_rank_1_zero(m: int) -> Residuals:
    def residuals(x: Vector) -> Any:
        rows, columns = np.arange(m), np.arange(1, len(x) + 1)
        rows[-1] = 0
        columns[[0, -1]] = 0
        J = np.outer(rows, columns)
        return J @ x - 1, J

    return residuals


def chebyquad(x: Vector) -> Any:
    n, y = len(x), 2 * x - 1
    values, slopes = [np.ones(n), y], [np.zeros(n), np.full(n, 2.0)]
    for _ in range(n - 1):
        slopes.append(4 * values[-1] + 2 * y * slopes[-1] - slopes[-2])
        values.append(2 * y * values[-1] - values[-2])
    integrals = [0.0 if i % 2 else -1 / (i * i - 1) for i in range(1, n + 1)]
    return np.mean(values[1:], axis=1) - integrals, np.array(slopes[1:]) / n


def _start(*values: float, times: int = 1) -> Vector:
    return np.tile(np.array(values, dtype=np.float64), times)


def _grid(n: int) -> Vector:
    t = np.arange(1, n + 1) / (n + 1)
    return t * (t - 1)


PROBLEMS = [
    Problem("rosenbrock", rosenbrock, _start(-1.2, 1)),
    Problem("freudenstein_roth", freudenstein_roth, _start(0.5, -2), (0.0, 48.98425368)),
    Problem("powell_badly_scaled", powell_badly_scaled, _start(0, 1)),
    Problem("brown_badly_scaled", brown_badly_scaled, _start(1, 1)),
    Problem("beale", beale, _start(1, 1)),
    Problem("jennrich_sampson", jennrich_sampson, _start(0.3, 0.4), (124.3621824,)),
    Problem("helical_valley", helical_valley, _start(-1, 0, 0)),
    Problem("bard", bard, _start(1, 1, 1), (8.214877306e-3, 17.42869333)),
    Problem("gaussian", gaussian, _start(0.4, 1, 0), (1.127932770e-8,)),
    Problem("meyer", meyer, _start(0.02, 4000, 250), (87.94585517,)),
    Problem("gulf", gulf, _start(5, 2.5, 0.15)),
    Problem("box", box, _start(0, 10, 20)),
    Problem("powell_singular", powell_singular, _start(3, -1, 0, 1)),
    Problem("wood", wood, _start(-3, -1, -3, -1)),
    Problem("kowalik_osborne", kowalik_osborne, _start(0.25, 0.39, 0.415, 0.39), (3.075056038e-4, 1.027343e-3)),
    Problem("brown_dennis", brown_dennis, _start(25, 5, -5, -1), (85822.20163,)),
    Problem("osborne_1", osborne_1, _start(0.5, 1.5, -1, 0.01, 0.02), (5.464894697e-5,)),
    Problem("biggs_exp6", biggs_exp6, _start(1, 2, 1, 1, 1, 1), (0.0, 5.655649925e-3, 0.3)),
    Problem("osborne_2", osborne_2, _start(1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5), (4.013773629e-2,)),
    Problem("watson_6", watson, np.zeros(6), (2.287670053e-3,)),
    Problem("watson_9", watson, np.zeros(9), (1.399760138e-6,)),
    Problem("extended_rosenbrock", rosenbrock, _start(-1.2, 1, times=50)),
    Problem("extended_powell", powell_singular, _start(3, -1, 0, 1, times=15)),
    Problem("penalty_1", penalty_1, np.arange(1.0, 11), (7.087651468e-5,)),
    Problem("penalty_1_50", penalty_1, np.arange(1.0, 51), (4.317850049e-4,)),
    Problem("penalty_2_4", penalty_2, np.full(4, 0.5), (9.376293077e-6,)),
    Problem("penalty_2", penalty_2, np.full(10, 0.5), (2.936605424e-4,)),
    Problem("variably_dimensioned", variably_dimensioned, 1 - np.arange(1, 11) / 10),
    Problem("trigonometric", trigonometric, np.full(10, 0.1), (0.0, 2.795056e-5)),
    Problem("brown_almost_linear", brown_almost_linear, np.full(10, 0.5), (0.0, 1.0)),
    Problem("discrete_boundary_value", discrete_boundary_value, _grid(10)),
    Problem("discrete_integral", discrete_integral, _grid(10)),
    Problem("discrete_integral_50", discrete_integral, _grid(50)),
    Problem("broyden_tridiagonal", broyden_tridiagonal, np.full(10, -1.0)),
    Problem("broyden_tridiagonal_100", broyden_tridiagonal, np.full(100, -1.0)),
    Problem("broyden_banded", broyden_banded, np.full(10, -1.0)),
    Problem("linear_full_rank", linear_full_rank(20), np.ones(10), (10.0,)),
    Problem("linear_rank_1", linear_rank_1(20), np.ones(10), (20 * 19 / 82,)),
    Problem("linear_rank_1_zero", linear_rank_1_zero(20), np.ones(10), ((400 + 60 - 6) / 74,)),
    Problem("chebyquad", chebyquad, np.arange(1, 9) / 9, (3.516873726e-3,)),
]


@dataclass(frozen=True)
class BoundedProblem:
    """A problem with bounds."""

    name: str
    problem: Problem
    lower: Vector
    upper: Vector

    @property
    def x0(self) -> Vector:
        return np.clip(self.problem.x0, self.lower, self.upper)


def bounded_variants() -> list[BoundedProblem]:
    """Return bounded variants: some bounds are active at the solution, some variables have one bound or none."""
    variants = []
    for problem in PROBLEMS:
        n, i = len(problem.x0), np.arange(len(problem.x0))
        width = 0.5 + 0.5 * np.abs(problem.x0)
        lower = np.where(i % 3 == 2, -np.inf, problem.x0 - width)
        upper = np.where(i % 4 == 3, np.inf, problem.x0 + 0.7 * width)
        variants.append(BoundedProblem(f"{problem.name}_bounded", problem, lower, upper))
        assert n == len(lower)
    return variants
