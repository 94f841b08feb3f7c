"""Stochastic gradient descent, with or without momentum."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from mxtrain.optim.ir import increment
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.optim.schedules import MomentumSchedule, momentum
from mxtrain.types import NonNegative, Positive, describe, field_error


class SGD(Rule):
    """Stochastic gradient descent, with or without momentum.

    Without momentum: `W ← W + (-η)·g`.
    With momentum, slot `v`: `v ← μ·v + (-η)·g`, `W ← W + v` (Polyak's heavy ball).
    With Nesterov momentum: `v ← μ·v + (-η)·g`, `W ← W + (μ·v + (-η)·g)`.
    With `form: torch`: `v ← μ·v + g`, `W ← W + (-η)·v`; with Nesterov momentum `W ← W + (-η)·(g + μ·v)`.

    The two forms agree while η is fixed. When a schedule changes η, steps that were accumulated at the old η keep it in
    the form of MXNet, and take the new η in that of PyTorch.

    Args:
        η: learning rate, above 0.
        μ: momentum, at least 0; with 0 there is no momentum and no slot.
        λ: weight decay, on by default, at least 0.
        μ_sched: momentum schedule (`null`, `fixed`, `nadam`); if set, it overrides the fixed μ.
        nesterov: Nesterov momentum, which looks one step ahead; without momentum it changes nothing.
        form: `mxnet`, where the velocity `v` contains η, as in Keras, or `torch`, where η multiplies the velocity.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2, dtype="float32"), np.ones(2, dtype="float32")
        >>> mxtrain.build(mxtrain.SGD(η=0.5, λ=0)).update(0, g, w)
        >>> w
        array([0.5, 0.5], dtype=float32)

    Source: Robbins and Monro (1951); Polyak, "Some methods of speeding up the convergence of iteration methods"
    (1964); Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep learning"
    (ICML 2013); `SGD` of MXNet.jl, `torch.optim.SGD`.
    """

    overflow_bounds: ClassVar = "gradient"
    slots: ClassVar = ("v",)
    options: ClassVar = ("nesterov", "form")
    state_options: ClassVar = ("form",)
    kind: Literal["sgd"] = "sgd"
    η: Positive = 0.01
    μ: NonNegative = 0.0
    λ: NonNegative = 1e-4
    μ_sched: MomentumSchedule | None = None
    nesterov: bool = False
    form: Literal["mxnet", "torch"] = "mxnet"

    @model_validator(mode="after")
    def _check_nadam_momentum(self) -> Self:
        if isinstance(self.μ_sched, momentum.Nadam) and self.μ_sched.μ is None and self.μ >= 1:
            raise field_error("μ", f"must be below 1 for the nadam schedule, got {describe(self.μ)}")
        return self

    def active_slots(self) -> tuple[str, ...]:
        """Return `v` with momentum, and no slots without."""
        match self.μ_sched:
            case None:
                has_momentum = self.μ > 0
            case momentum.Null():
                has_momentum = False
            case momentum.Fixed(μ=μ):
                has_momentum = (self.μ if μ is None else μ) > 0
            case momentum.Nadam(μ=μ):
                has_momentum = μ is None or μ > 0
            case _:
                has_momentum = True
        return self.slots if has_momentum else ()

    def momentum_at(self, iteration: int) -> float:
        """Return μ at an iteration: the value of the schedule, or the fixed value without a schedule.

        With μ = 0, the `nadam` schedule uses its own default.
        """
        if self.μ_sched is None:
            return self.μ
        has_no_base = self.μ == 0 and isinstance(self.μ_sched, momentum.Nadam)
        return self.μ_sched.value(iteration, None if has_no_base else self.μ)

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`step = -η`, and the momentum `μ` of this iteration."""
        return {"step": -self.learning_rate_at(time), "μ": self.momentum_at(time.iteration)}

    @staticmethod
    def update(W: Any, g: Any, v: Any = None, *, step: Any, μ: Any, nesterov: bool, form: str) -> tuple[Any, ...]:
        """One update; without momentum there is no slot `v`."""
        if v is None:
            return (W + increment(step * g),)
        if form == "torch":
            v = μ * v + g
            return W + increment(step * (g + μ * v if nesterov else v)), v
        v = μ * v + step * g
        return W + increment(μ * v + step * g if nesterov else v), v
