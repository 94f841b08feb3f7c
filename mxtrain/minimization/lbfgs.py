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

from mxtrain.minimization.curvature_pairs import CurvaturePairs
from mxtrain.minimization.line_search import MoreThuente
from mxtrain.minimization.method import Evaluate, Iterate, check_start
from mxtrain.minimization.states import check_state
from mxtrain.minimization.vectors import Vectors
from mxtrain.types import Array

_EPSILON = float(np.finfo(np.float64).eps)


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

    def __init__(self, memory: int = 10, line_search: MoreThuente | None = None) -> None:
        self.memory = memory
        self._line_search = line_search or MoreThuente()
        self._x, self._g, self._trial, self._trial_g, self._d = range(2 * memory, 2 * memory + 5)

    def start(self, x: Array, f: float, g: Array) -> Iterate:
        """Start at a point; see `Method.start`."""
        self._allocate(x)
        self._vectors.set(self._x, x)
        self._vectors.set(self._g, g)
        self._f, self._is_first = float(f), True
        self._gradient_norm = self._vectors.max_abs(self._g)
        check_start(self._f, self._gradient_norm)
        return self._iterate_without_step()

    def iterate(self, evaluate: Evaluate) -> Iterate:
        """Run one iteration; see `Method.iterate`."""
        while True:
            slope, norm = self._compute_direction()
            if slope == 0.0:
                return self._iterate_without_step("no_progress", "the gradient is zero")
            if slope < 0.0 and isfinite(norm):
                step = min(1.0, 1.0 / norm) if self._is_first or not self._pairs else 1.0
                result = self._line_search.search(self._phi(evaluate), self._f, slope, step)
                if result.step > 0.0:
                    return self._accept(result.step, result.f, slope, result.slope, norm)
                if not self._pairs and not result.is_finite:
                    message = "the value or the gradient is NaN or infinite at every step"
                    return self._iterate_without_step("nonfinite", message)
            if not self._pairs:
                return self._iterate_without_step("no_progress", "no step along the negative gradient lowers the value")
            self._pairs.clear()

    def state_dict(self) -> dict[str, Any]:
        """Return the state; see `Method.state_dict`."""
        return {
            "method": self.name,
            "memory": self.memory,
            "x": self._vectors.get(self._x),
            "g": self._vectors.get(self._g),
            "f": self._f,
            "is_first": self._is_first,
            **self._pairs.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> Iterate:
        """Continue from a state; see `Method.load_state_dict`."""
        check_state(self, state, ("sy", "yy"))
        self._allocate(state["x"])
        self._vectors.set(self._x, state["x"])
        self._vectors.set(self._g, state["g"])
        self._f, self._is_first = float(state["f"]), bool(state["is_first"])
        self._pairs.load_state_dict(state)
        self._gradient_norm = self._vectors.max_abs(self._g)
        if self._pairs:
            self._update_gradient_products()
        return self._iterate_without_step()

    def _allocate(self, x: Array) -> None:
        self._vectors = Vectors(2 * self.memory + 5, x)
        self._pairs = CurvaturePairs(self._vectors, self.memory, ("sy", "yy"))
        self._gradient_products = np.zeros((0, 1))

    def _compute_direction(self) -> tuple[float, float]:
        """Compute the direction, and return its product with the gradient and its norm."""
        m = len(self._pairs)
        coefficients = np.full(1, -1.0)
        if m:
            coefficients = np.empty(2 * m + 1)
            products = self._gradient_products
            sy, yy = self._pairs.products["sy"], self._pairs.products["yy"]
            gamma = 1.0 / self._pairs.theta
            self._vectors.small.inverse_hessian_coefficients(sy, yy, products[:m], products[m:], gamma, coefficients)
        self._vectors.combine(self._d, coefficients.tolist(), (*self._pairs.steps, *self._pairs.changes, self._g))
        slope, square = self._vectors.dots((self._g, self._d), (self._d,))[:, 0].tolist()
        return slope, sqrt(square) if square >= 0 else square

    def _phi(self, evaluate: Evaluate) -> Any:
        vectors, rows, trial = self._vectors, (self._x, self._d), self._vectors[self._trial]

        def phi(step: float) -> tuple[float, float]:
            vectors.combine(self._trial, (1.0, step), rows)
            f, g = evaluate(trial)
            vectors.set(self._trial_g, g)
            return float(f), float(vectors.dots((self._trial_g,), (self._d,))[0, 0])

        return phi

    def _accept(self, step: float, f: float, slope: float, new_slope: float, norm: float) -> Iterate:
        """Move to the last trial point, and store the pair of the step."""
        vectors, (s, y) = self._vectors, self._pairs.next_rows
        has_curvature = (new_slope - slope) * step > _EPSILON * (-slope * step)
        if has_curvature:
            vectors.combine(s, (step,), (self._d,))
            vectors.combine(y, (1.0, -1.0), (self._trial_g, self._g))
        self._x, self._trial = self._trial, self._x
        self._g, self._trial_g = self._trial_g, self._g
        if has_curvature:
            self._pairs.append()
            self._update_products()
        elif self._pairs:
            self._update_gradient_products()
        previous_f, self._f, self._is_first = self._f, f, False
        self._gradient_norm = vectors.max_abs(self._g)
        return Iterate(vectors[self._x], f, vectors[self._g], previous_f, self._gradient_norm, step, step * norm)

    def _update_products(self) -> None:
        """Compute the products of all pairs with the new one and the gradient; discard all if s·y is not positive."""
        pairs = self._pairs
        m, (s, y) = len(pairs), (pairs.steps[-1], pairs.changes[-1])
        products = self._vectors.dots((*pairs.steps, *pairs.changes), (y, self._g))
        row = self._vectors.dots((s,), pairs.changes)[0]
        sy, yy = pairs.products["sy"], pairs.products["yy"]
        sy[:, -1], sy[-1, :] = products[:m, 0], row
        yy[:, -1] = yy[-1, :] = products[m:, 0]
        self._gradient_products = np.ascontiguousarray(products[:, 1])
        if not (sy[-1, -1] > 0.0 and isfinite(yy[-1, -1])):
            pairs.clear()
            return
        pairs.theta = float(yy[-1, -1] / sy[-1, -1])

    def _update_gradient_products(self) -> None:
        rows = (*self._pairs.steps, *self._pairs.changes)
        self._gradient_products = np.ascontiguousarray(self._vectors.dots(rows, (self._g,))[:, 0])

    def _iterate_without_step(self, status: Any = "ok", message: str = "") -> Iterate:
        x, g = self._vectors[self._x], self._vectors[self._g]
        return Iterate(x, self._f, g, self._f, self._gradient_norm, 0.0, 0.0, status, message)
