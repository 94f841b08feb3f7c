"""Backends that run update programs: NumPy, Numba on the CPU, CuPy on the GPU. All give the same bits.

An update runs in these steps:

1. `selection` picks the backend, by name or, with `auto`, by the arrays and the time that compiled code would save.
2. `numpy_backend` applies NumPy functions to one cache-sized block after another. `cupy_backend` launches one
   elementwise kernel whose body `codegen_cuda` generates. `numba_backend` continues with step 3.
3. `codegen_numba` generates the Python source of one loop over all arrays of the program.
4. `jit_cache` loads the loop's machine code from the disk, or compiles the loop with Numba and writes it there.
5. `scheduler` runs the compiled loop: in the calling thread, or divided into chunks among the workers of
   `thread_pool`. It is itself compiled, from the atomic operations and C functions in `numba_intrinsics`.

Programs with reductions run in several `passes`: the NumPy backend as before, the others with the loops of
`numba_passes`, or one CUDA kernel for each pass. `scalar_statements` generates what both compute from the results.

`arrays` and `overlap` validate the arrays before a step.
"""

from mxtrain.optim.backends.arrays import (
    Backend,
    array_kind,
    array_module,
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
    "on_same_device",
    "select_backend",
    "to_device_of",
    "validate_gradient",
    "validate_update",
    "zeros",
    "zeros_like",
]
