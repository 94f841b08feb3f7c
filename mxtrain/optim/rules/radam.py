"""RAdam: Adam whose step is scaled by the certainty of its second moment."""

from collections.abc import Mapping
from math import sqrt as scalar_sqrt
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import increment, sqrt
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import Decay, NonNegative, Positive, Stability


class RAdam(Rule):
    """RAdam: Adam whose step is scaled by the certainty of its second moment.

    Slots `m`, `v`; scalars `a = √(1-β2ᵗ) / (1-β1ᵗ)`, `ρ∞ = 2/(1-β2) - 1`, `ρ = ρ∞ - 2t·β2ᵗ/(1-β2ᵗ)`:
    `m ← β1·m + (1-β1)·g`, `v ← β2·v + (1-β2)·(g⊙g)`,
    if `ρ > 5`: `W ← W + ((-η·R·a)·m) / (√v + ϵ)` with `R = √((ρ-4)(ρ-2)ρ∞ / ((ρ∞-4)(ρ∞-2)ρ))`,
    else: `W ← W + (-η/(1-β1ᵗ))·m`. With `decoupled`, `(-η·λ)·W` is added to the step.

    `v` of the first updates is an average of few gradients, so steps divided by its root vary too much. `R` corrects
    that variance, as a warm-up does; the first updates, five with β2 = 0.999, are those of SGD with momentum. With a β2
    of at most ⅔, all of them are.

    Equal to PyTorch's `RAdam`, where `decoupled` is `decoupled_weight_decay`. Optax adds ϵ to the root of the corrected
    `v`; Keras lacks it. Choose it where Adam needs a warm-up whose length you do not want to tune.

    Args:
        η: learning rate, above 0.
        β1: decay of the first moment, at least 0 and below 1.
        β2: decay of the second moment, at least 0 and below 1.
        ϵ: stability term, above 0; added to the root of the uncorrected `v`.
        λ: weight decay, at least 0.
        decoupled: each update subtracts `η·λ` times the weight, as in AdamW, instead of adding `λ·W` to the gradient.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2, dtype="float32"), np.full(2, 3, dtype="float32")
        >>> mxtrain.build(mxtrain.RAdam(η=0.1)).update(0, g, w)
        >>> w
        array([0.7, 0.7], dtype=float32)

    Source: Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond" (ICLR 2020), arXiv:1908.03265.
    """

    slots: ClassVar = ("m", "v")
    options: ClassVar = ("decoupled",)
    overflow_bounds: ClassVar = "gradient"
    kind: Literal["radam"] = "radam"
    η: Positive = 0.001
    β1: Decay = 0.9
    β2: Decay = 0.999
    ϵ: Stability = 1e-8
    λ: NonNegative = 0.0
    decoupled: bool = False  # type: ignore[misc]  # a field here, a class variable in most rules

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`step = -η·R·a`, `root = 1`, `floor = ϵ` where ρ > 5; `decay = -η·λ`.

        Otherwise `step = -η/(1-β1ᵗ)`, `root = 0`, `floor = 1`: one program has both divisors, `root·√v + floor`.
        """
        t, η = time.update, self.learning_rate_at(time)
        power = self.β2**t
        limit = 2 / (1 - self.β2) - 1
        length = limit - 2 * t * power / (1 - power)
        common = {"decay": self.decay_at(η)}
        if length <= 5:
            return {"step": -η / (1 - self.β1**t), "root": 0.0, "floor": 1.0} | common
        R = scalar_sqrt((length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length))
        a = scalar_sqrt(1 - power) / (1 - self.β1**t)
        return {"step": -η * R * a, "root": 1.0, "floor": self.ϵ} | common

    @staticmethod
    def update(
        W: Any,
        g: Any,
        m: Any,
        v: Any,
        *,
        step: Any,
        decay: Any,
        β1: Any,
        β2: Any,
        root: Any,
        floor: Any,
        decoupled: bool,
    ) -> tuple[Any, ...]:
        """One update."""
        m = β1 * m + (1 - β1) * g
        v = β2 * v + (1 - β2) * (g * g)
        change = increment(step * m / (root * sqrt(v) + floor))
        return W + (decay * W + change if decoupled else change), m, v
