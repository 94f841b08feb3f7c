"""The one rounding of a program's scalars."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LARGEST = float(np.finfo(np.float32).max)


def rounded(scalars: Sequence[float], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Float64 scalars, each rounded once to a dtype; what is too large becomes infinite.

    >>> rounded([0.1, 1e300], np.dtype("float32"))
    array([0.1, inf], dtype=float32)
    """
    if not scalars or (max(scalars) <= _LARGEST and min(scalars) >= -_LARGEST):
        return np.array(scalars, dtype=dtype)
    with np.errstate(over="ignore"):
        return np.array(scalars, dtype=np.float64).astype(dtype)
