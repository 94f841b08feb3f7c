"""What an epoch tells of the health of a run: norms of gradients, sizes of updates, what is no longer finite."""

import math
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from mxtrain.flat import FlatParameters
from mxtrain.types import Array

_SMALL = 1e-30
"""A sum of squares below this may have lost some of them: float32 ends at 1e-45."""


def gradient_norm(xp: ModuleType, flat: FlatParameters) -> Any:
    """`√(Σ x²)` over all parameters, with the products of their own dtype.

    On the CPU it is `exact_norm` where squares overflow, of which NumPy warns unless it is told not to, or vanish. On a
    GPU nothing waits to see that, and the norm is infinite, or 0.
    """
    buffers = flat.buffers.values()
    if xp is not np:
        return xp.sqrt(sum(xp.dot(buffer, buffer).astype(xp.float64) for buffer in buffers))
    squared = 0.0
    for buffer in buffers:
        squared += float(np.dot(buffer, buffer))
    return math.sqrt(squared) if _SMALL < squared < math.inf else float(exact_norm(np, flat))


@np.errstate(over="ignore")
def exact_norm(xp: ModuleType, flat: FlatParameters) -> Any:
    """`√(Σ x²)` over all parameters in float64, for numbers whose squares are too large or too small for their dtype.

    It is infinite, or NaN, where a number is, or where the norm itself is beyond float64.

    Example:
        >>> import numpy as np
        >>> f"{exact_norm(np, FlatParameters({'W': np.array([3e200]), 'b': np.array([4e200])})):.4g}"
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
