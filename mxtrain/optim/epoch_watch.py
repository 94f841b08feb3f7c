"""Warning about schedules per epoch in a loop that never begins an epoch."""

import warnings
from collections.abc import Sequence

from mxtrain.optim.optimization_state import OptimizationState
from mxtrain.optim.rules import Rule
from mxtrain.optim.rules.scheduled import path_changed_by_epochs

_LIMIT = 1000
"""Number of steps without the beginning of an epoch after which a schedule per epoch is a mistake."""


class EpochWatch:
    """Warns, once, if a schedule per epoch would have changed its value and the loop never began an epoch.

    Args:
        rules: the rules of all parameter groups.

    Attributes:
        is_active: True while a warning is possible.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        schedules = (each for rule in rules for each in rule.all_schedules().values())
        self.is_active = any(each.per == "epoch" for each in schedules)
        self._rules = rules
        self._began_without_epoch = False

    def check_step(self, state: OptimizationState, stacklevel: int) -> None:
        """Warn if many steps were made without an epoch; called before a step is counted."""
        self._began_without_epoch |= state.curr_epoch == 0
        if not self._began_without_epoch or state.curr_epoch > 1:
            self.is_active = False
        elif state.curr_iter >= _LIMIT:
            self._warn(stacklevel + 1)

    def check_update(self, state: OptimizationState, updates: int, stacklevel: int) -> None:
        """Warn if an array was updated many times without an epoch."""
        if state.curr_epoch == 0 and updates >= _LIMIT:
            self._warn(stacklevel + 1)

    def _warn(self, stacklevel: int) -> None:
        self.is_active = False
        path = next(filter(None, map(path_changed_by_epochs, self._rules)), None)
        if path is None:
            return
        warnings.warn(
            f"optimizer.{path} counts epochs, and in {_LIMIT} steps none has begun, so its value did not change; "
            "call optimizer.state.begin_epoch() at the start of each epoch, or set per: iteration",
            RuntimeWarning,
            stacklevel=stacklevel,
        )
