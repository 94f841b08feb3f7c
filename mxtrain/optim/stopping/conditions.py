"""Config of stop conditions, as `until={...}` gives them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Self

from pydantic import PlainValidator

from mxtrain.errors import ConfigError, ConfigProblem
from mxtrain.types import (
    Config,
    Finite,
    ListAsTuple,
    NonNegative,
    NonNegativeInt,
    Positive,
    PositiveInt,
    describe,
    mismatch_error,
)

CHANGES = ("ftol", "xtol", "patience")
"""Conditions on the change between iterations. A list of stages tests those of `until` in its last stage only."""


def _validate_function(value: Any) -> Callable[[Any], Any]:
    if not callable(value):
        raise mismatch_error("a function of the progress that returns true to stop", value)
    return value  # type: ignore[no-any-return]


class StopConditions(Config):
    """Stop conditions: an optimization ends as soon as one of them holds.

    f is the value, g the gradient and x the point of an iteration k.

    Args:
        gtol: `max|g| <= gtol`, with bounds `max|P(x - g) - x| <= gtol` for the projection P onto the bounds.
        ftol: `|f_k - f_{k+1}| <= ftol·max(|f_k|, |f_{k+1}|, 1)`.
        xtol: `‖x_{k+1} - x_k‖ <= xtol·(xtol + ‖x_{k+1}‖)`, in the Euclidean norm.
        target: `f <= target`.
        max_iterations: number of iterations.
        max_evaluations: number of evaluations of the function; an iteration that needs more is abandoned.
        max_seconds: duration, including the time before a resume; an iteration that takes longer is abandoned.
        patience: number of iterations without a new lowest f.
        when: a function of the `Progress`; true stops.
        all_of: conditions that must hold together, as a list of mappings.

    Example:
        >>> StopConditions(gtol=1e-6, all_of=[{"ftol": 1e-9}, {"gtol": 1e-4}]).gtol
        1e-06
    """

    gtol: NonNegative | None = None
    ftol: NonNegative | None = None
    xtol: NonNegative | None = None
    target: Finite | None = None
    max_iterations: NonNegativeInt | None = None
    max_evaluations: PositiveInt | None = None
    max_seconds: Positive | None = None
    patience: PositiveInt | None = None
    when: Annotated[Callable[[Any], Any] | None, PlainValidator(_validate_function)] = None
    all_of: Annotated[tuple["StopConditions", ...], ListAsTuple] = ()

    @property
    def is_empty(self) -> bool:
        """True if no condition is set, so that nothing would stop."""
        return all(getattr(self, name) in (None, ()) for name in type(self).model_fields)

    def with_defaults(self, defaults: Self) -> Self:
        """Return these conditions, and the defaults of those that were not given; None given switches one off."""
        given = self.model_fields_set
        missing = {name: getattr(defaults, name) for name in defaults.model_fields_set if name not in given}
        return self.model_copy(update=missing)

    def before_last_stage(self) -> Self:
        """Return the conditions that end all stages from any of them: those that test no change of f or x."""
        changes = dict.fromkeys(CHANGES)
        return self.model_copy(update={**changes, "all_of": tuple(e for e in self.all_of if not e.tests_changes)})

    @property
    def tests_changes(self) -> bool:
        """True if a condition tests a change of f or x."""
        own = any(getattr(self, name) is not None for name in CHANGES)
        return own or any(each.tests_changes for each in self.all_of)

    @property
    def tests_steps(self) -> bool:
        """True if a condition needs the length of steps."""
        return self.xtol is not None or any(each.tests_steps for each in self.all_of)


def read_until(until: object, path: str = "until") -> StopConditions:
    """Read stop conditions: a mapping, a function of the progress, StopConditions or None.

    Raises:
        ConfigError: a value is wrong.
    """
    if until is None:
        return StopConditions()
    if isinstance(until, StopConditions):
        return until
    if callable(until):
        return StopConditions(when=until)
    if not isinstance(until, Mapping):
        message = f"must be a mapping of stop conditions or a function, got {describe(until)}"
        raise ConfigError([ConfigProblem(path, message)])
    try:
        return StopConditions(**until)
    except ConfigError as error:
        raise errors_below(path, error) from None


def errors_below(path: str, error: ConfigError, replaced: str = "") -> ConfigError:
    """Return an error whose paths begin with a path, in place of the name of a field."""
    return ConfigError(
        [
            replace(each, path=f"{path}.{each.path.removeprefix(replaced).lstrip('.')}".rstrip("."))
            for each in error.problems
        ]
    )
