"""AdamW: Adam with weight decay that is decoupled from the gradient."""

from collections.abc import Mapping
from math import sqrt as scalar_sqrt
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import increment, maximum, sqrt
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import SMALLEST_NORMAL, Decay, NonNegative, Positive, Stability


class AdamW(Rule):
    """AdamW: Adam with weight decay that is decoupled from the gradient.

    Slots `m`, `v`; scalars `r = √(1-β2ᵗ)`, `a = r / (1-β1ᵗ)`:
    `m ← β1·m + (1-β1)·g`, `v ← β2·v + (1-β2)·(g⊙g)`, `W ← W + ((-η·λ)·W + ((-η·a)·m) / (√v + ϵ·r))`.

    That is `W - η·λ·W - η·m̂ / (√v̂ + ϵ)` with `m̂ = m/(1-β1ᵗ)`, `v̂ = v/(1-β2ᵗ)`, as PyTorch documents it: the decay is
    η times λ times the weight before the update, it follows the schedule of η, and it is independent of `scale`, `clip`
    and the root. It is added to the step before both are added to the weight, because a factor `1 - η·λ` is so close
    to 1 that float32 would keep few digits of λ.

    With `amsgrad`, a third slot: `x ← max(x, v)`, and `x` takes the place of `v` in the step, as in PyTorch and Keras;
    Optax takes the maximum of the corrected `v`.

    With `corrected` (AdamC), the decay is `-η·λ·(η/ηmax)`, where ηmax is the η of the schedule, or of the rule if the
    schedule has none. It is meant for weights that a normalization layer follows: their gradients grow at the end of a
    decaying schedule without it. The norm at which decay and steps balance is then independent of the scheduled η.
    PyTorch, Optax and Keras lack it.

    Args:
        η: learning rate, above 0.
        β1: decay of the first moment, at least 0 and below 1.
        β2: decay of the second moment, at least 0 and below 1.
        ϵ: stability term, above 0; added to the root of the corrected `v`, unlike in Adam.
        λ: weight decay, on by default, at least 0; decoupled: each update subtracts `η·λ` times the weight.
        amsgrad: divide by the root of the largest `v` so far, which is stored in a third slot, `x`.
        corrected: multiply the decay by `η/ηmax`, the fraction of the largest η that the schedule has left.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2, dtype="float32"), np.ones(2, dtype="float32")
        >>> mxtrain.build(mxtrain.AdamW(η=0.1, λ=0.5)).update(0, g, w)
        >>> w
        array([0.85, 0.85], dtype=float32)

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (ICLR 2019), arXiv:1711.05101, Algorithm 2;
    where η is both its α and its schedule multiplier, as in `torch.optim.AdamW`; `amsgrad`: Reddi, Kale and Kumar, "On
    the Convergence of Adam and Beyond" (ICLR 2018), arXiv:1904.09237; `corrected`: Defazio, "Why Gradients Rapidly
    Increase Near the End of Training" (2025), arXiv:2506.02285.
    """

    overflow_bounds: ClassVar = "gradient"
    slots: ClassVar = ("m", "v", "x")
    decoupled: ClassVar = True
    kind: Literal["adamw"] = "adamw"
    η: Positive = 0.001
    β1: Decay = 0.9
    β2: Decay = 0.999
    ϵ: Stability = 1e-8
    λ: NonNegative = 0.01
    amsgrad: bool = False
    corrected: bool = False  # type: ignore[misc]  # a class variable in other rules

    def active_slots(self) -> tuple[str, ...]:
        """Return `m` and `v`, and `x` with `amsgrad`."""
        return self.slots if self.amsgrad else ("m", "v")

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`r = √(1-β2ᵗ)`: `step = -η·r / (1-β1ᵗ)`, `floor = ϵ·r`, `decay = -η·λ`; `floor` is not 0 in float32.

        With `corrected`, `decay = -η·λ·(η/ηmax)`.
        """
        t, η = time.update, self.learning_rate_at(time)
        r = scalar_sqrt(1 - self.β2**t)
        return {
            "step": -η * (r / (1 - self.β1**t)),
            "floor": max(self.ϵ * r, SMALLEST_NORMAL),
            "decay": self.decay_at(η),
        }

    @staticmethod
    def update(
        W: Any, g: Any, m: Any, v: Any, x: Any = None, *, step: Any, decay: Any, β1: Any, β2: Any, floor: Any
    ) -> tuple[Any, ...]:
        """One update; without `amsgrad` there is no slot `x`."""
        m = β1 * m + (1 - β1) * g
        v = β2 * v + (1 - β2) * (g * g)
        if x is None:
            return W + (decay * W + increment(step * m / (sqrt(v) + floor))), m, v
        x = maximum(x, v)
        return W + (decay * W + increment(step * m / (sqrt(x) + floor))), m, v, x
