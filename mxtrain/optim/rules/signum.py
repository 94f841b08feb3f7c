"""Signum: steps of one size in the direction of the sign of a momentum."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import increment, sign
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import Decay, NonNegative, Positive


class Signum(Rule):
    """Signum: steps of one size in the direction of the sign of a momentum.

    Slot `m`: `m ← μ·m + (1-μ)·g`, `W ← W + (-η)·sign(m)`, where `sign(0) = 0`.
    With μ = 0, sign SGD: `W ← W + (-η)·sign(g)`, and no slot.

    Every weight moves by η in every update, so the size of the gradient does not matter, and `scale` has no effect
    except through λ. Optax has the same rule as `signum` and `sign_sgd`; PyTorch and Keras lack it.

    Args:
        η: learning rate, above 0: the size of every step, so it should fall by a schedule.
        μ: momentum, at least 0 and below 1; with 0 the rule is sign SGD and has no slot.
        λ: weight decay, at least 0; added to the gradient. Lion with β1 = β2 is this rule with decoupled decay.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2, dtype="float32"), np.array([3, -0.001], dtype="float32")
        >>> mxtrain.build(mxtrain.Signum(η=0.25)).update(0, g, w)
        >>> w
        array([0.75, 1.25], dtype=float32)

    Source: Bernstein, Wang, Azizzadenesheli and Anandkumar, "signSGD: Compressed Optimisation for Non-Convex Problems"
    (ICML 2018), arXiv:1802.04434.
    """

    overflow_bounds: ClassVar = "gradient"
    slots: ClassVar = ("m",)
    kind: Literal["signum"] = "signum"
    η: Positive = 0.01
    μ: Decay = 0.9
    λ: NonNegative = 0.0

    def active_slots(self) -> tuple[str, ...]:
        """Return `m` with momentum, and no slots without."""
        return self.slots if self.μ > 0 else ()

    def momentum_at(self, iteration: int) -> float:
        """Return μ, which has no schedule."""
        return self.μ

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`step = -η`."""
        return {"step": -self.learning_rate_at(time)}

    @staticmethod
    def update(W: Any, g: Any, m: Any = None, *, step: Any, μ: Any) -> tuple[Any, ...]:
        """One update; without momentum there is no slot `m`."""
        if m is None:
            return (W + increment(step * sign(g)),)
        m = μ * m + (1 - μ) * g
        return W + increment(step * sign(m)), m
