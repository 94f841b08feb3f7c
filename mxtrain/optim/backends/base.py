"""Backend protocol, and what all backends share: the rounding of scalars and the number of threads."""

import os
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mxtrain.errors import BackendError
from mxtrain.optim.ir import Program
from mxtrain.types import Array

ProgramArrays: TypeAlias = Sequence[Array]
"""The arrays of a program in its order, all of the same shape and dtype, float32 or float64."""


class Backend(Protocol):
    """Runs programs on arrays of one library. All backends give the same bits."""

    name: str
    kinds: tuple[str, ...]
    """The array libraries that it supports: `numpy`, `cupy`."""

    def run(self, program: Program, groups: Sequence[ProgramArrays], scalars: Sequence[float]) -> None:
        """Run a program in place, once on each group of arrays.

        Args:
            program: the program to run.
            groups: one sequence of arrays for each run; the program's outputs are overwritten. All groups have the
                same dtype; their shapes may differ.
            scalars: the program's scalars in its order, in float64; each is rounded once to the dtype of the arrays.
        """


_LARGEST = float(np.finfo(np.float32).max)


def round_scalars(scalars: Sequence[float], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Round float64 scalars once to a dtype; values that are too large become infinite.

    >>> round_scalars([0.1, 1e300], np.dtype("float32"))
    array([0.1, inf], dtype=float32)
    """
    if not scalars or (max(scalars) <= _LARGEST and min(scalars) >= -_LARGEST):
        return np.array(scalars, dtype=dtype)
    with np.errstate(over="ignore"):
        return np.array(scalars, dtype=np.float64).astype(dtype)


def thread_count() -> int:
    """Return the number of threads for a large array: MXTRAIN_THREADS, or the number of cores available to the process.

    Raises:
        BackendError: MXTRAIN_THREADS is not a whole number of at least 1.
    """
    setting = os.environ.get("MXTRAIN_THREADS", "")
    if setting:
        if setting.isdecimal() and int(setting) > 0:
            return int(setting)
        raise BackendError(f"MXTRAIN_THREADS must be a whole number, at least 1, got {setting!r}")
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
