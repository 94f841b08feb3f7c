"""AdaBelief: AdamW with the variance of the gradient in place of its square."""

from collections.abc import Mapping
from math import sqrt as scalar_sqrt
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import increment, sqrt
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import SMALLEST_NORMAL, Decay, NonNegative, Positive, Stability


class AdaBelief(Rule):
    """AdaBelief: AdamW with the variance of the gradient in place of its square.

    Slots `m`, `s`; scalars `r = √(1-β2ᵗ)`, `a = r / (1-β1ᵗ)`:
    `m ← β1·m + (1-β1)·g`, `q = g - m`, `s ← (β2·s + (1-β2)·(q⊙q)) + ϵ`,
    `W ← W + ((-η·λ)·W + ((-η·a)·m) / (√s + ϵ·r))`.

    `s` averages the squared difference of the gradient from its mean `m`: steps are long where gradients agree, and
    short where they do not. ϵ is kept in `s`, which therefore tends to `ϵ/(1-β2)` if the gradient does not change: its
    steps then grow to `√((1-β2)/ϵ)` times η and the gradient.

    Equal to Optax's `scale_by_belief` with decoupled decay; PyTorch and Keras lack it. Choose it in place of AdamW for
    noisy gradients, such as those of adversarial networks; its ϵ matters more than that of AdamW.

    Args:
        η: learning rate, above 0.
        β1: decay of the first moment, at least 0 and below 1.
        β2: decay of the variance, at least 0 and below 1.
        ϵ: stability term, above 0; added to `s` in each update, and to the root of the corrected `s`.
        λ: weight decay, at least 0; decoupled, as in AdamW.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2, dtype="float32"), np.ones(2, dtype="float32")
        >>> mxtrain.build(mxtrain.AdaBelief(η=0.1)).update(0, g, w)
        >>> w
        array([0.8888889, 0.8888889], dtype=float32)

    Source: Zhuang et al., "AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients" (NeurIPS 2020),
    arXiv:2010.07468.
    """

    slots: ClassVar = ("m", "s")
    decoupled: ClassVar = True
    kind: Literal["adabelief"] = "adabelief"
    η: Positive = 0.001
    β1: Decay = 0.9
    β2: Decay = 0.999
    ϵ: Stability = 1e-16
    λ: NonNegative = 0.0

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`r = √(1-β2ᵗ)`: `step = -η·r / (1-β1ᵗ)`, `floor = ϵ·r`, `decay = -η·λ`; `floor` is not 0 in float32."""
        t, η = time.update, self.learning_rate_at(time)
        r = scalar_sqrt(1 - self.β2**t)
        return {
            "step": -η * (r / (1 - self.β1**t)),
            "floor": max(self.ϵ * r, SMALLEST_NORMAL),
            "decay": self.decay_at(η),
        }

    @staticmethod
    def update(
        W: Any, g: Any, m: Any, s: Any, *, step: Any, decay: Any, β1: Any, β2: Any, ϵ: Any, floor: Any
    ) -> tuple[Any, ...]:
        """One update."""
        m = β1 * m + (1 - β1) * g
        q = g - m
        s = (β2 * s + (1 - β2) * (q * q)) + ϵ
        return W + (decay * W + increment(step * m / (sqrt(s) + floor))), m, s
