"""AdEMAMix: AdamW with a second, slower average of the gradient."""

from collections.abc import Mapping
from math import log
from math import sqrt as scalar_sqrt
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from mxtrain.optim.ir import increment, sqrt
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import SMALLEST_NORMAL, Decay, NonNegative, NonNegativeInt, Positive, Stability, field_error


class AdEMAMix(Rule):
    """AdEMAMix: AdamW with a second, slower average of the gradient.

    Slots `m`, `v`, `n`; scalar `r = √(1-β2ᵗ)`:
    `m ← β1·m + (1-β1)·g`, `n ← β3ₜ·n + (1-β3ₜ)·g`, `v ← β2·v + (1-β2)·(g⊙g)`,
    `W ← W + ((-η·λ)·W + ((-η·r)·((1/(1-β1ᵗ))·m + αₜ·n)) / (√v + ϵ·r))`.

    `αₜ = α·t/α_warmup` before update `α_warmup`, and α from then on. Before update `β3_warmup`, with `s = t/β3_warmup`
    and `h(β) = ln ½ / ln(β + 1e-8) - 1`: `β3ₜ = ½^(1/((1-s)·h(β1) + s·h(β3) + 1))`, and β3 from then on; that is, the
    half-life of the average rises in equal steps from that of β1 to that of β3.

    Gradients of 10,000 updates ago still say something about the direction, and one average cannot follow both them and
    the latest. `n` has no bias correction: it starts slowly, as its warm-ups intend. The 1e-8 is that of the authors'
    code; the paper has none.

    Equal to Optax's `contrib.ademamix` with these schedules as arguments; PyTorch and Keras lack it. Choose it for long
    runs, in which the memory of `n`, `1/(1-β3)` updates, is a small part; one slot more than AdamW.

    Args:
        η: learning rate, above 0.
        β1: decay of the first moment, at least 0 and below 1.
        β2: decay of the second moment, at least 0 and below 1.
        β3: decay of the slow average, at least 0 and below 1.
        α: factor of the slow average, at least 0.
        α_warmup: number of updates until α is reached, at least 0; 0 means no warm-up.
        β3_warmup: number of updates until β3 is reached, at least 0; 0 means no warm-up.
        ϵ: stability term, above 0; added to the root of the corrected `v`.
        λ: weight decay, at least 0; decoupled, as in AdamW.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2, dtype="float32"), np.ones(2, dtype="float32")
        >>> mxtrain.build(mxtrain.AdEMAMix(η=0.1, β3=0.5)).update(0, g, w)
        >>> w
        array([0.8, 0.8], dtype=float32)

    Source: Pagliardini, Ablin and Grangier, "The AdEMAMix Optimizer: Better, Faster, Older" (ICLR 2025),
    arXiv:2409.03137.
    """

    slots: ClassVar = ("m", "v", "n")
    overflow_bounds: ClassVar = "gradient"
    decoupled: ClassVar = True
    kind: Literal["ademamix"] = "ademamix"
    η: Positive = 0.001
    β1: Decay = 0.9
    β2: Decay = 0.999
    β3: Decay = 0.9999
    α: NonNegative = 2.0
    α_warmup: NonNegativeInt = 0
    β3_warmup: NonNegativeInt = 0
    ϵ: Stability = 1e-8
    λ: NonNegative = 0.0

    @model_validator(mode="after")
    def _check_warmup_has_half_lives(self) -> Self:
        for name, value in (("β1", self.β1), ("β3", self.β3)):
            if self.β3_warmup and value + _OFFSET >= 1:
                raise field_error(name, f"must be below {1 - _OFFSET} with β3_warmup, got {value}")
        return self

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`α = αₜ`, `β3 = β3ₜ`, `m_factor = 1/(1-β1ᵗ)`, `step = -η·r`, `floor = ϵ·r`, `decay = -η·λ`.

        `r = √(1-β2ᵗ)`; `floor` is not 0 in float32.
        """
        t, η = time.update, self.learning_rate_at(time)
        r = scalar_sqrt(1 - self.β2**t)
        α, β3 = self.α, self.β3
        if t < self.α_warmup:
            α = self.α * t / self.α_warmup
        if t < self.β3_warmup:
            s = t / self.β3_warmup
            β3 = 0.5 ** (1 / ((1 - s) * _half_life(self.β1) + s * _half_life(self.β3) + 1))
        return {
            "m_factor": 1 / (1 - self.β1**t),
            "α": α,
            "β3": β3,
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
        n: Any,
        *,
        m_factor: Any,
        α: Any,
        step: Any,
        decay: Any,
        β1: Any,
        β2: Any,
        β3: Any,
        floor: Any,
    ) -> tuple[Any, ...]:
        """One update."""
        m = β1 * m + (1 - β1) * g
        n = β3 * n + (1 - β3) * g
        v = β2 * v + (1 - β2) * (g * g)
        return W + (decay * W + increment(step * (m_factor * m + α * n) / (sqrt(v) + floor))), m, v, n


_OFFSET = 1e-8


def _half_life(β: float) -> float:
    """Return the number of updates in which the weight of a gradient halves, minus 1."""
    return log(0.5) / log(β + _OFFSET) - 1
