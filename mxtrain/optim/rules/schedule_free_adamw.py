"""Schedule-Free AdamW: an average of the weights in place of a schedule, with steps like those of AdamW."""

from collections.abc import Mapping
from math import sqrt as scalar_sqrt
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import increment, sqrt
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.schedule_free_sgd import average_coefficients
from mxtrain.optim.rules.time import Time
from mxtrain.types import SMALLEST_NORMAL, Bounds, Decay, Exponent, NonNegative, Positive, Stability


class ScheduleFreeAdamW(Rule):
    """Schedule-Free AdamW: an average of the weights in place of a schedule, with steps like those of AdamW.

    Slots `x`, `z`, which start at W, and `v`; the trained weight W is the paper's y, where gradients are taken. Scalar
    slots `ηmax`, `S` and the weight c of the average as in `ScheduleFreeSGD`; scalar `ρ = √(1-β2ᵗ)`:
    `v ← β2·v + (1-β2)·(g⊙g)`, `z ← z + ((-η·λ)·W + ((-η·ρ)·g) / (√v + ϵ·ρ))`,
    `x ← (1-c)·x + c·z`, `W ← β1·x + (1-β1)·z`.

    `z` takes the steps of AdamW without a first moment, and `x` averages them; the weight β1 of the average takes the
    place of momentum. **Evaluate x**: `optimizer.evaluation_params(params)`. Use a warm-up and no decaying schedule.
    Optax has the method as `contrib.schedule_free_adamw`; PyTorch has it in the package `schedulefree`; Keras lacks it.

    Args:
        η: learning rate, above 0; 1 to 10 times that of AdamW with a schedule.
        β1: weight of the average x in W, at least 0 and below 1; 0.95 or 0.98 for long runs.
        β2: decay of the second moment, at least 0 and below 1.
        ϵ: stability term, above 0; added to the root of the corrected `v`.
        r: exponent of t in the weights of the average, at least 0; 0 means equal weights.
        power: exponent of the largest η so far in the weights of the average, at least 0; it lessens the warm-up.
        λ: weight decay, at least 0; decoupled: it decays z by `η·λ` times W.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2, dtype="float32"), np.ones(2, dtype="float32")
        >>> mxtrain.build(mxtrain.ScheduleFreeAdamW(η=0.25)).update(0, g, w)
        >>> w
        array([0.74999994, 0.74999994], dtype=float32)

    Source: Defazio et al., "The Road Less Scheduled" (NeurIPS 2024), arXiv:2405.15682.
    """

    overflow_bounds: ClassVar = "none"
    slots: ClassVar = ("x", "z", "v")
    scalar_slots: ClassVar = {"ηmax": 0.0, "S": 0.0}
    scalar_bounds: ClassVar = {"ηmax": Bounds(ge=0), "S": Bounds(ge=0)}
    decoupled: ClassVar = True
    evaluation_slot: ClassVar = "x"
    kind: Literal["schedule_free_adamw"] = "schedule_free_adamw"
    η: Positive = 0.0025
    β1: Decay = 0.9
    β2: Decay = 0.999
    ϵ: Stability = 1e-8
    r: Exponent = 0.0
    power: Exponent = 2.0
    λ: NonNegative = 0.0

    def slot_starts(self) -> Mapping[str, Literal["W"]]:
        """Return the weight for `x` and `z`."""
        return {"x": "W", "z": "W"}

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """Factors of the terms of the formula.

        `ρ = √(1-β2ᵗ)`: `step = -η·ρ`, `floor = ϵ·ρ`, which is not 0 in float32, `decay = -η·λ`; `c = w/S`,
        `x_share = β1`; before η is above 0, `c = 0` and `x_share = 1`.
        """
        t, η = time.update, self.learning_rate_at(time)
        root = scalar_sqrt(1 - self.β2**t)
        return {
            "step": -η * root,
            "floor": max(self.ϵ * root, SMALLEST_NORMAL),
            "decay": self.decay_at(η),
            **average_coefficients(t, η, self.β1, self.r, self.power, scalars),
        }

    @staticmethod
    def update(
        W: Any,
        g: Any,
        x: Any,
        z: Any,
        v: Any,
        *,
        step: Any,
        decay: Any,
        floor: Any,
        β2: Any,
        x_share: Any,
        c: Any,
    ) -> tuple[Any, ...]:
        """One update."""
        v = β2 * v + (1 - β2) * (g * g)
        z = z + (decay * W + increment(step * g / (sqrt(v) + floor)))
        x = (1 - c) * x + c * z
        return x_share * x + (1 - x_share) * z, x, z, v
