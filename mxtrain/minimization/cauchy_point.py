"""Generalized Cauchy point: the first local minimum of the quadratic model along the projected gradient path.

Source: R. H. Byrd, P. Lu, J. Nocedal and C. Zhu, A limited memory algorithm for bound constrained optimization, SIAM
Journal on Scientific Computing 16 (1995), 1190-1208, section 4.
"""

from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.minimization.curvature_pairs import CurvaturePairs
from mxtrain.minimization.vectors import Vectors

_EPSILON = float(np.finfo(np.float64).eps)
_BATCH = 8192
"""Largest number of breakpoints, apart from equal ones, that are sorted at once."""


class PathSearch:
    """Search of the minimum along the path `P(x - t*g)`.

    Args:
        vectors: the vectors.
        pairs: the pairs of the model, with the products `sy` and `ss`.
        path: the numbers of the vectors of times and direction, of g, x, and the bounds.
    """

    def __init__(self, vectors: Vectors, pairs: CurvaturePairs, path: dict[str, int]) -> None:
        self._vectors, self._pairs, self._path = vectors, pairs, path
        m = len(pairs)
        self._factor = np.zeros((m, m))
        self._sy = pairs.products["sy"]

    def run(self) -> float | None:
        """Return the time of the minimum: 0 if x is stationary, None if the model is not positive definite."""
        pairs, theta, d = self._pairs, self._pairs.theta, self._path["d"]
        m = len(pairs)
        products = self._vectors.dots((*pairs.changes, *pairs.steps, d), (d,))[:, 0]
        square = float(products[2 * m])
        if square == 0.0:
            return 0.0
        if not m:
            return 1.0 / theta  # the model is a sum over variables, so each of them ends at its own minimum
        p = products[: 2 * m].copy()
        p[m:] *= theta
        curvature = theta * square
        if not self._vectors.small.factor_middle(self._sy, pairs.products["ss"], theta, self._factor):
            return None
        middle_p = np.empty(2 * m)
        self._vectors.small.multiply_middle(self._factor, self._sy, p, middle_p)
        smallest = _EPSILON * curvature
        for a, b in zip(p.tolist(), middle_p.tolist(), strict=True):
            curvature -= a * b
        if not (isfinite(curvature) and curvature > 0.0):
            return None
        return self._pass_breakpoints(p, np.array([0.0, -square, curvature, square / curvature, smallest]))

    def _pass_breakpoints(self, p: NDArray[np.float64], state: NDArray[np.float64]) -> float:
        """Return the time of the minimum; see `small_systems.pass_breakpoints` for the arguments."""
        c = np.zeros_like(p)
        times = self._vectors[self._path["times"]]
        while True:
            chosen = self._next_breakpoints(times, float(state[0]), float(state[0] + state[3]))
            if not len(chosen):
                break
            arguments = self._at(chosen)
            passed = self._vectors.small.pass_breakpoints(
                *arguments, self._factor, self._sy, self._pairs.theta, p, c, state
            )
            if passed < len(chosen):
                break
        return float(state[0] + max(state[3], 0.0))

    def _next_breakpoints(self, times: Any, low: float, high: float) -> Any:
        """Return the variables whose times are above `low` and at most `high`, in the order of their times."""
        xp = self._vectors.xp
        chosen = xp.flatnonzero((times > low) & (times <= high))
        values = times[chosen]
        if len(chosen) > _BATCH:
            is_early = values <= xp.partition(values, _BATCH)[_BATCH]
            chosen, values = chosen[is_early], values[is_early]
        return chosen[xp.argsort(values, kind="stable")] if len(chosen) > 1 else chosen

    def _at(self, chosen: Any) -> tuple[NDArray[np.float64], ...]:
        """Return the times, gradients, differences from x to the bound, and rows of W of variables, on the host."""
        vectors, path, m = self._vectors, self._path, len(self._pairs)
        g = vectors[path["g"]][chosen]
        bounds = vectors.xp.where(g < 0, vectors[path["high"]][chosen], vectors[path["low"]][chosen])
        columns = [vectors[path["times"]][chosen], g, bounds - vectors[path["x"]][chosen]]
        weights = vectors.at((*self._pairs.changes, *self._pairs.steps), chosen).T
        on_host = [np.asarray(each if isinstance(each, np.ndarray) else each.get()) for each in (*columns, weights)]
        *numbers, weights = (np.ascontiguousarray(each, dtype=np.float64) for each in on_host)
        weights[:, m:] *= self._pairs.theta
        return *numbers, weights
