"""Backend protocol, and the rounding of scalars that all backends share."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mxtrain.optim.ir import Program
from mxtrain.types import Array

ProgramArrays: TypeAlias = Sequence[Array]
"""A program's arrays in its order: all of one shape and one dtype, float32 or float64."""


class Backend(Protocol):
    """Runs programs on arrays of one kind. Every backend gives the same bits."""

    name: str
    kinds: tuple[str, ...]
    """The kinds of arrays that it runs on: `numpy`, `cupy`."""

    def run(self, program: Program, groups: Sequence[ProgramArrays], scalars: Sequence[float]) -> None:
        """Run a program in place, once on each group of arrays.

        Args:
            program: what to compute.
            groups: the arrays, one group for each run; those that are the program's outputs are overwritten. All
                groups have the same dtype; their shapes may differ.
            scalars: the program's scalars in float64, in its order; each is rounded once to the arrays' dtype.
        """


_LARGEST = float(np.finfo(np.float32).max)


def round_scalars(scalars: Sequence[float], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Float64 scalars, each rounded once to a dtype; what is too large becomes infinite.

    >>> round_scalars([0.1, 1e300], np.dtype("float32"))
    array([0.1, inf], dtype=float32)
    """
    if not scalars or (max(scalars) <= _LARGEST and min(scalars) >= -_LARGEST):
        return np.array(scalars, dtype=dtype)
    with np.errstate(over="ignore"):
        return np.array(scalars, dtype=np.float64).astype(dtype)
