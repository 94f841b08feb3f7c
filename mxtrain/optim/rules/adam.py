"""Adam: steps scaled by estimates of the first and second moments of the gradient."""

from collections.abc import Mapping
from math import sqrt as scalar_sqrt
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import increment, maximum, sqrt
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import Decay, NonNegative, Positive, Stability


class Adam(Rule):
    """Adam: steps scaled by estimates of the first and second moments of the gradient.

    Slots `m`, `v`; scalar `a = √(1-β2ᵗ) / (1-β1ᵗ)`:
    `m ← β1·m + (1-β1)·g`, `v ← β2·v + (1-β2)·(g⊙g)`, `W ← W + ((-η·a)·m) / (√v + ϵ)`.

    The bias correction is folded into the step, so ϵ is the paper's "ϵ-hat" (end of its section 2), as in Keras: it is
    added to the root of the uncorrected `v`. PyTorch and Optax add it to the root of the corrected one.

    With `amsgrad`, a third slot: `x ← max(x, v)`, and `x` takes the place of `v` in the step, so that a large gradient
    lowers the step size of its weight for good. PyTorch and Keras take the maximum of the uncorrected `v` too; Optax
    takes that of the corrected one.

    Args:
        η: learning rate, above 0.
        β1: decay of the first moment, at least 0 and below 1.
        β2: decay of the second moment, at least 0 and below 1.
        ϵ: stability term, above 0.
        λ: weight decay, on by default, at least 0; added to the gradient (L2), not decoupled as in AdamW.
        amsgrad: divide by the root of the largest `v` so far, which is stored in a third slot, `x`.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2, dtype="float32"), np.ones(2, dtype="float32")
        >>> mxtrain.build(mxtrain.Adam(η=0.1)).update(0, g, w)
        >>> w
        array([0.90000004, 0.90000004], dtype=float32)

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (ICLR 2015), arXiv:1412.6980; `amsgrad`: Reddi,
    Kale and Kumar, "On the Convergence of Adam and Beyond" (ICLR 2018), arXiv:1904.09237.
    """

    overflow_bounds: ClassVar = "gradient"
    slots: ClassVar = ("m", "v", "x")
    kind: Literal["adam"] = "adam"
    η: Positive = 0.001
    β1: Decay = 0.9
    β2: Decay = 0.999
    ϵ: Stability = 1e-8
    λ: NonNegative = 1e-5
    amsgrad: bool = False

    def active_slots(self) -> tuple[str, ...]:
        """Return `m` and `v`, and `x` with `amsgrad`."""
        return self.slots if self.amsgrad else ("m", "v")

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`step = -η·√(1-β2ᵗ) / (1-β1ᵗ)`."""
        t = time.update
        return {"step": -self.learning_rate_at(time) * (scalar_sqrt(1 - self.β2**t) / (1 - self.β1**t))}

    @staticmethod
    def update(
        W: Any, g: Any, m: Any, v: Any, x: Any = None, *, step: Any, β1: Any, β2: Any, ϵ: Any
    ) -> tuple[Any, ...]:
        """One update; without `amsgrad` there is no slot `x`."""
        m = β1 * m + (1 - β1) * g
        v = β2 * v + (1 - β2) * (g * g)
        if x is None:
            return W + increment(step * m / (sqrt(v) + ϵ)), m, v
        x = maximum(x, v)
        return W + increment(step * m / (sqrt(x) + ϵ)), m, v, x
