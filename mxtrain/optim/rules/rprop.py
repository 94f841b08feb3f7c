"""Rprop: a step size of its own for each weight, which grows while the sign of the gradient stays the same."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import model_validator

from mxtrain.optim.ir import increment, maximum, minimum, sign, where
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import AboveOne, Bounds, OpenUnit, Positive, Stability, describe, field_error

_REMEDY = "rprop has no weight decay, because it uses only the signs of gradients; omit it, or choose another rule"
_StepSize = Annotated[float, Bounds(gt=0, ceiling=10**12)]
_NoDecay = Annotated[float, Bounds(ge=0, le=0, remedy=_REMEDY)]
"""Weight decay of a rule that has none."""


class Rprop(Rule):
    """Rprop: a step size of its own for each weight, which grows while the sign of the gradient stays the same.

    Slots `p` (the previous gradient) and `s` (the step size, which starts at η):
    `q = sign(g)·sign(p)`; `s ← min(max(s·k, step_min), step_max)`, where k is `grow`, `shrink` or 1 as q is 1, -1 or 0;
    `p ← 0` where q < 0, and g elsewhere; `W ← W + -(sign(p)·s)`.

    When the sign changes, a minimum was passed: the weight does not move in this update, and the next one leaves its
    step size as it is. The signs of gradients must be reliable: use it on full batches. PyTorch has the same rule;
    Keras lacks it, and `optax.rprop` uses each gradient one update late.

    Args:
        η: first step size, above 0; a schedule of η changes nothing, because each weight adapts its own step size.
        shrink: factor of the step size when the sign of the gradient changes, above 0 and below 1.
        grow: factor of the step size while the sign stays the same, above 1.
        step_min: smallest step size, above 0.
        step_max: largest step size, above 0 and at least `step_min`.
        λ: 0, as the rule has no weight decay.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w = np.zeros(1)
        >>> optimizer = mxtrain.build(mxtrain.Rprop(η=0.1, grow=1.5))
        >>> for gradient in (-5, -5, 5, 5):  # steps of 0.1 and 0.15; none; a step of 0.075 back
        ...     optimizer.update(0, np.full(1, gradient, dtype="float64"), w)
        >>> w
        array([0.175])

    Source: Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm"
    (ICNN 1993); the variant iRprop⁻ of Igel and Hüsken (2000).
    """

    overflow_bounds: ClassVar = "gradient"
    slots: ClassVar = ("p", "s")
    decoupled: ClassVar = False
    corrected: ClassVar = False
    kind: Literal["rprop"] = "rprop"
    η: Positive = 0.01
    shrink: OpenUnit = 0.5
    grow: AboveOne = 1.2
    step_min: Stability = 1e-6
    step_max: _StepSize = 50.0
    λ: _NoDecay = 0.0

    @model_validator(mode="after")
    def _check_steps_and_decay(self) -> Self:
        if self.step_min > self.step_max:
            raise field_error(
                "step_min", f"must be at most step_max, {describe(self.step_max)}, got {describe(self.step_min)}"
            )
        return self

    def slot_starts(self) -> Mapping[str, float]:
        """Return η for the step sizes."""
        return {"s": self.η}

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`low = step_min`, `high = step_max`; both are 0 in a parameter group with η = 0, which freezes it."""
        return {"low": self.step_min, "high": self.step_max} if self.η else {"low": 0.0, "high": 0.0}

    @staticmethod
    def update(W: Any, g: Any, p: Any, s: Any, *, shrink: Any, grow: Any, low: Any, high: Any) -> tuple[Any, ...]:
        """One update."""
        direction = sign(g)
        agreement = direction * sign(p)
        s = minimum(maximum(s * where(agreement > 0, grow, where(agreement < 0, shrink, 1)), low), high)
        direction = where(agreement < 0, 0, direction)  # the sign of the new p
        return W + increment(-(direction * s)), where(agreement < 0, 0, g), s
