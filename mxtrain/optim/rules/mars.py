"""MARS-AdamW: AdamW of gradients whose variance is reduced."""

from collections.abc import Mapping
from math import sqrt as scalar_sqrt
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import increment, maximum, norm, sqrt
from mxtrain.optim.rules.adamw import AdamW
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import SMALLEST_NORMAL, Decay, NonNegative, Positive, Stability


class MARS(Rule):
    """MARS-AdamW: AdamW of gradients whose variance is reduced.

    Slots `m`, `v`, `p`; scalars `r = √(1-β2ᵗ)`, `a = r / (1-β1ᵗ)`; the norm is that of the whole array:
    `c = g + (γ·β1/(1-β1))·(g - p)`, `c ← c/max(‖c‖, 1)`, `p ← g`,
    `m ← β1·m + (1-β1)·c`, `v ← β2·v + (1-β2)·(c⊙c)`, `W ← W + ((-η·λ)·W + ((-η·a)·m) / (√v + ϵ·r))`.

    The average `m` is of gradients at earlier weights; the difference of the gradient from the one before, `p`,
    corrects it for the move since then. γ = 0 leaves the correction out, and γ = 1 is the estimator of STORM. `p`
    starts at 0, so the first gradient is corrected too, as in the authors' code; timm skips that.

    Arrays with fewer than two axes, such as biases, get AdamW with the same numbers, unless `vectors` is true. PyTorch,
    Optax and Keras lack it. Choose it in place of AdamW for large models with noisy gradients: it keeps one array more,
    and reads the gradient twice.

    Args:
        η: learning rate, above 0.
        β1: decay of the first moment, at least 0 and below 1.
        β2: decay of the second moment, at least 0 and below 1.
        γ: factor of the correction, at least 0.
        ϵ: stability term, above 0; added to the root of the corrected `v`.
        λ: weight decay, at least 0; decoupled, as in AdamW.
        vectors: apply the rule to arrays with fewer than two axes too.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones((2, 2), dtype="float32"), np.ones((2, 2), dtype="float32")
        >>> mxtrain.build(mxtrain.MARS(η=0.1)).update(0, g, w)
        >>> w
        array([[0.9, 0.9],
               [0.9, 0.9]], dtype=float32)

    Source: Yuan et al., "MARS: Unleashing the Power of Variance Reduction for Training Large Models" (2024),
    arXiv:2411.10438, with AdamW, and gradients of different batches.
    """

    slots: ClassVar = ("m", "v", "p")
    decoupled: ClassVar = True
    kind: Literal["mars"] = "mars"
    η: Positive = 0.003
    β1: Decay = 0.95
    β2: Decay = 0.99
    γ: NonNegative = 0.025
    ϵ: Stability = 1e-8
    λ: NonNegative = 0.0
    vectors: bool = False

    def for_vectors(self) -> Rule:
        """Return AdamW with the same numbers, or this rule with `vectors`."""
        if self.vectors:
            return self
        return AdamW.model_construct(
            **{name: value for name, value in self.__dict__.items() if name in AdamW.model_fields and name != "kind"}
        )

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`difference = γ·β1/(1-β1)`, `step = -η·r / (1-β1ᵗ)`, `floor = ϵ·r`, `decay = -η·λ`.

        `r = √(1-β2ᵗ)`; `floor` is not 0 in float32.
        """
        t, η = time.update, self.learning_rate_at(time)
        r = scalar_sqrt(1 - self.β2**t)
        return {
            "difference": self.γ * self.β1 / (1 - self.β1),
            "step": -η * (r / (1 - self.β1**t)),
            "floor": max(self.ϵ * r, SMALLEST_NORMAL),
            "decay": self.decay_at(η),
        }

    @staticmethod
    def update(
        W: Any,
        g: Any,
        m: Any,
        v: Any,
        p: Any,
        *,
        difference: Any,
        step: Any,
        decay: Any,
        β1: Any,
        β2: Any,
        floor: Any,
    ) -> tuple[Any, ...]:
        """One update."""
        c = g + difference * (g - p)
        c = c / maximum(norm(c), 1)
        m = β1 * m + (1 - β1) * c
        v = β2 * v + (1 - β2) * (c * c)
        return W + (decay * W + increment(step * m / (sqrt(v) + floor))), m, v, g
