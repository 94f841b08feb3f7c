"""Protocol of an iterative minimization method, and the result of one iteration.

A method sees one contiguous one-dimensional array x and a function that returns the value and the gradient at x. It
does not count evaluations, test for convergence or measure time: that is the driver's part.

Memory: the array that a method passes to `evaluate` belongs to the method and is overwritten later. The method copies
what it keeps of the gradient that `evaluate` returns, so a function may return the same buffer at every call.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, Protocol, TypeAlias

from mxtrain.errors import NonFiniteError
from mxtrain.types import Array

Evaluate: TypeAlias = Callable[[Array], tuple[float, Array]]
"""Function from x to its value and gradient. It may raise `StopEvaluation`."""

Status = Literal["ok", "converged", "no_progress", "nonfinite"]
"""Outcome of an iteration: x has changed; the gradient is zero; no step decreases the value; no step has a finite value
and gradient."""

NO_STEP = "no step along the negative gradient lowers the value; check the gradient against finite differences"
"""Message of an iteration without progress."""


class StopEvaluation(Exception):
    """Raised by `evaluate` to end an iteration, for instance at the limit of evaluations.

    It passes through `Method.iterate`. The method is then as before this iteration, except that it may have discarded
    its memory of earlier steps, as the completed iteration would have: `state_dict` may be called, and the next
    `iterate` repeats the iteration.
    """


@dataclass(frozen=True, slots=True)
class Iterate:
    """Result of one iteration.

    Attributes:
        x: the current point; belongs to the method and is valid until the next call of `iterate`. Do not write to it.
        f: the value at x, in float64.
        g: the gradient at x; belongs to the method too.
        previous_f: the value at the start of the iteration.
        gradient_norm: the largest absolute element of the gradient; with bounds, of `P(x - g) - x`, where P
            projects onto the bounds.
        step: the length of the step in units of its direction; 0 if x has not changed.
        step_norm: the Euclidean norm of the change of x.
        status: "ok" if x has changed. Otherwise x, f and g are those of the start of the iteration, and further
            iterations cannot change them.
        message: the reason, on one line, if the status is not "ok".
    """

    x: Array
    f: float
    g: Array
    previous_f: float
    gradient_norm: float
    step: float
    step_norm: float
    status: Status = "ok"
    message: str = ""


class Method(Protocol):
    """Iterative method. Its state between iterations is plain data, from which the iterates continue to the byte."""

    def start(self, x: Array, f: float, g: Array) -> Iterate:
        """Start at a point.

        Args:
            x: the point, one-dimensional, contiguous, float32 or float64; it is copied. With bounds, it must be inside.
            f: the value at x.
            g: the gradient at x, of the shape and dtype of x; it is copied.

        Returns:
            The point itself with its gradient norm: f and `previous_f` are equal, `step` is 0, the status is "ok".

        Raises:
            NonFiniteError: f or an element of g is NaN or infinite.
        """

    def iterate(self, evaluate: Evaluate) -> Iterate:
        """Run one iteration, which ends at a point with a lower value, or with a status other than "ok".

        Values and gradients that are NaN or infinite shorten the step.

        Args:
            evaluate: the function.

        Raises:
            StopEvaluation: `evaluate` raised it.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return copies of all that the next iterations depend on: arrays and plain numbers, in a flat dict."""

    def load_state_dict(self, state: Mapping[str, Any]) -> Iterate:
        """Continue from a state; instead of `start`. The method must have been created with the same settings.

        Returns:
            The current point, as `start` does.

        Raises:
            StateError: the state is of another method, or its arrays have other shapes or dtypes than it names.
        """


def check_start(f: float, gradient_norm: float) -> None:
    """Check that value and gradient at the starting point are finite.

    >>> check_start(float("nan"), 0.0)
    Traceback (most recent call last):
    mxtrain.errors.NonFiniteError: the value at the starting point is nan; start where it is finite

    Raises:
        NonFiniteError: one of them is NaN or infinite.
    """
    if not isfinite(f):
        raise NonFiniteError(f"the value at the starting point is {f:g}; start where it is finite")
    if not isfinite(gradient_norm):
        raise NonFiniteError(
            f"the gradient at the starting point has an element that is {gradient_norm:g}; start where it is finite"
        )
