"""Time of an update, and numbers that may be called with it."""

from collections.abc import Callable
from typing import Any, NamedTuple, Self


class Time(NamedTuple):
    """Time of an update.

    Args:
        update: the number of this update of this array, 1 at the first.
        iteration: the current iteration, 1 during the first.
        epochs: finished epochs, 0 during the first.
    """

    update: int
    iteration: int
    epochs: int = 0


class ScheduledValue(float):
    """A number that can also be called with a time, for its scheduled value.

    `learning_rate` and `momentum` are names of the fields η and μ, and were methods of rules in earlier versions.
    """

    _value_at: Callable[[Any], float | None]

    def __new__(cls, value: float, value_at: Callable[[Any], float | None]) -> Self:
        """Store the function from a time to the scheduled value."""
        self = super().__new__(cls, value)
        self._value_at = value_at
        return self

    def __call__(self, time: Any) -> float | None:
        """Return the scheduled value."""
        return self._value_at(time)

    def __reduce__(self) -> tuple[type[float], tuple[float]]:
        return float, (float(self),)
