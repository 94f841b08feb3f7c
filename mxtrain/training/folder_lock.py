"""One process at a time in a folder; the lock goes with its process, however that ends."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from mxtrain.errors import FolderBusyError

LOCK = ".lock"


@contextmanager
def folder_lock(folder: Path, refusal: str, wait: float = 0.0, name: str = LOCK) -> Iterator[None]:
    """Hold a folder that is there.

    Args:
        folder: the folder; the lock is on a file in it.
        refusal: the message where another process holds it.
        wait: for how many seconds to wait for it.
        name: the name of the file.

    Raises:
        FolderBusyError: another process holds it.
        OSError: the folder cannot be written.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        yield
        return
    deadline = time.monotonic() + wait
    file = (folder / name).open("w")
    try:
        while not _is_taken(file, fcntl):
            if time.monotonic() >= deadline:
                raise FolderBusyError(refusal)
            time.sleep(0.05)
        yield
    finally:
        with suppress(OSError):  # nothing was written
            file.close()


def is_folder_locked(folder: Path) -> bool:
    """Whether another process may hold the lock of a folder, which may be read-only; nothing is written.

    Where the lock cannot be read, the answer is that it may.
    """
    try:
        import fcntl

        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except (ImportError, FileNotFoundError):
        return False
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # this file system has no such locks
    finally:
        os.close(descriptor)
    return False


def _is_taken(file: IO[str], fcntl: Any) -> bool:
    """Take the lock, if nobody has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # this file system has no such locks
    return True
