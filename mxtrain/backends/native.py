"""What compiled loops are driven by, in words that Numba compiles: who takes which part of the work.

The work is a table of arrays that lie anywhere: row by row, the addresses of a program's arrays. Their elements are
counted through the rows, so that a part of the work is a range of numbers.

A board is where a leader, who has work, and helpers meet: a few numbers in memory. The leader puts up a notice; every
thread that is at hand takes ranges until none is left; then the leader takes the notice off, and waits for those who
are still busy. Nobody holds the interpreter meanwhile, and nobody waits for a helper that does not come.

The ranges lie in as many shares as there may be threads. Each thread begins with a share of its own, and goes on with
what is left of the others': memory is faster where a thread goes straight on, and the next time it finds in its cache
what it had the last time.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types

from mxtrain.backends import words
from mxtrain.backends.kept_code import compile_function, sources
from mxtrain.backends.words import (
    add,
    call,
    capsule_pointer,
    core,
    fetch,
    fetch_int,
    give_way,
    read,
    replace,
    restore_thread,
    save_thread,
    write,
)

OVER = 0
"""Where a board says that helpers may go."""
_NOTICE, _ASLEEP, _LED = 8, 16, 1
"""Other entries: the notice, and the number of helpers asleep since the last one, each on a separate cache line; beside
`OVER`, 1 while a thread leads, which only compiled code changes, as no signal interrupts it."""
_LOOP, _SCALARS, _TABLE, _STARTS, _ROWS, _SIZE, _PIECE, _LIMIT, _ONE, _CORE, _SHARES = range(24, 35)
"""The loop's address; the addresses of its scalars, of the table of addresses and of each row's first number; how many
rows and elements there are; elements in a range; how many helpers may join; a 1, with which the bell is rung; the core
that the leader runs on; how many shares there are."""
_NEXT, _LINE, _MOST_SHARES = 40, 8, 256
"""For each share, on a cache line of its own, the first range that nobody has taken; and how many there may be."""
BOARD = _NEXT + _LINE * _MOST_SHARES
"""How many numbers a board has."""

_OPEN = 1 << 16
"""A notice is the number of helpers that are busy, this where more may join, and above it the number of the notice."""
_NEXT_NOTICE = 2 * _OPEN

_CONTIGUOUS, _FORTRAN, _ALIGNED = 0x1, 0x2, 0x100
"""Flags in NumPy's `PyArrayInterface`, the C structure behind `__array_struct__`."""

_board, _bytes, _table, _numbers = types.int64[::1], types.uint8[::1], types.int64[:, ::1], types.int64[::1]


def _compiled(signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function now; its machine code is cached on disk where that can be written."""
    source = sources(__file__, words.__file__)
    return lambda function: compile_function(function, signature, source, **options)


@_compiled(types.boolean(_table, _numbers))
def look_up(table: Any, starts: Any) -> Any:
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
            record = capsule_pointer(table[row, number], 0)
            flags = fetch_int(record + 16)
            orders &= flags if flags & _ALIGNED else 0
            table[row, number] = fetch(record + 40)
            if number == 0:
                shape = fetch(record + 24)
                for axis in range(fetch_int(record + 4)):
                    size *= fetch(shape + 8 * axis)
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
        record = capsule_pointer(records[number], 0)
        axes = fetch_int(record + 4)
        if 3 + 2 * axes > layouts.shape[1]:
            return False
        layouts[number, 0], layouts[number, 1], layouts[number, 2] = fetch(record + 40), fetch_int(record + 12), axes
        shape, strides = fetch(record + 24), fetch(record + 32)
        for axis in range(axes):
            layouts[number, 3 + 2 * axis], layouts[number, 4 + 2 * axis] = (
                fetch(shape + 8 * axis),
                fetch(strides + 8 * axis),
            )
        for column in range(3 + 2 * axes, layouts.shape[1]):
            layouts[number, column] = 0
    return True


@_compiled(types.boolean(types.int64, _bytes, _table, _numbers, types.int64, types.int64))
def alone_again(loop: Any, scalars: Any, table: Any, starts: Any, first: Any, second: Any) -> Any:
    """Do all of the work in this thread, on the one row of a table that was looked up before.

    Args:
        first, second: the addresses of the `__array_struct__` of the first two arrays, as they are now.
        loop, scalars, table, starts: as in `alone`.

    Returns:
        False, without doing anything, if one of these two has moved, or is not C-contiguous and aligned.
    """
    for number in range(2):
        record = capsule_pointer(first if number == 0 else second, 0)
        flags = fetch_int(record + 16)
        if fetch(record + 40) != table[0, number] or not flags & _CONTIGUOUS or not flags & _ALIGNED:
            return False
    state = save_thread()
    call(loop, scalars.ctypes.data, table.ctypes.data, starts.ctypes.data, 0, 0, starts[-1])
    restore_thread(state)
    return True


@_compiled(types.void(types.int64, _bytes, _table, _numbers), nogil=True)
def alone(loop: Any, scalars: Any, table: Any, starts: Any) -> None:
    """Do all of the work here."""
    call(loop, scalars.ctypes.data, table.ctypes.data, starts.ctypes.data, 0, 0, starts[-1])


@njit
def _end_of(board: Any, share: Any) -> Any:
    """The number of the range after a share's last; for -1 that of the first share's first."""
    ranges = (board[_SIZE] + board[_PIECE] - 1) // board[_PIECE]
    return (share + 1) * ranges // board[_SHARES]


@njit
def _take_turns(board: Any, own: Any) -> None:
    """Take one range after the other, until none is left: of a share of one's own, then of the others."""
    for i in range(board[_SHARES]):
        share = (own + i) % board[_SHARES]
        place, end = board.ctypes.data + 8 * (_NEXT + _LINE * share), _end_of(board, share)
        while fetch(place) < end:
            number = add(place, 1)
            if number < end:
                _do(board, number * board[_PIECE])


@njit
def _do(board: Any, low: Any) -> None:
    """Do the range that begins with an element."""
    starts = board[_STARTS]
    row, beyond = 0, board[_ROWS]  # the last row that begins at `low` or before
    while beyond - row > 1:
        middle = (row + beyond) // 2
        if fetch(starts + 8 * middle) <= low:
            row = middle
        else:
            beyond = middle
    call(board[_LOOP], board[_SCALARS], board[_TABLE], starts, row, low, min(low + board[_PIECE], board[_SIZE]))


@njit
def _lead(board: Any, bell: Any, loop: Any, scalars: Any, table: Any, starts: Any, piece: Any, limit: Any) -> None:
    """Do the work of `lead`, as the only leader."""
    board[_LOOP], board[_SCALARS], board[_TABLE] = loop, scalars.ctypes.data, table.ctypes.data
    board[_STARTS], board[_ROWS], board[_SIZE] = starts.ctypes.data, len(table), starts[-1]
    board[_PIECE], board[_LIMIT], board[_ONE], board[_CORE] = piece, limit, 1, core()
    board[_SHARES] = min(limit + 1, _MOST_SHARES)
    for share in range(board[_SHARES]):
        board[_NEXT + _LINE * share] = _end_of(board, share - 1)
    place = board.ctypes.data
    add(place + 8 * _NOTICE, _NEXT_NOTICE + _OPEN)
    for _ in range(min(fetch(place + 8 * _ASLEEP), limit)):
        add(place + 8 * _ASLEEP, -1)
        write(bell, place + 8 * _ONE, 8)
    _take_turns(board, 0)
    add(place + 8 * _NOTICE, -_OPEN)
    while fetch(place + 8 * _NOTICE) & (_OPEN - 1):
        give_way()


@_compiled(
    types.boolean(_board, types.int64, types.int64, _bytes, _table, _numbers, types.int64, types.int64), nogil=True
)
def lead(board: Any, bell: Any, loop: Any, scalars: Any, table: Any, starts: Any, piece: Any, limit: Any) -> Any:
    """Do the work with all helpers that come; return when all of it is done.

    Args:
        board: where helpers look.
        bell: the file descriptor that wakes helpers; each reads eight bytes from it.
        loop, scalars, table, starts: as in `alone`.
        piece: elements in a range.
        limit: how many helpers may join.

    Returns:
        False, and nothing is done, while another thread leads.
    """
    if not replace(board.ctypes.data + 8 * _LED, 0, 1):
        return False
    _lead(board, bell, loop, scalars, table, starts, piece, limit)
    add(board.ctypes.data + 8 * _LED, -1)
    return True


@_compiled(
    types.boolean(_board, types.int64, types.int64, _bytes, _table, _numbers, _numbers, types.int64, types.int64),
    nogil=True,
)
def lead_in_turn(
    board: Any, bell: Any, loop: Any, scalars: Any, table: Any, starts: Any, turns: Any, piece: Any, limit: Any
) -> Any:
    """Do the work in turns, each of which needs what the one before has done.

    Args:
        turns: the number of each turn's first row, and at the end that of all rows. Elements are counted anew in
            each turn.
        board, bell, loop, scalars, table, starts, piece, limit: as in `lead`.

    Returns:
        False, and nothing is done, while another thread leads.
    """
    if not replace(board.ctypes.data + 8 * _LED, 0, 1):
        return False
    for turn in range(len(turns) - 1):
        first, beyond = turns[turn], turns[turn + 1]
        _lead(board, bell, loop, scalars, table[first:beyond], starts[: beyond - first + 1], piece, limit)
    add(board.ctypes.data + 8 * _LED, -1)
    return True


@_compiled(types.void(_board, types.int64, types.int64, types.int64), nogil=True)
def serve(board: Any, number: Any, bell: Any, patience: Any) -> None:
    """Help with all work that comes, until it is over.

    Args:
        board: where to look.
        number: of this helper, 1 for the first; it says which share it begins with.
        bell: the file that is read from.
        patience: how often to look, giving way to other threads each time, before going to sleep. On the leader's own
            core that would be in vain, and the system wakes sleepers on an idle one.
    """
    place, done, waited = board.ctypes.data, -1, 0
    word = np.empty(1, dtype=np.int64)
    while not fetch(place + 8 * OVER):
        notice = fetch(place + 8 * _NOTICE)
        is_new = notice & _OPEN and notice // _NEXT_NOTICE != done and notice & (_OPEN - 1) < board[_LIMIT]
        if is_new and replace(place + 8 * _NOTICE, notice, notice + 1):
            _take_turns(board, number % board[_SHARES])
            add(place + 8 * _NOTICE, -1)
            done, waited = notice // _NEXT_NOTICE, 0
        elif waited < patience and (board[_CORE] < 0 or core() != board[_CORE]):
            waited += 1
            give_way()
        else:
            waited = 0
            add(place + 8 * _ASLEEP, 1)
            read(bell, word.ctypes.data, 8)
