"""L-BFGS with a line search for the strong Wolfe conditions.

The two loops run on inner products instead of vectors: the products of all pairs with the new gradient and its change
are computed in one pass over the memory, and the direction is a linear combination, in a second one.

Sources: J. Nocedal, Updating quasi-Newton matrices with limited storage, Mathematics of Computation 35 (1980), 773-782;
R. H. Byrd, J. Nocedal and R. B. Schnabel, Representations of quasi-Newton matrices and their use in limited memory
methods, Mathematical Programming 63 (1994), 129-156.
"""

from collections.abc import Mapping
from math import isfinite, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.minimization.curvature_pairs import CurvaturePairs
from mxtrain.minimization.line_search import MoreThuente, Phi, SearchResult
from mxtrain.minimization.method import NO_STEP, Evaluate, Iterate, Status, check_start
from mxtrain.minimization.states import check_pairs, check_state
from mxtrain.minimization.vectors import Vectors
from mxtrain.types import Array

_EPSILON = float(np.finfo(np.float64).eps)
LARGEST_STEP = 1e10


class LBFGS:
    """Limited-memory BFGS without bounds; see `Method`.

    The first step has length 1 or less, later searches start with the full step. A pair without positive curvature is
    skipped. If no step along a direction decreases the value, the memory is discarded, and steepest descent is tried.

    >>> method = LBFGS()
    >>> _ = method.start(np.array([4.0, 1.0]), 20.0, np.array([8.0, 8.0]))
    >>> for _ in range(5): last = method.iterate(lambda x: (float(x[0] ** 2 + 4 * x[1] ** 2), x * [2, 8]))
    >>> bool(last.f < 1e-6)
    True

    Args:
        memory: the number of pairs, m.
        line_search: the line search.
    """

    name = "lbfgs"
    products: tuple[str, ...] = ("sy", "yy")
    extra_rows: tuple[str, ...] = ()
    """Names of vectors in addition to x, g, the trial point and its gradient, and the direction."""
    _zero_gradient = "the gradient is zero"

    def __init__(self, memory: int = 10, line_search: MoreThuente | None = None) -> None:
        self.memory = memory
        self._line_search = line_search or MoreThuente()

    def start(self, x: Array, f: float, g: Array) -> Iterate:
        """Start at a point; see `Method.start`."""
        self._allocate(x)
        self._vectors.set(self._rows["x"], x)
        self._vectors.set(self._rows["g"], g)
        self._f, self._is_first = float(f), True
        check_start(self._f, self._vectors.max_abs(self._rows["g"]))
        self._gradient_norm = self._compute_gradient_norm()
        return self._stay()

    def iterate(self, evaluate: Evaluate) -> Iterate:
        """Run one iteration; see `Method.iterate`."""
        if self._gradient_norm == 0.0:
            return self._stay("converged", self._zero_gradient)
        while True:
            slope, norm = self._compute_direction()
            if slope < 0.0 and isfinite(norm):
                first, longest = self._step_limits(norm)
                result = self._line_search.search(self._phi(evaluate), self._f, slope, first, longest)
                if result.step > 0.0:
                    return self._accept(result, slope, norm)
                if not self._pairs and not result.is_finite:
                    return self._stay("nonfinite", "the value or the gradient is NaN or infinite at every step")
            if not self._pairs:
                return self._stay("no_progress", NO_STEP)
            self._clear()

    def state_dict(self) -> dict[str, Any]:
        """Return the state; see `Method.state_dict`."""
        return {
            "method": self.name,
            "memory": self.memory,
            "x": self._vectors.get(self._rows["x"]),
            "g": self._vectors.get(self._rows["g"]),
            "f": self._f,
            "is_first": self._is_first,
            **self._pairs.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> Iterate:
        """Continue from a state; see `Method.load_state_dict`."""
        check_state(self, state)
        check_pairs(self, state, self.products)
        self._allocate(state["x"])
        self._vectors.set(self._rows["x"], state["x"])
        self._vectors.set(self._rows["g"], state["g"])
        self._f, self._is_first = float(state["f"]), bool(state["is_first"])
        self._pairs.load_state_dict(state)
        self._gradient_norm = self._compute_gradient_norm()
        self._load_products(state)
        return self._stay()

    def _allocate(self, x: Array) -> None:
        names = ("x", "g", "trial", "trial_g", "d", *self.extra_rows)
        self._rows = {name: row for row, name in enumerate(names, start=2 * self.memory)}
        self._vectors = Vectors(2 * self.memory + len(names), x)
        self._pairs = CurvaturePairs(self._vectors, self.memory, self.products)
        self._gradient_products = np.zeros(0)

    def _compute_gradient_norm(self) -> float:
        return self._vectors.max_abs(self._rows["g"])

    def _compute_direction(self) -> tuple[float, float]:
        """Compute the direction, and return its product with the gradient and its norm."""
        m, rows = len(self._pairs), self._rows
        coefficients = np.full(1, -1.0)
        if m:
            coefficients = np.empty(2 * m + 1)
            products, sy, yy = self._gradient_products, self._pairs.products["sy"], self._pairs.products["yy"]
            self._vectors.small.inverse_hessian_coefficients(
                sy, yy, products[:m], products[m:], 1.0 / self._pairs.theta, coefficients
            )
        sources = (*self._pairs.steps, *self._pairs.changes, rows["g"])
        self._vectors.combine(rows["d"], coefficients.tolist(), sources)
        return self._slope_and_norm()

    def _slope_and_norm(self) -> tuple[float, float]:
        rows = self._rows
        slope, square = self._vectors.dots((rows["g"], rows["d"]), (rows["d"],))[:, 0].tolist()
        return slope, sqrt(square) if square >= 0.0 else square

    def _step_limits(self, norm: float) -> tuple[float, float]:
        """Return the first and the largest step of the line search."""
        return min(1.0, 1.0 / norm) if self._is_first or not self._pairs else 1.0, LARGEST_STEP

    def _move(self, step: float) -> None:
        """Compute the trial point."""
        self._vectors.combine(self._rows["trial"], (1.0, step), (self._rows["x"], self._rows["d"]))

    def _phi(self, evaluate: Evaluate) -> Phi:
        vectors, d, trial_g = self._vectors, (self._rows["d"],), self._rows["trial_g"]
        trial = vectors[self._rows["trial"]]

        def phi(step: float) -> tuple[float, float]:
            self._move(step)
            f, g = evaluate(trial)
            vectors.set(trial_g, g)
            return float(f), float(vectors.dots((trial_g,), d)[0, 0])

        return phi

    def _accept(self, result: SearchResult, slope: float, norm: float) -> Iterate:
        """Move to the last trial point, and store the pair of the step."""
        vectors, rows, step = self._vectors, self._rows, result.step
        has_curvature = (result.slope - slope) * step > _EPSILON * (-slope * step)
        if has_curvature:
            self._pairs.append()
            self._compute_pair(step)
        rows["x"], rows["trial"] = rows["trial"], rows["x"]
        rows["g"], rows["trial_g"] = rows["trial_g"], rows["g"]
        self._update_products(has_curvature)
        previous_f, self._f, self._is_first = self._f, result.f, False
        self._gradient_norm = self._compute_gradient_norm()
        x, g = vectors[rows["x"]], vectors[rows["g"]]
        return Iterate(x, self._f, g, previous_f, self._gradient_norm, step, step * norm)

    def _compute_pair(self, step: float) -> None:
        """Compute the last pair from the step, the trial point and its gradient."""
        vectors, rows = self._vectors, self._rows
        vectors.combine(self._pairs.steps[-1], (step,), (rows["d"],))
        vectors.combine(self._pairs.changes[-1], (1.0, -1.0), (rows["trial_g"], rows["g"]))

    def _update_products(self, has_new_pair: bool) -> None:
        """Compute the products of all pairs with the gradient, and with a new pair."""
        pairs = self._pairs
        if not pairs:
            return
        m, rows = len(pairs), (*pairs.steps, *pairs.changes)
        if not has_new_pair:
            self._gradient_products = self._vectors.dots(rows, (self._rows["g"],))[:, 0].copy()
            return
        products = self._vectors.dots(rows, (pairs.changes[-1], self._rows["g"]))
        sy, yy = pairs.products["sy"], pairs.products["yy"]
        sy[:, -1] = products[:m, 0]
        yy[:, -1] = yy[-1, :] = products[m:, 0]
        self._gradient_products = products[:, 1].copy()
        self._update_theta(yy)

    def _update_theta(self, yy: NDArray[np.float64]) -> None:
        """Scale the initial matrix by the last pair; discard all pairs if rounding has made its curvature negative."""
        curvature = float(self._pairs.products["sy"][-1, -1])
        theta = float(yy[-1, -1]) / curvature if curvature > 0.0 else 0.0
        if isfinite(theta) and theta > 0.0:
            self._pairs.theta = theta
        else:
            self._clear()

    def _clear(self) -> None:
        self._pairs.clear()

    def _load_products(self, state: Mapping[str, Any]) -> None:
        self._update_products(False)

    def _stay(self, status: Status = "ok", message: str = "") -> Iterate:
        """Return the current point, without a step."""
        x, g = self._vectors[self._rows["x"]], self._vectors[self._rows["g"]]
        return Iterate(x, self._f, g, self._f, self._gradient_norm, 0.0, 0.0, status, message)
