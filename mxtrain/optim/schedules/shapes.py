"""Schedules of several pieces: linear, polynomial, restarts, inverse square root, stable phase, interpolated values."""

from bisect import bisect_right
from collections.abc import Iterator
from math import cos, log, pi, sqrt
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mxtrain.errors import ConfigError, ConfigProblem
from mxtrain.optim.schedules.decays import check_increasing
from mxtrain.optim.schedules.lengths import AnyTime, RunLength
from mxtrain.optim.schedules.rate_schedule import DecayingSchedule, RateSchedule, numeric_length
from mxtrain.types import AtLeastOne, Bounds, Finite, ListAsTuple, NonNegative, Positive, field_error


class Linear(DecayingSchedule):
    """Straight line from η to the last value: `value(t) = η·(s + α·(1-s))` with `s = 1 - t/T`; constant from T on.

    Args:
        η: learning rate at `t = 0`, above 0; the default is that of the optimizer.
        T: number of epochs or iterations of the change, at least 1, not counting the warm-up; or `run`, or `run/N`.
        α: last value as a fraction of η, from 0 to 1.
        end: last value, in place of α; it may exceed η.
        per, warmup: as for every schedule.

    Example:
        >>> [round(Linear(η=0.1, T=4, end=0.3).value(t), 3) for t in range(6)]
        [0.1, 0.15, 0.2, 0.25, 0.3, 0.3]

    Source: `optax.linear_schedule`; `torch.optim.lr_scheduler.LinearLR`, whose `start_factor` is 1/3 by default, and
    whose values are fractions of the optimizer's.
    """

    kind: Literal["linear"] = "linear"

    def after_warmup(self, η: float, t: float) -> float:
        """`η·(s + α·(1-s))`."""
        T = numeric_length(self, self.T)
        return self.between(η, 1 - t / T) if t < T else self.last_value(η)


class Polynomial(DecayingSchedule):
    """Polynomial from η to the last value: `value(t) = η·(s + α·(1-s))` with `s = (1 - t/T)^p`; constant from T on.

    Args:
        η: learning rate at `t = 0`, above 0; the default is that of the optimizer.
        T: number of epochs or iterations of the change, at least 1, not counting the warm-up; or `run`, or `run/N`.
        p: exponent, above 0; with 1, the schedule is `linear`.
        α: last value as a fraction of η, from 0 to 1.
        end: last value, in place of α; it may exceed η.
        per, warmup: as for every schedule.

    Example:
        >>> [round(Polynomial(η=0.1, T=4, p=2).value(t), 5) for t in range(6)]
        [0.1, 0.05625, 0.025, 0.00625, 0.0, 0.0]

    Source: `optax.polynomial_schedule`; `torch.optim.lr_scheduler.PolynomialLR` and Keras's `PolynomialDecay`, which
    ends at 1e-4 by default and may begin again (`cycle`).
    """

    kind: Literal["polynomial"] = "polynomial"
    p: Positive = 1.0

    def after_warmup(self, η: float, t: float) -> float:
        """`η·(s + α·(1-s))`."""
        T = numeric_length(self, self.T)
        return self.between(η, float((1 - t / T) ** self.p)) if t < T else self.last_value(η)


class CosineRestarts(DecayingSchedule):
    """Cosine annealing with warm restarts (SGDR).

    Cycle i lasts `T·T_multⁱ`, begins at `ηᵢ = η·γⁱ`, and ends at the last value. In it,
    `value = ηᵢ·(s + α·(1-s))` with `s = (1 + cos(π·u)) / 2`, where u is the share of the cycle that is finished.

    Args:
        η: learning rate at the start of the first cycle, above 0; the default is that of the optimizer.
        T: length of the first cycle, at least 1, not counting the warm-up; or `run`, or `run/N`.
        T_mult: factor of the length of each further cycle, at least 1.
        γ: factor of η at each restart, above 0 and at most 1.
        α: value at the end of a cycle as a fraction of that at its start, from 0 to 1.
        end: value at the end of a cycle, in place of α.
        per, warmup: as for every schedule.

    Example:
        >>> [round(CosineRestarts(η=0.1, T=2, T_mult=2).value(t), 3) for t in range(8)]
        [0.1, 0.05, 0.1, 0.085, 0.05, 0.015, 0.1, 0.096]

    Source: Loshchilov and Hutter, "SGDR" (ICLR 2017), arXiv:1608.03983;
    `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`, whose `T_mult` is whole and whose `eta_min` is `end`;
    Keras's `CosineDecayRestarts`, with `t_mul` (2 by default) and `m_mul`, which is γ; timm's `CosineLRScheduler`,
    whose `cycle_decay` is γ, and which by default ends after one cycle (`cycle_limit`).
    """

    kind: Literal["cosine_restarts"] = "cosine_restarts"
    T_mult: AtLeastOne = 1.0
    γ: Annotated[float, Bounds(gt=0, le=1)] = 1.0

    def after_warmup(self, η: float, t: float) -> float:
        """`ηᵢ·(s + α·(1-s))`."""
        cycle, share = _cycle(t, numeric_length(self, self.T), self.T_mult)
        return self.between(η * float(self.γ**cycle), (1 + cos(pi * share)) / 2)


def _cycle(t: float, T: float, factor: float) -> tuple[int, float]:
    """Return the number of the cycle at a time, 0 for the first, and the share of it that is finished.

    >>> _cycle(5, 2, 1), _cycle(4, 2, 2), _cycle(6, 2, 2)
    ((2, 0.5), (1, 0.5), (2, 0.0))
    """
    if factor == 1:
        cycle = int(t // T)
        return cycle, (t - cycle * T) / T
    # T·(factorⁱ - 1)/(factor - 1) is the start of cycle i; the logarithm may miss i by one.
    cycle = max(int(log(t / T * (factor - 1) + 1) / log(factor)) - 1, 0)
    while t >= _start(cycle + 1, T, factor):
        cycle += 1
    start = _start(cycle, T, factor)
    return cycle, (t - start) / (_start(cycle + 1, T, factor) - start)


def _start(cycle: int, T: float, factor: float) -> float:
    return float(T * (factor**cycle - 1) / (factor - 1))


class InverseSqrt(RateSchedule):
    """Inverse square root: `value(t) = η·√(s / (t + s))`, where s is the timescale.

    With the default timescale, `warmup + 1`, warm-up and decay together are the schedule of the transformer: at update
    n, with `w = warmup + 1`, the value is `η·min(n/w, √(w/n))`.

    Args:
        η: learning rate at `t = 0`, above 0; the default is that of the optimizer.
        timescale: s, above 0: the number of epochs or iterations after which η is divided by √2; by default
            `warmup + 1`. Required for `per: fraction`.
        per, warmup: as for every schedule.

    Example:
        >>> [round(InverseSqrt(η=0.1, warmup=3).value(t), 3) for t in (0, 1, 2, 3, 15, 63)]
        [0.025, 0.05, 0.075, 0.1, 0.05, 0.025]

    Source: Vaswani et al., "Attention Is All You Need" (NeurIPS 2017), arXiv:1706.03762, equation 3, where η is
    `1/√(d·w)`. PyTorch, Optax and Keras have none of their own.
    """

    has_known_values: ClassVar = True
    kind: Literal["inverse_sqrt"] = "inverse_sqrt"
    timescale: Positive | None = None

    @model_validator(mode="after")
    def _check_timescale(self) -> Self:
        if self.timescale is None and self.per == "fraction":
            raise field_error("timescale", "required for per: fraction, such as 0.1")
        return self

    def after_warmup(self, η: float, t: float) -> float:
        """`η·√(s / (t + s))`."""
        s = self.warmup + 1 if self.timescale is None else self.timescale
        return η * sqrt(s / (t + s))


class WarmupStableDecay(DecayingSchedule):
    """Warm-up, stable phase and decay (WSD): η, and from `T - decay` to T a decay to the last value.

    Args:
        η: learning rate of the stable phase, above 0; the default is that of the optimizer.
        T: number of epochs or iterations of the stable phase and the decay together; or `run`, or `run/N`.
        decay: length of the decay, at most T; or `run/N` for one N-th of the run after the warm-up.
        shape: course of the decay, where u rises from 0 to 1: `linear`, a share of η of `1 - u`; `sqrt`, `1 - √u`;
            `cosine`, `(1 + cos(π·u)) / 2`.
        α: last value as a fraction of η, from 0 to 1.
        end: last value, in place of α.
        per, warmup: as for every schedule.

    Example:
        >>> [round(WarmupStableDecay(η=0.1, warmup=1, T=6, decay=2).value(t), 3) for t in range(9)]
        [0.05, 0.1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.0, 0.0]

    Source: Hu et al., "MiniCPM" (2024), arXiv:2404.06395; `sqrt`: Hägele et al., "Scaling Laws and Compute-Optimal
    Training Beyond Fixed Training Durations" (NeurIPS 2024), arXiv:2405.18392. PyTorch, Optax and Keras have none; it
    is a `join` of constant and decaying schedules there.
    """

    lengths: ClassVar = ("T", "decay")
    kind: Literal["warmup_stable_decay"] = "warmup_stable_decay"
    decay: RunLength
    shape: Literal["linear", "sqrt", "cosine"] = "linear"

    @model_validator(mode="after")
    def _check_decay(self) -> Self:
        if not isinstance(self.T, str) and not isinstance(self.decay, str) and self.decay > self.T:
            raise field_error("decay", f"must be at most T, {self.T}, got {self.decay}")
        return self

    def _for_length(self, left: float, iterations: int, path: str) -> Self:
        resolved = super()._for_length(left, iterations, path)
        if resolved.decay > resolved.T:  # type: ignore[operator]
            message = f"must be at most T, which is {resolved.T} in this run, got {self.decay}"
            raise ConfigError([ConfigProblem(f"{path}.decay", message)])
        return resolved

    def after_warmup(self, η: float, t: float) -> float:
        """η, then the decay."""
        T, decay = numeric_length(self, self.T), numeric_length(self, self.decay)
        if t >= T:
            return self.last_value(η)
        u = (t - (T - decay)) / decay
        if u <= 0:
            return η
        share = {"linear": 1 - u, "sqrt": 1 - sqrt(u), "cosine": (1 + cos(pi * u)) / 2}[self.shape]
        return self.between(η, share)


class Piecewise(RateSchedule):
    """Values at times, and interpolation between them; constant after the last.

    Before the first time, values are interpolated from η at `t = 0`.

    Args:
        η: learning rate at `t = 0`, above 0; the default is that of the optimizer.
        times: numbers of epochs or iterations, or fractions of the run, increasing, counted from the end of the
            warm-up.
        values: the value at each time.
        factors: in place of `values`, the factor of η at each time.
        interpolate: `linear`; `cosine`, half a period of a cosine between two values; or `none`, each value from its
            time to the next.
        per, warmup: as for every schedule.

    Example:
        >>> [round(Piecewise(η=0.1, times=[2, 4], values=[0.2, 0.0]).value(t), 3) for t in range(6)]
        [0.1, 0.15, 0.2, 0.1, 0.0, 0.0]

    Source: `optax.piecewise_interpolate_schedule` and `piecewise_constant_schedule`, whose factors multiply the value
    before, while `factors` multiply η.
    """

    has_known_values: ClassVar = True
    kind: Literal["piecewise"] = "piecewise"
    times: Annotated[tuple[AnyTime, ...], ListAsTuple, Field(min_length=1)]
    values: Annotated[tuple[Finite, ...], ListAsTuple] | None = None
    factors: Annotated[tuple[NonNegative, ...], ListAsTuple] | None = None
    interpolate: Literal["linear", "cosine", "none"] = "linear"

    @model_validator(mode="after")
    def _check_points(self) -> Self:
        check_increasing("times", self.times, "time")
        if self.values is not None and self.factors is not None:
            raise field_error("factors", "values are set too; keep one of the two")
        name, numbers = ("values", self.values) if self.factors is None else ("factors", self.factors)
        if numbers is None:
            raise field_error("values", "required; one value for each time, as in [0.1, 0.01]")
        if len(numbers) != len(self.times):
            raise field_error(name, f"must have one item for each of the {len(self.times)} times, got {len(numbers)}")
        return self

    def _points(self, η: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the times and the values, from 0 on."""
        values = self.values if self.factors is None else tuple(η * factor for factor in self.factors)
        assert values is not None, "checked when the config was validated"
        return (self.times, values) if self.times[0] == 0 else ((0, *self.times), (η, *values))

    def after_warmup(self, η: float, t: float) -> float:
        """The interpolated value."""
        times, values = self._points(η)
        i = bisect_right(times, t) - 1
        if i == len(times) - 1 or self.interpolate == "none":
            return values[i]
        u = (t - times[i]) / (times[i + 1] - times[i])
        share = u if self.interpolate == "linear" else (1 - cos(pi * u)) / 2
        return values[i] + (values[i + 1] - values[i]) * share

    def extremes_after_warmup(self, η: float) -> Iterator[tuple[str, float]]:
        """Yield η and the values."""
        _, values = self._points(η)
        name = "values" if self.factors is None else "factors"
        skipped = len(values) - len(self.times)
        if skipped or self.warmup:
            yield "η", η
        yield from ((f"{name}.{i}", value) for i, value in enumerate(values[skipped:]))


SHAPES: tuple[type[RateSchedule], ...] = (Linear, Polynomial, CosineRestarts, InverseSqrt, WarmupStableDecay, Piecewise)
"""The schedules of this file, in its order."""
