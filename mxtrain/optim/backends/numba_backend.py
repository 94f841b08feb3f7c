"""Numba backend: compiles a program to one loop that reads every array once."""

import sys
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha256
from operator import is_
from types import ModuleType
from typing import Any

import numba
import numpy as np

from mxtrain.optim.backends.base import ProgramArrays, round_scalars
from mxtrain.optim.backends.codegen import generate_numba_source
from mxtrain.optim.backends.jit_cache import compile_callback
from mxtrain.optim.backends.numpy_backend import buffered_blocks
from mxtrain.optim.backends.scheduler import resolve_addresses, run_serial, run_serial_cached
from mxtrain.optim.backends.thread_pool import shared_pool
from mxtrain.optim.backends.threads import thread_count
from mxtrain.optim.ir import Program
from mxtrain.processes import fork_lock

MIN_PARALLEL_SIZE = 1 << 17
"""From this many elements on, the work is shared among threads; below, waking them costs more than they save."""
_CHUNKS_PER_THREAD = 8
"""Into how many ranges it is cut for each thread: enough that a late one does not hold the others up."""
_MIN_CHUNK, _MAX_CHUNK = 1 << 14, 1 << 18
"""Elements in a range: less is not worth the turn, and of more the last one would take too long."""


class NumbaBackend:
    """Runs programs on NumPy arrays as compiled loops, all arrays in one call, on several threads where that is much.

    A loop is compiled once for each program and dtype, and its machine code is kept on disk. It may run on several
    Python threads at once, and in forked processes.

    Args:
        threads: how many may work on one update; None for what `thread_count` says at the time.
    """

    name = "compiled"
    kinds: tuple[str, ...] = ("numpy",)

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads
        self._last_call: tuple[ProgramArrays, Any, Any, Any] = (), None, None, None

    def __reduce__(self) -> tuple[type, tuple[int | None]]:
        return NumbaBackend, (self._threads,)  # a copy's arrays lie elsewhere

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

    def _run_in_place(self, loop: int, constants: Any, groups: Sequence[ProgramArrays]) -> bool:
        """Run a loop where the arrays lie; False, and nothing is done, where some have no common order in memory."""
        if self._run_cached(loop, constants, groups):
            return True
        # The records keep the arrays alive and their memory where it is.
        records = [array.__array_struct__ for arrays in groups for array in arrays]
        table = np.array(list(map(id, records)), dtype=np.int64).reshape(len(groups), -1)
        starts = np.empty(len(groups) + 1, dtype=np.int64)
        if not resolve_addresses(table, starts):
            return False
        if len(groups) == 1 and len(groups[0]) > 1 and starts[1] < MIN_PARALLEL_SIZE and _are_c_contiguous(groups[0]):
            self._last_call = tuple(groups[0]), _dtype_and_shape(groups[0][0]), table, starts
        task = loop, constants, table, starts
        threads = (self._threads or thread_count()) if starts[-1] >= MIN_PARALLEL_SIZE else 1
        if threads == 1 or not _run_parallel(task, threads):
            run_serial(*task)
        return True

    def _run_cached(self, loop: int, constants: Any, groups: Sequence[ProgramArrays]) -> bool:
        """Run a loop on the same small arrays as the last call, such as flat parameters; return False for others.

        A dtype or a shape that was set in place is noticed on the first array, because all arrays agree in these. The
        first two, weight and gradient, may have new memory or strides; the slots cannot.
        """
        known, like, table, starts = self._last_call
        if len(groups) != 1 or len(groups[0]) != len(known):
            return False
        arrays = groups[0]
        if not all(map(is_, arrays, known)) or _dtype_and_shape(arrays[0]) != like:
            return False
        records = arrays[0].__array_struct__, arrays[1].__array_struct__
        return bool(run_serial_cached(loop, constants, table, starts, id(records[0]), id(records[1])))


def _are_c_contiguous(arrays: ProgramArrays) -> bool:
    return all(array.flags.c_contiguous for array in arrays)


def _dtype_and_shape(array: Any) -> Any:
    return array.dtype, array.shape


def _run_parallel(task: tuple[Any, ...], threads: int) -> bool:
    """Run a loop on several threads; False, and nothing is done, where no helper is at hand."""
    size = int(task[-1][-1])
    chunk = min(max(size // (threads * _CHUNKS_PER_THREAD), _MIN_CHUNK), _MAX_CHUNK)
    return shared_pool().run(task, chunk, min(threads, size // chunk) - 1)  # nobody without a range of their own


@cache
def compile_loop(program: Program, dtype: np.dtype[Any]) -> Any:
    """The compiled loop of a program for a dtype; machine code from the disk where it is there.

    Where the cache cannot be written, the loop is compiled for this process alone.
    """
    with fork_lock:
        return _compiled_loop(program, dtype)


@cache
def _compiled_loop(program: Program, dtype: np.dtype[Any]) -> Any:  # threads that wait at the lock compile nothing
    source = generate_numba_source(program)
    pointer: Any = numba.types.CPointer
    element, number = pointer(numba.from_dtype(dtype)), numba.types.int64
    signature = numba.void(element, pointer(element), pointer(number), number, number, number)
    return compile_callback(
        _load_generated_module(program.name, source), signature, source.encode(), error_model="numpy"
    )


def _load_generated_module(program: str, source: str) -> Callable[..., None]:
    """Execute a loop's source in a module in `sys.modules`, where Numba's cached code finds it by name.

    The source is run from memory, because a file could be changed, or have a stale `.pyc` beside it.
    """
    module = ModuleType(f"mxtrain_loop_{program}_{sha256(source.encode()).hexdigest()[:16]}")
    exec(compile(source, f"<{program}, printed by mxtrain>", "exec"), module.__dict__)
    sys.modules[module.__name__] = module
    loop: Callable[..., None] = module.loop
    return loop
