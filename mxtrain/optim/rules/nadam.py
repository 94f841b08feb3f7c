"""Nadam: Adam with Nesterov momentum and a momentum schedule."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from mxtrain.errors import ScheduleError
from mxtrain.optim.ir import increment, sqrt
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.optim.schedules import MomentumSchedule, momentum
from mxtrain.types import Bounds, Decay, NonNegative, Positive, Stability, describe, field_error

_DEFAULT_SCHEDULE = momentum.Nadam()


class Nadam(Rule):
    """Nadam: Adam with Nesterov momentum and a momentum schedule.

    Slots `m`, `n`, and the scalar slot `Π`, 1 at first; `μₜ`, `μₜ₊₁` are values of the momentum schedule:
    `Π ← Π·μₜ`, `Π' = Π·μₜ₊₁`; `ĝ = g/(1-Π)`, `m ← β1·m + (1-β1)·g`, `m̂ = m/(1-Π')`,
    `n ← β2·n + (1-β2)·(g⊙g)`, `n̂ = n/(1-β2ᵗ)`, `m̄ = (1-μₜ)·ĝ + μₜ₊₁·m̂`, `W ← W + ((-η)·m̄) / (√n̂ + ϵ)`.

    Π depends on all earlier values of the schedule, so it is stored and saved with the slots.

    Args:
        η: learning rate, above 0.
        β1: decay of the first moment, at least 0 and below 1; also the base value of the momentum schedule.
        β2: decay of the second moment, at least 0 and below 1.
        ϵ: stability term, above 0.
        λ: weight decay, on by default, at least 0.
        μ_sched: momentum schedule, with values below 1; the default is `nadam` with μ = β1.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2, dtype="float32"), np.ones(2, dtype="float32")
        >>> mxtrain.build(mxtrain.Nadam(η=0.1)).update(0, g, w)
        >>> w
        array([0.899344, 0.899344], dtype=float32)

    Source: Dozat, "Incorporating Nesterov Momentum into Adam" (ICLR workshop, 2016).
    """

    overflow_bounds: ClassVar = "gradient"
    slots: ClassVar = ("m", "n")
    scalar_slots: ClassVar = {"Π": 1.0}
    scalar_bounds: ClassVar = {"Π": Bounds(ge=0, lt=1)}
    kind: Literal["nadam"] = "nadam"
    η: Positive = 0.001
    β1: Decay = 0.99
    β2: Decay = 0.999
    ϵ: Stability = 1e-8
    λ: NonNegative = 1e-5
    μ_sched: MomentumSchedule | None = None

    @model_validator(mode="after")
    def _check_momentum_below_one(self) -> Self:
        if isinstance(self.μ_sched, momentum.Fixed) and self.μ_sched.μ is not None and self.μ_sched.μ >= 1:
            raise field_error("μ_sched.μ", f"must be below 1 for nadam, got {describe(self.μ_sched.μ)}")
        return self

    def momentum_at(self, iteration: int) -> float:
        """Return μ at an iteration: the value of the schedule, or of `nadam` with μ = β1 without a schedule."""
        μ = (self.μ_sched or _DEFAULT_SCHEDULE).value(iteration, self.β1)
        if μ >= 1:  # the value of a function
            raise ScheduleError(f"optimizer.μ_sched: the value at t = {iteration} must be below 1, got {μ}")
        return μ

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`step = -η`, `μ = μₜ`, `μ_next = μₜ₊₁`, `Π = Π·μₜ`, `Π_next = Π·μₜ₊₁`, `n_correction = 1-β2ᵗ`."""
        μ, μ_next = self.momentum_at(time.iteration), self.momentum_at(time.iteration + 1)
        Π = scalars["Π"] * μ
        return {
            "step": -self.learning_rate_at(time),
            "μ": μ,
            "μ_next": μ_next,
            "Π": Π,
            "Π_next": Π * μ_next,
            "n_correction": 1 - self.β2**time.update,
        }

    @staticmethod
    def update(
        W: Any,
        g: Any,
        m: Any,
        n: Any,
        *,
        step: Any,
        β1: Any,
        β2: Any,
        ϵ: Any,
        μ: Any,
        μ_next: Any,
        Π: Any,
        Π_next: Any,
        n_correction: Any,
    ) -> tuple[Any, ...]:
        """One update."""
        m = β1 * m + (1 - β1) * g
        n = β2 * n + (1 - β2) * (g * g)
        m_bar = (1 - μ) * (g / (1 - Π)) + μ_next * (m / (1 - Π_next))
        return W + increment(step * m_bar / (sqrt(n / n_correction) + ϵ)), m, n
