"""ADOPT: Adam whose divisor does not contain the gradient that it divides."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import increment, maximum, minimum, sqrt
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import Decay, NonNegative, Positive, Stability


class ADOPT(Rule):
    """ADOPT: Adam whose divisor does not contain the gradient that it divides.

    Slots `m`, `v`; scalar `c = (t-1)^¼`: `u = min(max(g / max(√v, ϵ), -c), c)`, `m ← β1·m + (1-β1)·u`,
    `W ← W + ((-η·λ)·W + (-η)·m)`, and then `v ← β2·v + (1-β2)·(g⊙g)`.
    At t = 1, `v ← g⊙g`, and there is no decay.

    Gradient and divisor are independent given the past, so the method converges for every β2, unlike Adam. The first
    gradient moves nothing: it only starts `v`. The bound c keeps the first steps small, where `v` has seen few
    gradients. There is no bias correction. Optax has the same rule as `contrib.adopt`; PyTorch and Keras lack it.

    Args:
        η: learning rate, above 0.
        β1: decay of the first moment, at least 0 and below 1.
        β2: decay of the second moment, at least 0 and below 1.
        ϵ: stability term, above 0: the smallest divisor.
        λ: weight decay, at least 0; decoupled: each update after the first subtracts `η·λ` times the weight.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2, dtype="float32"), np.ones(2, dtype="float32")
        >>> optimizer = mxtrain.build(mxtrain.ADOPT(η=0.5, β1=0.5))
        >>> optimizer.update(0, g, w)  # the first gradient moves nothing
        >>> optimizer.update(0, g, w)
        >>> w
        array([0.75, 0.75], dtype=float32)

    Source: Taniguchi et al., "ADOPT: Modified Adam Can Converge with Any β2 with the Optimal Rate" (NeurIPS 2024),
    arXiv:2411.02853, with the clipping of its later versions.
    """

    overflow_bounds: ClassVar = "gradient"
    slots: ClassVar = ("m", "v")
    decoupled: ClassVar = True
    kind: Literal["adopt"] = "adopt"
    η: Positive = 1e-3
    β1: Decay = 0.9
    β2: Decay = 0.9999
    ϵ: Stability = 1e-6
    λ: NonNegative = 0.0

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`step = -η`, `bound = (t-1)^¼`; at t = 1 `keep = 0` and `decay = 0`, later `keep = β2` and `decay = -η·λ`."""
        η, is_first = self.learning_rate_at(time), time.update == 1
        return {
            "step": -η,
            "decay": 0.0 if is_first else self.decay_at(η),
            "keep": 0.0 if is_first else self.β2,
            "bound": (time.update - 1) ** 0.25,
        }

    @staticmethod
    def update(
        W: Any, g: Any, m: Any, v: Any, *, step: Any, decay: Any, keep: Any, bound: Any, β1: Any, ϵ: Any
    ) -> tuple[Any, ...]:
        """One update."""
        ratio = minimum(maximum(g / maximum(sqrt(v), ϵ), -bound), bound)
        m = β1 * m + (1 - β1) * ratio
        return W + (decay * W + increment(step * m)), m, keep * v + (1 - keep) * (g * g)
