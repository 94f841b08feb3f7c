"""Conversion of arrays between half precision (float16, bfloat16) and float32.

Decoding is exact. Encoding rounds once to the nearest number, of two equally near ones to that with an even last bit;
a number beyond the largest becomes infinite. Compiled loops and NumPy give the same bits, apart from those of a NaN.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import numpy as np

from mxtrain.optim.backends.arrays import Backend
from mxtrain.optim.backends.selection import is_worth_compiling
from mxtrain.types import HALF_DTYPES, Array

_SECONDS_PER_ELEMENT = 3e-9
"""Time that compiled loops save on each element."""


@lru_cache(maxsize=64)
def is_half(dtype: Any) -> bool:
    """Return whether a dtype is float16, or bfloat16 of any package, in the machine's byte order.

    >>> is_half(np.dtype("float16")), is_half(np.dtype("float32"))
    (True, False)
    """
    return str(dtype) in HALF_DTYPES


def decode(backend: Backend, pairs: Sequence[tuple[Array, Array]]) -> None:
    """Write half-precision numbers to float32 arrays of the same shapes.

    Args:
        backend: the backend, which decides whether compiled loops are used.
        pairs: arrays of half precision, each with the float32 array to write.
    """
    with np.errstate(all="ignore"):  # NumPy reports signaling NaN
        for half, numbers in _convert_compiled(backend, "decode", pairs):
            with on_device_of(half):
                numbers[...] = half


def encode(backend: Backend, pairs: Sequence[tuple[Array, Array]]) -> None:
    """Round float32 arrays to half-precision arrays of the same shapes.

    Args:
        backend: the backend, which decides whether compiled loops are used.
        pairs: arrays of half precision to write, each with a float32 array.
    """
    with np.errstate(all="ignore"):  # numbers that are too large become infinite
        for half, numbers in _convert_compiled(backend, "encode", pairs):
            with on_device_of(half):
                half[...] = numbers


def on_device_of(array: Array) -> AbstractContextManager[Any]:
    """Return a context manager that selects the GPU of an array; it does nothing for a NumPy array."""
    return nullcontext() if isinstance(array, np.ndarray) else array.device


def round_to(dtype: Any, numbers: Array) -> Array:
    """Return float32 numbers as a new array of a half-precision dtype."""
    with np.errstate(all="ignore"):
        return numbers.astype(dtype)


def _convert_compiled(
    backend: Backend, direction: str, pairs: Sequence[tuple[Array, Array]]
) -> list[tuple[Array, Array]]:
    """Convert arrays with compiled loops where that is possible and worthwhile; return the others."""
    contiguous = [pair for pair in pairs if all(type(each) is np.ndarray and each.flags.carray for each in pair)]
    if not contiguous:
        return list(pairs)
    elements = sum(half.size for half, _ in contiguous)
    is_auto = backend.name == "auto" and is_worth_compiling(elements * _SECONDS_PER_ELEMENT)
    if not (is_auto or backend.name == "compiled"):
        return list(pairs)
    try:
        from mxtrain.optim.backends.compiled.numba_half import convert  # loads the compiler
    except ImportError:  # without Numba, NumPy converts
        return list(pairs)
    for dtype in HALF_DTYPES:
        if chosen := [pair for pair in contiguous if pair[0].dtype.name == dtype]:
            convert(direction, chosen)
    chosen_ids = set(map(id, contiguous))
    return [pair for pair in pairs if id(pair) not in chosen_ids]
