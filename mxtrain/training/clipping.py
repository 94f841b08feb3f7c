"""Gradients that are too long, shortened."""

from types import ModuleType
from typing import Any

import numpy as np

from mxtrain.flat import FlatParameters
from mxtrain.training.diagnostics import exact_norm


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
        norm = exact_norm(xp, grads) * scale
    factor = xp.minimum(limit / norm, 1.0)
    for buffer in grads.buffers.values():
        buffer *= factor  # a product in float64: float32 has no factors below 1e-45
