"""Checks of a run's optimizer slots for NaN and infinity, in the steps that may overflow one."""

import math
from collections import deque
from types import ModuleType
from typing import Any

import numpy as np

from mxtrain.config import RunConfig
from mxtrain.optim.flat_parameters import FlatParameters
from mxtrain.optim.nonfinite import SCAN_INTERVAL, OverflowBounds, max_abs_bound
from mxtrain.optim.optimizer import Optimizer
from mxtrain.optim.param_groups import rules_of_groups
from mxtrain.optim.rules import Rule


class _RuleBounds:
    """Bounds of the slots of one rule, with the largest factors that its schedules reach."""

    def __init__(self, rule: Rule, dtype: str) -> None:
        # The norm of a batch is that of the scaled gradient.
        self.bounds = OverflowBounds(rule.model_copy(update={"scale": 0.0}), dtype, tries_unbounded=False)
        self._learning_rate = rule.η if rule.η_sched is None else max(rule.η, rule.η_sched.highest(rule.η))
        self._momentum = rule.momentum_at(1) or 0.0

    def allow_gradient(self, gradient: float) -> bool:
        """Return whether an update with such a gradient cannot overflow a slot if slots are far from overflow."""
        return self.bounds.allow_gradient(gradient, self._learning_rate, self._momentum)


class SlotCheck:
    """Determines in which steps of a run a slot may become non-finite, and finds that slot.

    Scanning every slot after every step would be slow, so a step is checked only if `OverflowBounds` do not rule out an
    overflow. Every 16 steps a scan determines whether slots, and the weights that weight decay adds to the gradient,
    are below their limits; if they are not, every step is checked.

    Args:
        xp: the array module, NumPy or CuPy.
        config: the resolved config.
        rule: the rule of the run.
    """

    def __init__(self, xp: ModuleType, config: RunConfig, rule: Rule) -> None:
        fit = config.fit
        pairs = (both for _, *both in rules_of_groups(rule))
        rules = [each.with_largest_numbers() for each in {id(each): each for both in pairs for each in both}.values()]
        self._bounds = [_RuleBounds(each, config.dtype) for each in rules]
        self._clip_norm = math.inf if rule.clip_norm is None or "clip_norm" in rule.schedules else rule.clip_norm
        self._norms: deque[float] = deque(maxlen=rule.accumulate)  # of the gradients in the mean of an update
        # Reading a number from a GPU waits for the device, so with `raise` slots are checked only after an epoch.
        self._is_enabled = any(rule.stored_slots() for rule in rules) and (xp is np or fit.on_nonfinite != "raise")
        self._is_near_limit = True

    def restart(self) -> None:
        """Check the next step, because parameters and slots were replaced."""
        self._is_near_limit = True

    def is_needed(self, norm: Any) -> bool:
        """Return whether a step with a gradient of this norm may make a slot non-finite."""
        if not self._is_enabled:
            return False
        self._norms.append(float(norm))
        bounded = min(max(self._norms), self._clip_norm)
        return self._is_near_limit or not all(each.allow_gradient(bounded) for each in self._bounds)

    def is_due(self, iteration: int) -> bool:
        """Return whether to scan the slots after a step that was not checked."""
        return self._is_enabled and iteration % SCAN_INTERVAL == 0

    def scan(self, optimizer: Optimizer, params: FlatParameters) -> str | None:
        """Describe the first slot that contains NaN or infinity; return None if all are finite."""
        bounds = [each.bounds for each in self._bounds]
        weight = max_abs_bound(list(params.buffers.values())) if any(each.decays for each in bounds) else 0.0
        slot = max_abs_bound(list(optimizer.slot_arrays()))
        self._is_near_limit = not all(each.allow_weight(weight) and each.allow_slots(slot) for each in bounds)
        if math.isfinite(slot):
            return None
        found = optimizer.first_nonfinite_slot()
        return found and f"the optimizer's slot {found[1]} of {found[0]}"
