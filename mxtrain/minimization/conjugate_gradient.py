"""Nonlinear conjugate gradients of Hager and Zhang (CG_DESCENT).

Sources: W. W. Hager and H. Zhang, A new conjugate gradient method with guaranteed descent and an efficient line search,
SIAM Journal on Optimization 16 (2005), 170-192; the same, Algorithm 851: CG_DESCENT, ACM Transactions on Mathematical
Software 32 (2006), 113-137.
"""

from collections.abc import Mapping
from math import isfinite, sqrt
from typing import Any

from mxtrain.minimization.line_search import HagerZhang, Phi, SearchResult
from mxtrain.minimization.method import NO_STEP, Evaluate, Iterate, Status, check_start
from mxtrain.minimization.states import check_state
from mxtrain.minimization.vectors import Vectors
from mxtrain.types import Array

_ETA = 0.01
"""η of the lower bound of β."""
_PSI_0, _PSI_1, _PSI_2 = 0.01, 0.1, 2.0
"""Factors of the first step of a line search: ψ of the paper."""


class ConjugateGradient:
    """Conjugate gradients with guaranteed descent; see `Method`.

    It stores seven vectors. The first step of a line search minimizes a quadratic function
    through one more value, as in the paper. A failed search is repeated once, along the negative gradient.

    >>> import numpy as np
    >>> method = ConjugateGradient()
    >>> _ = method.start(np.array([4.0, 1.0]), 20.0, np.array([8.0, 8.0]))
    >>> for _ in range(6): last = method.iterate(lambda x: (float(x[0] ** 2 + 4 * x[1] ** 2), x * [2, 8]))
    >>> bool(last.f < 1e-6)
    True

    Args:
        line_search: the line search.
    """

    name = "cg"

    def __init__(self, line_search: HagerZhang | None = None) -> None:
        self._line_search = line_search or HagerZhang()

    def start(self, x: Array, f: float, g: Array) -> Iterate:
        """Start at a point; see `Method.start`."""
        self._allocate(x)
        vectors, rows = self._vectors, self._rows
        vectors.set(rows["x"], x)
        vectors.set(rows["g"], g)
        self._f, self._last_step = float(f), 0.0
        self._gradient_norm = vectors.max_abs(rows["g"])
        check_start(self._f, self._gradient_norm)
        self._restart()
        return self._stay()

    def iterate(self, evaluate: Evaluate) -> Iterate:
        """Run one iteration; see `Method.iterate`."""
        if self._gradient_norm == 0.0:
            return self._stay("converged", "the gradient is zero")
        while True:
            phi = self._phi(evaluate)
            result = self._line_search.search(phi, self._f, self._slope, self._first_step(phi))
            if result.step > 0.0:
                return self._accept(result)
            if self._is_steepest:
                if result.is_finite:
                    return self._stay("no_progress", NO_STEP)
                return self._stay("nonfinite", "the value or the gradient is NaN or infinite at every step")
            self._restart()

    def state_dict(self) -> dict[str, Any]:
        """Return the state; see `Method.state_dict`."""
        return {
            "method": self.name,
            **{name: self._vectors.get(self._rows[name]) for name in ("x", "g", "d")},
            "f": self._f,
            "last_step": self._last_step,
            "is_steepest": self._is_steepest,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> Iterate:
        """Continue from a state; see `Method.load_state_dict`."""
        check_state(self, state, vectors=("x", "g", "d"), numbers=("f", "last_step", "is_steepest"))
        self._allocate(state["x"])
        for name in ("x", "g", "d"):
            self._vectors.set(self._rows[name], state[name])
        self._f, self._last_step = float(state["f"]), float(state["last_step"])
        self._is_steepest = bool(state["is_steepest"])
        self._gradient_norm = self._vectors.max_abs(self._rows["g"])
        self._measure_direction()
        return self._stay()

    def _allocate(self, x: Array) -> None:
        names = ("x", "g", "trial", "trial_g", "d", "y", "next_d")
        self._rows = {name: row for row, name in enumerate(names)}
        self._vectors = Vectors(len(names), x)

    def _restart(self) -> None:
        """Replace the direction by the negative gradient."""
        self._vectors.combine(self._rows["d"], (-1.0,), (self._rows["g"],))
        self._is_steepest = True
        self._measure_direction()

    def _measure_direction(self) -> None:
        rows = self._rows
        products = self._vectors.dots((rows["g"], rows["d"]), (rows["d"], rows["g"])).tolist()
        (slope, square_g), (square_d, _) = products
        self._slope = float(slope)
        self._g_norm, self._d_norm = sqrt(square_g), sqrt(square_d)

    def _phi(self, evaluate: Evaluate) -> Phi:
        vectors, rows = self._vectors, self._rows
        trial, sources, d = vectors[rows["trial"]], (rows["x"], rows["d"]), (rows["d"],)

        def phi(step: float) -> tuple[float, float]:
            vectors.combine(rows["trial"], (1.0, step), sources)
            f, g = evaluate(trial)
            vectors.set(rows["trial_g"], g)
            return float(f), float(vectors.dots((rows["trial_g"],), d)[0, 0])

        return phi

    def _first_step(self, phi: Phi) -> float:
        """Return the first step of a line search: algorithm `initial` of the paper."""
        if self._last_step == 0.0:
            largest = self._vectors.max_abs(self._rows["x"])
            if largest > 0.0:
                return _PSI_0 * largest / self._gradient_norm
            return _PSI_0 * abs(self._f) / self._g_norm / self._g_norm if self._f else 1.0 / self._g_norm
        step = _PSI_1 * self._last_step
        f, _ = phi(step)
        if f <= self._f:
            curvature = 2.0 * ((f - self._f) / step - self._slope) / step
            if curvature > 0.0 and isfinite(curvature):
                return -self._slope / curvature
        return _PSI_2 * self._last_step

    def _accept(self, result: SearchResult) -> Iterate:
        """Move to the last trial point, and compute the next direction."""
        vectors, rows = self._vectors, self._rows
        step_norm, old_g_norm = result.step * self._d_norm, self._g_norm
        vectors.combine(rows["y"], (1.0, -1.0), (rows["trial_g"], rows["g"]))
        rows["x"], rows["trial"] = rows["trial"], rows["x"]
        rows["g"], rows["trial_g"] = rows["trial_g"], rows["g"]
        previous_f, self._f, self._last_step = self._f, result.f, result.step
        self._gradient_norm = vectors.max_abs(rows["g"])
        beta = self._compute_beta(old_g_norm)
        vectors.combine(rows["next_d"], (-1.0, beta), (rows["g"], rows["d"]))
        rows["d"], rows["next_d"] = rows["next_d"], rows["d"]
        self._is_steepest = False
        self._measure_direction()
        if not (self._slope < 0.0 and isfinite(self._d_norm)):
            self._restart()
        x, g = vectors[rows["x"]], vectors[rows["g"]]
        return Iterate(x, self._f, g, previous_f, self._gradient_norm, result.step, step_norm)

    def _compute_beta(self, old_g_norm: float) -> float:
        """Return β with its lower bound; 0 if the slope has not increased."""
        rows = self._rows
        products = self._vectors.dots((rows["y"], rows["d"]), (rows["y"], rows["g"])).tolist()
        (square_y, y_g), (d_y, d_g) = products
        if not d_y > 0.0:
            return 0.0
        beta = (y_g - 2.0 * square_y * (d_g / d_y)) / d_y
        bound = self._d_norm * min(_ETA, old_g_norm)
        return max(beta, -1.0 / bound) if isfinite(beta) and bound > 0.0 else 0.0

    def _stay(self, status: Status = "ok", message: str = "") -> Iterate:
        """Return the current point, without a step."""
        x, g = self._vectors[self._rows["x"]], self._vectors[self._rows["g"]]
        return Iterate(x, self._f, g, self._f, self._gradient_norm, 0.0, 0.0, status, message)
