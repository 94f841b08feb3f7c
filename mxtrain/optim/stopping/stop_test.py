"""Evaluation of stop conditions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from mxtrain.errors import ArrayTypeError
from mxtrain.formatting import format_count
from mxtrain.optim.stopping.conditions import StopConditions
from mxtrain.optim.stopping.progress import Progress
from mxtrain.types import describe


@dataclass(frozen=True, slots=True)
class Stop:
    """Reason why an optimization ended.

    Attributes:
        message: the condition that held, on one line.
        success: True if a condition of convergence held; False for a limit, or if a callback ended a loop.
    """

    message: str
    success: bool = True


Test: TypeAlias = Callable[[Progress], Stop | None]


class StopTest:
    """Stop conditions as one function of the progress.

    Args:
        conditions: the conditions.

    Example:
        >>> test = StopTest(StopConditions(max_iterations=10, target=0.5))
        >>> test(Progress(iterations=3, value=0.75)) is None
        True
        >>> test(Progress(iterations=4, value=0.25))
        Stop(message='target: the value 0.25 is at most 0.5', success=True)
    """

    def __init__(self, conditions: StopConditions) -> None:
        self._tests = tuple(_tests(conditions))

    def __call__(self, progress: Progress) -> Stop | None:
        """Return the first condition that holds; None if none does."""
        for test in self._tests:
            found = test(progress)
            if found is not None:
                return found
        return None


def _tests(conditions: StopConditions) -> Iterator[Test]:
    """Yield a function for each condition that is set: convergence first, then limits."""
    tolerances = {"gtol": _gradient_test, "target": _target_test, "ftol": _value_test, "xtol": _step_test}
    for name, make in tolerances.items():
        if (bound := getattr(conditions, name)) is not None:
            yield make(bound)
    if conditions.patience is not None:
        yield _patience_test(conditions.patience)
    if conditions.when is not None:
        yield _function_test(conditions.when)
    if conditions.all_of:
        yield _joint_test([StopTest(each) for each in conditions.all_of])
    limits = {
        "max_iterations": ("iterations", "iteration"),
        "max_evaluations": ("evaluations", "evaluation"),
        "max_seconds": ("seconds", "second"),
    }
    for name, (counter, unit) in limits.items():
        if (bound := getattr(conditions, name)) is not None:
            yield _limit_test(name, counter, unit, bound)


def _gradient_test(bound: float) -> Test:
    def test(progress: Progress) -> Stop | None:
        if not progress.gradient_norm <= bound:
            return None
        return Stop(f"gtol: the largest element of the gradient, {progress.gradient_norm:.3g}, is at most {bound:g}")

    return test


def _target_test(bound: float) -> Test:
    def test(progress: Progress) -> Stop | None:
        return Stop(f"target: the value {progress.value:g} is at most {bound:g}") if progress.value <= bound else None

    return test


def _value_test(bound: float) -> Test:
    def test(progress: Progress) -> Stop | None:
        before, after = progress.previous_value, progress.value
        if before is None or progress.iterations == 0:
            return None
        if not abs(before - after) <= bound * max(abs(before), abs(after), 1.0):
            return None
        return Stop(f"ftol: the relative change of the value is at most {bound:g}")

    return test


def _step_test(bound: float) -> Test:
    def test(progress: Progress) -> Stop | None:
        if progress.iterations == 0 or not progress.step_norm <= bound * (bound + progress.point_norm()):
            return None
        return Stop(f"xtol: the relative length of the step is at most {bound:g}")

    return test


def _patience_test(patience: int) -> Test:
    def test(progress: Progress) -> Stop | None:
        if progress.iterations - progress.best_iteration < patience:
            return None
        return Stop(f"patience: no lower value than {progress.best_value:g} in {format_count(patience, 'iteration')}")

    return test


def _function_test(function: Callable[[Progress], object]) -> Test:
    def test(progress: Progress) -> Stop | None:
        if progress.iterations == 0:
            return None
        returned = function(progress)
        try:
            is_met = bool(returned)
        except ValueError:  # an array of several elements has no truth value
            raise ArrayTypeError(f"until.when must return true or false, got {describe(returned)}") from None
        return Stop(f"when: {getattr(function, '__name__', 'the function')} returned true") if is_met else None

    return test


def _joint_test(tests: list[StopTest]) -> Test:
    def test(progress: Progress) -> Stop | None:
        found = [stop for each in tests if (stop := each(progress)) is not None]
        if len(found) < len(tests):
            return None
        return Stop(" and ".join(stop.message for stop in found), any(stop.success for stop in found))

    return test


def _limit_test(name: str, counter: str, unit: str, bound: float) -> Test:
    def test(progress: Progress) -> Stop | None:
        return limit_stop(name, bound, unit) if getattr(progress, counter) >= bound else None

    return test


def limit_stop(name: str, bound: float, unit: str) -> Stop:
    """Return the stop for a limit that is reached.

    >>> limit_stop("max_iterations", 10, "iteration").message
    'max_iterations: the limit of 10 iterations is reached'
    """
    count = format_count(bound, unit) if isinstance(bound, int) else f"{bound:g} {unit}s"
    return Stop(f"{name}: the limit of {count} is reached", success=False)
