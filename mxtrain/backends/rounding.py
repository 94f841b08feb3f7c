"""The one rounding of a program's scalars."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def rounded(scalars: Sequence[float], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Float64 scalars, each rounded once to a dtype; what is too large becomes infinite.

    >>> rounded([0.1, 1e300], np.dtype("float32"))
    array([0.1, inf], dtype=float32)
    """
    exact = np.array(scalars, dtype=np.float64)
    if exact.dtype == dtype:
        return exact
    with np.errstate(over="ignore", under="ignore"):
        return exact.astype(dtype)
