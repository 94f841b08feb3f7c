"""One process at a time in a folder; the lock goes with its process, however that ends."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mxtrain.atomic_io import open_descriptor
from mxtrain.errors import FolderBusyError

LOCK = ".lock"
"""The file that is locked. It is never removed, because another process may be waiting for it."""
_PROBED = 0.1
"""Seconds within which `is_folder_locked` of another process releases the file."""


@contextmanager
def folder_lock(folder: Path, refusal: str, wait: float = 0.0, name: str = LOCK) -> Iterator[None]:
    """Hold a folder that is there.

    Args:
        folder: the folder; the lock is on a file in it, which is neither followed nor changed.
        refusal: the message where another process holds it.
        wait: for how many seconds to wait for it.
        name: the name of the file.

    Raises:
        FolderBusyError: another process, or another thread of this one, holds it.
        OSError: the folder cannot be written, or the file is a link or not a regular file.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        yield
        return
    deadline = time.monotonic() + max(wait, _PROBED)
    path = folder / name
    descriptor = open_descriptor(path, os.O_RDWR | os.O_CREAT)
    try:
        while not (_is_taken(descriptor, fcntl) and _is_at(path, descriptor)):
            if time.monotonic() >= deadline:
                raise FolderBusyError(refusal)
            time.sleep(0.05 if wait else _PROBED / 10)
            if not _is_at(path, descriptor):  # another program replaced the file: lock the new one
                os.close(descriptor)
                descriptor = -1
                descriptor = open_descriptor(path, os.O_RDWR | os.O_CREAT)
        yield
    finally:
        if descriptor >= 0:
            with suppress(OSError):  # nothing was written
                os.close(descriptor)


def is_folder_locked(folder: Path) -> bool:
    """Return whether a process holds a folder; nothing is changed, so the folder may be read-only.

    Raises:
        OSError: its `.lock` cannot be opened, or is a link or not a regular file.
    """
    try:
        import fcntl
    except ImportError:
        return False
    try:
        descriptor = open_descriptor(folder / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # this file system has no such locks
    finally:
        os.close(descriptor)
    return False


def _is_taken(descriptor: int, fcntl: Any) -> bool:
    """Take the lock, if nobody has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # this file system has no such locks
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    """Return whether an open file is still the one at its path."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except OSError:
        return False
