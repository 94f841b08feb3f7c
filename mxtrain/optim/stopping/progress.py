"""Progress of an optimization, as stop conditions see it."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Progress:
    """Progress of an optimization.

    Attributes:
        iterations: the number of finished iterations.
        evaluations: the number of evaluations of the function.
        seconds: the duration.
        value: the value f at the current point.
        previous_value: the value before the last iteration; None before the second value.
        gradient_norm: the largest absolute element of the gradient, or of the projected gradient.
        step_norm: the Euclidean norm of the last step; NaN if no condition needs it.
        point_norm: a function that returns the Euclidean norm of the current point.
        best_value: the lowest value so far.
        best_iteration: the number of finished iterations when it was found.
    """

    iterations: int = 0
    evaluations: int = 0
    seconds: float = 0.0
    value: float = math.inf
    previous_value: float | None = None
    gradient_norm: float = math.inf
    step_norm: float = math.nan
    point_norm: Callable[[], float] = field(default=lambda: math.nan, repr=False, compare=False)
    best_value: float = math.inf
    best_iteration: int = 0

    def set_value(self, value: float) -> None:
        """Set the value, and update the lowest one."""
        self.value = value
        if value < self.best_value:
            self.best_value, self.best_iteration = value, self.iterations
