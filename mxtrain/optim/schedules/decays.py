"""Learning-rate schedules with one decay: constant, exponential, inverse power, cosine, and steps.

Source: `LearningRate.Fixed`, `.Exp` and `.Inv` of MXNet.jl; those of the other schedules are in their docstrings.
"""

from bisect import bisect_right
from math import cos, pi
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mxtrain.optim.schedules.lengths import LaterTime, RunLength
from mxtrain.optim.schedules.rate_schedule import DecayingSchedule, RateSchedule, numeric_length
from mxtrain.types import ListAsTuple, NonNegative, OpenUnit, field_error


def check_increasing(field: str, times: tuple[float, ...], noun: str) -> None:
    """Refuse times that do not increase.

    Raises:
        PydanticCustomError: names the first one that does not.
    """
    for i, (before, this) in enumerate(zip(times, times[1:], strict=False), start=1):
        if this <= before:
            raise field_error(f"{field}.{i}", f"must be above the previous {noun}, {before}, got {this}")


class Fixed(RateSchedule):
    """Constant learning rate: `value(t) = η`.

    Args:
        η: learning rate, above 0; the default is that of the optimizer.
        per, warmup: as for every schedule.

    Example:
        >>> Fixed(η=0.1).value(7)
        0.1
    """

    has_known_values: ClassVar = True
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

    has_known_values: ClassVar = True
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

    has_known_values: ClassVar = True
    kind: Literal["inv"] = "inv"
    γ: OpenUnit = 0.9
    p: NonNegative = 0.5

    def after_warmup(self, η: float, t: float) -> float:
        """`η·(1 + γ·t)^(-p)`."""
        return η * float((1 + self.γ * t) ** -self.p)


class Cosine(DecayingSchedule):
    """Cosine annealing: `value(t) = η·(s + α·(1-s))` with `s = (1 + cos(π·t/T)) / 2`, and `η·α` from `t = T` on.

    Args:
        η: learning rate at `t = 0`, above 0; the default is that of the optimizer.
        T: number of epochs or iterations of the decay, at least 1, not counting the warm-up; or `run` for the rest of
            the run after the warm-up, or `run/N` for one N-th of it.
        α: fraction of η at the end, from 0 to 1.
        end: value at the end, in place of α; it may exceed η.
        per, warmup: as for every schedule.

    Example:
        >>> [round(Cosine(η=0.1, T=4, α=0.1).value(t), 4) for t in range(6)]
        [0.1, 0.0868, 0.055, 0.0232, 0.01, 0.01]

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (ICLR 2017),
    arXiv:1608.03983, equation 5, without restarts; α for its η_min as a fraction of η.
    """

    kind: Literal["cosine"] = "cosine"

    def after_warmup(self, η: float, t: float) -> float:
        """`η·(s + α·(1-s))`."""
        s = (1 + cos(pi * min(t / numeric_length(self, self.T), 1))) / 2
        return self.between(η, s)


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

    has_known_values: ClassVar = True
    kind: Literal["step"] = "step"
    T: RunLength
    γ: OpenUnit = 0.1

    def after_warmup(self, η: float, t: float) -> float:
        """`η·γ^⌊t/T⌋`."""
        return η * float(self.γ ** (t // numeric_length(self, self.T)))


class MultiStep(RateSchedule):
    """Decay at each milestone: `value(t) = η·γᵏ`, where `k` is the number of milestones up to `t`.

    Args:
        η: learning rate at `t = 0`, above 0; the default is that of the optimizer.
        milestones: numbers of epochs or iterations after which η is multiplied by γ: whole numbers, at least 1,
            or fractions of the run, increasing; counted from the end of the warm-up.
        γ: factor at each milestone, above 0 and below 1.
        per, warmup: as for every schedule.

    Example:
        >>> [round(MultiStep(η=0.1, milestones=[1, 4]).value(t), 4) for t in range(5)]
        [0.1, 0.01, 0.01, 0.01, 0.001]

    Source: `torch.optim.lr_scheduler.MultiStepLR`.
    """

    has_known_values: ClassVar = True
    kind: Literal["multistep"] = "multistep"
    milestones: Annotated[tuple[LaterTime, ...], ListAsTuple, Field(min_length=1)]
    γ: OpenUnit = 0.1

    @model_validator(mode="after")
    def _check_milestones_increase(self) -> Self:
        check_increasing("milestones", self.milestones, "milestone")
        return self

    def after_warmup(self, η: float, t: float) -> float:
        """`η·γᵏ`."""
        return η * float(self.γ ** bisect_right(self.milestones, t))


DECAYS: tuple[type[RateSchedule], ...] = (Fixed, Exp, Inv, Cosine, Step, MultiStep)
"""The schedules of this file, in its order."""
