"""Threads that share the work on one large array; compiled loops release the interpreter while they run."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from mxtrain.errors import BackendError

_LINE = 64
"""Pieces begin at multiples of this many elements, so that no two threads write to one cache line."""

_TURNS = 4
"""Pieces for each thread: enough that a late one does not hold the others up."""
_SMALLEST = 1 << 17
"""Elements in a piece, at least: less is not worth the turn."""


def thread_count() -> int:
    """How many threads work on a large array: MXTRAIN_THREADS where it is set, else the cores this process may use.

    Raises:
        BackendError: MXTRAIN_THREADS is no whole number, or below 1.
    """
    named = os.environ.get("MXTRAIN_THREADS", "")
    if named:
        if named.isdecimal() and int(named) > 0:
            return int(named)
        raise BackendError(f"MXTRAIN_THREADS must be a whole number, at least 1, got {named!r}")
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pieces(size: int, count: int) -> list[slice]:
    """A range of elements cut into at most `count` pieces of nearly equal size.

    >>> pieces(200, 2)
    [slice(0, 128, None), slice(128, 200, None)]
    """
    step = max(_LINE, -(-size // (count * _LINE)) * _LINE)
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]


def run_pieces(work: Callable[[slice], object], size: int) -> None:
    """Do the work on all pieces of a range, here and on helper threads; return when all of it is done.

    Every thread takes the next piece when it has done one. A helper that is late, because its core is busy with
    something else, so does less, and nobody waits for one that never came.
    """
    threads = thread_count()
    left = iter(pieces(size, min(threads * _TURNS, -(-size // _SMALLEST)) if threads > 1 else 1))

    def take_turns() -> None:
        for piece in left:  # the iterator hands each piece out once
            work(piece)

    helpers = [_crew().submit(take_turns) for _ in range(threads - 1)]
    try:
        take_turns()
    finally:
        for helper in helpers:
            if not helper.cancel():
                helper.result()


_executor: ThreadPoolExecutor | None = None


def _crew() -> ThreadPoolExecutor:
    global _executor
    if _executor is None:
        _executor = ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1), thread_name_prefix="mxtrain")
    return _executor


def _forget_crew() -> None:
    global _executor
    _executor = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_crew)  # a forked child has none of its parent's threads
