"""Checks and sums of one training step: gradient norm, clipping, non-finite values, diagnostics."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from mxtrain.config import RunConfig
from mxtrain.config.fit_section import OnNonfinite
from mxtrain.nn import Metric, metric_sums, restore_metric
from mxtrain.optim.flat_parameters import FlatParameters
from mxtrain.optim.nonfinite import SCAN_INTERVAL, OverflowBounds, max_abs_bound
from mxtrain.optim.optimizer import Optimizer
from mxtrain.types import Array

_SMALL = 1e-30
"""A sum of squares below this may have lost some of them: float32 ends at 1e-45."""


def gradient_norm(xp: ModuleType, flat: FlatParameters) -> Any:
    """`√(Σ x²)` over all parameters, with the products of their own dtype.

    On the CPU it is `overflow_safe_norm` where squares overflow, of which NumPy warns unless it is told not to, or
    vanish. On a
    GPU nothing waits to see that, and the norm is infinite, or 0.
    """
    buffers = flat.buffers.values()
    if xp is not np:
        return xp.sqrt(sum(xp.dot(buffer, buffer).astype(xp.float64) for buffer in buffers))
    squared = 0.0
    for buffer in buffers:
        squared += float(np.dot(buffer, buffer))
    return math.sqrt(squared) if _SMALL < squared < math.inf else float(overflow_safe_norm(np, flat))


@np.errstate(over="ignore")
def overflow_safe_norm(xp: ModuleType, flat: FlatParameters) -> Any:
    """`√(Σ x²)` over all parameters in float64, for numbers whose squares are too large or too small for their dtype.

    It is infinite, or NaN, where a number is, or where the norm itself is beyond float64.

    Example:
        >>> import numpy as np
        >>> f"{overflow_safe_norm(np, FlatParameters({'W': np.array([3e200]), 'b': np.array([4e200])})):.4g}"
        '5e+200'
    """
    buffers = [buffer for buffer in flat.buffers.values() if len(buffer)]
    if not buffers:
        return xp.float64(0)
    largest = xp.stack([xp.abs(buffer).max() for buffer in buffers]).max().astype(xp.float64)
    unit = xp.ldexp(xp.float64(1), xp.frexp(largest)[1] - 1)  # a power of two, by which nothing is rounded
    return unit * xp.sqrt(sum(xp.square(buffer / unit).sum() for buffer in buffers))


def first_nonfinite(xp: ModuleType, arrays: Mapping[str, Array]) -> str | None:
    """The first name with a NaN or an infinity; None where all is finite."""
    return next((name for name, array in arrays.items() if not xp.isfinite(array).all()), None)


def clipped_share(xp: ModuleType, grads: FlatParameters, scale: float, clip: float) -> float:
    """The share of gradient elements that clipping changes."""
    limit = clip / abs(scale) if scale else clip
    beyond = sum(int(xp.count_nonzero(xp.abs(buffer) > limit)) for buffer in grads.buffers.values())
    return beyond / max(1, sum(len(buffer) for buffer in grads.buffers.values()))


def update_ratios(xp: ModuleType, before: Mapping[str, Array], after: FlatParameters) -> dict[str, float]:
    """For each parameter the norm of its update over its own norm: about 1e-3 where all is well; 0 for 0 over 0."""
    return {name: _ratio(_norm(xp, array - before[name]), _norm(xp, before[name])) for name, array in after.items()}


def _norm(xp: ModuleType, array: Array) -> float:
    flat = array.reshape(-1).astype(xp.float64)
    return math.sqrt(float(xp.dot(flat, flat)))


def _ratio(update: float, weight: float) -> float:
    """The ratio; of a weight that was 0, such as a bias at first, the norm of the update itself."""
    return update / weight if weight else update


def clip_to_norm(xp: ModuleType, grads: FlatParameters, norm: Any, scale: float, limit: float) -> None:
    """Shorten a gradient in place, to where `scale` times it has the norm `limit`; a shorter one stays as it is.

    Its direction stays: all elements of all parameters are multiplied by the same `limit / norm`. On a GPU nothing
    waits for the norm.

    Args:
        xp: the module of the arrays, NumPy or CuPy.
        grads: the gradient of every parameter, finite; changed in place.
        norm: the norm of `scale·g` over all of them; as `gradient_norm` has it; on a GPU it is not looked at.
        scale: the factor that the optimizer puts on them, above 0.
        limit: the largest norm, above 0.

    Example:
        >>> grads = FlatParameters({"W": np.array([3.0, 0.0]), "b": np.array([-4.0])})
        >>> clip_to_norm(np, grads, norm=5.0, scale=1.0, limit=1.0)
        >>> grads["W"], grads["b"]
        (array([0.6, 0. ]), array([-0.8]))

    Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks" (ICML 2013),
    arXiv:1211.5063, Algorithm 1.
    """
    if xp is np and norm <= limit:
        return
    if xp is not np:
        norm = overflow_safe_norm(xp, grads) * scale
    factor = xp.minimum(limit / norm, 1.0)
    for buffer in grads.buffers.values():
        buffer *= factor  # a product in float64: float32 has no factors below 1e-45


@dataclass(slots=True)
class EpochSums:
    """Sums over the batches of an epoch that are done. On a GPU they stay there until they are asked for.

    Attributes:
        metrics: the metrics of training, by name.
        loss: the sum of the losses of all samples, in float64.
        samples: how many samples that were.
        norms: the sum of the gradients' norms.
        largest: the largest of these norms.
        steps: how many gradients that were.
        skipped: batches that were left out.
        last: the diagnostics of the epoch's last step, once it is done.
    """

    metrics: dict[str, Metric]
    loss: Any = 0.0
    samples: int = 0
    norms: Any = 0.0
    largest: Any = 0.0
    steps: int = 0
    skipped: int = 0
    last: dict[str, Any] = field(default_factory=dict)

    def means(self) -> dict[str, float | None]:
        """The loss and the metrics of the samples seen; NaN where every batch was left out."""
        loss = float(self.loss) / self.samples if self.samples else math.nan
        return {"loss": loss, **{name: metric.value() for name, metric in self.metrics.items()}}

    def diagnostics(self) -> dict[str, Any]:
        """What is reported of the epoch's gradients and updates."""
        norm = float(self.norms) / self.steps if self.steps else 0.0
        found = {"grad_norm": norm, "grad_norm_max": float(self.largest), **self.last}
        return found | ({"skipped": self.skipped} if self.skipped else {})

    def to_record(self) -> dict[str, Any]:
        """As it is saved: plain numbers, exact in JSON."""
        return {
            "metrics": {name: metric_sums(metric) for name, metric in self.metrics.items()},
            "loss": float(self.loss),
            "samples": self.samples,
            "norms": float(self.norms),
            "largest": float(self.largest),
            "steps": self.steps,
            "skipped": self.skipped,
            "last": self.last,
        }

    def restore(self, record: Mapping[str, Any]) -> None:
        """Continue from what `to_record` returned."""
        for name, metric in self.metrics.items():
            restore_metric(metric, record["metrics"][name])
        for name in ("loss", "samples", "norms", "largest", "steps", "skipped", "last"):
            setattr(self, name, record[name])


def nonfinite(xp: ModuleType, policy: OnNonfinite, loss: Any, norm: Any, grads: FlatParameters) -> str | None:
    """What of a step is NaN or infinite, in words; None where nothing is.

    To look at a number on a GPU is to wait for it, so there it is only done where a batch may have to be left out.

    Args:
        xp: the module of the arrays, NumPy or CuPy.
        policy: `fit.on_nonfinite`.
        loss: of the batch.
        norm: of its gradient, over all parameters.
        grads: the gradient of each.

    Example:
        >>> nonfinite(np, "raise", 0.5, math.nan, FlatParameters({"W1": np.ones(2), "b1": np.array([math.nan])}))
        'the gradient of b1 has numbers that are not finite'
    """
    if xp is not np and policy == "raise":
        return None
    if not math.isfinite(loss):
        return f"loss is {float(loss)}"
    if math.isfinite(norm):
        return None
    name = first_nonfinite(xp, grads)
    return f"the gradient of {name} has numbers that are not finite" if name else "the gradient's norm is infinite"


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
        self._momentum = rule.momentum_at(1) or 0.0
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
        return self._is_on and iteration % SCAN_INTERVAL == 0

    def scan(self, optimizer: Optimizer, params: FlatParameters) -> str | None:
        """Describe the first slot with an infinity or a NaN; return None if all are finite."""
        weight = max_abs_bound(list(params.buffers.values())) if self._bounds.decays else 0.0
        slot = max_abs_bound(list(optimizer.slot_arrays()))
        self._is_near = not (self._bounds.allow_weight(weight) and self._bounds.allow_slots(slot))
        if math.isfinite(slot):
            return None
        found = optimizer.first_nonfinite_slot()
        return found and f"the optimizer's slot {found[1]} of {found[0]}"
