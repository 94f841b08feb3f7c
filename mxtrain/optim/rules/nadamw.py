"""NadamW: Nesterov momentum in AdamW."""

from collections.abc import Mapping
from math import sqrt as scalar_sqrt
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import increment, sqrt
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import SMALLEST_NORMAL, Decay, NonNegative, Positive, Stability


class NadamW(Rule):
    """NadamW: Nesterov momentum in AdamW.

    Slots `m`, `v`; scalar `r = √(1-β2ᵗ)`:
    `m ← β1·m + (1-β1)·g`, `v ← β2·v + (1-β2)·(g⊙g)`, `n = (β1/(1-β1ᵗ⁺¹))·m + ((1-β1)/(1-β1ᵗ))·g`,
    `W ← W + ((-η·λ)·W + ((-η·r)·n) / (√v + ϵ·r))`.

    `n` is the first moment one update ahead, with the gradient at hand in place of the next one. With
    `form: algoperf`, both parts are divided by `1-β1ᵗ`: the first step is then 1+β1 times that of AdamW, instead of
    1+β1/(1+β1) times.

    Optax's `nadamw` and `form: dozat` are equal; `form: algoperf` is the baseline of the AlgoPerf benchmark and timm's
    `NAdamW`. Nadam of PyTorch and Keras, and `nadam` here, have a schedule of momentum instead of β1. Choose it in
    place of AdamW, with the same η; in the AlgoPerf benchmark it is the baseline to beat.

    Args:
        η: learning rate, above 0.
        β1: decay of the first moment, at least 0 and below 1.
        β2: decay of the second moment, at least 0 and below 1.
        ϵ: stability term, above 0; added to the root of the corrected `v`.
        λ: weight decay, on by default, at least 0; decoupled, as in AdamW.
        form: the bias correction of `n`: `dozat`, which is the paper's, or `algoperf`.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2, dtype="float32"), np.ones(2, dtype="float32")
        >>> mxtrain.build(mxtrain.NadamW(η=0.1, λ=0)).update(0, g, w)
        >>> w
        array([0.85263157, 0.85263157], dtype=float32)

    Source: Dozat, "Incorporating Nesterov Momentum into Adam" (ICLR workshop, 2016); `form: algoperf`: Choi et al., "On
    Empirical Comparisons of Optimizers for Deep Learning" (2019), arXiv:1910.05446.
    """

    slots: ClassVar = ("m", "v")
    overflow_bounds: ClassVar = "gradient"
    decoupled: ClassVar = True
    kind: Literal["nadamw"] = "nadamw"
    η: Positive = 0.001
    β1: Decay = 0.9
    β2: Decay = 0.999
    ϵ: Stability = 1e-8
    λ: NonNegative = 1e-4
    form: Literal["dozat", "algoperf"] = "dozat"

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`m_factor = β1/(1-β1ᵗ⁺¹)`, `g_factor = (1-β1)/(1-β1ᵗ)`, `step = -η·r`, `floor = ϵ·r`, `decay = -η·λ`.

        With `form: algoperf`, `m_factor = β1/(1-β1ᵗ)`; `floor` is not 0 in float32.
        """
        t, η = time.update, self.learning_rate_at(time)
        r = scalar_sqrt(1 - self.β2**t)
        correction = 1 - self.β1**t
        return {
            "m_factor": self.β1 / (correction if self.form == "algoperf" else 1 - self.β1 ** (t + 1)),
            "g_factor": (1 - self.β1) / correction,
            "step": -η * r,
            "floor": max(self.ϵ * r, SMALLEST_NORMAL),
            "decay": self.decay_at(η),
        }

    @staticmethod
    def update(
        W: Any,
        g: Any,
        m: Any,
        v: Any,
        *,
        m_factor: Any,
        g_factor: Any,
        step: Any,
        decay: Any,
        β1: Any,
        β2: Any,
        floor: Any,
    ) -> tuple[Any, ...]:
        """One update."""
        m = β1 * m + (1 - β1) * g
        v = β2 * v + (1 - β2) * (g * g)
        n = m_factor * m + g_factor * g
        return W + (decay * W + increment(step * n / (sqrt(v) + floor))), m, v
