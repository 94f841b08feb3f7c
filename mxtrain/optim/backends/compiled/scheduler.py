"""Work-stealing scheduler compiled with Numba.

The work is a table of array addresses, one row for each group of a program's arrays. Elements are numbered
consecutively over all rows, so a chunk of work is a range of element numbers.

The calling thread and the workers share a control block, an array of numbers in memory. The caller publishes a job;
every available thread takes chunks until none is left; then the caller closes the job and waits for workers that are
still busy. No thread holds the interpreter lock meanwhile, and the caller does not wait for workers that did not join.

Chunks are divided into one queue per thread. Each thread takes the chunks of its own queue and then steals from the
others: sequential memory access is faster, and the next call finds the same data in the thread's cache.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types

from mxtrain.optim.backends.compiled import numba_intrinsics
from mxtrain.optim.backends.compiled.jit_cache import compile_function, read_sources
from mxtrain.optim.backends.compiled.numba_intrinsics import (
    atomic_add,
    atomic_compare_exchange,
    atomic_load,
    call_loop,
    current_cpu,
    get_capsule_pointer,
    load_int32,
    read_file,
    restore_thread,
    save_thread,
    write_file,
    yield_thread,
)

# Indices in the control block. Numbers that several threads write are on separate cache lines.
SHUTDOWN = 0
"""1 when the workers must exit."""
_IS_BUSY = 1
"""1 while a caller runs a job. Only compiled code sets it, so that no signal can interrupt the caller in between."""
_JOB = 8
"""The current job: the number of busy workers, plus `_OPEN` while workers may join, plus `_NEXT_JOB` for each job so
far."""
_SLEEPING = 16
"""The number of sleeping workers that no caller has woken yet."""
_LOOP, _SCALARS, _TABLE, _STARTS, _ROWS, _SIZE, _CHUNK, _MAX_WORKERS, _WAKE_VALUE, _CALLER_CPU, _QUEUES = range(24, 35)
"""Addresses of the loop, its scalars, the table and the row starts; the number of rows, elements, elements in a chunk,
and workers that may join; the 1 that is written to wake a worker; the core of the caller; and the number of queues."""
_NEXT, _CACHE_LINE, _MAX_QUEUES = 40, 8, 256
"""The first untaken chunk of each queue, each on a separate cache line."""
CONTROL_BLOCK_SIZE = _NEXT + _CACHE_LINE * _MAX_QUEUES
"""Numbers in a control block."""

_OPEN = 1 << 16
_NEXT_JOB = 2 * _OPEN

_CONTIGUOUS, _FORTRAN, _ALIGNED = 0x1, 0x2, 0x100
"""Flags in NumPy's `PyArrayInterface`, the C structure behind `__array_struct__`."""

_control_block, _bytes, _table, _numbers = types.int64[::1], types.uint8[::1], types.int64[:, ::1], types.int64[::1]


def _compiled(signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function at import, or load its machine code from the cache."""
    source = read_sources(__file__, numba_intrinsics.__file__)
    return lambda function: compile_function(function, signature, source, **options)


@_compiled(types.boolean(_table, _numbers))
def resolve_addresses(table: Any, starts: Any) -> Any:
    """Replace the addresses of `__array_struct__` objects by the addresses of the arrays, and number the elements.

    Args:
        table: the address of each array's `__array_struct__`, overwritten by the address of the array's memory.
        starts: written: the number of the first element of each row, and after the last row the number of elements.

    Returns:
        False if the arrays of a row have no common order of elements in memory, or are not aligned.
    """
    rows, arrays = table.shape
    starts[0] = 0
    for row in range(rows):
        orders, size = _CONTIGUOUS | _FORTRAN, 1
        for number in range(arrays):
            record = get_capsule_pointer(table[row, number], 0)
            flags = load_int32(record + 16)
            orders &= flags if flags & _ALIGNED else 0
            table[row, number] = atomic_load(record + 40)
            if number == 0:
                shape = atomic_load(record + 24)
                for axis in range(load_int32(record + 4)):
                    size *= atomic_load(shape + 8 * axis)
        if not orders:
            return False
        starts[row + 1] = starts[row] + size
    return True


@_compiled(types.boolean(_numbers, _table))
def read_layouts(records: Any, layouts: Any) -> Any:
    """Read the memory layouts of arrays: address, item size, number of axes, then length and stride of each axis.

    Args:
        records: the address of each array's `__array_struct__`.
        layouts: written: a row for each array, padded with zeros.

    Returns:
        False if an array has more axes than a row can hold.
    """
    for number in range(len(records)):
        record = get_capsule_pointer(records[number], 0)
        axes = load_int32(record + 4)
        if 3 + 2 * axes > layouts.shape[1]:
            return False
        layouts[number, 0] = atomic_load(record + 40)
        layouts[number, 1] = load_int32(record + 12)
        layouts[number, 2] = axes
        shape, strides = atomic_load(record + 24), atomic_load(record + 32)
        for axis in range(axes):
            layouts[number, 3 + 2 * axis] = atomic_load(shape + 8 * axis)
            layouts[number, 4 + 2 * axis] = atomic_load(strides + 8 * axis)
        for column in range(3 + 2 * axes, layouts.shape[1]):
            layouts[number, column] = 0
    return True


@_compiled(types.void(types.int64, _bytes, _table, _numbers), nogil=True)
def run_serial(loop: Any, scalars: Any, table: Any, starts: Any) -> None:
    """Run a loop on all elements in this thread.

    Args:
        loop: the address of the compiled loop.
        scalars: the memory of its scalars.
        table: the address of each array's memory, one row for each group of arrays.
        starts: the number of the first element of each row, and after the last row the number of elements.
    """
    call_loop(loop, scalars.ctypes.data, table.ctypes.data, starts.ctypes.data, 0, 0, starts[-1])


@_compiled(types.boolean(types.int64, _bytes, _table, _numbers, types.int64, types.int64))
def run_serial_cached(loop: Any, scalars: Any, table: Any, starts: Any, first: Any, second: Any) -> Any:
    """Run a loop in this thread on the table of an earlier call, which has one row.

    Args:
        loop, scalars, table, starts: as in `run_serial`.
        first, second: the addresses of the present `__array_struct__` of the first two arrays.

    Returns:
        False, without running anything, if one of these two has moved, or is not C-contiguous and aligned.
    """
    for number in range(2):
        record = get_capsule_pointer(first if number == 0 else second, 0)
        flags = load_int32(record + 16)
        if atomic_load(record + 40) != table[0, number] or not flags & _CONTIGUOUS or not flags & _ALIGNED:
            return False
    state = save_thread()
    call_loop(loop, scalars.ctypes.data, table.ctypes.data, starts.ctypes.data, 0, 0, starts[-1])
    restore_thread(state)
    return True


@njit
def _queue_end(control: Any, queue: Any) -> Any:
    """Return the number of the chunk after the last one of a queue; 0 for queue -1."""
    chunks = (control[_SIZE] + control[_CHUNK] - 1) // control[_CHUNK]
    return (queue + 1) * chunks // control[_QUEUES]


@njit
def _run_chunks(control: Any, own_queue: Any) -> None:
    """Take and run chunks until none is left, from this thread's queue first and then from the others."""
    for i in range(control[_QUEUES]):
        queue = (own_queue + i) % control[_QUEUES]
        next_chunk, end = control.ctypes.data + 8 * (_NEXT + _CACHE_LINE * queue), _queue_end(control, queue)
        while atomic_load(next_chunk) < end:
            number = atomic_add(next_chunk, 1)
            if number < end:
                _run_chunk(control, number * control[_CHUNK])


@njit
def _run_chunk(control: Any, low: Any) -> None:
    """Run the loop on the chunk whose first element is `low`."""
    starts = control[_STARTS]
    row, beyond = 0, control[_ROWS]  # binary search for the last row that starts at `low` or before
    while beyond - row > 1:
        middle = (row + beyond) // 2
        if atomic_load(starts + 8 * middle) <= low:
            row = middle
        else:
            beyond = middle
    high = min(low + control[_CHUNK], control[_SIZE])
    call_loop(control[_LOOP], control[_SCALARS], control[_TABLE], starts, row, low, high)


@njit
def _run_job(
    control: Any, wake_descriptor: Any, loop: Any, scalars: Any, table: Any, starts: Any, chunk: Any, max_workers: Any
) -> None:
    """Publish a job, wake workers, run chunks, and wait for the workers that joined; see `run_parallel`."""
    control[_LOOP], control[_SCALARS], control[_TABLE] = loop, scalars.ctypes.data, table.ctypes.data
    control[_STARTS], control[_ROWS], control[_SIZE] = starts.ctypes.data, len(table), starts[-1]
    control[_CHUNK], control[_MAX_WORKERS] = chunk, max_workers
    control[_WAKE_VALUE], control[_CALLER_CPU] = 1, current_cpu()
    control[_QUEUES] = min(max_workers + 1, _MAX_QUEUES)
    for queue in range(control[_QUEUES]):
        control[_NEXT + _CACHE_LINE * queue] = _queue_end(control, queue - 1)
    base = control.ctypes.data
    atomic_add(base + 8 * _JOB, _NEXT_JOB + _OPEN)
    for _ in range(min(atomic_load(base + 8 * _SLEEPING), max_workers)):
        atomic_add(base + 8 * _SLEEPING, -1)
        write_file(wake_descriptor, base + 8 * _WAKE_VALUE, 8)
    _run_chunks(control, 0)
    atomic_add(base + 8 * _JOB, -_OPEN)
    while atomic_load(base + 8 * _JOB) & (_OPEN - 1):
        yield_thread()


@_compiled(
    types.boolean(_control_block, types.int64, types.int64, _bytes, _table, _numbers, types.int64, types.int64),
    nogil=True,
)
def run_parallel(
    control: Any, wake_descriptor: Any, loop: Any, scalars: Any, table: Any, starts: Any, chunk: Any, max_workers: Any
) -> Any:
    """Run a loop on all elements, in this thread and the workers that join.

    Args:
        control: the control block, which the workers read.
        wake_descriptor: the file descriptor that wakes workers; each reads eight bytes from it.
        loop, scalars, table, starts: as in `run_serial`.
        chunk: elements in a chunk.
        max_workers: the largest number of workers that may join.

    Returns:
        False, without running anything, while another thread runs a job.
    """
    if not atomic_compare_exchange(control.ctypes.data + 8 * _IS_BUSY, 0, 1):
        return False
    _run_job(control, wake_descriptor, loop, scalars, table, starts, chunk, max_workers)
    atomic_add(control.ctypes.data + 8 * _IS_BUSY, -1)
    return True


@_compiled(
    types.boolean(
        _control_block, types.int64, types.int64, _bytes, _table, _numbers, _numbers, types.int64, types.int64
    ),
    nogil=True,
)
def run_parallel_stages(
    control: Any, wake_descriptor: Any, loop: Any, scalars: Any, table: Any, starts: Any, stage_starts: Any, chunk: Any,
    max_workers: Any,
) -> Any:  # fmt: skip
    """Run a loop in stages, each of which needs the results of the one before.

    Args:
        control, wake_descriptor, loop, scalars, table, starts, chunk, max_workers: as in `run_parallel`. Each stage
            numbers its elements from 0, so all rows must have the same number of elements.
        stage_starts: the first row of each stage, and after the last stage the number of rows.

    Returns:
        False, without running anything, while another thread runs a job.
    """
    if not atomic_compare_exchange(control.ctypes.data + 8 * _IS_BUSY, 0, 1):
        return False
    for stage in range(len(stage_starts) - 1):
        first, beyond = stage_starts[stage], stage_starts[stage + 1]
        rows, row_starts = table[first:beyond], starts[: beyond - first + 1]
        _run_job(control, wake_descriptor, loop, scalars, rows, row_starts, chunk, max_workers)
    atomic_add(control.ctypes.data + 8 * _IS_BUSY, -1)
    return True


@_compiled(types.void(_control_block, types.int64, types.int64, types.int64), nogil=True)
def worker_loop(control: Any, number: Any, wake_descriptor: Any, spin_limit: Any) -> None:
    """Join jobs until shutdown: the main function of a worker.

    Args:
        control: the control block.
        number: the number of this worker, starting at 1; it selects the worker's queue.
        wake_descriptor: the file descriptor that a sleeping worker reads from.
        spin_limit: how often to check for a job, yielding the core each time, before sleeping. On the core of the
            caller the worker sleeps at once, because the system wakes it on an idle core.
    """
    base, last_job, spins = control.ctypes.data, -1, 0
    buffer = np.empty(1, dtype=np.int64)
    while not atomic_load(base + 8 * SHUTDOWN):
        job = atomic_load(base + 8 * _JOB)
        is_new = job & _OPEN and job // _NEXT_JOB != last_job and job & (_OPEN - 1) < control[_MAX_WORKERS]
        if is_new and atomic_compare_exchange(base + 8 * _JOB, job, job + 1):
            _run_chunks(control, number % control[_QUEUES])
            atomic_add(base + 8 * _JOB, -1)
            last_job, spins = job // _NEXT_JOB, 0
        elif spins < spin_limit and (control[_CALLER_CPU] < 0 or current_cpu() != control[_CALLER_CPU]):
            spins += 1
            yield_thread()
        else:
            spins = 0
            atomic_add(base + 8 * _SLEEPING, 1)
            read_file(wake_descriptor, buffer.ctypes.data, 8)
