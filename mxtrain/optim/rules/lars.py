"""LARS: SGD with momentum whose step is a fraction of the weight, in each array."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import increment, norm, where
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import Decay, NonNegative, Positive


class LARS(Rule):
    """LARS: SGD with momentum whose step is a fraction of the weight, in each array.

    Slot `v`; norms are those of the whole array:
    `R = trust·‖W‖ / (‖g‖ + λ·‖W‖ + ϵ)` (1 where `‖W‖` or `‖g‖` is 0), `u = g + λ·W`,
    `v ← μ·v + (-η·R)·u`, `W ← W + v`; with `nesterov`, `W ← W + (μ·v + (-η·R)·u)`.

    Each gradient moves each array by at most the fraction `η·trust` of its norm, so that one η fits layers of different
    sizes, and large batches. Arrays with fewer than two axes, such as biases, get `R = 1`, unless `vectors` is true.

    Optax's `lars` divides by `‖g + λ·W‖`; the paper has the sum of two norms, as here, MXNet and timm. PyTorch and
    Keras lack it. Choose it for convolutional networks and batches of thousands of samples, with a warm-up; where
    `R = 1` applies, η is that of SGD, so biases may need an η of their own, in `groups`.

    With ϵ = 0, a gradient with a norm below about `η·trust·‖W‖/1e38` makes `η·R` infinite in float32; a small ϵ, such
    as 1e-8, prevents that.

    Args:
        η: learning rate, above 0.
        μ: momentum, at least 0 and below 1; with 0 there is no momentum and no slot.
        trust: fraction of the norm of the weight, above 0.
        ϵ: stability term, at least 0; added to the sum of the norms.
        λ: weight decay, at least 0.
        nesterov: look ahead along the velocity, as in Nesterov's method.
        vectors: use `R` for arrays with fewer than two axes too.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.full((2, 2), 4, dtype="float32"), np.full((2, 2), 9, dtype="float32")
        >>> mxtrain.build(mxtrain.LARS(η=0.5, trust=0.2)).update(0, g, w)
        >>> w
        array([[3.6, 3.6],
               [3.6, 3.6]], dtype=float32)

    Source: You, Gitman and Ginsburg, "Large Batch Training of Convolutional Networks" (2017), arXiv:1708.03888.
    """

    overflow_bounds: ClassVar = "none"
    state_options: ClassVar = ("vectors",)
    slots: ClassVar = ("v",)
    holds_zero_weights: ClassVar = True
    options: ClassVar = ("nesterov",)
    decoupled: ClassVar = True
    corrected: ClassVar = False
    kind: Literal["lars"] = "lars"
    η: Positive = 0.1
    μ: Decay = 0.9
    trust: Positive = 0.001
    ϵ: NonNegative = 0.0
    λ: NonNegative = 0.0
    nesterov: bool = False
    vectors: bool = False

    def active_slots(self) -> tuple[str, ...]:
        """Return `v` with momentum, and no slots without."""
        return self.slots if self.μ > 0 else ()

    def for_vectors(self) -> Rule:
        """Return the rule with `R = 1`, or this rule with `vectors`."""
        return self if self.vectors else _LARSOfVectors.model_construct(**self.__dict__)

    def momentum_at(self, iteration: int) -> float:
        """Return μ."""
        return self.μ

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`step = -η`."""
        return {"step": -self.learning_rate_at(time)}

    @staticmethod
    def update(
        W: Any, g: Any, v: Any = None, *, step: Any, μ: Any, trust: Any, ϵ: Any, λ: Any, nesterov: bool
    ) -> tuple[Any, ...]:
        """One update; without momentum there is no slot `v`."""
        W_norm, g_norm = norm(W), norm(g)
        R = where(W_norm <= 0, 1, where(g_norm <= 0, 1, trust * W_norm / (g_norm + λ * W_norm + ϵ)))
        return _move(W, v, μ, (step * R) * (g + λ * W), nesterov)


class _LARSOfVectors(LARS):
    """LARS with `R = 1`."""

    @staticmethod
    def update(
        W: Any, g: Any, v: Any = None, *, step: Any, μ: Any, trust: Any, ϵ: Any, λ: Any, nesterov: bool
    ) -> tuple[Any, ...]:
        """One update; without momentum there is no slot `v`."""
        return _move(W, v, μ, step * (g + λ * W), nesterov)


def _move(W: Any, v: Any, μ: Any, change: Any, nesterov: bool) -> tuple[Any, ...]:
    """Return the weight and the velocity after a change of the velocity."""
    if v is None:
        return (W + increment(change),)
    v = μ * v + change
    return W + increment(μ * v + change if nesterov else v), v
