"""Lion: the sign of an interpolation between momentum and gradient, with decoupled weight decay."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import increment, sign
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import Decay, NonNegative, Positive


class Lion(Rule):
    """Lion: the sign of an interpolation between momentum and gradient, with decoupled weight decay.

    Slot `m`: `u = sign(β1·m + (1-β1)·g)`, `W ← W + ((-η·λ)·W + (-η)·u)`, and then `m ← β2·m + (1-β2)·g`.

    The momentum is updated after its use: the new gradient enters the direction with the weight 1-β1, and the momentum
    with the smaller weight 1-β2. Every weight moves by η in every update, so η should be 3 to 10 times smaller than for
    AdamW, and λ larger by the same factor. The rule has one slot, Adam two. Optax and Keras have the same rule, Keras
    with a default η of 1e-3; PyTorch lacks it.

    Args:
        η: learning rate, above 0: the size of every step.
        β1: weight of the momentum in the direction, at least 0 and below 1.
        β2: decay of the momentum, at least 0 and below 1.
        λ: weight decay, at least 0; decoupled: each update subtracts `η·λ` times the weight.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2, dtype="float32"), np.array([3, -0.001], dtype="float32")
        >>> mxtrain.build(mxtrain.Lion(η=0.25)).update(0, g, w)
        >>> w
        array([0.75, 1.25], dtype=float32)

    Source: Chen et al., "Symbolic Discovery of Optimization Algorithms" (NeurIPS 2023), arXiv:2302.06675.
    """

    overflow_bounds: ClassVar = "gradient"
    slots: ClassVar = ("m",)
    decoupled: ClassVar = True
    kind: Literal["lion"] = "lion"
    η: Positive = 1e-4
    β1: Decay = 0.9
    β2: Decay = 0.99
    λ: NonNegative = 0.0

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`step = -η`, `decay = -η·λ`."""
        η = self.learning_rate_at(time)
        return {"step": -η, "decay": self.decay_at(η)}

    @staticmethod
    def update(W: Any, g: Any, m: Any, *, step: Any, decay: Any, β1: Any, β2: Any) -> tuple[Any, ...]:
        """One update."""
        direction = sign(β1 * m + (1 - β1) * g)
        return W + (decay * W + increment(step * direction)), β2 * m + (1 - β2) * g
