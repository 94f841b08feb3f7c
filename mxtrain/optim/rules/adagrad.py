"""AdaGrad: steps that shrink with the sum of the squared gradients of each weight."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import increment, sqrt
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import NonNegative, Positive, Stability


class AdaGrad(Rule):
    """AdaGrad: steps that shrink with the sum of the squared gradients of each weight.

    Slot `x`: `x ← x + g⊙g`, `W ← W + ((-η)·g) / √(x + ϵ)`.

    Args:
        η: learning rate, above 0.
        ϵ: stability term, above 0; inside the square root.
        λ: weight decay, on by default, at least 0.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2, dtype="float32"), np.ones(2, dtype="float32")
        >>> mxtrain.build(mxtrain.AdaGrad(η=0.5, λ=0)).update(0, g, w)
        >>> w
        array([0.50000024, 0.50000024], dtype=float32)

    Source: Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization"
    (JMLR 12, 2011).
    """

    overflow_bounds: ClassVar = "gradient"
    slots: ClassVar = ("x",)
    kind: Literal["adagrad"] = "adagrad"
    η: Positive = 0.1
    ϵ: Stability = 1e-6
    λ: NonNegative = 1e-5

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`step = -η`."""
        return {"step": -self.learning_rate_at(time)}

    @staticmethod
    def update(W: Any, g: Any, x: Any, *, step: Any, ϵ: Any) -> tuple[Any, ...]:
        """One update."""
        x = x + g * g
        return W + increment(step * g / sqrt(x + ϵ)), x
