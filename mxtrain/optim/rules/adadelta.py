"""AdaDelta: steps from the ratio of two running averages."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import increment, sqrt
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import NonNegative, OpenUnit, Positive, Stability


class AdaDelta(Rule):
    """AdaDelta: steps from the ratio of two running averages.

    Slots `x`, `Δ`: `x ← ρ·x + (1-ρ)·(g⊙g)`, `u = (g⊙√(Δ+ϵ)) / √(x+ϵ)`, `W ← W + (-η)·u`,
    `Δ ← ρ·Δ + (1-ρ)·(u⊙u)`.

    Args:
        η: factor of the step, above 0; the paper has no such factor, which corresponds to 1.
        ρ: decay of both averages, above 0 and below 1.
        ϵ: stability term, above 0; inside both square roots; it sets the size of the first steps.
        λ: weight decay, on by default, at least 0.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2, dtype="float32"), np.ones(2, dtype="float32")
        >>> mxtrain.build(mxtrain.AdaDelta()).update(0, g, w)
        >>> w
        array([0.9955279, 0.9955279], dtype=float32)

    Source: Zeiler, "ADADELTA: An Adaptive Learning Rate Method" (2012), arXiv:1212.5701.
    """

    overflow_bounds: ClassVar = "gradient"
    slots: ClassVar = ("x", "Δ")
    kind: Literal["adadelta"] = "adadelta"
    η: Positive = 1.0
    ρ: OpenUnit = 0.95
    ϵ: Stability = 1e-6
    λ: NonNegative = 1e-5

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`step = -η`."""
        return {"step": -self.learning_rate_at(time)}

    @staticmethod
    def update(W: Any, g: Any, x: Any, Δ: Any, *, step: Any, ρ: Any, ϵ: Any) -> tuple[Any, ...]:
        """One update."""
        x = ρ * x + (1 - ρ) * (g * g)
        u = g * sqrt(Δ + ϵ) / sqrt(x + ϵ)
        return W + increment(step * u), x, ρ * Δ + (1 - ρ) * (u * u)
