"""A lock around lazy imports and compilation, which a fork waits for."""

import logging  # noqa: F401 - its lock, registered first, is taken last: a thread inside may log while a fork waits
import os
from threading import RLock
from types import TracebackType


class ForkLock:
    """Held while modules are imported on first use or Numba compiles, and by a thread that forks.

    Locks of the compiler, LLVM or the import system that another thread holds during a fork stay locked in the child
    forever. A fork therefore waits until no other thread holds this lock.
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._forks = 0

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def before_fork(self) -> None:
        """Wait until no other thread holds the lock, and take it."""
        self._lock.acquire()
        self._forks += 1

    def after_fork_in_parent(self) -> None:
        """Release the lock."""
        if self._forks:  # Ctrl-C may have ended the wait
            self._forks -= 1
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Start with a lock that no thread of the parent holds."""
        if self._forks:  # the forking thread may itself hold the lock: its recursion depth is kept
            self.after_fork_in_parent()
        else:
            self._lock = RLock()


fork_lock = ForkLock()
"""`with fork_lock:` surrounds lazy imports and compilation."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=fork_lock.before_fork,
        after_in_parent=fork_lock.after_fork_in_parent,
        after_in_child=fork_lock.after_fork_in_child,
    )
