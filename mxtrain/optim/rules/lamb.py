"""LAMB: AdamW whose step is as long as the weight, times η, in each array."""

from collections.abc import Mapping
from math import sqrt as scalar_sqrt
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import increment, norm, sqrt, where
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import SMALLEST_NORMAL, Decay, NonNegative, Positive, Stability


class LAMB(Rule):
    """LAMB: AdamW whose step is as long as the weight, times η, in each array.

    Slots `m`, `v`; scalars `r = √(1-β2ᵗ)`, `a = r / (1-β1ᵗ)`; norms are those of the whole array:
    `m ← β1·m + (1-β1)·g`, `v ← β2·v + (1-β2)·(g⊙g)`, `u = λ·W + (a·m) / (√v + ϵ·r)`,
    `R = ‖W‖/‖u‖` (1 where either is 0), `W ← W + (-η·R)·u`.

    Each update changes each array by the fraction η of its norm, so that one η fits layers of different sizes and large
    batches. Arrays with fewer than two axes, such as biases, get `R = 1`, unless `vectors` is true: a bias that starts
    near 0 would hardly move.

    Equal to `optax.lamb` with `vectors: true`. Keras's `Lamb` adds ϵ to the root of the corrected `v` too, and has its
    decoupled decay outside of `R`; PyTorch lacks it. Choose it for batches of thousands of samples; for small ones,
    AdamW does as well.

    Args:
        η: learning rate, above 0.
        β1: decay of the first moment, at least 0 and below 1.
        β2: decay of the second moment, at least 0 and below 1.
        ϵ: stability term, above 0; added to the root of the corrected `v`.
        λ: weight decay, at least 0; a part of `u`, whose norm is set, so not of the gradient.
        vectors: use `R` for arrays with fewer than two axes too.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.full((2, 2), 4, dtype="float32"), np.ones((2, 2), dtype="float32")
        >>> mxtrain.build(mxtrain.LAMB(η=0.1)).update(0, g, w)
        >>> w
        array([[3.6, 3.6],
               [3.6, 3.6]], dtype=float32)

    Source: You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 Minutes" (ICLR 2020),
    arXiv:1904.00962, Algorithm 2, with the identity as its ϕ.
    """

    state_options: ClassVar = ("vectors",)
    slots: ClassVar = ("m", "v")
    holds_zero_weights: ClassVar = True
    overflow_bounds: ClassVar = "gradient"
    decoupled: ClassVar = True
    corrected: ClassVar = False
    kind: Literal["lamb"] = "lamb"
    η: Positive = 0.001
    β1: Decay = 0.9
    β2: Decay = 0.999
    ϵ: Stability = 1e-6
    λ: NonNegative = 0.0
    vectors: bool = False

    def for_vectors(self) -> Rule:
        """Return the rule with `R = 1`, or this rule with `vectors`."""
        return self if self.vectors else _LAMBOfVectors.model_construct(**self.__dict__)

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`r = √(1-β2ᵗ)`: `a = r / (1-β1ᵗ)`, `step = -η`, `floor = ϵ·r`, which is not 0 in float32."""
        t = time.update
        r = scalar_sqrt(1 - self.β2**t)
        return {
            "a": r / (1 - self.β1**t),
            "step": -self.learning_rate_at(time),
            "floor": max(self.ϵ * r, SMALLEST_NORMAL),
        }

    @staticmethod
    def update(
        W: Any, g: Any, m: Any, v: Any, *, a: Any, step: Any, β1: Any, β2: Any, λ: Any, floor: Any
    ) -> tuple[Any, ...]:
        """One update."""
        m, v, u = _direction(W, g, m, v, a, β1, β2, λ, floor)
        W_norm, u_norm = norm(W), norm(u)
        R = where(W_norm <= 0, 1, where(u_norm <= 0, 1, W_norm / u_norm))
        return W + (step * R) * u, m, v


class _LAMBOfVectors(LAMB):
    """LAMB with `R = 1`."""

    @staticmethod
    def update(
        W: Any, g: Any, m: Any, v: Any, *, a: Any, step: Any, β1: Any, β2: Any, λ: Any, floor: Any
    ) -> tuple[Any, ...]:
        """One update."""
        m, v, u = _direction(W, g, m, v, a, β1, β2, λ, floor)
        return W + step * u, m, v


def _direction(W: Any, g: Any, m: Any, v: Any, a: Any, β1: Any, β2: Any, λ: Any, floor: Any) -> tuple[Any, Any, Any]:
    """Return the moments, and the direction `u` of the step."""
    m = β1 * m + (1 - β1) * g
    v = β2 * v + (1 - β2) * (g * g)
    return m, v, λ * W + increment(a * m / (sqrt(v) + floor), negated=True)
