"""Evaluation of the user's function: arguments, checks of what it returns, and limits."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any

from mxtrain.errors import ArrayTypeError
from mxtrain.minimization.method import StopEvaluation
from mxtrain.minimization.variables import Variables
from mxtrain.optim.stopping.stop_test import Stop, limit_stop
from mxtrain.signals import StopRequest
from mxtrain.types import Array, describe_argument


class Objective:
    """A function of a vector that returns the value and the gradient.

    The user's function gets a copy of the vector in the structure of x0, so it may change or keep its argument.

    Args:
        fun: returns the value and the gradient, or with `jac` the value alone.
        jac: returns the gradient; None if `fun` does.
        args: further arguments of both.
        variables: the layout of x0.

    Attributes:
        evaluations: the number of calls.
        max_evaluations: the limit of calls.
        max_seconds: the limit of the duration, for its message.
        deadline: the time, on the clock of `time.perf_counter`, after which no call starts if `max_seconds` is set.
        request: a stop request from a signal.
        stop: the reason for the last StopEvaluation.
    """

    def __init__(
        self, fun: Callable[..., Any], jac: Callable[..., Any] | None, args: tuple[Any, ...], variables: Variables
    ) -> None:
        self._fun, self._jac, self._args, self._variables = fun, jac, args, variables
        self.evaluations = 0
        self.max_evaluations: int | None = None
        self.max_seconds: float | None = None
        self.deadline = inf
        self.request = StopRequest()
        self.stop: Stop | None = None
        self._has_limits = True

    @contextmanager
    def unlimited(self) -> Iterator[None]:
        """Evaluate without limits and without regard to signals."""
        self._has_limits = False
        try:
            yield
        finally:
            self._has_limits = True

    def __call__(self, vector: Array) -> tuple[float, Array]:
        """Return the value and the gradient at a point.

        Raises:
            StopEvaluation: a limit is reached, or a signal was received.
            ArrayError: the function returns something else than a number and a gradient like x0.
        """
        if self._has_limits:
            self._check_limits()
        self.evaluations += 1
        x = self._variables.unflatten(vector.copy())
        if self._jac is None:
            value, gradient = self._split(self._fun(x, *self._args))
        else:
            value = self._fun(x, *self._args)
            gradient = self._jac(self._variables.unflatten(vector.copy()), *self._args)
        return to_value(value), self._variables.flatten_gradient(gradient)

    def _check_limits(self) -> None:
        if self.max_evaluations is not None and self.evaluations >= self.max_evaluations:
            self.stop = limit_stop("max_evaluations", self.max_evaluations, "evaluation")
        elif self.max_seconds is not None and time.perf_counter() >= self.deadline:
            self.stop = limit_stop("max_seconds", self.max_seconds, "second")
        elif not self.request.signal:
            return
        raise StopEvaluation

    def _split(self, returned: Any) -> tuple[Any, Any]:
        if isinstance(returned, tuple | list) and len(returned) == 2:
            return returned[0], returned[1]
        got = f"{len(returned)} values" if isinstance(returned, tuple | list) else describe_argument(returned)
        raise ArrayTypeError(f"fun must return (value, gradient), got {got}; a gradient function goes to jac=")


def to_value(value: Any) -> float:
    """Return the value of a function as a float; it may be a number or an array of one element of any library.

    >>> to_value([1.0, 2.0])
    Traceback (most recent call last):
    mxtrain.errors.ArrayTypeError: the value of fun must be one real number, got a list
    """
    if isinstance(value, float):
        return float(value)
    is_number = hasattr(value, "__float__") and not isinstance(value, complex | str)
    if is_number and getattr(getattr(value, "dtype", None), "kind", "f") != "c":
        size = getattr(value, "size", 1)
        if callable(size) or size == 1:  # a method in torch, whose __float__ refuses several elements
            try:
                return float(value.item() if hasattr(value, "item") else value)
            except (TypeError, ValueError, RuntimeError, OverflowError):
                pass
        else:
            raise ArrayTypeError(f"the value of fun must be one real number, got an array of shape {value.shape}")
    raise ArrayTypeError(f"the value of fun must be one real number, got {describe_argument(value)}")
