"""Prodigy: Adam that estimates its learning rate from the distance to the solution."""

from collections.abc import Mapping
from math import sqrt as scalar_sqrt
from typing import Annotated, Any, ClassVar, Literal

from mxtrain.optim.ir import absolute, increment, maximum, minimum, sqrt, total_dot, total_sum, where
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import Bounds, Decay, NonNegative, Positive, Stability

_Growth = Annotated[float, Bounds(gt=1)]


class Prodigy(Rule):
    """Prodigy: Adam that estimates its learning rate from the distance to the solution.

    Slots `m`, `v`, `s` and `W0`, the first weights; scalar slots `d` and `d_max`, which start at d0, and `N`. With sums
    over all parameters of a step, `e = d·η` (`corrected`: `d·η·√(1-β2ᵗ)/(1-β1ᵗ)`):
    `N ← β3·N + (d/d0)·e·Σ g⊙(W0 - W)`, `m ← β1·m + d·(1-β1)·g`, `v ← β2·v + d²·(1-β2)·(g⊙g)`,
    `s ← β3·s + ((d/d0)·e)·g` (`safeguard`: d in place of e), `D = d_coef·N/Σ|s|`;
    `d ← max(d, D)` if d is still d0; `d_max ← max(d_max, D)`, `d ← min(d_max, d·growth)`;
    `W ← W + ((-e·λ)·W + ((-e)·m)/(√v + d·ϵ))`, with the old e and the new d.

    d is a lower bound of the distance from the first weights to the solution; it only grows, and takes the place of a
    tuned learning rate. While η, or every gradient so far, is 0, nothing changes.

    Every update needs all parameters: call `step`; `update` of a single array is refused.

    Args:
        η: factor of the step, above 0; 1 is the method as published, and a schedule multiplies it.
        β1: decay of the first moment, at least 0 and below 1.
        β2: decay of the second moment, at least 0 and below 1.
        β3: decay of the sums that estimate d, at least 0 and below 1; null means √β2.
        ϵ: stability term, above 0.
        λ: weight decay, at least 0; decoupled.
        d0: first value of d, above 0.
        d_coef: factor of the estimate, above 0; smaller values give smaller steps.
        growth: largest factor by which d may grow in one update, above 1; null means no bound.
        corrected_decay: multiply the decay by `η/ηmax`, the fraction of the largest η that the schedule has left.
        corrected: correct the bias of the steps, as in Adam.
        safeguard: leave η out of `s`, which helps with a warm-up.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> params, grads = {"W": np.ones(3)}, {"W": np.full(3, 2.0)}
        >>> optimizer = mxtrain.build({"kind": "prodigy", "d0": 0.1})
        >>> optimizer.step(params, grads)
        >>> params["W"]
        array([0.68377228, 0.68377228, 0.68377228])

    PyTorch and Keras have no Prodigy; Optax has `optax.contrib.prodigy`, which is `corrected`. Choose it where no
    good learning rate is known, with a cosine schedule of η from 1; leave `scale` fixed during a run.

    Source: Mishchenko and Defazio, "Prodigy: An Expeditiously Adaptive Parameter-Free Learner" (ICML 2024),
    arXiv:2306.06101; the authors' package prodigyopt.
    """

    overflow_bounds: ClassVar = "none"
    slots: ClassVar = ("m", "v", "s", "W0")
    scalar_slots: ClassVar = {"d": 0.0, "d_max": 0.0, "N": 0.0, "β1_power": 1.0, "β2_power": 1.0}
    scalar_bounds: ClassVar = {
        "d": Bounds(gt=0),
        "d_max": Bounds(gt=0),
        "β1_power": Bounds(ge=0, le=1),
        "β2_power": Bounds(ge=0, le=1),
    }
    computed_scalars: ClassVar = ("d", "d_max", "N", "β1_power", "β2_power")
    options: ClassVar = ("corrected", "safeguard")
    state_options: ClassVar = ("corrected", "safeguard")
    decoupled: ClassVar = True
    kind: Literal["prodigy"] = "prodigy"
    η: Positive = 1.0
    β1: Decay = 0.9
    β2: Decay = 0.999
    β3: Decay | None = None
    ϵ: Stability = 1e-8
    λ: NonNegative = 0.0
    d0: Positive = 1e-6
    d_coef: Positive = 1.0
    growth: _Growth | None = None
    corrected_decay: bool = False
    corrected: bool = False  # type: ignore[misc]  # a class variable in other rules
    safeguard: bool = False

    def slot_starts(self) -> Mapping[str, float | Literal["W"]]:
        """Return `W0`: the weights before the first update."""
        return {"W0": "W"}

    def initial_scalars(self) -> dict[str, float]:
        """Return d0 for `d` and `d_max`, 0 for `N`, and 1 for the powers of β1 and β2."""
        return dict(self.scalar_slots) | {"d": self.d0, "d_max": self.d0}

    def is_idle(self, time: Time) -> bool:
        """Return True while the schedule of η is at 0."""
        return self.learning_rate_at(time) == 0

    def _is_off(self, name: str) -> bool:
        return not self.corrected_decay if name == "corrected_decay" else super()._is_off(name)

    @property
    def corrects_decay(self) -> bool:
        """The field `corrected_decay`, because `corrected` has another meaning here."""
        return self.corrected_decay

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`rate = η` at this time, `decay3 = β3`, `largest_growth = growth`, infinite if it is null."""
        return {
            "rate": self.learning_rate_at(time),
            "λ": self.corrected_λ(self.learning_rate_at(time)),
            "decay3": scalar_sqrt(self.β2) if self.β3 is None else self.β3,
            "largest_growth": float("inf") if self.growth is None else self.growth,
        }

    @staticmethod
    def update(
        W: Any, g: Any, m: Any, v: Any, s: Any, W0: Any, *, d: Any, d_max: Any, N: Any, β1_power: Any, β2_power: Any,
        rate: Any, β1: Any, β2: Any, decay3: Any, ϵ: Any, λ: Any, d0: Any, d_coef: Any, largest_growth: Any,
        corrected: bool, safeguard: bool,
    ) -> tuple[Any, ...]:  # fmt: skip
        """One update. The powers of β1 and β2 are slots, because updates without any gradient are not counted."""
        old_d, power1, power2 = d, β1_power * β1, β2_power * β2
        e = d * rate * (sqrt(1 - power2) / (1 - power1)) if corrected else d * rate
        m = β1 * m + (d * (1 - β1)) * g
        v = β2 * v + (d * d * (1 - β2)) * (g * g)
        s = decay3 * s + ((d / d0) * (d if safeguard else e)) * g
        size = total_sum(absolute(s))
        is_still = size <= 0  # every gradient so far was 0; a NaN is not still
        N = where(is_still, N, decay3 * N + (d / d0) * e * total_dot(g, W0 - W))
        estimate = where(is_still, 0, d_coef * N / size)
        d = where(d <= d0, maximum(d, estimate), d)
        d_max = maximum(d_max, estimate)
        d = where(is_still, old_d, minimum(d_max, d * largest_growth))
        e = where(is_still, 0, e)
        W = W + ((-e * λ) * W + increment((-e * m) / (sqrt(v) + d * ϵ)))
        return W, m, v, s, W0, d, d_max, N, where(is_still, β1_power, power1), where(is_still, β2_power, power2)
