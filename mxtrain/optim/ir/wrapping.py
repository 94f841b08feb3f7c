"""Wrappers of a rule's update in its program: caution, decoupled decay, bounds, lookahead and averages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from mxtrain.optim.ir.increments import replacing_increments
from mxtrain.optim.ir.symbols import maximum, mean, where

Variant: TypeAlias = Literal["update", "synchronize", "begin", "add"]
"""Program of a call: an update; one at which lookahead moves the weight; the first gradient of a mean; a later one."""

ACCUMULATED, SLOW, AVERAGE = "accumulated", "lookahead", "ema"
"""Names of the slots of wrappers."""
MASTER = "master"
ROW_UPDATES = "row_updates"
"""Name of the float32 copy of a half-precision weight in a saved state."""
LOW, HIGH, SLOW_STEP, KEEP, DECAY = "bounds.low", "bounds.high", "lookahead.slow_step", "ema.decay", "decoupled.decay"
"""Names of the coefficients of wrappers."""
START_SHARE = "ema.start"
"""Name of the scalar slot with the product of all decays of an average."""

SMALLEST_SHARE = 1e-3
"""Smallest share of kept elements by which `cautious` divides."""


@dataclass(frozen=True, slots=True)
class UpdateWrapper:
    """Wrappers around a rule's update; which of them a program has is part of it, their numbers are not.

    Args:
        cautious: mask elements of the increment whose sign agrees with that of the gradient.
        decouples: add `decay·W` to the increment.
        has_low, has_high: project the weight to the bounds.
        lookahead: there is a slot of slow weights.
        synchronizes: the slow weights, and with them the weight, move in this update.
        averages: there is a slot with an average of the weights.
        accumulates: there is a slot with a sum of gradients.
    """

    cautious: bool = False
    decouples: bool = False
    has_low: bool = False
    has_high: bool = False
    lookahead: bool = False
    synchronizes: bool = False
    averages: bool = False
    accumulates: bool = False

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the slots of the wrappers."""
        needed = {ACCUMULATED: self.accumulates, SLOW: self.lookahead, AVERAGE: self.averages}
        return tuple(name for name, is_needed in needed.items() if is_needed)

    @property
    def scalars(self) -> tuple[str, ...]:
        """Names of the coefficients of the wrappers."""
        needed = {
            DECAY: self.decouples,
            LOW: self.has_low,
            HIGH: self.has_high,
            SLOW_STEP: self.synchronizes,
            KEEP: self.averages,
        }
        return tuple(name for name, is_needed in needed.items() if is_needed)

    def call(
        self, update: Callable[[], tuple[Any, ...]], W: Any, g: Any, scalars: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        """Return the results of an update, with its increments replaced."""
        if not (self.cautious or self.decouples):
            return update()
        is_marked = False

        def replace(change: Any, negated: bool) -> Any:
            nonlocal is_marked
            is_marked = True
            if self.cautious:
                change = mask_increment(change, g, negated)
            return scalars[DECAY] * W + change if self.decouples else change

        with replacing_increments(replace):
            results = update()
        if is_marked or not isinstance(results, tuple) or not results:
            return results
        return W + replace(results[0] - W, False), *results[1:]

    def finish(self, W: Any, slots: Mapping[str, Any], scalars: Mapping[str, Any]) -> dict[str, Any]:
        """Return the new content of the weight and of the slots of wrappers, after an update of the weight."""
        W = self._project(W, scalars)
        new: dict[str, Any] = {}
        if self.synchronizes:
            slow = slots[SLOW]
            W = new[SLOW] = self._project(slow + scalars[SLOW_STEP] * (W - slow), scalars)
        if self.averages:
            new[AVERAGE] = scalars[KEEP] * slots[AVERAGE] + (1 - scalars[KEEP]) * W
        return {"W": W} | new

    def _project(self, W: Any, scalars: Mapping[str, Any]) -> Any:
        if self.has_low:
            W = where(scalars[LOW] > W, scalars[LOW], W)
        if self.has_high:
            W = where(scalars[HIGH] < W, scalars[HIGH], W)
        return W


NO_WRAPPER = UpdateWrapper()


def mask_increment(change: Any, g: Any, negated: bool = False) -> Any:
    """Return an increment with 0 where its sign is that of the gradient, and the rest divided by the share of the rest.

    Args:
        change: the increment.
        g: the gradient.
        negated: the increment has the opposite sign.
    """
    along = where(g > 0, change, where(g < 0, -change, 0))  # the part of the increment along the gradient
    is_kept = along > 0 if negated else along < 0
    return change * where(is_kept, 1 / maximum(mean(is_kept), SMALLEST_SHARE), 0)
