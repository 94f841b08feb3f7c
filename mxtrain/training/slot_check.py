"""Detection of optimizer slots that become infinite or NaN, at a fraction of the cost of a step."""

import math
from types import ModuleType
from typing import Any

import numpy as np

from mxtrain.config import RunConfig
from mxtrain.flat import FlatParameters
from mxtrain.optimizer import Optimizer

_STEPS = 16
"""Steps between two scans while all numbers are far from overflow."""


class SlotCheck:
    """Decides in which steps a slot may become non-finite, and finds the slot that did.

    The square of a gradient, or a sum of squares, overflows long before the gradient does: in float32 a second moment
    is infinite after one gradient of 2e19, and its weight no longer moves. Checking every slot after every step would
    be slow, so a step is only checked if overflow is possible. With M the largest number of the dtype, no rule can get
    from slots below M/2^20 to M in 16 steps with gradients below √M/2^11: squares then add at most M/2^20 each, and no
    slot more than doubles for any other reason. A scan every 16 steps shows whether slots, and the weights that weight
    decay adds to the gradient, are still below their limits; otherwise every step is checked.

    Args:
        xp: the module of the arrays, NumPy or CuPy.
        config: the resolved config.
    """

    def __init__(self, xp: ModuleType, config: RunConfig) -> None:
        rule, fit = config.optimizer, config.fit
        exponent = int(np.finfo(config.dtype).maxexp)
        self._xp = xp
        self._largest_gradient = math.ldexp(1.0, exponent // 2 - 11)
        self._largest_slot = math.ldexp(1.0, exponent - 20)
        decays = [rule.λ, *(group.λ or 0.0 for group in rule.groups.values())]
        self._decay = max(decays)
        self._bound = min(fit.clip_norm or math.inf, rule.clip or math.inf)
        has_slots = bool(rule.active_slots())
        # reading a number from a GPU waits for it, so with `raise` slots are only checked at the end of an epoch
        self._is_on = has_slots and (xp is np or fit.on_nonfinite != "raise")
        self._is_near = True

    def restart(self) -> None:
        """Check the next step, because parameters and slots were replaced."""
        self._is_near = True

    def is_needed(self, norm: Any) -> bool:
        """Return whether a step with a gradient of this norm may make a slot non-finite."""
        return self._is_on and (self._is_near or not min(norm, self._bound) <= self._largest_gradient)

    def is_due(self, iteration: int) -> bool:
        """Return whether the slots must be scanned after a step that was not checked."""
        return self._is_on and iteration % _STEPS == 0

    def scan(self, optimizer: Optimizer, params: FlatParameters) -> str | None:
        """Describe the first slot with an infinity or a NaN; None if all are finite."""
        self._is_near = self._decay * self._largest(params.buffers.values()) > self._largest_gradient
        largest = self._largest(optimizer.slot_arrays())
        self._is_near |= not largest <= self._largest_slot
        if math.isfinite(largest):
            return None
        found = optimizer.first_nonfinite_slot()
        return found and f"the optimizer's slot {found[1]} of {found[0]}"

    def _largest(self, arrays: Any) -> float:
        """Return a bound on the absolute values: the norm, or the largest itself if the sum of squares overflows."""
        xp, largest = self._xp, 0.0
        for array in arrays:
            squares = float(xp.dot(array, array)) if array.ndim == 1 else math.inf
            value = math.sqrt(squares) if math.isfinite(squares) else float(xp.abs(array).max(initial=0))
            if not value <= largest:
                largest = value
            if math.isnan(value):
                return value
        return largest
