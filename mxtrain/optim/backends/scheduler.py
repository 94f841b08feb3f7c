"""Work-stealing scheduler compiled with Numba.

The work is a table of array addresses, one row for each set of a program's arrays. Elements are numbered through the
rows,
so a chunk of work is a range of numbers.

The calling thread and the workers share a control block, a few numbers in memory. The caller publishes a job; every
available thread takes chunks until none is left; then the caller closes the job and waits for workers that are still
busy. No thread holds the interpreter lock meanwhile, and the caller does not wait for workers that did not join.

Chunks are divided into one queue per thread. Each thread starts with its own queue and then steals from the others:
sequential memory access is faster, and the next call finds the same data in the thread's cache."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types

from mxtrain.optim.backends import numba_intrinsics
from mxtrain.optim.backends.jit_cache import compile_function, read_sources
from mxtrain.optim.backends.numba_intrinsics import (
    atomic_add,
    atomic_compare_exchange,
    atomic_load,
    call,
    current_cpu,
    get_capsule_pointer,
    load_int32,
    read_file,
    restore_thread,
    save_thread,
    write_file,
    yield_thread,
)

SHUTDOWN = 0
"""Where a board says that helpers may go."""
_JOB, _SLEEPING, _IS_BUSY = 8, 16, 1
"""Other entries: the notice, and the number of helpers asleep since the last one, each on a separate cache line; beside
`SHUTDOWN`, 1 while a thread leads, which only compiled code changes, as no signal interrupts it."""
_LOOP, _SCALARS, _TABLE, _STARTS, _ROWS, _SIZE, _CHUNK, _MAX_WORKERS, _WAKE_VALUE, _CALLER_CPU, _QUEUES = range(24, 35)
"""The loop's address; the addresses of its scalars, of the table of addresses and of each row's first number; how many
rows and elements there are; elements in a range; how many helpers may join; a 1, with which the bell is rung; the core
that the leader runs on; how many shares there are."""
_NEXT, _CACHE_LINE, _MAX_QUEUES = 40, 8, 256
"""For each share, on a cache line of its own, the first range that nobody has taken; and how many there may be."""
CONTROL_BLOCK_SIZE = _NEXT + _CACHE_LINE * _MAX_QUEUES
"""How many numbers a board has."""

_OPEN = 1 << 16
"""A notice is the number of helpers that are busy, this where more may join, and above it the number of the notice."""
_NEXT_JOB = 2 * _OPEN

_CONTIGUOUS, _FORTRAN, _ALIGNED = 0x1, 0x2, 0x100
"""Flags in NumPy's `PyArrayInterface`, the C structure behind `__array_struct__`."""

_control_block, _bytes, _table, _numbers = types.int64[::1], types.uint8[::1], types.int64[:, ::1], types.int64[::1]


def _compiled(signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function now; its machine code is cached on disk where that can be written."""
    source = read_sources(__file__, numba_intrinsics.__file__)
    return lambda function: compile_function(function, signature, source, **options)


@_compiled(types.boolean(_table, _numbers))
def resolve_addresses(table: Any, starts: Any) -> Any:
    """Fill a table, and the number of each row's first element, with the end after the last.

    Args:
        table: the address of each array's `__array_struct__`, which that of the array's memory takes the place of.
        starts: written; longer than the table by one.

    Returns:
        False where the arrays of some row have no common order of elements in memory, or are not aligned.
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
def find_layouts(records: Any, layouts: Any) -> Any:
    """Write the memory layout of arrays: address, bytes in an element, axes, then length and stride of each axis.

    Args:
        records: the address of each array's `__array_struct__`.
        layouts: written; a row for each array, filled up with zeros.

    Returns:
        False if a row is too short for the axes of an array.
    """
    for number in range(len(records)):
        record = get_capsule_pointer(records[number], 0)
        axes = load_int32(record + 4)
        if 3 + 2 * axes > layouts.shape[1]:
            return False
        layouts[number, 0], layouts[number, 1], layouts[number, 2] = (
            atomic_load(record + 40),
            load_int32(record + 12),
            axes,
        )
        shape, strides = atomic_load(record + 24), atomic_load(record + 32)
        for axis in range(axes):
            layouts[number, 3 + 2 * axis], layouts[number, 4 + 2 * axis] = (
                atomic_load(shape + 8 * axis),
                atomic_load(strides + 8 * axis),
            )
        for column in range(3 + 2 * axes, layouts.shape[1]):
            layouts[number, column] = 0
    return True


@_compiled(types.boolean(types.int64, _bytes, _table, _numbers, types.int64, types.int64))
def run_serial_cached(loop: Any, scalars: Any, table: Any, starts: Any, first: Any, second: Any) -> Any:
    """Do all of the work in this thread, on the one row of a table that was looked up before.

    Args:
        first, second: the addresses of the `__array_struct__` of the first two arrays, as they are now.
        loop, scalars, table, starts: as in `run_serial`.

    Returns:
        False, without doing anything, if one of these two has moved, or is not C-contiguous and aligned.
    """
    for number in range(2):
        record = get_capsule_pointer(first if number == 0 else second, 0)
        flags = load_int32(record + 16)
        if atomic_load(record + 40) != table[0, number] or not flags & _CONTIGUOUS or not flags & _ALIGNED:
            return False
    state = save_thread()
    call(loop, scalars.ctypes.data, table.ctypes.data, starts.ctypes.data, 0, 0, starts[-1])
    restore_thread(state)
    return True


@_compiled(types.void(types.int64, _bytes, _table, _numbers), nogil=True)
def run_serial(loop: Any, scalars: Any, table: Any, starts: Any) -> None:
    """Do all of the work here."""
    call(loop, scalars.ctypes.data, table.ctypes.data, starts.ctypes.data, 0, 0, starts[-1])


@njit
def _queue_end(control: Any, queue: Any) -> Any:
    """The number of the range after a share's last; for -1 that of the first share's first."""
    ranges = (control[_SIZE] + control[_CHUNK] - 1) // control[_CHUNK]
    return (queue + 1) * ranges // control[_QUEUES]


@njit
def _run_chunks(control: Any, own_queue: Any) -> None:
    """Take one range after the other, until none is left: of a share of one's own, then of the others."""
    for i in range(control[_QUEUES]):
        queue = (own_queue + i) % control[_QUEUES]
        place, end = control.ctypes.data + 8 * (_NEXT + _CACHE_LINE * queue), _queue_end(control, queue)
        while atomic_load(place) < end:
            number = atomic_add(place, 1)
            if number < end:
                _run_chunk(control, number * control[_CHUNK])


@njit
def _run_chunk(control: Any, low: Any) -> None:
    """Do the range that begins with an element."""
    starts = control[_STARTS]
    row, beyond = 0, control[_ROWS]  # the last row that begins at `low` or before
    while beyond - row > 1:
        middle = (row + beyond) // 2
        if atomic_load(starts + 8 * middle) <= low:
            row = middle
        else:
            beyond = middle
    call(
        control[_LOOP], control[_SCALARS], control[_TABLE], starts, row, low, min(low + control[_CHUNK], control[_SIZE])
    )


@njit
def _run_job(
    control: Any, wake_descriptor: Any, loop: Any, scalars: Any, table: Any, starts: Any, chunk: Any, max_workers: Any
) -> None:
    """Do the work of `run_parallel`, as the only leader."""
    control[_LOOP], control[_SCALARS], control[_TABLE] = loop, scalars.ctypes.data, table.ctypes.data
    control[_STARTS], control[_ROWS], control[_SIZE] = starts.ctypes.data, len(table), starts[-1]
    control[_CHUNK], control[_MAX_WORKERS], control[_WAKE_VALUE], control[_CALLER_CPU] = (
        chunk,
        max_workers,
        1,
        current_cpu(),
    )
    control[_QUEUES] = min(max_workers + 1, _MAX_QUEUES)
    for queue in range(control[_QUEUES]):
        control[_NEXT + _CACHE_LINE * queue] = _queue_end(control, queue - 1)
    place = control.ctypes.data
    atomic_add(place + 8 * _JOB, _NEXT_JOB + _OPEN)
    for _ in range(min(atomic_load(place + 8 * _SLEEPING), max_workers)):
        atomic_add(place + 8 * _SLEEPING, -1)
        write_file(wake_descriptor, place + 8 * _WAKE_VALUE, 8)
    _run_chunks(control, 0)
    atomic_add(place + 8 * _JOB, -_OPEN)
    while atomic_load(place + 8 * _JOB) & (_OPEN - 1):
        yield_thread()


@_compiled(
    types.boolean(_control_block, types.int64, types.int64, _bytes, _table, _numbers, types.int64, types.int64),
    nogil=True,
)
def run_parallel(
    control: Any, wake_descriptor: Any, loop: Any, scalars: Any, table: Any, starts: Any, chunk: Any, max_workers: Any
) -> Any:
    """Do the work with all helpers that come; return when all of it is done.

    Args:
        board: where helpers look.
        bell: the file descriptor that wakes helpers; each reads eight bytes from it.
        loop, scalars, table, starts: as in `run_serial`.
        piece: elements in a range.
        limit: how many helpers may join.

    Returns:
        False, and nothing is done, while another thread leads.
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
    control: Any,
    wake_descriptor: Any,
    loop: Any,
    scalars: Any,
    table: Any,
    starts: Any,
    stage_starts: Any,
    chunk: Any,
    max_workers: Any,
) -> Any:
    """Do the work in turns, each of which needs what the one before has done.

    Args:
        turns: the number of each turn's first row, and at the end that of all rows. Elements are counted anew in
            each turn.
        board, bell, loop, scalars, table, starts, piece, limit: as in `run_parallel`.

    Returns:
        False, and nothing is done, while another thread leads.
    """
    if not atomic_compare_exchange(control.ctypes.data + 8 * _IS_BUSY, 0, 1):
        return False
    for stage in range(len(stage_starts) - 1):
        first, beyond = stage_starts[stage], stage_starts[stage + 1]
        _run_job(
            control,
            wake_descriptor,
            loop,
            scalars,
            table[first:beyond],
            starts[: beyond - first + 1],
            chunk,
            max_workers,
        )
    atomic_add(control.ctypes.data + 8 * _IS_BUSY, -1)
    return True


@_compiled(types.void(_control_block, types.int64, types.int64, types.int64), nogil=True)
def worker_loop(control: Any, number: Any, wake_descriptor: Any, spin_limit: Any) -> None:
    """Help with all work that comes, until it is over.

    Args:
        board: where to look.
        number: of this helper, 1 for the first; it says which share it begins with.
        bell: the file that is read from.
        patience: how often to look, giving way to other threads each time, before going to sleep. On the leader's own
            core that would be in vain, and the system wakes sleepers on an idle one.
    """
    place, done, spins = control.ctypes.data, -1, 0
    word = np.empty(1, dtype=np.int64)
    while not atomic_load(place + 8 * SHUTDOWN):
        job = atomic_load(place + 8 * _JOB)
        is_new = job & _OPEN and job // _NEXT_JOB != done and job & (_OPEN - 1) < control[_MAX_WORKERS]
        if is_new and atomic_compare_exchange(place + 8 * _JOB, job, job + 1):
            _run_chunks(control, number % control[_QUEUES])
            atomic_add(place + 8 * _JOB, -1)
            done, spins = job // _NEXT_JOB, 0
        elif spins < spin_limit and (control[_CALLER_CPU] < 0 or current_cpu() != control[_CALLER_CPU]):
            spins += 1
            yield_thread()
        else:
            spins = 0
            atomic_add(place + 8 * _SLEEPING, 1)
            read_file(wake_descriptor, word.ctypes.data, 8)
