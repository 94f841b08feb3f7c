"""Division of the elements of a compiled loop among threads."""

from typing import Any

from mxtrain.optim.backends.arrays import thread_count
from mxtrain.optim.backends.compiled.scheduler import run_serial
from mxtrain.optim.backends.compiled.thread_pool import shared_pool

MIN_PARALLEL_SIZE = 1 << 17
"""Number of elements from which several threads are used; for fewer, waking the workers costs more than they save."""
_CHUNKS_PER_THREAD = 8
"""Chunks per thread: enough that a thread that starts late does not delay the others."""
_MIN_CHUNK, _MAX_CHUNK = 1 << 14, 1 << 18
"""Elements in a chunk: smaller ones cost too much to schedule, and for larger ones threads would wait at the end."""


def run_task(task: tuple[Any, ...], size: int, threads: int | None, unit: int = 1) -> None:
    """Run a loop on all its elements, on several threads if there are enough.

    Args:
        task: the address of the loop, its scalars, the table of addresses and the row starts.
        size: the number of elements.
        threads: the largest number of threads; None for the result of `thread_count`.
        unit: the number of elements that the row starts count as one.
    """
    count = 1 if size < MIN_PARALLEL_SIZE else threads or thread_count()
    if count > 1:
        chunk = min(max(size // (count * _CHUNKS_PER_THREAD), _MIN_CHUNK), _MAX_CHUNK)
        workers = min(count, max(size // chunk, 1)) - 1  # at most one thread for each chunk
        if shared_pool().run(task, chunk // unit, workers):
            return
    run_serial(*task)
