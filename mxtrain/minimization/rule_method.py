"""An update rule as a method of `minimize`."""

from collections.abc import Mapping
from math import isfinite, nan
from typing import Any

from mxtrain.errors import ConfigError, ConfigProblem, StateError
from mxtrain.minimization.box import Box, read_bounds
from mxtrain.minimization.method import Evaluate, Iterate, check_start
from mxtrain.minimization.variables import Variables, euclidean_norm
from mxtrain.optim.factory import build_optimizer
from mxtrain.optim.rules import Rule
from mxtrain.types import Array


class RuleMethod:
    """One update of a rule per iteration.

    The rule sees the arrays of x0 under their names, so its groups, norms and matrix operations apply to them. With
    bounds, an element at a bound whose gradient points outwards gets no gradient, and every update is projected.

    Args:
        rule: the rule.
        variables: the layout of x0.
        box: the bounds.
        max_iterations: the number of iterations, which schedules with `T: run` and `per: fraction` need.
        measures_step: compute the length of each step.
    """

    def __init__(
        self,
        rule: Rule,
        variables: Variables,
        box: Box | None = None,
        *,
        max_iterations: int | None = None,
        measures_step: bool = False,
    ) -> None:
        if box is not None and rule.bounds is not None:
            raise ConfigError([ConfigProblem("bounds", f"the rule {rule.kind} has bounds of its own; keep one")])
        if box is None and rule.bounds is not None and not variables.is_complex:
            box = read_bounds(tuple(rule.bounds), variables)
        elif box is not None and box.uniform is not None:
            low, high = (each if isfinite(each) else None for each in box.uniform)
            rule = rule.model_copy(update={"bounds": (low, high)})
        self._projects = box is not None and box.uniform is None
        self._variables, self._box, self._measures_step = variables, box, measures_step
        if max_iterations:
            rule = rule.for_run(1, max_iterations)
        self._has_own_evaluation = rule.evaluation_weights() is not None
        self._optimizer = build_optimizer(rule, on_nonfinite="ignore")
        self._x: Array
        self._g: Array
        self._trial: Array
        self._f: float
        self._has_stepped = False
        """True if the trial point is the result of a step whose evaluation was stopped."""

    def start(self, x: Array, f: float, g: Array) -> Iterate:
        """Start at a point; as `Method.start`."""
        self._set_point(x.copy(), f, g)
        norm = self._gradient_norm()
        check_start(f, norm)
        return Iterate(self._x, f, self._g, f, norm, 0.0, 0.0)

    def iterate(self, evaluate: Evaluate) -> Iterate:
        """Run one update and evaluate the function; as `Method.iterate`."""
        if not self._has_stepped:
            self._step()
            self._has_stepped = True
        f, g = evaluate(self._trial)
        self._has_stepped = False
        length = nan
        if self._measures_step:
            length = euclidean_norm(self._variables.xp, self._trial - self._x)
        norm, before = self._norm_at(self._trial, g), self._f
        if not (isfinite(f) and isfinite(norm)):
            what = f"the value is {f:g}" if not isfinite(f) else f"the gradient has an element that is {norm:g}"
            message = (
                f"{what} after an update of {self._optimizer.rule.kind}; lower η, or bound the steps with clip_norm"
            )
            return Iterate(self._x, before, self._g, before, self._gradient_norm(), 0.0, 0.0, "nonfinite", message)
        self._x[...], self._f = self._trial, f
        self._g[...] = g  # a copy, because the function may return the same buffer at every call
        return Iterate(self._x, f, self._g, before, norm, 1.0, length)

    def finish(self, evaluate: Evaluate) -> Iterate | None:
        """Move to the weights to evaluate, if the rule has such weights besides the trained ones.

        Returns:
            The point; None if the current point is the one to evaluate.
        """
        if not self._has_own_evaluation:
            return None
        weights = self._optimizer.evaluation_params(self._variables.views(self._x))
        vector = self._x.copy()
        for name, view in self._variables.views(vector).items():
            view[...] = weights[name]
        if self._box is not None:
            vector = self._box.clip(vector)
        f, g = evaluate(vector)
        norm = self._norm_at(vector, g)
        return Iterate(vector, f, g, f, norm, 0.0, 0.0) if isfinite(f) and isfinite(norm) else None

    def state_dict(self) -> dict[str, Any]:
        """Return copies of all that the next iterations depend on."""
        trial = {"trial": self._trial.copy()} if self._has_stepped else {}
        return {
            "x": self._x.copy(),
            "g": self._g.copy(),
            "f": self._f,
            "optimizer": self._optimizer.state_dict(),
            **trial,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> Iterate:
        """Continue from a state; as `Method.load_state_dict`."""
        size, dtype = self._variables.size, self._variables.dtype
        for name in ("x", "g"):
            array = state.get(name)
            if array is None or array.shape != (size,) or array.dtype != dtype:
                raise StateError(
                    f"the state of {self._optimizer.rule.kind} has no {name} of {size} elements of {dtype}"
                )
        self._set_point(state["x"].copy(), float(state["f"]), state["g"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._has_stepped = "trial" in state
        if self._has_stepped:
            self._trial[...] = state["trial"]
        return Iterate(self._x, self._f, self._g, self._f, self._gradient_norm(), 0.0, 0.0)

    def _set_point(self, x: Array, f: float, g: Array) -> None:
        self._x, self._f, self._g = x, f, g.copy()
        self._trial = x.copy()
        self._params = self._variables.views(self._trial)

    def _step(self) -> None:
        """Write the next point to the trial point."""
        self._trial[...] = self._x
        g = self._g
        if self._projects:
            assert self._box is not None, "a box that is not uniform"
            outwards = ((self._x <= self._box.low) & (g > 0)) | ((self._x >= self._box.high) & (g < 0))
            g = self._variables.xp.where(outwards, 0, g).astype(g.dtype, copy=False)
        self._optimizer.step(self._params, self._variables.views(g))
        if self._projects:
            assert self._box is not None, "a box that is not uniform"
            self._trial[...] = self._box.clip(self._trial)

    def _gradient_norm(self) -> float:
        return self._norm_at(self._x, self._g)

    def _norm_at(self, x: Array, g: Array) -> float:
        return float(abs(g).max()) if self._box is None else self._box.projected_gradient_norm(x, g)
