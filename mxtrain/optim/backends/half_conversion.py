"""Conversion of arrays between half precision (float16, bfloat16) and float32.

Decoding is exact. Encoding rounds once to the nearest number, of two equally near ones to that with an even last bit;
a number beyond the largest becomes infinite. Compiled loops and NumPy give the same bits, apart from those of a NaN.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np

from mxtrain.optim.backends.arrays import Backend
from mxtrain.optim.backends.selection import is_worth_compiling
from mxtrain.optim.ir import Program
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


def is_rounded(backend: Backend, half: Array, numbers: Array) -> bool:
    """Return whether an array of half precision is bit-for-bit equal to a float32 array after rounding."""
    compiled = _compiled_loops(backend, half.size) if are_plain((half, numbers)) else None
    if compiled is not None:
        return bool(compiled.is_rounded(half, numbers))
    with on_device_of(half):
        return bool((round_to(half.dtype, numbers).view(np.uint16) == half.view(np.uint16)).all())


def are_plain(arrays: Iterable[Array]) -> bool:
    """Return whether arrays are NumPy arrays that compiled loops can take: C-contiguous and aligned."""
    return all(type(each) is np.ndarray and each.flags.c_contiguous and each.flags.aligned for each in arrays)


def can_run_compiled(backend: Backend, size: int) -> bool:
    """Return whether a backend has compiled loops for an update of this many elements of half precision."""
    return _compiled_loops(backend, size) is not None


def run_compiled(
    program: Program, dtype: str, groups: Sequence[Sequence[Array]], scalars: Sequence[float], *, has_master: bool
) -> None:
    """Run a program in place on weights of half precision; arguments as in `numba_half.run_update`."""
    from mxtrain.optim.backends.compiled.numba_half import run_update

    run_update(program, dtype, groups, scalars, has_master=has_master)


def _compiled_loops(backend: Backend, size: int) -> ModuleType | None:
    """Return the module of compiled loops; None if the backend has none, or compiling is not worth it."""
    is_auto = backend.name == "auto" and is_worth_compiling(size * _SECONDS_PER_ELEMENT)
    if not (is_auto or backend.name == "compiled"):
        return None
    try:
        from mxtrain.optim.backends.compiled import numba_half  # loads the compiler
    except ImportError:  # without Numba, NumPy converts
        return None
    return numba_half


def round_to(dtype: Any, numbers: Array) -> Array:
    """Return float32 numbers as a new array of a half-precision dtype."""
    with np.errstate(all="ignore"):
        return numbers.astype(dtype)


def _convert_compiled(
    backend: Backend, direction: str, pairs: Sequence[tuple[Array, Array]]
) -> list[tuple[Array, Array]]:
    """Convert arrays with compiled loops where that is possible and worthwhile; return the others."""
    contiguous = [pair for pair in pairs if are_plain(pair)]
    compiled = _compiled_loops(backend, sum(half.size for half, _ in contiguous)) if contiguous else None
    if compiled is None:
        return list(pairs)
    for dtype in HALF_DTYPES:
        if chosen := [pair for pair in contiguous if pair[0].dtype.name == dtype]:
            compiled.convert(direction, chosen)
    chosen_ids = set(map(id, contiguous))
    return [pair for pair in pairs if id(pair) not in chosen_ids]
