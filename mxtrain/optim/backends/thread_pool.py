"""Pool of worker threads that run compiled loops without holding the interpreter lock."""

import atexit
import os
import sys
from contextlib import suppress
from threading import Lock, Thread
from typing import Any

import numpy as np

from mxtrain.optim.backends.scheduler import (
    CONTROL_BLOCK_SIZE,
    SHUTDOWN,
    run_parallel,
    run_parallel_stages,
    worker_loop,
)

_SPIN_LIMIT = 5000
"""How often a helper looks for new work before it goes to sleep, giving way to other threads each time: for about a
millisecond, which an iteration of `fit` has between its products. To wake it from sleep takes a tenth of that."""


class ThreadPool:
    """Helper threads of this process, who run compiled loops without holding the interpreter.

    They are hired when they are first needed, and sleep where nothing has been to do for a while. One update at a time
    has their help; another thread that comes meanwhile does its work alone.
    """

    def __init__(self) -> None:
        self._control = np.zeros(CONTROL_BLOCK_SIZE, dtype=np.int64)
        self._wake_descriptors: tuple[int, int] | None = None
        self._starting = Lock()
        self._workers: list[Thread] = []

    def run(self, task: tuple[Any, ...], chunk: int, workers: int, stage_starts: Any = None) -> bool:
        """Do a task with at most so many helpers; False where none is at hand, and nothing has been done.

        Args:
            task: the loop's address, its scalars, the table and the starts, as `native.alone` has them.
            piece: elements that are taken at a time.
            helpers: how many may help.
            turns: where the work is to be done in turns, as `native.run_parallel_stages` has them.
        """
        if self._control[SHUTDOWN]:
            return False
        self._start_workers(workers)
        if not (self._wake_descriptors and self._workers):
            return False
        if stage_starts is None:
            return bool(run_parallel(self._control, self._wake_descriptors[1], *task, chunk, workers))
        return bool(run_parallel_stages(self._control, self._wake_descriptors[1], *task, stage_starts, chunk, workers))

    def _start_workers(self, count: int) -> None:
        """Have so many helpers, or as many as the system allows: it may have no file or no thread left to give."""
        if len(self._workers) >= count or self._starting.locked():
            return
        with self._starting, suppress(OSError, RuntimeError):  # a with statement releases it on any interrupt
            while len(self._workers) < count:
                self._wake_descriptors = self._wake_descriptors or _new_wake_descriptors()
                number = len(self._workers) + 1
                given = self._control, number, self._wake_descriptors[0], _SPIN_LIMIT
                worker = Thread(target=worker_loop, args=given, name=f"mxtrain-{number}", daemon=True)
                self._workers.append(worker)  # first, as Ctrl-C may end `start` when the thread runs already
                try:
                    worker.start()
                except (OSError, RuntimeError):
                    self._workers.remove(worker)
                    raise

    def shutdown(self) -> None:
        """Let all helpers go; who comes later does its work alone."""
        self._control[SHUTDOWN] = 1
        if self._wake_descriptors:
            for _ in self._workers:
                os.write(self._wake_descriptors[1], (1).to_bytes(8, sys.byteorder))
        for worker in self._workers:
            if worker.ident is not None:  # its start was not interrupted
                worker.join(timeout=1)

    def close(self) -> None:
        """Close the files of a crew that has no threads."""
        with suppress(OSError):
            for file in set(self._wake_descriptors or ()):
                os.close(file)


def _new_wake_descriptors() -> tuple[int, int]:
    """Where helpers read to sleep, and where a number is written to wake one.

    Linux wakes the reader of a pipe on the writer's own core, where it would wait; that of an event on an idle one.
    """
    if sys.platform == "linux":
        event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_SEMAPHORE)
        return event, event
    return os.pipe()


_pool = ThreadPool()


def shared_pool() -> ThreadPool:
    """The helpers of this process."""
    return _pool


def _reset_after_fork() -> None:
    """A forked child has none of its parent's threads, and must not wait for them, nor wake them, when it ends."""
    global _pool
    _pool.close()
    _pool = ThreadPool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
atexit.register(lambda: shared_pool().shutdown())  # before the interpreter ends
