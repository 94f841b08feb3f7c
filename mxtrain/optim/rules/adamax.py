"""AdaMax: Adam with the infinity norm in place of the second moment."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import absolute, increment, maximum
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import Decay, NonNegative, Positive, Stability


class AdaMax(Rule):
    """AdaMax: Adam with the infinity norm in place of the second moment.

    Slots `m`, `u`: `m ← β1·m + (1-β1)·g`, `u ← max(β2·u, |g|)`, `W ← W + ((-η/(1-β1ᵗ))·m) / (u + ϵ)`.

    Args:
        η: learning rate, above 0.
        β1: decay of the first moment, at least 0 and below 1.
        β2: decay of the infinity norm, at least 0 and below 1.
        ϵ: stability term, above 0; the paper has none.
        λ: weight decay, on by default, at least 0.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2, dtype="float32"), np.ones(2, dtype="float32")
        >>> mxtrain.build(mxtrain.AdaMax(η=0.5)).update(0, g, w)
        >>> w
        array([0.5, 0.5], dtype=float32)

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (ICLR 2015), section 7.1, arXiv:1412.6980.
    """

    overflow_bounds: ClassVar = "gradient"
    slots: ClassVar = ("m", "u")
    kind: Literal["adamax"] = "adamax"
    η: Positive = 0.002
    β1: Decay = 0.9
    β2: Decay = 0.999
    ϵ: Stability = 1e-8
    λ: NonNegative = 1e-5

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`step = -η / (1-β1ᵗ)`."""
        return {"step": -self.learning_rate_at(time) / (1 - self.β1**time.update)}

    @staticmethod
    def update(W: Any, g: Any, m: Any, u: Any, *, step: Any, β1: Any, β2: Any, ϵ: Any) -> tuple[Any, ...]:
        """One update."""
        m = β1 * m + (1 - β1) * g
        u = maximum(β2 * u, absolute(g))
        return W + increment(step * m / (u + ϵ)), m, u
