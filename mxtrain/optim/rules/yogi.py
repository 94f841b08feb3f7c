"""Yogi: Adam whose second moment changes by steps of at most the squared gradient."""

from collections.abc import Mapping
from math import sqrt as scalar_sqrt
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import increment, sign, sqrt
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import SMALLEST_NORMAL, Decay, NonNegative, Positive, Stability


class Yogi(Rule):
    """Yogi: Adam whose second moment changes by steps of at most the squared gradient.

    Slots `m`, `v`, which both start at `start`; scalars `r = √(1-β2ᵗ)`, `a = r / (1-β1ᵗ)`:
    `m ← β1·m + (1-β1)·g`, `v ← v - (1-β2)·(sign(v - g⊙g)⊙(g⊙g))`, `W ← W + ((-η·a)·m) / (√v + ϵ·r)`.

    Adam's `v` shrinks by `(1-β2)·v` where gradients are small, so that its steps can become too long soon after large
    gradients; here it shrinks by `(1-β2)·(g⊙g)`. The start of `m` and the two bias corrections are those of
    `optax.yogi`; the paper has neither.

    Equal to `optax.yogi`, with its defaults; PyTorch and Keras lack it. Choose it where Adam is unstable because
    gradients are sparse or change in size; η and ϵ are larger than Adam's.

    Args:
        η: learning rate, above 0.
        β1: decay of the first moment, at least 0 and below 1.
        β2: 1 minus the factor of the squared gradient, at least 0 and below 1.
        ϵ: stability term, above 0; added to the root of the corrected `v`.
        start: the first value of both slots, at least 0.
        λ: weight decay, at least 0; added to the gradient, as in Adam.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2, dtype="float32"), np.ones(2, dtype="float32")
        >>> mxtrain.build(mxtrain.Yogi(η=0.1, start=0)).update(0, g, w)
        >>> w
        array([0.90009993, 0.90009993], dtype=float32)

    Source: Zaheer et al., "Adaptive Methods for Nonconvex Optimization" (NeurIPS 2018).
    """

    slots: ClassVar = ("m", "v")
    overflow_bounds: ClassVar = "gradient"
    kind: Literal["yogi"] = "yogi"
    η: Positive = 0.01
    β1: Decay = 0.9
    β2: Decay = 0.999
    ϵ: Stability = 1e-3
    start: NonNegative = 1e-6
    λ: NonNegative = 0.0

    def slot_starts(self) -> Mapping[str, float]:
        """Return `start` for both slots."""
        return dict.fromkeys(self.slots, self.start)

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`r = √(1-β2ᵗ)`: `step = -η·r / (1-β1ᵗ)`, `floor = ϵ·r`, which is not 0 in float32."""
        t = time.update
        r = scalar_sqrt(1 - self.β2**t)
        step = -self.learning_rate_at(time) * (r / (1 - self.β1**t))
        return {"step": step, "floor": max(self.ϵ * r, SMALLEST_NORMAL)}

    @staticmethod
    def update(W: Any, g: Any, m: Any, v: Any, *, step: Any, β1: Any, β2: Any, floor: Any) -> tuple[Any, ...]:
        """One update."""
        square = g * g
        m = β1 * m + (1 - β1) * g
        v = v - (1 - β2) * (sign(v - square) * square)
        return W + increment(step * m / (sqrt(v) + floor)), m, v
