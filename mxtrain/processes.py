"""Child processes: fork lock, interpreter command, and module search path."""

import logging  # noqa: F401 - registers its lock first, to acquire it last: a thread may log while a fork waits
import os
import re
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import RLock
from types import ModuleType, TracebackType


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
        if self._forks:  # Ctrl-C may have interrupted the wait
            self._forks -= 1
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Start with a lock that no thread of the parent holds."""
        if self._forks:  # the forking thread may hold the lock: its recursion depth stays
            self.after_fork_in_parent()
        else:
            self._lock = RLock()


fork_lock = ForkLock()
"""`with fork_lock:` surrounds lazy imports and compilation."""


class PolarsThreads:
    """Knows whether a process was forked from one in which Polars had started its threads, which the child lacks.

    Most operations of Polars would wait forever for these threads.
    """

    def __init__(self) -> None:
        self.are_lost = False
        self._had_started = False

    def before_fork(self) -> None:
        """Look for the threads, by their names, where the system has /proc."""
        self._had_started = "polars" in sys.modules and any(
            re.fullmatch(r"polars-\d+\n", file.read_text()) for file in Path("/proc/self/task").glob("*/comm")
        )

    def after_fork_in_child(self) -> None:
        """Note that the threads are lost."""
        self.are_lost = self.are_lost or self._had_started


polars_threads = PolarsThreads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=polars_threads.before_fork, after_in_child=polars_threads.after_fork_in_child)
    os.register_at_fork(
        before=fork_lock.before_fork,
        after_in_parent=fork_lock.after_fork_in_parent,
        after_in_child=fork_lock.after_fork_in_child,
    )


def child_python() -> list[str]:
    """Return the command of a Python interpreter that does not prepend the current folder to its module path."""
    return [sys.executable, "-P"]


def child_path() -> dict[str, str]:
    """Return environment variables with which another interpreter finds the same modules as this one.

    The current folder is omitted unless PYTHONPATH names it, because a `json.py` beside the data would be imported in
    place of Python's.
    """
    named = {os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path}  # noqa: PTH100
    here = os.getcwd() if os.getcwd() not in named else None  # noqa: PTH109
    paths = [path for path in sys.path if path and os.path.abspath(path) != here]  # noqa: PTH100
    package = str(Path(__file__).parents[1])
    if package not in paths:  # mxtrain was imported from the current folder
        paths.append(package)
    return {"PYTHONPATH": os.pathsep.join(paths)}


def import_user_module(name: str) -> ModuleType:
    """Import a module that the user named, preferably from the current folder, or a file by its path.

    Afterwards the folder is last in the path, for modules that are imported later; if it were first, its files would
    shadow modules that libraries import later.

    Args:
        name: the name of a module, or the path of a file, which ends in `.py`.

    Raises:
        ImportError: a module of the file's name was imported from another file.
    """
    is_file = name.endswith(".py")
    folder = str(Path(name).absolute().parent if is_file else Path.cwd())
    sys.path.insert(0, folder)
    try:
        return _import_file(Path(name).absolute()) if is_file else import_module(name)
    finally:
        sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)


def _import_file(path: Path) -> ModuleType:
    """Import a file as a module of its name; one that was imported before is returned."""
    if not path.is_file():
        raise ImportError(f"no such file: {path}")
    present = sys.modules.get(path.stem)
    spec = present.__spec__ if present is not None else find_spec(path.stem)
    if spec is None or spec.origin is None or not Path(spec.origin).exists() or not path.samefile(spec.origin):
        raise ImportError(f"a module named {path.stem} exists already; rename the file")
    return import_module(path.stem)
