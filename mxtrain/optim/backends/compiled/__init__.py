"""The Numba backend: generated loops, their machine code, and the threads that run them.

1. `codegen_numba` generates the Python source of one loop over all arrays of a program.
2. `jit_cache` loads the loop's machine code from the disk, or compiles the loop with Numba and writes it there.
3. `scheduler` runs the compiled loop: in the calling thread, or divided into chunks among the workers of
   `thread_pool`. It is itself compiled, from the atomic operations and C functions in `numba_intrinsics`.

`numba_backend` runs programs of one pass so, `numba_passes` those with reductions, and `numba_matrices` the operations
of matrix rules.
"""
