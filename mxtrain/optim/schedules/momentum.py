"""Momentum schedules: pure functions of the iteration count.

Source: `Momentum.Null`, `.Fixed` and `.NadamScheduler` of MXNet.jl; the last from Dozat, "Incorporating Nesterov
Momentum into Adam" (ICLR workshop, 2016).
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, Union

from pydantic import Discriminator, Tag, field_validator

from mxtrain.kinds import KindChoice
from mxtrain.optim.schedules.base import Schedule, base_value
from mxtrain.optim.schedules.function import MomentumFunction, is_function
from mxtrain.optim.schedules.rate_schedule import RateSchedule
from mxtrain.types import Decay, NonNegative, UnitInterval

__all__ = ["Fixed", "MomentumFunction", "MomentumSchedule", "Nadam", "Null"]

_DEFAULT_LIMIT = 0.99
"""Limit of the `nadam` schedule if neither the schedule nor the optimizer has a momentum."""


class Null(Schedule):
    """No momentum: `value(t) = 0`.

    YAML reads the word `null` as a missing value, so `kind: null` and `kind: "null"` both mean this schedule.

    Example:
        >>> Null().value(1)
        0.0
    """

    kind: Literal["null"] = "null"

    @field_validator("kind", mode="before")
    @classmethod
    def _none_to_null(cls, value: Any) -> Any:
        return "null" if value is None else value

    def value(self, t: float, base: float | None = None) -> float:
        """Return the momentum at iteration `t`: 0."""
        return 0.0


class Fixed(Schedule):
    """Constant momentum: `value(t) = μ`.

    Args:
        μ: momentum, at least 0; the default is that of the optimizer.

    Example:
        >>> Fixed(μ=0.9).value(1)
        0.9
    """

    kind: Literal["fixed"] = "fixed"
    μ: NonNegative | None = None

    def value(self, t: float, base: float | None = None) -> float:
        """Return the momentum at iteration `t`."""
        return base_value(self, "μ", base)


class Nadam(Schedule):
    """Momentum warm-up of Dozat: `value(t) = μ·(1 - γ·α^(t·δ))`.

    Args:
        μ: limit of the momentum, at least 0 and below 1; the default is the momentum of the optimizer, or 0.99 without
            one.
        δ: rate of the approach, at least 0.
        γ: fraction of μ that is missing at `t = 0`, from 0 to 1.
        α: base of the exponential, from 0 to 1.

    Example:
        >>> round(Nadam().value(1), 6)
        0.495081
    """

    kind: Literal["nadam"] = "nadam"
    μ: Decay | None = None
    δ: NonNegative = 0.004
    γ: UnitInterval = 0.5
    α: UnitInterval = 0.96

    def value(self, t: float, base: float | None = None) -> float:
        """Return the momentum at iteration `t`, which is 1 at the first update."""
        limit = base_value(self, "μ", _DEFAULT_LIMIT if base is None else base)
        return limit * (1 - self.γ * float(self.α ** (t * self.δ)))


def _discriminator(schedule: Any) -> Any:
    if isinstance(schedule, dict):
        return "null" if schedule.get("kind", "") is None else schedule.get("kind")
    return getattr(schedule, "kind", None)


MOMENTUM_SCHEDULES: tuple[type[Schedule], ...] = (Null, Fixed, Nadam)
"""The schedules of this file, in its order."""


class MomentumScheduleChoice(KindChoice):
    """Any momentum schedule: built in, or defined by the user; also a function."""

    base = Schedule
    builtin = MOMENTUM_SCHEDULES
    excluded = (RateSchedule,)

    @classmethod
    def validate(cls, value: Any) -> Any:
        """Return the schedule for a mapping with a kind, a schedule or a function."""
        return MomentumFunction(function=value) if is_function(value) else super().validate(value)

    @staticmethod
    def _annotation(models: tuple[type[Any], ...]) -> Any:
        tagged = tuple(Annotated[each, Tag(each.model_fields["kind"].default)] for each in models)
        return Annotated[Union[tagged], Discriminator(_discriminator)]  # noqa: UP007 - built from the list


if TYPE_CHECKING:
    MomentumSchedule: TypeAlias = Schedule
else:
    MomentumSchedule = Annotated[Union[MOMENTUM_SCHEDULES], MomentumScheduleChoice]  # noqa: UP007
