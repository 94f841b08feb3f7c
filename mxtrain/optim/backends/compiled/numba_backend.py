"""Numba backend: runs a program as one compiled loop that reads every array once."""

from collections.abc import Sequence
from functools import cache
from operator import is_
from typing import Any

import numpy as np

from mxtrain.optim.backends.arrays import PassRun, ProgramArrays, round_scalars
from mxtrain.optim.backends.compiled import numba_tasks
from mxtrain.optim.backends.compiled.codegen_numba import generate_numba_source
from mxtrain.optim.backends.compiled.jit_cache import compile_generated_loop
from mxtrain.optim.backends.compiled.numba_tasks import run_task
from mxtrain.optim.backends.compiled.scheduler import resolve_addresses, run_serial_cached
from mxtrain.optim.backends.numpy_backend import buffered_blocks
from mxtrain.optim.ir import MultiPassProgram, Program
from mxtrain.processes import fork_lock


class NumbaBackend:
    """Runs programs on NumPy arrays as compiled loops: all groups in one call, on several threads for large arrays.

    A loop is compiled once for each program and dtype, and its machine code is cached on disk. Several Python threads
    and forked processes may use a backend at the same time.

    Args:
        threads: the largest number of threads for one update; None for the result of `thread_count` at each update.
    """

    name = "compiled"
    kinds: tuple[str, ...] = ("numpy",)

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads
        self._last_call: tuple[ProgramArrays, Any, Any, Any] = (), None, None, None

    def __reduce__(self) -> tuple[type, tuple[int | None]]:
        return NumbaBackend, (self._threads,)  # the last call is not copied, because a copy runs on other arrays

    def run(self, program: Program, groups: Sequence[ProgramArrays], scalars: Sequence[float]) -> None:
        """Run a program in place on each group; see `Backend.run`."""
        if not groups:
            return
        dtype = groups[0][0].dtype
        loop = compile_loop(program, dtype).address
        constants = round_scalars(scalars, dtype).view(np.uint8)
        if self._run_in_place(loop, constants, groups):
            return
        for arrays in groups:
            if not self._run_in_place(loop, constants, [arrays]):
                for blocks in buffered_blocks(arrays, program.written):
                    self._run_in_place(loop, constants, [blocks])

    def start_passes(
        self, program: MultiPassProgram, groups: Sequence[ProgramArrays], scalars: Sequence[float]
    ) -> PassRun:
        """Prepare the passes of a program with reductions; see `Backend.start_passes`."""
        from mxtrain.optim.backends.compiled.numba_passes import NumbaPassRun  # compiles functions when it is imported

        return NumbaPassRun(program, groups, scalars, self._threads)

    def _run_in_place(self, loop: int, constants: Any, groups: Sequence[ProgramArrays]) -> bool:
        """Run a loop without copying the arrays.

        Returns:
            False, without running anything, if the arrays of a group have no common order of elements in memory.
        """
        if self._run_on_cached_arrays(loop, constants, groups):
            return True
        # References to these keep the memory of the arrays alive and in place.
        records = [array.__array_struct__ for arrays in groups for array in arrays]
        table = np.array(list(map(id, records)), dtype=np.int64).reshape(len(groups), -1)
        starts = np.empty(len(groups) + 1, dtype=np.int64)
        if not resolve_addresses(table, starts):
            return False
        if (
            len(groups) == 1
            and len(groups[0]) > 1
            and starts[1] < numba_tasks.MIN_PARALLEL_SIZE
            and _are_c_contiguous(groups[0])
        ):
            self._last_call = tuple(groups[0]), _dtype_and_shape(groups[0][0]), table, starts
        task = loop, constants, table, starts
        run_task(task, int(starts[-1]), self._threads)
        return True

    def _run_on_cached_arrays(self, loop: int, constants: Any, groups: Sequence[ProgramArrays]) -> bool:
        """Run a loop on the same small arrays as the last call, such as flat parameters; return False for others.

        Only the first array is checked for a dtype or shape that was set in place, because all arrays agree in these.
        Address and strides are checked for the first two, weight and gradient; those of the slots cannot change.
        """
        last_arrays, last_dtype_and_shape, table, starts = self._last_call
        if len(groups) != 1 or len(groups[0]) != len(last_arrays):
            return False
        arrays = groups[0]
        if not all(map(is_, arrays, last_arrays)) or _dtype_and_shape(arrays[0]) != last_dtype_and_shape:
            return False
        records = arrays[0].__array_struct__, arrays[1].__array_struct__
        return bool(run_serial_cached(loop, constants, table, starts, id(records[0]), id(records[1])))


CompiledBackend = NumbaBackend
"""The name of the class in pickles of earlier versions."""


def _are_c_contiguous(arrays: ProgramArrays) -> bool:
    return all(array.flags.c_contiguous for array in arrays)


def _dtype_and_shape(array: Any) -> Any:
    return array.dtype, array.shape


@cache
def compile_loop(program: Program, dtype: np.dtype[Any]) -> Any:
    """Return the compiled loop of a program for a dtype, loaded from the cache on disk if it is there.

    If the cache cannot be written, the loop is compiled for this process only.
    """
    with fork_lock:
        return _load_or_compile(program, dtype)


@cache  # in addition to that of `compile_loop`, for threads that waited for the lock
def _load_or_compile(program: Program, dtype: np.dtype[Any]) -> Any:
    return compile_generated_loop(program.name, generate_numba_source(program), dtype, dtype)
