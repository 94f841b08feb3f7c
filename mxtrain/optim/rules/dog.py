"""DoG: distance over gradients, a step size without a learning rate to tune."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import increment, maximum, sqrt, total_dot, total_norm, where
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import Bounds, NonNegative, Positive, Stability


class DoG(Rule):
    """DoG: distance over gradients, a step size without a learning rate to tune.

    Slot `W0`, the first weights; scalar slots `d` and `G`. With norms and sums over all parameters of a step:
    `d ← max(d, ‖W - W0‖)`, `G ← G + Σ g⊙g`, `W ← W + (-η·d/√G)·g`.
    At the first update, d starts at `relative·(1 + ‖W‖)` and G at ϵ.

    The step size is the largest distance from the start so far, over the root of the sum of all squared gradients, so
    it grows from a tiny first step to the scale that the problem allows. The paper evaluates an average of iterates.

    Every update needs all parameters: call `step`; `update` of a single array is refused.

    Args:
        η: factor of the step, above 0; 1 is the method as published.
        relative: the first step, relative to the norm of the weights, above 0.
        ϵ: first value of the sum of squared gradients, above 0.
        λ: weight decay, at least 0; added to the gradient.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> params, grads = {"W": np.ones(3)}, {"W": np.full(3, 2.0)}
        >>> optimizer = mxtrain.build({"kind": "dog", "relative": 0.1})
        >>> optimizer.step(params, grads)
        >>> params["W"]
        array([0.84226497, 0.84226497, 0.84226497])

    PyTorch and Keras have no DoG; Optax has `optax.contrib.dog`. Choose it for a first run without a guess of the
    learning rate, and compare with a tuned rule.

    Source: Ivgi, Hinder and Carmon, "DoG is SGD's Best Friend: A Parameter-Free Dynamic Step Size Schedule"
    (ICML 2023), arXiv:2302.12022.
    """

    overflow_bounds: ClassVar = "none"
    slots: ClassVar = ("W0",)
    scalar_slots: ClassVar = {"d": 0.0, "G": 0.0}
    scalar_bounds: ClassVar = {"d": Bounds(ge=0), "G": Bounds(gt=0)}
    computed_scalars: ClassVar = ("d", "G")
    kind: Literal["dog"] = "dog"
    η: Positive = 1.0
    relative: Positive = 1e-6
    ϵ: Stability = 1e-8
    λ: NonNegative = 0.0

    def slot_starts(self) -> Mapping[str, float | Literal["W"]]:
        """Return `W0`: the weights before the first update."""
        return {"W0": "W"}

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`step = -η`; `first = 1` at the first update, 0 later."""
        return {"step": -self.learning_rate_at(time), "first": float(time.update == 1)}

    @staticmethod
    def update(
        W: Any, g: Any, W0: Any, *, d: Any, G: Any, step: Any, first: Any, relative: Any, ϵ: Any
    ) -> tuple[Any, ...]:
        """One update."""
        is_first = first > 0
        d = where(is_first, relative * (1 + total_norm(W)), maximum(d, total_norm(W - W0)))
        G = where(is_first, ϵ, G) + total_dot(g, g)
        return W + increment((step * d / sqrt(G)) * g), W0, d, G
