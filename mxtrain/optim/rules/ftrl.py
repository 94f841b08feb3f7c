"""FTRL-Proximal: AdaGrad's steps with an L1 penalty that makes weights exactly zero."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from mxtrain.optim.ir import absolute, sign, sqrt, where
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.time import Time
from mxtrain.types import NonNegative, Positive


class FTRL(Rule):
    """FTRL-Proximal: AdaGrad's steps with an L1 penalty that makes weights exactly zero.

    Slots `z`, `n`: `n' = n + g⊙g`, `z ← z + (g - ((√n' - √n)/η)⊙W)`, `n ← n'`, and the weight is replaced:
    `W ← 0` where `|z| ≤ λ1`, and `(sign(z)·λ1 - z) / ((√n + β)/η + λ)` elsewhere.

    The weight minimizes the sum of the linearized past losses and both penalties, so it is a function of the slots
    alone, and most weights of a sparse linear model are exactly 0. Two consequences: a weight whose first gradient is 0
    becomes 0, and with β > 0 the first updates pull weights towards 0; neither suits random initial weights. Where
    `(√n + β)/η + λ` is 0, because no squared gradient was above 0, the weight is 0. Keras has the rule as `Ftrl`, where
    `n` starts at 0.1; PyTorch and Optax lack it.

    Args:
        η: learning rate, above 0; 0 in a parameter group leaves weights and slots unchanged.
        β: stability term and L2 penalty `β/η` of the first updates, at least 0.
        λ1: L1 penalty, at least 0; larger values make more weights 0.
        λ: L2 penalty, at least 0; part of the formula, and not added to the gradient.
        clip, scale, η_sched, groups: as for every rule.

    Example:
        >>> import mxtrain, numpy as np
        >>> w, g = np.zeros(2), np.array([2, 0.25])
        >>> mxtrain.build(mxtrain.FTRL(η=0.5, β=2, λ1=0.5)).update(0, g, w)
        >>> w
        array([-0.1875,  0.    ])

    Source: McMahan et al., "Ad Click Prediction: a View from the Trenches" (KDD 2013).
    """

    overflow_bounds: ClassVar = "none"
    slots: ClassVar = ("z", "n")
    holds_zero_weights: ClassVar = True
    decoupled: ClassVar = True
    corrected: ClassVar = False
    kind: Literal["ftrl"] = "ftrl"
    η: Positive = 0.1
    β: NonNegative = 1.0
    λ1: NonNegative = 0.01
    λ: NonNegative = 0.0

    def coefficients(self, time: Time, scalars: Mapping[str, float]) -> dict[str, float]:
        """`inverse = 1/η`; where η is 0, `inverse = 1` and `moves = 0`, so that nothing changes."""
        η = self.learning_rate_at(time)
        return {"inverse": 1 / (η or 1.0), "moves": float(η > 0)}

    @staticmethod
    def update(W: Any, g: Any, z: Any, n: Any, *, inverse: Any, moves: Any, β: Any, λ1: Any, λ: Any) -> tuple[Any, ...]:
        """One update."""
        g = moves * g
        root = sqrt(n)
        n = n + g * g
        z = z + (g - ((sqrt(n) - root) * inverse) * W)
        divisor = (sqrt(n) + β) * inverse + λ
        new = where(absolute(z) <= λ1, 0, (sign(z) * λ1 - z) / divisor)
        return where(moves > 0, where(divisor <= 0, 0, new), W), z, n
