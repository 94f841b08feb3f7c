"""Bounds on gradients and slots under which no update can make a slot NaN or infinite."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mxtrain.optim.backends import array_kind, array_module
from mxtrain.optim.rules import SGD, AdaDelta, Rule
from mxtrain.types import Array

SCAN_INTERVAL = 16
"""Updates after a scan of the slots for which the bounds hold."""

_VANISHING = 2.0**-74
"""The square of a smaller number may be zero in float32."""


class OverflowBounds:
    """Bounds for one rule and one dtype, under which `SCAN_INTERVAL` updates in a row leave every slot finite.

    A square of a gradient, or a sum of squares, overflows long before the gradient does: in float32 a second moment is
    infinite after one gradient of 2e19, and its weight no longer moves. With M the largest number of the dtype, no rule
    can get from slots below M/2^20 to M in 16 steps with gradients, and decays λ·W, below √M/2^11: squares then add at
    most M/2^20 each, and no slot more than doubles for any other reason. Two rules need more: the velocity of SGD grows
    with η and with a momentum above 1, and AdaDelta squares a step of up to √((Δ + ϵ)/(1-ρ)).

    Args:
        rule: the rule, with the settings of one group.
        dtype: the dtype of the arrays, float32 or float64.
        decay: λ where it is not that of the rule.

    Example:
        >>> from mxtrain.optim.rules import Adam
        >>> bounds = OverflowBounds(Adam(scale=0.5), "float32")
        >>> bounds.allow_gradient(1e15), bounds.allow_gradient(2e19), bounds.allow_gradient(float("nan"))
        (True, False, False)
    """

    def __init__(self, rule: Rule, dtype: Any, decay: float | None = None) -> None:
        exponent = int(np.finfo(dtype).maxexp)
        self._largest_gradient = math.ldexp(1.0, exponent // 2 - 11)
        self._largest_slot = math.ldexp(1.0, exponent - 20)
        self._largest_move = math.ldexp(1.0, exponent - 21) if isinstance(rule, SGD) else math.inf
        self._scale = abs(rule.scale) or 1.0
        self._clip = rule.clip or math.inf
        self._decay = 0.0 if rule.decoupled else rule.λ if decay is None else decay
        if isinstance(rule, AdaDelta):
            self._largest_slot *= 1 - rule.ρ
            if rule.ϵ > self._largest_slot:
                self._largest_slot = -1.0  # every update is tried
        if self._scale > math.ldexp(1.0, exponent - 1):
            self._largest_gradient = -1.0  # scale may round to infinity, and infinity times 0 is NaN

    def allow_gradient(self, gradient: float, step: float = 0.0, momentum: float = 0.0) -> bool:
        """Return whether an update cannot overflow a slot if slots and weights are far from overflow.

        Args:
            gradient: the largest absolute value of the gradient, before the rule scales and clips it; NaN if any is.
            step: the factor of SGD on the gradient.
            momentum: the factor of SGD on the velocity.
        """
        bounded = min(gradient * self._scale, self._clip)  # NaN where the gradient is
        return (
            bounded <= self._largest_gradient
            and momentum <= 1
            and abs(step) * self._largest_gradient <= self._largest_move
        )

    def need_weights(self, step: float) -> bool:
        """Return whether weights must be read in every update, because `SCAN_INTERVAL` updates might multiply one."""
        return self._decay * abs(step) > 1 / SCAN_INTERVAL

    @property
    def decays(self) -> bool:
        """Whether the weights are a part of the gradient that the rule sees."""
        return self._decay > 0

    def allow_weight(self, weight: float) -> bool:
        """Return whether the decay of weights of at most this absolute value is far from overflow."""
        return not self._decay or self._decay * max(weight, 1.0) <= self._largest_gradient

    def allow_slots(self, slot: float) -> bool:
        """Return whether slots of at most this absolute value are far from overflow."""
        return slot <= self._largest_slot


def max_abs_bound(arrays: Sequence[Array], exact: bool = False) -> float:
    """Return a bound on the absolute values of arrays of one package: the root of the sum of their squares.

    Args:
        arrays: arrays of NumPy or CuPy.
        exact: return the largest absolute value itself, which takes longer; so it is done where the squares overflow.

    Returns:
        NaN where any value is.

    Example:
        >>> max_abs_bound([np.array([3.0, 0.0]), np.array([-4.0])], exact=True)
        4.0
    """
    if not arrays:
        return 0.0
    xp = np if type(arrays[0]) is np.ndarray else array_module(array_kind(arrays[0]) or "numpy")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if not exact:
            squares = 0.0
            for array in arrays:
                squares += float(array.dot(array) if array.ndim == 1 else xp.vdot(array, array))
            if squares != math.inf:
                return math.sqrt(squares) + _VANISHING
        found = [float(xp.abs(array).max(initial=0)) for array in arrays]
    return math.nan if any(map(math.isnan, found)) else max(found)
