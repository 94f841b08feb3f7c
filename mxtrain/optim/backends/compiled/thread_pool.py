"""Pool of worker threads that run compiled loops without holding the interpreter lock.

The workers are Python threads that execute `scheduler.worker_loop`, which is compiled. They share a control block with
the thread that calls `ThreadPool.run`; see `scheduler`.
"""

import atexit
import os
import sys
from contextlib import suppress
from threading import Lock, Thread
from typing import Any

import numpy as np

from mxtrain.optim.backends.compiled.scheduler import (
    CONTROL_BLOCK_SIZE,
    SHUTDOWN,
    run_parallel,
    run_parallel_stages,
    worker_loop,
)

_SPIN_LIMIT = 5000
"""Number of checks for a new job, each yielding the core, before a worker sleeps: about a millisecond, the time
between two matrix products of a training step. Waking it from sleep takes a tenth of that."""


class ThreadPool:
    """Worker threads that run compiled loops without holding the interpreter lock.

    Workers are started when they are first needed, and sleep while there are no jobs. The pool runs one job at a time;
    another thread that calls `run` meanwhile gets False, and runs its job alone.
    """

    def __init__(self) -> None:
        self._control = np.zeros(CONTROL_BLOCK_SIZE, dtype=np.int64)
        self._wake_descriptors: tuple[int, int] | None = None
        self._starting = Lock()
        self._workers: list[Thread] = []

    def run(self, task: tuple[Any, ...], chunk: int, workers: int, stage_starts: Any = None) -> bool:
        """Run a job in this thread and the workers.

        Args:
            task: the first four arguments of `scheduler.run_serial`: the address of a loop, its scalars, the table of
                addresses, and the number of each row's first element.
            chunk: elements in a chunk.
            workers: the largest number of workers that may join.
            stage_starts: the first row of each stage; see `scheduler.run_parallel_stages`. None for a single stage.

        Returns:
            False, without running anything, if no worker is available.
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
        """Start workers until there are `count`, or as many as the system's limits of threads and files allow."""
        if len(self._workers) >= count or self._starting.locked():
            return
        with self._starting, suppress(OSError, RuntimeError):  # `with` releases the lock on any interrupt
            while len(self._workers) < count:
                self._wake_descriptors = self._wake_descriptors or _new_wake_descriptors()
                number = len(self._workers) + 1
                arguments = self._control, number, self._wake_descriptors[0], _SPIN_LIMIT
                worker = Thread(target=worker_loop, args=arguments, name=f"mxtrain-{number}", daemon=True)
                self._workers.append(worker)  # before `start`, which Ctrl-C may interrupt when the thread already runs
                try:
                    worker.start()
                except (OSError, RuntimeError):
                    self._workers.remove(worker)
                    raise

    def shutdown(self) -> None:
        """Stop all workers; later calls of `run` return False."""
        self._control[SHUTDOWN] = 1
        if self._wake_descriptors:
            for _ in self._workers:
                os.write(self._wake_descriptors[1], (1).to_bytes(8, sys.byteorder))
        for worker in self._workers:
            if worker.ident is not None:  # its start was not interrupted
                worker.join(timeout=1)

    def close(self) -> None:
        """Close the wake-up descriptors of a pool whose threads do not exist in this process."""
        with suppress(OSError):
            for descriptor in set(self._wake_descriptors or ()):
                os.close(descriptor)


def _new_wake_descriptors() -> tuple[int, int]:
    """Return the file descriptors that sleeping workers read from and that callers write to.

    An event is used on Linux because the reader of a pipe wakes on the core of the writer, where it would have to wait.
    """
    if sys.platform == "linux":
        event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_SEMAPHORE)
        return event, event
    return os.pipe()


_pool = ThreadPool()


def shared_pool() -> ThreadPool:
    """Return the pool of this process."""
    return _pool


def _reset_after_fork() -> None:
    """Replace the pool in a forked child, which has none of the worker threads of its parent."""
    global _pool
    _pool.close()
    _pool = ThreadPool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
atexit.register(lambda: shared_pool().shutdown())  # before the interpreter exits
