"""LaProp: momentum of gradients that are normalized first."""

from collections.abc import Mapping
from math import sqrt as scalar_sqrt
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import increment, sqrt
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import SMALLEST_NORMAL, Decay, NonNegative, Positive, Stability


class LaProp(Rule):
    """LaProp: momentum of gradients that are normalized first.

    Slots `m`, `v`; scalar `r = √(1-β2ᵗ)`:
    `v ← β2·v + (1-β2)·(g⊙g)`, `m ← β1·m + ((1-β1)·r)·g / (√v + ϵ·r)`, `W ← W + ((-η·λ)·W + (-η/(1-β1ᵗ))·m)`.

    Adam divides an average of gradients by the root of a later `v`, which is unbounded for some β1 and β2. Here each
    gradient is divided by the `v` of its own update, so every pair of β1 and β2 is stable, and an element of `m` stays
    below `1/√(1-β2)`.

    η is outside `m`, so a falling η shrinks all of the step at once; the authors' code and timm keep it inside, and
    decay after the step. PyTorch and Keras lack it; in Optax it is `scale_by_rms` with bias correction, followed by
    `ema` and the decay. Choose it where Adam diverges with a small β2, or with a β1 close to 1.

    Args:
        η: learning rate, above 0.
        β1: decay of the momentum, at least 0 and below 1.
        β2: decay of the second moment, at least 0 and below 1.
        ϵ: stability term, above 0; added to the root of the corrected `v`.
        λ: weight decay, at least 0; decoupled, as in AdamW.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2, dtype="float32"), np.full(2, 3, dtype="float32")
        >>> mxtrain.build(mxtrain.LaProp(η=0.1)).update(0, g, w)
        >>> w
        array([0.9, 0.9], dtype=float32)

    Source: Ziyin, Wang and Ueda, "LaProp: Separating Momentum and Adaptivity in Adam" (2020), arXiv:2002.04839.
    """

    slots: ClassVar = ("m", "v")
    overflow_bounds: ClassVar = "gradient"
    decoupled: ClassVar = True
    kind: Literal["laprop"] = "laprop"
    η: Positive = 4e-4
    β1: Decay = 0.9
    β2: Decay = 0.999
    ϵ: Stability = 1e-15
    λ: NonNegative = 0.0

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`r = √(1-β2ᵗ)`: `g_factor = (1-β1)·r`, `step = -η/(1-β1ᵗ)`, `floor = ϵ·r`, `decay = -η·λ`.

        `floor` is not 0 in float32.
        """
        t, η = time.update, self.learning_rate_at(time)
        r = scalar_sqrt(1 - self.β2**t)
        return {
            "g_factor": (1 - self.β1) * r,
            "step": -η / (1 - self.β1**t),
            "floor": max(self.ϵ * r, SMALLEST_NORMAL),
            "decay": self.decay_at(η),
        }

    @staticmethod
    def update(
        W: Any, g: Any, m: Any, v: Any, *, g_factor: Any, step: Any, decay: Any, β1: Any, β2: Any, floor: Any
    ) -> tuple[Any, ...]:
        """One update."""
        v = β2 * v + (1 - β2) * (g * g)
        m = β1 * m + g_factor * g / (sqrt(v) + floor)
        return W + (decay * W + increment(step * m)), m, v
