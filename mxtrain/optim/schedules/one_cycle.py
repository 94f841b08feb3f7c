"""The one-cycle policy, which changes the learning rate and the momentum together."""

from collections.abc import Iterator
from math import cos, pi
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from mxtrain.optim.schedules.lengths import RunLength
from mxtrain.optim.schedules.rate_schedule import RateSchedule, numeric_length
from mxtrain.types import Decay, OpenUnit, Positive, field_error


class OneCycle(RateSchedule):
    """One-cycle policy: η rises from `η/start` to η and falls to `η/(start·final)`, while the momentum falls and rises.

    With T iterations, η is reached when `rise·T - 1` iterations are finished, and the last value when `T - 1` are, as
    in PyTorch; then the last values stay. With `per: fraction`, these times are `rise·T` and T.

    The momentum is μ, or β1 in a rule without μ, such as Adam. It is `μ_high` at the ends and `μ_low` where η is
    largest. It counts time like η.

    Args:
        η: largest learning rate, above 0; the default is that of the optimizer.
        T: number of epochs or iterations of the cycle, at least 1; or `run`, or `run/N`.
        rise: share of T in which η rises, above 0 and below 1.
        anneal: `cosine` or `linear`.
        start: the first value is `η/start`, above 0.
        final: the last value is `η/(start·final)`, above 0.
        three_phase: fall back to the first value in as much time as the rise took, and then to the last value.
        cycle_momentum: also change the momentum; the rule needs μ or β1.
        μ_low: momentum where η is largest, at least 0 and below 1.
        μ_high: momentum at the start and at the end, at least 0 and below 1.
        per: as for every schedule; `iteration` gives the smooth course of the paper.
        warmup: must be 0, because the cycle has a rise of its own.

    Example:
        >>> schedule = OneCycle(η=0.1, T=10, anneal="linear", rise=0.3)
        >>> [round(schedule.value(t), 4) for t in range(10)]
        [0.004, 0.052, 0.1, 0.0857, 0.0714, 0.0571, 0.0429, 0.0286, 0.0143, 0.0]
        >>> [round(schedule.momentum(t), 4) for t in range(0, 10, 3)]
        [0.95, 0.8643, 0.9071, 0.95]

    Source: `torch.optim.lr_scheduler.OneCycleLR`, which counts batches, raises an error after T, and has the names
    `max_lr`, `pct_start`, `div_factor`, `final_div_factor`, `base_momentum` (μ_low) and `max_momentum` (μ_high); Smith
    and Topin, "Super-Convergence" (2017), arXiv:1708.07120.
    """

    has_known_values: ClassVar = True
    kind: Literal["one_cycle"] = "one_cycle"
    T: RunLength
    rise: OpenUnit = 0.3
    anneal: Literal["cosine", "linear"] = "cosine"
    start: Positive = 25.0
    final: Positive = 1e4
    three_phase: bool = False
    cycle_momentum: bool = True
    μ_low: Decay = 0.85
    μ_high: Decay = 0.95

    @model_validator(mode="after")
    def _check_phases(self) -> Self:
        if self.warmup:
            raise field_error("warmup", f"must be 0, as one_cycle has a rise of its own; set rise, got {self.warmup}")
        if self.three_phase and self.rise > 0.5:
            raise field_error("rise", f"must be at most 0.5 with three_phase, got {self.rise}")
        return self

    def after_warmup(self, η: float, t: float) -> float:
        """Return the learning rate."""
        first = η / self.start
        return self._in_phase(t, (first, η, first, first / self.final))

    def momentum(self, t: float) -> float:
        """Return the momentum at a time, which counts like that of η."""
        return self._in_phase(t, (self.μ_high, self.μ_low, self.μ_high, self.μ_high))

    def momentum_at(self, time: Any) -> float:
        """Return the momentum at the time of an update (`Time`)."""
        return self.momentum(self.finished(time))

    def _in_phase(self, t: float, values: tuple[float, float, float, float]) -> float:
        """Return a value at a time, from those at the start, at the peak, after the third phase, and at the end."""
        first, peak, third, last = values
        T = numeric_length(self, self.T)
        unit = 0 if self.per == "fraction" else 1
        points = [(0.0, first), (self.rise * T - unit, peak), (T - unit, last)]
        if self.three_phase:
            points.insert(2, (2 * self.rise * T - 2 * unit, third))
        for (begin, before), (end, after) in zip(points, points[1:], strict=False):
            if t <= end:
                return self._anneal(before, after, (t - begin) / (end - begin) if end > begin else 1.0)
        return last

    def _anneal(self, before: float, after: float, u: float) -> float:
        if self.anneal == "linear":
            return (after - before) * u + before
        return after + (before - after) / 2 * (1 + cos(pi * u))

    def extremes_after_warmup(self, η: float) -> Iterator[tuple[str, float]]:
        """Yield the largest, the first and the last value."""
        first = η / self.start
        yield from (("η", η), ("start", first), ("final", first / self.final))
