"""Schedule-Free SGD: an average of the weights in place of a learning-rate schedule."""

import sys
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import increment
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import Bounds, Decay, Exponent, NonNegative, Positive


class ScheduleFreeSGD(Rule):
    """Schedule-Free SGD: an average of the weights in place of a learning-rate schedule.

    Slots `x`, `z`, which start at W; the trained weight W is the paper's y, where gradients are taken. Scalar slots
    `ηmax`, `S`, 0 at first: `ηmax ← max(ηmax, η)`, `w = tʳ·ηmax^power`, `S ← S + w`, `c = w/S` (0 where S is 0);
    `z ← z + (-η)·g`, `x ← (1-c)·x + c·z`, `W ← μ·x + (1-μ)·z`.

    `z` takes plain SGD steps, and `x` is a running average of `z`, which takes the place of a decaying schedule: the
    length of the run need not be known. **Evaluate x**: `optimizer.evaluation_params(params)`. Use a warm-up, as in
    `η_sched: {kind: fixed, warmup: 5}`, and no decaying schedule. Optax has the method as `contrib.schedule_free`;
    PyTorch has it in the package `schedulefree`; Keras lacks it.

    Args:
        η: learning rate, above 0.
        μ: weight of the average x in W, at least 0 and below 1; it takes the place of momentum.
        r: exponent of t in the weights of the average, at least 0; 0 means equal weights.
        power: exponent of the largest η so far in the weights of the average, at least 0; it lessens the warm-up.
        λ: weight decay, at least 0; `λ·W` is added to the gradient.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2), np.ones(2)
        >>> optimizer = mxtrain.build(mxtrain.ScheduleFreeSGD(η=0.5, μ=0.5))
        >>> optimizer.update(0, g, w)  # z = x = W = 0.5
        >>> optimizer.update(0, g, w)  # z = 0, x = 0.25
        >>> w
        array([0.125, 0.125])

    Source: Defazio et al., "The Road Less Scheduled" (NeurIPS 2024), arXiv:2405.15682.
    """

    overflow_bounds: ClassVar = "none"
    slots: ClassVar = ("x", "z")
    scalar_slots: ClassVar = {"ηmax": 0.0, "S": 0.0}
    scalar_bounds: ClassVar = {"ηmax": Bounds(ge=0), "S": Bounds(ge=0)}
    evaluation_slot: ClassVar = "x"
    kind: Literal["schedule_free_sgd"] = "schedule_free_sgd"
    η: Positive = 1.0
    μ: Decay = 0.9
    r: Exponent = 0.0
    power: Exponent = 2.0
    λ: NonNegative = 0.0

    def slot_starts(self) -> Mapping[str, Literal["W"]]:
        """Return the weight for both slots."""
        return {"x": "W", "z": "W"}

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`step = -η`, `c = w/S`, `x_share = μ`; before η is above 0, `c = 0` and `x_share = 1`."""
        η = self.learning_rate_at(time)
        return {"step": -η, **average_coefficients(time.update, η, self.μ, self.r, self.power, scalars)}

    @staticmethod
    def update(W: Any, g: Any, x: Any, z: Any, *, step: Any, x_share: Any, c: Any) -> tuple[Any, ...]:
        """One update."""
        z = z + increment(step * g)
        x = (1 - c) * x + c * z
        return x_share * x + (1 - x_share) * z, x, z


def average_coefficients(
    t: int, η: float, x_share: float, r: float, power: float, scalars: Mapping[str, float]
) -> dict[str, float]:
    """Return the new scalar slots, the weight `c` of the new `z` in the average `x`, and the share of `x` in W.

    Until η is above 0, nothing has moved: then `c` is 0 and the share of `x` is 1, which leave W unchanged to the bit.
    """
    ηmax = max(scalars["ηmax"], η)
    if ηmax == 0:
        return {"ηmax": 0.0, "S": 0.0, "c": 0.0, "x_share": 1.0}
    try:
        weight = t**r * ηmax**power
    except OverflowError:
        weight = sys.float_info.max
    S = min(scalars["S"] + weight, sys.float_info.max)
    return {"ηmax": ηmax, "S": S, "c": weight / S if S else 0.0, "x_share": x_share}
