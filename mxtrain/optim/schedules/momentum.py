"""Momentum schedules: pure functions of the iteration count.

Source: `Momentum.Null`, `.Fixed` and `.NadamScheduler` of MXNet.jl; the last from Dozat, "Incorporating Nesterov
Momentum into Adam" (ICLR workshop, 2016).
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, Union

from pydantic import Discriminator, Tag, field_validator

from mxtrain.optim.schedules.base import Schedule, base_value
from mxtrain.types import Decay, NonNegative, UnitInterval

__all__ = ["Fixed", "MomentumSchedule", "Nadam", "Null"]

_DEFAULT_LIMIT = 0.99
"""What the nadam schedule approaches where neither it nor the optimizer has a momentum."""


class Null(Schedule):
    """No momentum: `value(t) = 0`.

    YAML reads the word `null` as nothing at all, so `kind: null` and `kind: "null"` both mean this schedule.

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
        """The momentum at iteration `t`: 0."""
        return 0.0


class Fixed(Schedule):
    """The same momentum all along: `value(t) = μ`.

    Args:
        μ: the momentum, at least 0; left out, the optimizer's own.

    Example:
        >>> Fixed(μ=0.9).value(1)
        0.9
    """

    kind: Literal["fixed"] = "fixed"
    μ: NonNegative | None = None

    def value(self, t: float, base: float | None = None) -> float:
        """The momentum at iteration `t`."""
        return base_value(self, "μ", base)


class Nadam(Schedule):
    """Dozat's warm-up of the momentum: `value(t) = μ·(1 - γ·α^(t·δ))`.

    Args:
        μ: the limit that momentum approaches, at least 0 and below 1; left out, the optimizer's own, or 0.99 where
            it has none.
        δ: how fast it is approached, at least 0.
        γ: the share of μ that is held back at `t = 0`, from 0 to 1.
        α: the base of the exponential, from 0 to 1.

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
        """The momentum at iteration `t`, 1 at the first update."""
        limit = base_value(self, "μ", _DEFAULT_LIMIT if base is None else base)
        return limit * (1 - self.γ * float(self.α ** (t * self.δ)))


def _discriminator(schedule: Any) -> Any:
    if isinstance(schedule, dict):
        return "null" if schedule.get("kind", "") is None else schedule.get("kind")
    return getattr(schedule, "kind", None)


MOMENTUM_SCHEDULES: tuple[type[Schedule], ...] = (Null, Fixed, Nadam)
"""The schedules of this file, in its order."""

if TYPE_CHECKING:
    MomentumSchedule: TypeAlias = Schedule
else:
    _TAGGED = tuple(Annotated[each, Tag(each.model_fields["kind"].default)] for each in MOMENTUM_SCHEDULES)
    MomentumSchedule = Annotated[Union[_TAGGED], Discriminator(_discriminator)]  # noqa: UP007 - built from the list
