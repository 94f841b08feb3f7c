"""What of a step is NaN or infinite."""

import math
from types import ModuleType
from typing import Any

import numpy as np

from mxtrain.config.fit_section import OnNonfinite
from mxtrain.flat import FlatParameters
from mxtrain.training.diagnostics import first_nonfinite


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
