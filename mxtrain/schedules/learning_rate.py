"""Learning-rate schedules: pure functions of how much of a run is finished.

Source: `LearningRate.Fixed`, `.Exp` and `.Inv` of MXNet.jl.
"""

from typing import Annotated, Literal

from pydantic import Field

from mxtrain.schedules.base import Schedule, base_value
from mxtrain.types import NonNegative, OpenUnit, Positive

Per = Literal["epoch", "iteration"]


class Fixed(Schedule):
    """The same learning rate all along: `value(t) = η`.

    Args:
        η: the learning rate, above 0; left out, the optimizer's own.
        per: what `t` counts; it makes no difference here.

    Example:
        >>> Fixed(η=0.1).value(7)
        0.1
    """

    kind: Literal["fixed"] = "fixed"
    η: Positive | None = None
    per: Per = "epoch"

    def value(self, t: float, base: float | None = None) -> float:
        """The learning rate once `t` epochs or iterations are finished."""
        return base_value(self, "η", base)


class Exp(Schedule):
    """Exponential decay: `value(t) = η·γᵗ`.

    Args:
        η: the learning rate at `t = 0`, above 0; left out, the optimizer's own.
        γ: the factor of each step, above 0 and below 1.
        per: what `t` counts, finished epochs or finished iterations.

    Example:
        >>> [Exp(η=0.1, γ=0.5).value(t) for t in range(3)]
        [0.1, 0.05, 0.025]
    """

    kind: Literal["exp"] = "exp"
    η: Positive | None = None
    γ: OpenUnit = 0.9
    per: Per = "epoch"

    def value(self, t: float, base: float | None = None) -> float:
        """The learning rate once `t` epochs or iterations are finished."""
        return base_value(self, "η", base) * float(self.γ**t)


class Inv(Schedule):
    """Inverse-power decay: `value(t) = η·(1 + γ·t)^(-p)`.

    Args:
        η: the learning rate at `t = 0`, above 0; left out, the optimizer's own.
        γ: how soon the decay sets in, above 0 and below 1.
        p: the power, at least 0.
        per: what `t` counts, finished epochs or finished iterations.

    Example:
        >>> Inv(η=0.1, γ=0.5, p=1).value(2)
        0.05
    """

    kind: Literal["inv"] = "inv"
    η: Positive | None = None
    γ: OpenUnit = 0.9
    p: NonNegative = 0.5
    per: Per = "epoch"

    def value(self, t: float, base: float | None = None) -> float:
        """The learning rate once `t` epochs or iterations are finished."""
        return base_value(self, "η", base) * float((1 + self.γ * t) ** -self.p)


LearningRateSchedule = Annotated[Fixed | Exp | Inv, Field(discriminator="kind")]
