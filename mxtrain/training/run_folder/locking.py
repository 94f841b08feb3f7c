"""Lock of a folder: one process at a time, released by the system when the process ends, however it ends.

The library filelock opens a lock file only for writing, so it cannot look at a read-only folder; and on file systems
without locks it leaves marker files behind when a process is killed.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from mxtrain.atomic_io import open_descriptor
from mxtrain.errors import FolderBusyError

LOCK = ".lock"
"""The file that is locked. It is never removed, because another process may be waiting for it."""
_PROBE_SECONDS = 0.1
"""Seconds within which `is_folder_locked` of another process releases the file."""
_fcntl: Any = None if os.name == "nt" else import_module("fcntl")
_msvcrt: Any = import_module("msvcrt") if os.name == "nt" else None


@contextmanager
def folder_lock(folder: Path, refusal: str, wait: float = 0.0, name: str = LOCK) -> Iterator[None]:
    """Lock an existing folder while the context is active.

    Args:
        folder: the folder; the lock is on a file in it, which is neither followed as a link nor changed.
        refusal: the message of the error if another process holds the lock.
        wait: the seconds to wait for the lock.
        name: the name of the file.

    Raises:
        FolderBusyError: another process, or another thread of this process, holds the lock.
        OSError: the folder cannot be written, or the file is a link or not a regular file.
    """
    deadline = time.monotonic() + max(wait, _PROBE_SECONDS)
    path = folder / name
    descriptor = open_descriptor(path, os.O_RDWR | os.O_CREAT)
    try:
        while not (_try_lock(descriptor) and _is_still_at(path, descriptor)):
            if time.monotonic() >= deadline:
                raise FolderBusyError(refusal)
            time.sleep(0.05 if wait else _PROBE_SECONDS / 10)
            if not _is_still_at(path, descriptor):  # another program replaced the file: lock the new one
                os.close(descriptor)
                descriptor = -1
                descriptor = open_descriptor(path, os.O_RDWR | os.O_CREAT)
        yield
    finally:
        if descriptor >= 0:
            with suppress(OSError):  # nothing was written
                os.close(descriptor)


def is_folder_locked(folder: Path) -> bool:
    """Return whether a process holds the lock of a folder; nothing is changed, so the folder may be read-only.

    Raises:
        OSError: its `.lock` cannot be opened, or is a link or not a regular file.
    """
    try:
        descriptor = open_descriptor(folder / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(descriptor, is_shared=True)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, is_shared: bool = False) -> bool:
    """Lock an open file without waiting; return False if another process holds it. Closing the file releases it."""
    try:
        if _fcntl is None:
            _msvcrt.locking(descriptor, _msvcrt.LK_NBLCK, 1)  # has no shared locks
        else:
            _fcntl.flock(descriptor, (_fcntl.LOCK_SH if is_shared else _fcntl.LOCK_EX) | _fcntl.LOCK_NB)
    except OSError as error:
        # Windows reports a held lock as PermissionError; any other error means a file system without locks.
        return not isinstance(error, BlockingIOError if _msvcrt is None else PermissionError)
    return True


def _is_still_at(path: Path, descriptor: int) -> bool:
    """Return whether an open file is still the one at its path."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except OSError:
        return False
