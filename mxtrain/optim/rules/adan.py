"""Adan: Adam with Nesterov momentum, estimated from differences of gradients."""

from collections.abc import Mapping
from math import sqrt as scalar_sqrt
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import increment, sqrt
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import SMALLEST_NORMAL, Decay, NonNegative, Positive, Stability


class Adan(Rule):
    """Adan: Adam with Nesterov momentum, estimated from differences of gradients.

    Slots `m`, `v`, `n`, `p` (the previous gradient); scalars `f` (0 at t = 1, then 1), `r = √(1-β3ᵗ)`:
    `q = f·(g - p)`, `p ← g`, `m ← β1·m + (1-β1)·g`, `v ← β2·v + (1-β2)·q`, `h = g + β2·q`,
    `n ← β3·n + (1-β3)·(h⊙h)`, `Δ = ((-η·r)·((1/(1-β1ᵗ))·m + (β2/(1-β2ᵗ))·v)) / (√n + ϵ·r)`.
    With `prox`: `W ← W + Δ`, `W ← W + (-η·λ/(1+η·λ))·W`; without: `W ← W + ((-η·λ)·W + Δ)`.

    A decay near 1 keeps most of the average, as in Adam; the paper's β are 1 minus these. The proximal decay divides
    the weight by `1 + η·λ`, which is stable for any λ. The rule has four slots, Adam two. PyTorch and Keras lack it,
    and `optax.adan` has 1-β2 in place of β2 in `h` and `Δ`.

    Args:
        η: learning rate, above 0.
        β1: decay of the first moment, at least 0 and below 1.
        β2: decay of the differences of gradients, at least 0 and below 1.
        β3: decay of the second moment, at least 0 and below 1.
        ϵ: stability term, above 0; added to the root of the corrected `n`.
        λ: weight decay, at least 0; decoupled.
        prox: proximal decay, after the step; false means the decay of AdamW.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2, dtype="float32"), np.ones(2, dtype="float32")
        >>> mxtrain.build(mxtrain.Adan(η=0.25, λ=4)).update(0, g, w)  # (1 - 0.25) / (1 + 0.25·4)
        >>> w
        array([0.375, 0.375], dtype=float32)

    Source: Xie, Zhou, Li, Lin and Yan, "Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models"
    (TPAMI 2024), arXiv:2208.06677.
    """

    slots: ClassVar = ("m", "v", "n", "p")
    options: ClassVar = ("prox",)
    decoupled: ClassVar = True
    kind: Literal["adan"] = "adan"
    η: Positive = 1e-3
    β1: Decay = 0.98
    β2: Decay = 0.92
    β3: Decay = 0.99
    ϵ: Stability = 1e-8
    λ: NonNegative = 0.0
    prox: bool = True

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """Factors of the terms of the formula.

        `r = √(1-β3ᵗ)`: `step = -η·r`, `floor = ϵ·r`, which is not 0 in float32; `m_factor = 1/(1-β1ᵗ)`,
        `v_factor = β2/(1-β2ᵗ)`, `has_previous = f`; `decay = -η·λ/(1+η·λ)` with `prox`, `decay = -η·λ` without.
        """
        t, η = time.update, self.learning_rate_at(time)
        r = scalar_sqrt(1 - self.β3**t)
        return {
            "step": -η * r,
            "floor": max(self.ϵ * r, SMALLEST_NORMAL),
            "m_factor": 1 / (1 - self.β1**t),
            "v_factor": self.β2 / (1 - self.β2**t),
            "has_previous": float(t > 1),
            "decay": self.decay_at(η) / (1 - self.decay_at(η)) if self.prox else self.decay_at(η),
        }

    @staticmethod
    def update(
        W: Any,
        g: Any,
        m: Any,
        v: Any,
        n: Any,
        p: Any,
        *,
        step: Any,
        decay: Any,
        floor: Any,
        m_factor: Any,
        v_factor: Any,
        has_previous: Any,
        β1: Any,
        β2: Any,
        β3: Any,
        prox: bool,
    ) -> tuple[Any, ...]:
        """One update."""
        difference = has_previous * (g - p)
        m = β1 * m + (1 - β1) * g
        v = β2 * v + (1 - β2) * difference
        h = g + β2 * difference
        n = β3 * n + (1 - β3) * (h * h)
        move = increment(step * (m_factor * m + v_factor * v) / (sqrt(n) + floor))
        if not prox:
            return W + (decay * W + move), m, v, n, g
        W = W + move
        return W + decay * W, m, v, n, g
