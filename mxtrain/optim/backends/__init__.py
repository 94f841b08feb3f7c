"""Backends that run update programs: NumPy, Numba on the CPU, CuPy on the GPU. All give the same bits.

An update runs in these steps:

1. `selection` picks the backend, by name or, with `auto`, by the arrays and the time that compiled code would save.
2. `numpy_backend` applies NumPy functions to one cache-sized block after another. `cupy_backend` launches one
   elementwise kernel whose body `codegen_cuda` generates. `compiled` runs a loop that Numba compiles.

Programs with reductions run in several `passes`: the NumPy backend as before, the others with compiled loops,
or one CUDA kernel for each pass. `scalar_statements` generates what both compute from the results.

`arrays` and `overlap` validate the arrays before a step.
"""

from mxtrain.optim.backends.arrays import (
    Backend,
    array_kind,
    array_module,
    check_gradient,
    check_is_array,
    check_writable,
    on_same_device,
    to_device_of,
    validate_gradient,
    validate_update,
    zeros,
    zeros_like,
)
from mxtrain.optim.backends.overlap import OverlapCheck
from mxtrain.optim.backends.selection import BackendName, select_backend

__all__ = [
    "Backend",
    "BackendName",
    "OverlapCheck",
    "array_kind",
    "array_module",
    "check_gradient",
    "check_is_array",
    "check_writable",
    "on_same_device",
    "select_backend",
    "to_device_of",
    "validate_gradient",
    "validate_update",
    "zeros",
    "zeros_like",
]
