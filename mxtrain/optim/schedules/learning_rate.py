"""Learning-rate schedules: pure functions of the number of finished epochs or iterations.

To add a schedule, write its class here and add its name to `__all__`.

Source: `LearningRate.Fixed`, `.Exp` and `.Inv` of MXNet.jl; those of the other schedules are in their docstrings.
"""

import re
from abc import abstractmethod
from bisect import bisect_right
from dataclasses import dataclass
from math import cos, pi
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias, final

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import core_schema

from mxtrain.errors import ConfigError, ConfigProblem
from mxtrain.kinds import KindChoice
from mxtrain.optim.schedules.base import Schedule, base_value
from mxtrain.types import (
    Bounds,
    ListAsTuple,
    NonNegative,
    NonNegativeInt,
    OpenUnit,
    Positive,
    PositiveInt,
    UnitInterval,
    field_error,
    mismatch_error,
)

__all__ = ["Cosine", "Exp", "Fixed", "Inv", "LearningRateSchedule", "MultiStep", "RateSchedule", "Step"]

_RUN_PATTERN = re.compile(r"run(?:/([1-9]\d{0,8}))?")


@dataclass(frozen=True, slots=True)
class _RunLengthBounds(Bounds):
    """A count, or `run` for the length of the run, or `run/N` for one N-th of it."""

    def __str__(self) -> str:
        return f"{Bounds.__str__(self)}, run or run/N"

    def check(self, value: object) -> Any:
        if isinstance(value, str):
            if _RUN_PATTERN.fullmatch(value):
                return value
            raise mismatch_error(str(self), value)
        return Bounds.check(self, value)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        number = Bounds.__get_pydantic_json_schema__(self, schema, handler)
        return {"anyOf": [number, {"type": "string", "pattern": f"^{_RUN_PATTERN.pattern}$"}]}


RunLength = Annotated[int | str, _RunLengthBounds(ge=1, whole=True, ceiling=2**31 - 1)]


def resolve_length(length: int | str, run: int) -> int:
    """Return a length as a number, in a run of `run` epochs or iterations; a fraction is rounded up.

    >>> resolve_length(7, 20), resolve_length("run", 20), resolve_length("run/3", 20)
    (7, 20, 7)
    """
    if isinstance(length, int):
        return length
    match = _RUN_PATTERN.fullmatch(length)
    assert match, "checked when the config was validated"
    return -(-run // int(match[1] or 1))


Per = Literal["epoch", "iteration"]


class RateSchedule(Schedule):
    """Base class of learning-rate schedules, with a linear warm-up.

    `value(t) = η·(t + 1) / (warmup + 1)` while `t < warmup`; in the formulas of the schedules, `t` counts from the end
    of the warm-up. The warm-up starts above 0, and reaches η at its end.

    Args:
        η: learning rate at the end of the warm-up, above 0; the default is that of the optimizer.
        per: unit of `t` and `warmup`: finished epochs or finished iterations.
        warmup: number of epochs or iterations of the warm-up, in which η rises in equal steps; at least 0, which means
            no warm-up.

    Example:
        >>> [round(Cosine(η=0.1, T=2, warmup=3).value(t), 3) for t in range(7)]
        [0.025, 0.05, 0.075, 0.1, 0.05, 0.0, 0.0]

    Source: the "gradual warmup" of Goyal et al., "Accurate, Large Minibatch SGD" (2017), arXiv:1706.02677, section 2.2.
    """

    kind: str
    η: Positive | None = None
    per: Per = "epoch"
    warmup: NonNegativeInt = 0

    @property
    def run_length(self) -> str | None:
        """`run` or `run/N` if T depends on the length of the run; None otherwise."""
        T = getattr(self, "T", None)
        return T if isinstance(T, str) else None

    def for_run(self, epochs: int, batches: int) -> Self:
        """Return the schedule with T as a number, for a run.

        Args:
            epochs: the number of epochs.
            batches: the number of batches in an epoch.

        Raises:
            ConfigError: the warm-up takes the whole run.
        """
        if self.run_length is None:
            return self
        length = epochs if self.per == "epoch" else epochs * batches
        if self.warmup >= length:
            message = (
                f"must be below the {self.per}s of the run, {length}, as T is {self.run_length}, got {self.warmup}"
            )
            raise ConfigError([ConfigProblem("optimizer.η_sched.warmup", message)])
        return self.model_copy(update={"T": resolve_length(self.run_length, length - self.warmup)})

    @final
    def value(self, t: float, base: float | None = None) -> float:
        """Return the learning rate after `t` finished epochs or iterations."""
        η = base_value(self, "η", base)
        return η * ((t + 1) / (self.warmup + 1)) if t < self.warmup else self.after_warmup(η, t - self.warmup)

    @abstractmethod
    def after_warmup(self, η: float, t: float) -> float:
        """Return the learning rate `t` epochs or iterations after the warm-up, which ends at `η`."""


def _numeric_length(schedule: RateSchedule, T: int | str) -> int:
    if isinstance(T, int):
        return T
    name = type(schedule).__name__
    raise ValueError(
        f"{name}.value needs a number: T is {T!r}, and the length of the run is unknown; "
        f"give a number, as in {name}(T=20), or call for_run(epochs, batches)"
    )


class Fixed(RateSchedule):
    """Constant learning rate: `value(t) = η`.

    Args:
        η: learning rate, above 0; the default is that of the optimizer.
        per, warmup: as for every schedule.

    Example:
        >>> Fixed(η=0.1).value(7)
        0.1
    """

    kind: Literal["fixed"] = "fixed"

    def after_warmup(self, η: float, t: float) -> float:
        """`η`."""
        return η


class Exp(RateSchedule):
    """Exponential decay: `value(t) = η·γᵗ`.

    Args:
        η: learning rate at `t = 0`, above 0; the default is that of the optimizer.
        γ: factor of each epoch or iteration, above 0 and below 1.
        per, warmup: as for every schedule.

    Example:
        >>> [Exp(η=0.1, γ=0.5).value(t) for t in range(3)]
        [0.1, 0.05, 0.025]
    """

    kind: Literal["exp"] = "exp"
    γ: OpenUnit = 0.9

    def after_warmup(self, η: float, t: float) -> float:
        """`η·γᵗ`."""
        return η * float(self.γ**t)


class Inv(RateSchedule):
    """Inverse-power decay: `value(t) = η·(1 + γ·t)^(-p)`.

    Args:
        η: learning rate at `t = 0`, above 0; the default is that of the optimizer.
        γ: rate of the decay, above 0 and below 1.
        p: exponent, at least 0.
        per, warmup: as for every schedule.

    Example:
        >>> Inv(η=0.1, γ=0.5, p=1).value(2)
        0.05
    """

    kind: Literal["inv"] = "inv"
    γ: OpenUnit = 0.9
    p: NonNegative = 0.5

    def after_warmup(self, η: float, t: float) -> float:
        """`η·(1 + γ·t)^(-p)`."""
        return η * float((1 + self.γ * t) ** -self.p)


class Cosine(RateSchedule):
    """Cosine annealing: `value(t) = η·(s + α·(1-s))` with `s = (1 + cos(π·t/T)) / 2`, and `η·α` from `t = T` on.

    Args:
        η: learning rate at `t = 0`, above 0; the default is that of the optimizer.
        T: number of epochs or iterations of the decay, at least 1, not counting the warm-up; or `run` for the rest of
            the run after the warm-up, or `run/N` for one N-th of it.
        α: fraction of η at the end, from 0 to 1.
        per, warmup: as for every schedule.

    Example:
        >>> [round(Cosine(η=0.1, T=4, α=0.1).value(t), 4) for t in range(6)]
        [0.1, 0.0868, 0.055, 0.0232, 0.01, 0.01]

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (ICLR 2017),
    arXiv:1608.03983, equation 5, without restarts; α for its η_min as a fraction of η.
    """

    kind: Literal["cosine"] = "cosine"
    T: RunLength
    α: UnitInterval = 0.0

    def after_warmup(self, η: float, t: float) -> float:
        """`η·(s + α·(1-s))`."""
        s = (1 + cos(pi * min(t / _numeric_length(self, self.T), 1))) / 2
        return η * (s + self.α * (1 - s))


class Step(RateSchedule):
    """Decay at regular intervals: `value(t) = η·γ^⌊t/T⌋`.

    Args:
        η: learning rate at `t = 0`, above 0; the default is that of the optimizer.
        T: number of epochs or iterations between two steps, at least 1; or `run/N` for one N-th of the run after the
            warm-up, so that there are N - 1 steps; with `run` there are none.
        γ: factor of each step, above 0 and below 1.
        per, warmup: as for every schedule.

    Example:
        >>> [round(Step(η=0.1, T=2).value(t), 4) for t in range(5)]
        [0.1, 0.1, 0.01, 0.01, 0.001]

    Source: `torch.optim.lr_scheduler.StepLR`.
    """

    kind: Literal["step"] = "step"
    T: RunLength
    γ: OpenUnit = 0.1

    def after_warmup(self, η: float, t: float) -> float:
        """`η·γ^⌊t/T⌋`."""
        return η * float(self.γ ** (t // _numeric_length(self, self.T)))


class MultiStep(RateSchedule):
    """Decay at each milestone: `value(t) = η·γᵏ`, where `k` is the number of milestones up to `t`.

    Args:
        η: learning rate at `t = 0`, above 0; the default is that of the optimizer.
        milestones: numbers of epochs or iterations after which η is multiplied by γ: whole numbers, at least 1,
            increasing; counted from the end of the warm-up.
        γ: factor at each milestone, above 0 and below 1.
        per, warmup: as for every schedule.

    Example:
        >>> [round(MultiStep(η=0.1, milestones=[1, 4]).value(t), 4) for t in range(5)]
        [0.1, 0.01, 0.01, 0.01, 0.001]

    Source: `torch.optim.lr_scheduler.MultiStepLR`.
    """

    kind: Literal["multistep"] = "multistep"
    milestones: Annotated[tuple[PositiveInt, ...], ListAsTuple, Field(min_length=1)]
    γ: OpenUnit = 0.1

    @model_validator(mode="after")
    def _check_milestones_increase(self) -> Self:
        for i, (before, this) in enumerate(zip(self.milestones, self.milestones[1:], strict=False), start=1):
            if this <= before:
                raise field_error(f"milestones.{i}", f"must be above the previous milestone, {before}, got {this}")
        return self

    def after_warmup(self, η: float, t: float) -> float:
        """`η·γᵏ`."""
        return η * float(self.γ ** bisect_right(self.milestones, t))


RATE_SCHEDULES: tuple[type[RateSchedule], ...] = tuple(RateSchedule.__subclasses__())
"""The schedules of this file, in its order."""

if TYPE_CHECKING:
    LearningRateSchedule: TypeAlias = RateSchedule
else:

    class LearningRateSchedule(KindChoice):
        """Any learning-rate schedule: built in, or defined by the user."""

        base = RateSchedule
        builtin = RATE_SCHEDULES
