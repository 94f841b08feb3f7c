"""Detection of optimizer slots that become infinite or NaN, at a fraction of the cost of a step."""

import math
from types import ModuleType
from typing import Any

import numpy as np

from mxtrain.config import RunConfig
from mxtrain.flat import FlatParameters
from mxtrain.optimizer import Optimizer
from mxtrain.slot_check import STEPS, OverflowBounds, largest


class SlotCheck:
    """Decides in which steps of a run a slot may become non-finite, and finds the slot that did.

    To look at every slot after every step would be slow, so a step is only checked where `OverflowBounds` do not rule
    out an overflow. A scan every 16 steps shows whether slots, and the weights that weight decay adds to the gradient,
    are still below their limits; otherwise every step is checked.

    Args:
        xp: the module of the arrays, NumPy or CuPy.
        config: the resolved config.
    """

    def __init__(self, xp: ModuleType, config: RunConfig) -> None:
        rule, fit = config.optimizer, config.fit
        # the norm of a batch is that of the scaled gradient
        scaled = rule.model_copy(update={"scale": 0.0})
        self._bounds = OverflowBounds(
            scaled, config.dtype, max([rule.λ, *(it.λ or 0.0 for it in rule.groups.values())])
        )
        self._clip_norm = fit.clip_norm or math.inf
        rates = [rule.η, *(it.η or 0.0 for it in rule.groups.values())]
        self._step = max([*rates, (rule.η_sched and rule.η_sched.η) or 0.0])  # no schedule exceeds its start
        self._momentum = rule.momentum(1) or 0.0
        # reading a number from a GPU waits for it, so with `raise` slots are only checked at the end of an epoch
        self._is_on = bool(rule.active_slots()) and (xp is np or fit.on_nonfinite != "raise")
        self._is_near = True

    def restart(self) -> None:
        """Check the next step, because parameters and slots were replaced."""
        self._is_near = True

    def is_needed(self, norm: Any) -> bool:
        """Return whether a step with a gradient of this norm may make a slot non-finite."""
        if not self._is_on:
            return False
        bounded = min(float(norm), self._clip_norm)
        return self._is_near or not self._bounds.allow_gradient(bounded, self._step, self._momentum)

    def is_due(self, iteration: int) -> bool:
        """Return whether the slots are to be scanned after a step that was not checked."""
        return self._is_on and iteration % STEPS == 0

    def scan(self, optimizer: Optimizer, params: FlatParameters) -> str | None:
        """Describe the first slot with an infinity or a NaN; return None if all are finite."""
        weight = largest(list(params.buffers.values())) if self._bounds.decays else 0.0
        slot = largest(list(optimizer.slot_arrays()))
        self._is_near = not (self._bounds.allow_weight(weight) and self._bounds.allow_slots(slot))
        if math.isfinite(slot):
            return None
        found = optimizer.first_nonfinite_slot()
        return found and f"the optimizer's slot {found[1]} of {found[0]}"
