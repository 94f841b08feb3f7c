"""Backend protocol, array library helpers, validation of weights and gradients, and rounding of scalars."""

import os
from collections.abc import Hashable, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mxtrain.errors import ArrayError, ArrayTypeError, BackendError
from mxtrain.optim.backends.overlap import memory_layout, overlaps_itself
from mxtrain.optim.ir import MultiPassProgram, Program
from mxtrain.types import COMPLEX_DTYPES, DTYPES, HALF_DTYPES, Array, describe

_DTYPES: Final = frozenset(map(np.dtype, DTYPES))
_KNOWN_DTYPES: Final = (*DTYPES, *COMPLEX_DTYPES, *HALF_DTYPES)
"""Dtypes of weights; backends update those of `DTYPES`, and `mxtrain.optim.inputs` converts the others."""


def array_kind(array: object) -> str | None:
    """Return the library of an array, `numpy` or `cupy`; None for any other object."""
    if isinstance(array, np.ndarray):
        return "numpy"
    return "cupy" if type(array).__module__.partition(".")[0] == "cupy" and hasattr(array, "dtype") else None


def is_same_library(array: Array, example: Array) -> bool:
    """Return whether two arrays belong to the same library, and so are both on the CPU or both on a GPU."""
    return type(array) is type(example) or array_kind(array) == array_kind(example)


def validate_update(index: Hashable, gradient: Array, weight: Array) -> bool:
    """Validate a weight that is to be updated in place, and its gradient.

    Memory that they share with each other or with other arrays is found by `OverlapCheck`.

    Returns:
        True if both arrays own their memory, so that only views of them can share it.

    Raises:
        ArrayTypeError: one is not a NumPy or CuPy array of float32 or float64, or they differ in library or dtype.
        ArrayError: the shapes differ, the weight is read-only, or its elements share memory with each other.
    """
    if (
        type(weight) is type(gradient) is np.ndarray
        and weight.dtype is gradient.dtype
        and weight.dtype in _DTYPES
        and weight.shape == gradient.shape
        and (flags := weight.flags).carray
    ):  # fast path for the common case
        return bool(flags.owndata and gradient.flags.owndata)
    validate_weight(index, weight)
    validate_gradient(index, gradient, weight)
    return False


def validate_weight(index: Hashable, weight: Array) -> None:
    """Check that a weight can be updated in place.

    Raises:
        ArrayTypeError: the weight is not a NumPy or CuPy array of float32 or float64.
        ArrayError: the weight is read-only, or its elements share memory with each other.
    """
    _check_array(f"weight {index!r}", weight)
    check_writable(index, weight)


def check_writable(index: Hashable, weight: Array) -> None:
    """Check that an array of any dtype can be updated in place.

    Raises:
        ArrayError: it is read-only, or its elements share memory with each other.
    """
    if isinstance(weight, np.ndarray) and not weight.flags.writeable:
        raise ArrayError(f"weight {index!r} is read-only and cannot be updated in place; pass a copy of it")
    if weight.flags.c_contiguous or weight.flags.f_contiguous:
        return
    layout = memory_layout(weight)
    overlaps = overlaps_itself(layout)
    if overlaps is None:
        raise ArrayError(
            f"weight {index!r} is too irregular to tell whether its elements share memory; pass a contiguous array"
        )
    if overlaps:
        kind = "a broadcast view" if 0 in layout.strides else "a view"
        raise ArrayError(f"weight {index!r} is {kind} whose elements share memory; pass a copy of it")


def validate_gradient(index: Hashable, gradient: Array, weight: Array) -> None:
    """Check that a gradient matches its weight.

    Raises:
        ArrayTypeError: one of the two is not a NumPy or CuPy array, or they differ in library or dtype.
        ArrayError: the shapes differ.
    """
    _check_array(f"weight {index!r}", weight)
    check_gradient(index, gradient, weight)


def check_gradient(index: Hashable, gradient: Array, weight: Array) -> None:
    """Check that a gradient matches its weight of any dtype; that of half precision may have one of float32.

    Raises:
        ArrayTypeError: the gradient is not a NumPy or CuPy array, or they differ in library or dtype.
        ArrayError: the shapes differ.
    """
    name = f"the gradient of weight {index!r}"
    check_is_array(name, gradient)
    if not is_same_library(gradient, weight):
        where = {"numpy": "on the CPU (NumPy)", "cupy": "on the GPU (CuPy)"}
        kinds = [where[array_kind(array) or "numpy"] for array in (weight, gradient)]
        raise ArrayTypeError(
            f"weight {index!r} is {kinds[0]}, its gradient {kinds[1]}; "
            "move one of them with cupy.asarray(…) or cupy.asnumpy(…)"
        )
    if not isinstance(weight, np.ndarray) and gradient.device != weight.device:
        raise ArrayTypeError(
            f"weight {index!r} is on GPU {weight.device.id}, its gradient on GPU {gradient.device.id}; "
            "move one of them to the device of the other"
        )
    if gradient.dtype != weight.dtype:
        known, weight_type = str(gradient.dtype), str(weight.dtype)
        if known not in _KNOWN_DTYPES:
            raise _dtype_error(name, gradient)
        if not (weight_type in HALF_DTYPES and known == "float32"):
            wanted = "float32" if weight_type in HALF_DTYPES else weight_type
            is_cut = known in COMPLEX_DTYPES and weight_type not in COMPLEX_DTYPES
            part = ".real" if is_cut else ""
            raise ArrayTypeError(
                f"{name} has dtype {known}, the weight {weight_type}; pass gradient{part}.astype({wanted!r})"
            )
    if gradient.shape != weight.shape:
        raise ArrayError(f"{name} has shape {gradient.shape}, the weight {weight.shape}")


def check_is_array(name: str, array: Array) -> None:
    """Raise an ArrayTypeError if an object is not a NumPy or CuPy array; masked arrays are none."""
    if array_kind(array) is None or isinstance(array, np.ma.MaskedArray):
        got = describe(array) if isinstance(array, list | tuple | float | int) else _type_name(array)
        raise ArrayTypeError(f"{name} must be a NumPy or CuPy array, got {got}{_remedy(array)}")


def _check_array(name: str, array: Array) -> None:
    check_is_array(name, array)
    if array.dtype not in _DTYPES:
        raise _dtype_error(name, array)


def _dtype_error(name: str, array: Array) -> ArrayTypeError:
    *first, last = _KNOWN_DTYPES
    return ArrayTypeError(
        f"{name} must be {', '.join(first)} or {last} in the machine's byte order, got dtype {array.dtype}"
    )


def _remedy(value: object) -> str:
    """Return the call that converts an object to a NumPy array."""
    if hasattr(value, "toarray"):
        return "; pass array.toarray()"
    is_masked = isinstance(value, np.ma.MaskedArray)
    return "; pass np.array(value)" if hasattr(value, "__array__") and not is_masked else ""


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def on_same_device(array: Array, example: Array) -> bool:
    """Return whether two arrays are both on the CPU, or on the same GPU."""
    if not is_same_library(array, example):
        return False
    return array_kind(array) == "numpy" or bool(array.device == example.device)


def to_device_of(array: Array, example: Array) -> Array:
    """Transfer an array to the CPU or the GPU that `example` is on."""
    on_host = array if isinstance(array, np.ndarray) else array.get()
    if isinstance(example, np.ndarray):
        return on_host
    with example.device:
        return array_module("cupy").asarray(on_host)


def zeros_like(array: Array) -> Array:
    """Return zeros with the shape, dtype, device and memory order of an array."""
    return np.zeros_like(array, subok=False) if isinstance(array, np.ndarray) else np.zeros_like(array)


def zeros(shape: int | tuple[int, ...], dtype: str, example: Array) -> Array:
    """Return zeros of a shape and dtype, on the CPU or a GPU like `example`."""
    return array_module(array_kind(example) or "numpy").zeros(shape, dtype=dtype)


def array_module(kind: str) -> ModuleType:
    """Import an array library, `numpy` or `cupy`."""
    return import_module(kind)


ProgramArrays: TypeAlias = Sequence[Array]
"""The arrays of a program in its order, all of the same shape and dtype, float32 or float64."""


class PassRun(Protocol):
    """Passes of a `MultiPassProgram` on the arrays of several parameters; see `passes.run_passes`."""

    def upload(self, records: NDArray[np.float64]) -> Array:
        """Return the records where the arrays are: the same array on the CPU, a copy on a GPU."""

    def run(self, number: int, records: Array) -> None:
        """Run a pass, and write the results of its reductions to the records, for each parameter by itself."""

    def download(self, record: Array) -> NDArray[np.float64]:
        """Return a record as a NumPy array."""

    def finish(self) -> None:
        """Write the results to arrays that could not be updated in place."""


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

    def start_passes(
        self, program: MultiPassProgram, groups: Sequence[ProgramArrays], scalars: Sequence[float]
    ) -> PassRun:
        """Prepare the passes of a program with reductions, for each group of arrays.

        Args:
            program: the program to run.
            groups: one sequence of arrays for each parameter.
            scalars: the program's scalars in its order, in float64.
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
