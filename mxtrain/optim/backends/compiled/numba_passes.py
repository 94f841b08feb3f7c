"""Passes of programs with reductions as compiled loops, divided among threads by blocks of a sum."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from mxtrain.optim.backends.arrays import ProgramArrays
from mxtrain.optim.backends.compiled.codegen_numba import generate_numba_pass_source
from mxtrain.optim.backends.compiled.jit_cache import compile_function, compile_generated_loop, read_sources
from mxtrain.optim.backends.compiled.numba_tasks import run_task
from mxtrain.optim.backends.compiled.scheduler import resolve_addresses
from mxtrain.optim.backends.numpy_backend import ContiguousCopies
from mxtrain.optim.ir import MultiPassProgram
from mxtrain.optim.ir.summation import SUM_BLOCK
from mxtrain.processes import fork_lock


class NumbaPassRun:
    """Passes of a program on NumPy arrays, compiled; see `PassRun`.

    One buffer of float64 numbers holds all that is not an array: the scalars of the host, the record of each parameter,
    and the result of each block.

    Args:
        program: the program.
        groups: its arrays for each parameter.
        scalars: the scalars of the host.
        threads: the largest number of threads; None for the result of `thread_count`.
    """

    def __init__(
        self,
        program: MultiPassProgram,
        groups: Sequence[ProgramArrays],
        scalars: Sequence[float],
        threads: int | None,
    ) -> None:
        self._program = program
        self._copies = ContiguousCopies(groups, program.written)
        self._threads = threads
        self._scalars = scalars
        rows = self._copies.groups
        records = [array.__array_struct__ for arrays in rows for array in arrays]
        self._table = np.array(list(map(id, records)), dtype=np.int64).reshape(len(rows), len(program.arrays))
        starts = np.zeros(len(rows) + 1, dtype=np.int64)
        if not resolve_addresses(self._table, starts):
            raise AssertionError("contiguous copies have a common order")
        self._starts = _block_starts(starts)
        self._size = int(starts[-1])

    def upload(self, records: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the records as a part of the buffer."""
        first = 2 + len(self._scalars)
        results = max((len(each.results) for each in self._program.passes), default=0)
        self._buffer = np.empty(first + records.size + results * int(self._starts[-1]))
        self._buffer[:2] = first, first + records.size
        self._buffer[2:first] = self._scalars
        in_buffer = self._buffer[first : first + records.size].reshape(records.shape)
        in_buffer[...] = records
        return in_buffer

    def download(self, record: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the record itself."""
        return record

    def finish(self) -> None:
        """Copy the results to arrays that are not contiguous."""
        self._copies.write_back()

    def run(self, number: int, records: NDArray[np.float64]) -> None:
        """Run a pass on all parameters; see `PassRun.run`."""
        if not self._size:
            return
        loop, columns, results = compile_pass(self._program, number, self._copies.groups[0][0].dtype)
        task = loop.address, self._buffer.view(np.uint8), self._table.take(columns, axis=1), self._starts
        run_task(task, self._size, self._threads, SUM_BLOCK)
        if len(results):
            combine_blocks(self._buffer, self._starts, records.shape[1], results)


@cache
def compile_pass(
    program: MultiPassProgram, number: int, dtype: np.dtype[Any]
) -> tuple[Any, NDArray[np.int64], NDArray[np.int64]]:
    """Return the compiled loop of a pass, the numbers of its arrays, and its results as `combine_blocks` takes them."""
    step = program.passes[number]
    results = [
        (program.first_result + result, program.reductions[result].operation == "max_abs") for result in step.results
    ]
    columns = np.array(step.arrays, dtype=np.int64)
    return compile_pass_loop(program, number, dtype), columns, np.array(results, dtype=np.int64).reshape(-1, 2)


@cache
def compile_pass_loop(program: MultiPassProgram, number: int, dtype: np.dtype[Any]) -> Any:
    """Return the compiled loop of a pass for a dtype, loaded from the cache on disk if it is there."""
    with fork_lock:
        return _load_or_compile(program, number, dtype)


@cache  # in addition to that of `compile_pass_loop`, for threads that waited for the lock
def _load_or_compile(program: MultiPassProgram, number: int, dtype: np.dtype[Any]) -> Any:
    step = program.passes[number]
    source = generate_numba_pass_source(program, step, dtype.name)
    return compile_generated_loop(step.program.name, source, np.dtype("float64"), dtype)


def _compiled(signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function at import, or load its machine code from the cache."""
    source = read_sources(__file__)
    return lambda function: compile_function(function, signature, source)


_numbers, _reals = types.int64[::1], types.float64[::1]


@_compiled(types.int64[::1](_numbers))
def _block_starts(starts: Any) -> Any:
    """Return the number of the first block of each row, from the number of its first element."""
    blocks = np.zeros_like(starts)
    for row in range(len(starts) - 1):
        # A literal in place of SUM_BLOCK, because the cache key of this code covers only this file.
        blocks[row + 1] = blocks[row] + (starts[row + 1] - starts[row] + 4095) // 4096
    return blocks


@_compiled(types.void(_reals, _numbers, types.int64, types.int64[:, ::1]))
def combine_blocks(buffer: Any, starts: Any, width: Any, results: Any) -> None:
    """Combine the results of the blocks of each row in halves, and write them to its record.

    Args:
        buffer: the buffer of `NumbaPassRun`.
        starts: the number of the first block of each row.
        width: the columns of a record.
        results: the column of each result, and 1 if it is a maximum, 0 for a sum.
    """
    records, partials = int(buffer[0]), int(buffer[1])
    count_of_results = len(results)
    for row in range(len(starts) - 1):
        first, count = starts[row], starts[row + 1] - starts[row]
        size = 1
        while size < count:
            size *= 2
        values = np.zeros(size)
        for result in range(count_of_results):
            for i in range(size):
                values[i] = buffer[partials + count_of_results * (first + i) + result] if i < count else 0.0
            half = size // 2
            while half:
                for i in range(half):
                    a, b = values[i], values[i + half]
                    if results[result, 1]:
                        values[i] = a if a >= b else (b if a == a else a)
                    else:
                        values[i] = a + b
                half //= 2
            buffer[records + width * row + results[result, 0]] = values[0]
