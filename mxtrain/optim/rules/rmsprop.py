"""RMSProp: the gradient divided by its running root mean square."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import increment, maximum, sqrt
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import Decay, NonNegative, OpenUnit, Positive, Stability


class RMSProp(Rule):
    """RMSProp: the gradient divided by its running root mean square.

    Slot `s`: `s ← ρ·s + (1-ρ)·(g⊙g)`, `W ← W + ((-η)·g) / √(s + ϵ)`.
    Centered, slot `a`: `a ← ρ·a + (1-ρ)·g`, and `max(s - a⊙a, 0)` takes the place of `s` under the root.
    With momentum, slot `v`: `v ← μ·v + ((-η)·g) / √(s + ϵ)`, `W ← W + v`.
    With `form: torch`: `v ← μ·v + g / (√s + ϵ)`, `W ← W + (-η)·v`; without momentum `W ← W + (-η)·(g / (√s + ϵ))`.

    The maximum is needed: `s - a⊙a` is a variance, which rounding can make slightly negative.

    Args:
        η: learning rate, above 0. The default, 0.1, is that of MXNet.jl's documentation, and is large; 0.001 is a
            common choice.
        ρ: decay of the mean square, above 0 and below 1.
        ϵ: stability term, above 0; inside the square root, with `form: torch` outside.
        λ: weight decay, on by default, at least 0.
        μ: momentum, at least 0 and below 1; with 0 there is no momentum and no slot `v`.
        centered: divide by the standard deviation of the gradient instead of its root mean square.
        form: `mxnet`, where ϵ is inside the root and the velocity `v` contains η, or `torch`, where ϵ is outside and η
            multiplies the velocity.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.ones(2, dtype="float32"), np.ones(2, dtype="float32")
        >>> mxtrain.build(mxtrain.RMSProp(η=0.001)).update(0, g, w)
        >>> w
        array([0.99683774, 0.99683774], dtype=float32)

    Source: Tieleman and Hinton, "Lecture 6.5: RMSProp", Neural Networks for Machine Learning (Coursera, 2012); Graves,
    "Generating Sequences With Recurrent Neural Networks" (2013), arXiv:1308.0850, for the centered form with momentum.
    """

    slots: ClassVar = ("s", "a", "v")
    options: ClassVar = ("centered", "form")
    kind: Literal["rmsprop"] = "rmsprop"
    η: Positive = 0.1
    ρ: OpenUnit = 0.9
    ϵ: Stability = 1e-8
    λ: NonNegative = 1e-5
    μ: Decay = 0.0
    centered: bool = False
    form: Literal["mxnet", "torch"] = "mxnet"

    def active_slots(self) -> tuple[str, ...]:
        """Return `s`, with `a` if centered, and `v` with momentum."""
        return ("s", *("a",) * self.centered, *("v",) * (self.μ > 0))

    @property
    def overflow_bounds(self) -> Literal["gradient", "none"]:  # type: ignore[override]
        """`none` with momentum: a velocity grows by `g/√ϵ`, which may be larger than any number."""
        return "none" if self.μ > 0 else "gradient"

    def momentum_at(self, iteration: int) -> float | None:
        """Return μ, which has no schedule; None without momentum."""
        return self.μ or None

    def stored_options(self) -> dict[str, Any]:
        """Return `form` with momentum, whose slot `v` contains η or not."""
        options = super().stored_options()
        return options | {"form": self.form} if self.μ > 0 else options

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`step = -η`."""
        return {"step": -self.learning_rate_at(time)}

    @staticmethod
    def update(
        W: Any, g: Any, s: Any, *more: Any, step: Any, ρ: Any, ϵ: Any, μ: Any, centered: bool, form: str
    ) -> tuple[Any, ...]:
        """One update; `more` holds `a` if the rule is centered, and `v` if it has momentum."""
        a, v = more[:centered], more[centered:]
        s = ρ * s + (1 - ρ) * (g * g)
        variance = s
        if centered:
            a = (ρ * a[0] + (1 - ρ) * g,)
            variance = maximum(s - a[0] * a[0], 0)
        move = g / (sqrt(variance) + ϵ) if form == "torch" else step * g / sqrt(variance + ϵ)
        if v:
            move = μ * v[0] + move
            v = (move,)
        return W + increment(step * move if form == "torch" else move), s, *a, *v
