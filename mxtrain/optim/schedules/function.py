"""Schedules that are Python functions of time."""

import math
from collections.abc import Callable
from inspect import signature
from numbers import Real
from typing import Annotated, Any, Literal, NoReturn

from pydantic import PlainSerializer, SkipValidation

from mxtrain.errors import ConfigError, ConfigProblem, ScheduleError
from mxtrain.optim.schedules.base import Schedule
from mxtrain.optim.schedules.lengths import Per
from mxtrain.optim.schedules.rate_schedule import RateSchedule
from mxtrain.types import describe


def function_name(function: Callable[..., Any]) -> str:
    """Return the name of a function for messages.

    >>> function_name(math.sqrt), function_name(lambda t: 0.1)
    ('sqrt', '<lambda>')
    """
    return getattr(function, "__name__", None) or type(function).__name__


def is_function(value: Any) -> bool:
    """Return True for a function, or another object that can be called; False for a schedule, or a class."""
    return callable(value) and not isinstance(value, type | Schedule)


AnyFunction = Annotated[SkipValidation[Callable[[float], float]], PlainSerializer(function_name)]


def call_function(function: Callable[[float], Any], t: float) -> float:
    """Return the value of a schedule's function.

    Raises:
        ScheduleError: the function raises an exception, which is the cause of the error, or takes another number of
            arguments, or its value is not a finite number.
    """
    try:
        value = function(t)
    except Exception as error:
        raise ScheduleError(_failure(function, t, error)) from error
    if isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    item = getattr(value, "item", None)  # an array of one number, as NumPy and CuPy functions return
    if item is not None and getattr(value, "shape", None) == ():
        return call_function(lambda _: item(), t)
    raise ScheduleError(f"{function_name(function)}({t}) must be a finite number, got {describe(value)}")


def _failure(function: Callable[..., Any], t: float, error: Exception) -> str:
    """Return the message about a function that raised an exception."""
    name = function_name(function)
    try:
        signature(function).bind(t)
    except TypeError:
        return f"{name}{signature(function)} must take one argument, the time; got {name}({t})"
    except ValueError:  # a built-in function without a signature
        pass
    text = " ".join(str(error).split())
    return f"{name}({t}) raised {type(error).__name__}{f': {text}' if text else ''}"


def _refuse_to_dict(name: str) -> NoReturn:
    message = f"the function {name} cannot be written as plain values; use a schedule with a kind, such as cosine"
    raise ConfigError([ConfigProblem("", message)])


class Function(RateSchedule):
    """Schedule that is a Python function: `value(t) = function(t)`.

    A plain function in the place of a schedule counts finished iterations; `Function` chooses the unit. Each value is
    checked when it is used: a value out of bounds is a ScheduleError, and nothing changes. A function cannot be saved,
    so `fit`, files and `to_dict` refuse it; an optimizer is pickled if the function can be.

    Args:
        function: called with the time `t`; returns the value.
        per: unit of `t`: finished iterations, finished epochs, or the finished fraction of the run.
        warmup: as for every schedule; it needs a value of the rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> optimizer = mxtrain.build({"kind": "sgd", "λ": 0, "η_sched": lambda t: 0.5 / (1 + t)})
        >>> params, grads = {"W": np.zeros(1)}, {"W": np.ones(1)}
        >>> optimizer.step(params, grads); optimizer.step(params, grads)
        >>> params["W"]
        array([-0.75])

    Source: `torch.optim.lr_scheduler.LambdaLR`, whose function returns a factor and counts epochs; the functions of
    Optax, which return the value and count updates, as here.
    """

    kind: Literal["function"] = "function"
    function: AnyFunction
    per: Per = "iteration"

    def after_warmup(self, η: float, t: float) -> float:
        """`function(t)`."""
        return call_function(self.function, t)

    def value_at(self, time: Any, base: float | None) -> float:
        """Return the value at the time of an update (`Time`)."""
        t = self.finished(time)
        return call_function(self.function, t) if t >= self.warmup and self.η is None else self.value(t, base)

    def to_dict(self) -> dict[str, Any]:
        """Refuse: a function is not plain data."""
        _refuse_to_dict(function_name(self.function))


class MomentumFunction(Schedule):
    """Momentum schedule that is a Python function of the current iteration, which is 1 at the first update.

    Args:
        function: called with the iteration; returns the momentum.

    Example:
        >>> import mxtrain
        >>> mxtrain.build({"kind": "sgd", "μ_sched": lambda t: 1 - 1 / (t + 1)}).rule.momentum_at(3)
        0.75
    """

    kind: Literal["function"] = "function"
    function: AnyFunction

    def value(self, t: float, base: float | None = None) -> float:
        """Return the momentum at iteration `t`."""
        try:
            value = call_function(self.function, t)
        except ScheduleError as error:
            raise ScheduleError(f"optimizer.μ_sched: {error}; nothing has changed") from error.__cause__
        if value < 0:
            shown = f"{function_name(self.function)}({t})"
            raise ScheduleError(f"optimizer.μ_sched: {shown} must be at least 0, got {value}; nothing has changed")
        return value

    def to_dict(self) -> dict[str, Any]:
        """Refuse: a function is not plain data."""
        _refuse_to_dict(function_name(self.function))
