"""StableAdamW: AdamW that shortens the steps of an array after a jump of its gradients."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import increment, maximum, mean, sqrt
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import SMALLEST_NORMAL, Decay, NonNegative, Positive, Stability


class StableAdamW(Rule):
    """StableAdamW: AdamW that shortens the steps of an array after a jump of its gradients.

    Slots `m`, `v`; scalars `β̂1 = (β1 - β1ᵗ)/(1 - β1ᵗ)` and `β̂2`, likewise; the mean is that of the whole array:
    `m ← β̂1·m + (1-β̂1)·g`, `v ← β̂2·v + (1-β̂2)·(g⊙g)`, `η' = η/max(1, √mean(g⊙g/max(v, ϵ²)))`,
    `W ← W + ((-η'·λ)·W + ((-η')·m) / (√v + ϵ))`.

    The decays β̂ rise from 0, which makes both averages unbiased. Where gradients grow faster than `v` can follow, their
    root mean square over `√v` exceeds 1, and the step is shortened by it: the update clipping of Adafactor, in place of
    a limit on the gradient. It shortens the decay too.

    Equal to `StableAdamW` of torch-optimi and pytorch_optimizer; PyTorch, Optax and Keras lack it. Choose it in place
    of AdamW where the loss of a large model jumps, and clipping the norm of the gradient does not help.

    Args:
        η: learning rate, above 0.
        β1: decay of the first moment, at least 0 and below 1.
        β2: decay of the second moment, at least 0 and below 1.
        ϵ: stability term, above 0.
        λ: weight decay, on by default, at least 0; decoupled: each update subtracts `η'·λ` times the weight.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2, dtype="float32"), np.ones(2, dtype="float32")
        >>> mxtrain.build(mxtrain.StableAdamW(η=0.1, λ=0)).update(0, g, w)
        >>> w
        array([0.9000001, 0.9000001], dtype=float32)

    Source: Wortsman et al., "Stable and Low-Precision Training for Large-Scale Vision-Language Models" (NeurIPS 2023),
    arXiv:2304.13013, Algorithm 2.
    """

    slots: ClassVar = ("m", "v")
    overflow_bounds: ClassVar = "gradient"
    decoupled: ClassVar = True
    kind: Literal["stable_adamw"] = "stable_adamw"
    η: Positive = 0.001
    β1: Decay = 0.9
    β2: Decay = 0.99
    ϵ: Stability = 1e-6
    λ: NonNegative = 0.01

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`step = -η`, `β1 = β̂1`, `β2 = β̂2`, `floor = ϵ²`, which is not 0 in float32."""
        β1, β2 = ((β - β**time.update) / (1 - β**time.update) for β in (self.β1, self.β2))
        return {
            "step": -self.learning_rate_at(time),
            "λ": self.corrected_λ(self.learning_rate_at(time)),
            "β1": β1,
            "β2": β2,
            "floor": max(self.ϵ * self.ϵ, SMALLEST_NORMAL),
        }

    @staticmethod
    def update(
        W: Any, g: Any, m: Any, v: Any, *, step: Any, β1: Any, β2: Any, ϵ: Any, λ: Any, floor: Any
    ) -> tuple[Any, ...]:
        """One update."""
        square = g * g
        m = β1 * m + (1 - β1) * g
        v = β2 * v + (1 - β2) * square
        step = step / maximum(1, sqrt(mean(square / maximum(v, floor))))
        return W + ((step * λ) * W + increment(step * m / (sqrt(v) + ϵ))), m, v
