"""RMSProp: the gradient divided by its running root mean square."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import sqrt
from mxtrain.optim.rules.base import Rule, Time
from mxtrain.types import NonNegative, OpenUnit, Positive, Stability


class RMSProp(Rule):
    """RMSProp: the gradient divided by its running root mean square.

    Slot `s`: `s ← ρ·s + (1-ρ)·(g⊙g)`, `W ← W + ((-η)·g) / √(s + ϵ)`.

    Args:
        η: learning rate, above 0. The default, 0.1, is that of MXNet.jl's documentation, and is large; 0.001 is a
            common choice.
        ρ: decay of the mean square, above 0 and below 1.
        ϵ: stability term, above 0; inside the square root.
        λ: weight decay, on by default, at least 0.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2, dtype="float32"), np.ones(2, dtype="float32")
        >>> mxtrain.build(mxtrain.RMSProp(η=0.001)).update(0, g, w)
        >>> w
        array([0.99683774, 0.99683774], dtype=float32)

    Source: Tieleman and Hinton, "Lecture 6.5: RMSProp", Neural Networks for Machine Learning (Coursera, 2012).
    """

    bounded_slots: ClassVar = True
    slots: ClassVar = ("s",)
    kind: Literal["rmsprop"] = "rmsprop"
    η: Positive = 0.1
    ρ: OpenUnit = 0.9
    ϵ: Stability = 1e-8
    λ: NonNegative = 1e-5

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`step = -η`."""
        return {"step": -self.learning_rate_at(time)}

    @staticmethod
    def update(W: Any, g: Any, s: Any, *, step: Any, ρ: Any, ϵ: Any) -> tuple[Any, ...]:
        """One update."""
        s = ρ * s + (1 - ρ) * (g * g)
        return W + step * g / sqrt(s + ϵ), s
