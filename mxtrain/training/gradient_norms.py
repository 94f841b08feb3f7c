"""Norms of gradients and updates over all parameters, and clipping by the global norm."""

import math
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from mxtrain.optim.flat_parameters import FlatParameters
from mxtrain.types import Array

_SMALLEST_SQUARED = 1e-30
"""Sum of squares below which squares may have been rounded to 0; the smallest float32 is about 1e-45."""


def gradient_norm(xp: ModuleType, flat: FlatParameters) -> Any:
    """Return `√(Σ x²)` over all parameters, with squares in the dtype of the parameters.

    On the CPU, a sum of squares that overflows or is close to 0 is computed again by `overflow_safe_norm`. On a GPU the
    norm is then infinite or 0, because looking at it would wait for the device.
    """
    buffers = flat.buffers.values()
    if xp is not np:
        return xp.sqrt(sum(xp.dot(buffer, buffer).astype(xp.float64) for buffer in buffers))
    squared = 0.0
    for buffer in buffers:
        squared += float(np.dot(buffer, buffer))
    return math.sqrt(squared) if _SMALLEST_SQUARED < squared < math.inf else float(overflow_safe_norm(np, flat))


@np.errstate(over="ignore")
def overflow_safe_norm(xp: ModuleType, flat: FlatParameters) -> Any:
    """Return `√(Σ x²)` over all parameters in float64, without overflow or underflow of the squares.

    The norm is infinite or NaN if an element is, and infinite if it exceeds float64.

    Example:
        >>> import numpy as np
        >>> f"{overflow_safe_norm(np, FlatParameters({'W': np.array([3e200]), 'b': np.array([4e200])})):.4g}"
        '5e+200'
    """
    buffers = [buffer for buffer in flat.buffers.values() if len(buffer)]
    if not buffers:
        return xp.float64(0)
    largest = xp.stack([xp.abs(buffer).max() for buffer in buffers]).max().astype(xp.float64)
    unit = xp.ldexp(xp.float64(1), xp.frexp(largest)[1] - 1)  # dividing by a power of two is exact
    return unit * xp.sqrt(sum(xp.square(buffer / unit).sum() for buffer in buffers))


def clip_to_norm(xp: ModuleType, grads: FlatParameters, norm: Any, scale: float, limit: float) -> None:
    """Clip gradients in place by their global norm, so that the norm of `scale·g` is at most `limit`.

    All elements of all parameters are multiplied by the same factor `limit / norm`, so the direction is unchanged. A
    gradient within the limit is left unchanged.

    Args:
        xp: the array module, NumPy or CuPy.
        grads: the gradient of every parameter, finite; changed in place.
        norm: the norm of `scale·g` over all parameters, as `gradient_norm` returns it; ignored on a GPU.
        scale: the factor by which the optimizer multiplies gradients, above 0.
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
        buffer *= factor  # a float64 scalar, because the factor may be below the smallest float32


def clipped_fraction(xp: ModuleType, grads: FlatParameters, scale: float, clip: float) -> float:
    """Return the fraction of gradient elements that `optimizer.clip` changes."""
    limit = clip / abs(scale) if scale else clip
    beyond = sum(int(xp.count_nonzero(xp.abs(buffer) > limit)) for buffer in grads.buffers.values())
    return beyond / max(1, sum(len(buffer) for buffer in grads.buffers.values()))


def update_ratios(xp: ModuleType, before: Mapping[str, Array], after: FlatParameters) -> dict[str, float]:
    """Return for each parameter the norm of its update divided by its norm before the update, typically about 1e-3.

    For a parameter of zeros, such as an initial bias, the norm of the update is returned.
    """
    ratios = {}
    for name, array in after.items():
        update, weight = _float64_norm(xp, array - before[name]), _float64_norm(xp, before[name])
        ratios[name] = update / weight if weight else update
    return ratios


def _float64_norm(xp: ModuleType, array: Array) -> float:
    flat = array.reshape(-1).astype(xp.float64)
    return math.sqrt(float(xp.dot(flat, flat)))
