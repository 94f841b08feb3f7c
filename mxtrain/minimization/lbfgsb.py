"""L-BFGS-B: L-BFGS with bounds on the variables.

Source: R. H. Byrd, P. Lu, J. Nocedal and C. Zhu, A limited memory algorithm for bound constrained optimization, SIAM
Journal on Scientific Computing 16 (1995), 1190-1208.
"""

from collections.abc import Mapping
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from mxtrain.errors import ArrayError
from mxtrain.minimization.box_programs import (
    CAUCHY_POINT,
    DIFFERENCE,
    PATH,
    PROJECTED_GRADIENT,
    PROJECTED_POINT,
    REACH,
    STEP_INSIDE,
    TRUNCATED_POINT,
    TRUNCATION,
)
from mxtrain.minimization.cauchy_point import PathSearch
from mxtrain.minimization.lbfgs import LARGEST_STEP, LBFGS
from mxtrain.minimization.line_search import MoreThuente
from mxtrain.minimization.method import Iterate
from mxtrain.minimization.states import check_state
from mxtrain.minimization.subspace import PRODUCTS, Subspace
from mxtrain.optim.ir.summation import SUM_BLOCK
from mxtrain.processes import fork_lock
from mxtrain.types import Array

if TYPE_CHECKING:
    from mxtrain.minimization.compiled_box_steps import CompiledBoxSteps

_NO_DIRECTION = 0.0, 0.0
"""Slope and norm that make an iteration discard its memory."""


class LBFGSB(LBFGS):
    """Limited-memory BFGS with bounds; see `Method`. All points that it evaluates are inside the bounds.

    An iteration finds the generalized Cauchy point, minimizes the quadratic model over the variables that are not at a
    bound there, projects the result onto the box, and searches along the line to it.

    >>> import numpy as np
    >>> method = LBFGSB(lower=np.array([1.0, -1.0]), upper=None)
    >>> _ = method.start(np.array([4.0, 1.0]), 20.0, np.array([8.0, 8.0]))
    >>> for _ in range(5): last = method.iterate(lambda x: (float(x[0] ** 2 + 4 * x[1] ** 2), x * [2, 8]))
    >>> last.x.tolist(), last.gradient_norm
    ([1.0, 0.0], 0.0)

    Args:
        lower: the lower bounds, of the shape of x; minus infinity where there is none. None for no lower bounds.
        upper: the upper bounds accordingly.
        memory: the number of pairs, m.
        line_search: the line search.
    """

    name = "lbfgsb"
    products = PRODUCTS
    extra_rows = (
        *("low", "high", "times", "path_d", "point", "free", "was_free", "target"),
        *("right", "y_free", "s_active", "scratch"),
    )  # fmt: skip
    _zero_gradient = "the projected gradient is zero"

    def __init__(
        self,
        lower: Array | None,
        upper: Array | None,
        memory: int = 10,
        line_search: MoreThuente | None = None,
    ) -> None:
        super().__init__(memory, line_search)
        self._lower, self._upper = lower, upper

    def load_state_dict(self, state: Mapping[str, Any]) -> Iterate:
        """Continue from a state; see `Method.load_state_dict`."""
        check_state(self, state, vectors=("x", "g", "was_free"), numbers=("f", "has_new_pair"))
        return super().load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        """Return the state; see `Method.state_dict`."""
        return {
            **super().state_dict(),
            "was_free": self._vectors.get(self._rows["was_free"]),
            "has_new_pair": self._subspace.has_new_pair,
        }

    def _allocate(self, x: Array) -> None:
        super()._allocate(x)
        vectors, rows = self._vectors, self._rows
        for name, bounds, default in (("low", self._lower, -inf), ("high", self._upper, inf)):
            if bounds is not None and bounds.shape != x.shape:
                raise ArrayError(
                    f"the bounds have shape {bounds.shape}, x has shape {x.shape}; pass one for each variable"
                )
            vectors.set(rows[name], default if bounds is None else bounds)
        low, high = vectors[rows["low"]], vectors[rows["high"]]
        if not bool(((low <= x) & (x <= high)).all()):
            raise ArrayError(
                "the starting point is outside of the bounds; start inside, for instance at its projection"
            )
        self._is_boxed = bool(vectors.xp.isfinite(low).all() & vectors.xp.isfinite(high).all())
        vectors.set(rows["was_free"], 1.0)
        self._subspace = Subspace(vectors, self._pairs, rows)
        self._steps: CompiledBoxSteps | None = None
        self._reach: float | None = None

    def _load_products(self, state: Mapping[str, Any]) -> None:
        self._vectors.set(self._rows["was_free"], state["was_free"])
        self._subspace.has_new_pair = bool(state["has_new_pair"])

    def _run(self, program: Any, *names: str, **scalars: float) -> None:
        self._vectors.run(program, [self._rows[name] for name in names], scalars)

    def _compute_gradient_norm(self) -> float:
        if self._steps is not None:
            return self._steps.gradient_norm()
        self._run(PROJECTED_GRADIENT, "x", "g", "low", "high", "scratch")
        return self._vectors.max_abs(self._rows["scratch"])

    def _compute_direction(self) -> tuple[float, float]:
        """Compute the direction to the minimum of the model in the box; see `LBFGS._compute_direction`."""
        rows, vectors = self._rows, self._vectors
        if self._steps is None and vectors.is_compiled and 0 < vectors.size <= SUM_BLOCK:
            from mxtrain.minimization.compiled_box_steps import CompiledBoxSteps

            with fork_lock:
                self._steps = CompiledBoxSteps(vectors.matrix, rows, self._pairs)
        if self._steps is not None:
            slope, norm, self._reach, is_updated = self._steps.direction(self._subspace.has_new_pair)
            self._subspace.has_new_pair &= not is_updated
            return slope, norm
        self._run(PATH, "x", "g", "low", "high", "times", "path_d", infinity=inf)
        path = {"times": rows["times"], "d": rows["path_d"], **{name: rows[name] for name in ("x", "g", "low", "high")}}
        time = PathSearch(self._vectors, self._pairs, path).run()
        if time is None:
            return _NO_DIRECTION
        self._run(CAUCHY_POINT, "x", "g", "low", "high", "times", "path_d", "point", "free", time=time)
        if self._pairs and self._subspace.update():
            return self._minimize_in_subspace()
        self._run(DIFFERENCE, "x", "point", "d")
        rows["target"], rows["point"] = rows["point"], rows["target"]
        return self._slope_and_norm()

    def _minimize_in_subspace(self) -> tuple[float, float]:
        """Compute the minimum over the free variables, projected onto the box if that direction descends."""
        if not self._subspace.minimize(self._rows["target"]):
            return _NO_DIRECTION
        vectors, rows = self._vectors, self._rows
        vectors[rows["scratch"]][...] = vectors[rows["target"]]
        self._run(PROJECTED_POINT, "free", "x", "low", "high", "point", "target", "d")
        slope, norm = self._slope_and_norm()
        if slope < 0.0:
            return slope, norm
        self._run(TRUNCATION, "free", "x", "low", "high", "point", "scratch", "right")
        largest = vectors.max_abs(rows["right"])
        factor = 1.0 / largest if largest > 1.0 else 1.0
        rows["target"], rows["scratch"] = rows["scratch"], rows["target"]
        self._run(TRUNCATED_POINT, "free", "x", "low", "high", "point", "target", "d", factor=factor)
        return self._slope_and_norm()

    def _step_limits(self, norm: float) -> tuple[float, float]:
        if self._reach is None:
            self._run(REACH, "x", "d", "low", "high", "scratch")
        largest = self._vectors.max_abs(self._rows["scratch"]) if self._reach is None else self._reach
        longest = (
            max(1.0 / largest, 1.0)
            if largest > 0.0 and isfinite(largest)
            else (LARGEST_STEP if largest == 0.0 else 1.0)
        )
        if self._is_boxed or self._pairs:
            return 1.0, longest
        return min(1.0, 1.0 / norm), 1.0 if self._is_first else longest

    def _move(self, step: float) -> None:
        """Compute the trial point; a full step ends exactly at the bounds."""
        if step == 1.0:
            self._vectors.set(self._rows["trial"], self._vectors[self._rows["target"]])
        else:
            self._run(STEP_INSIDE, "x", "d", "low", "high", "trial", step=step)

    def _compute_pair(self, step: float) -> None:
        """Compute the last pair, and the products of all pairs with it."""
        pairs = self._pairs
        if self._steps is not None:
            self._steps.add_pair(step)
            return
        super()._compute_pair(step)
        m, products = len(pairs), pairs.products
        s, y = pairs.steps[-1], pairs.changes[-1]
        results = self._vectors.dots((*pairs.steps, *pairs.changes), (s, y))
        products["ss"][:, -1] = products["ss"][-1, :] = results[:m, 0]
        products["sy"][-1, :], products["sy"][:, -1] = results[m:, 0], results[:m, 1]
        products["yy"][:, -1] = products["yy"][-1, :] = results[m:, 1]

    def _update_products(self, has_new_pair: bool) -> None:
        if has_new_pair:
            self._subspace.has_new_pair = True
            self._update_theta(self._pairs.products["yy"])

    def _clear(self) -> None:
        super()._clear()
        self._subspace.has_new_pair = False
