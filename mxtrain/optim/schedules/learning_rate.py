"""Learning-rate schedules: pure functions of the number of finished epochs or iterations.

The same kinds schedule other numbers of a rule, in its field `schedules`. To add a kind, write its class in one of the
modules that are imported here, and add it to `RATE_SCHEDULES`.
"""

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, Union

from mxtrain.kinds import KindChoice
from mxtrain.optim.schedules.decays import Cosine, Exp, Fixed, Inv, MultiStep, Step
from mxtrain.optim.schedules.function import Function, is_function
from mxtrain.optim.schedules.join import Join
from mxtrain.optim.schedules.one_cycle import OneCycle
from mxtrain.optim.schedules.plateau import Plateau
from mxtrain.optim.schedules.rate_schedule import RateSchedule
from mxtrain.optim.schedules.shapes import (
    CosineRestarts,
    InverseSqrt,
    Linear,
    Piecewise,
    Polynomial,
    WarmupStableDecay,
)

__all__ = [
    "Cosine",
    "CosineRestarts",
    "Exp",
    "Fixed",
    "Function",
    "Inv",
    "InverseSqrt",
    "Join",
    "LearningRateSchedule",
    "Linear",
    "MultiStep",
    "OneCycle",
    "Piecewise",
    "Plateau",
    "Polynomial",
    "RateSchedule",
    "Step",
    "WarmupStableDecay",
]

RATE_SCHEDULES: tuple[type[RateSchedule], ...] = (
    *(Fixed, Exp, Inv, Cosine, Step, MultiStep),
    *(Linear, Polynomial, CosineRestarts, InverseSqrt, WarmupStableDecay, Piecewise),
    *(OneCycle, Join, Plateau),
)
"""The kinds of schedules, in the order of messages, of the schema and of `mxtrain list`."""


class RateScheduleChoice(KindChoice):
    """Any learning-rate schedule: built in, or defined by the user; also a function."""

    base = RateSchedule
    builtin = RATE_SCHEDULES

    @classmethod
    def validate(cls, value: Any) -> Any:
        """Return the schedule for a mapping with a kind, a schedule or a function."""
        return Function(function=value) if is_function(value) else super().validate(value)


if TYPE_CHECKING:
    LearningRateSchedule: TypeAlias = RateSchedule
else:
    LearningRateSchedule = Annotated[Union[RATE_SCHEDULES], RateScheduleChoice]  # noqa: UP007 - built from the list
