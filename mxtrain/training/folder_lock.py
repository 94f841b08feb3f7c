"""One process at a time in a folder; the lock goes with its process, however that ends."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from mxtrain.errors import FolderBusyError


@contextmanager
def folder_lock(folder: Path, refusal: str, wait: float = 0.0) -> Iterator[None]:
    """Hold a folder that is there.

    Args:
        folder: the folder; the lock is on the file `.lock` in it.
        refusal: the message where another process holds it.
        wait: for how many seconds to wait for it.

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
    file = (folder / ".lock").open("w")
    try:
        while not _is_taken(file, fcntl):
            if time.monotonic() >= deadline:
                raise FolderBusyError(refusal)
            time.sleep(0.05)
        yield
    finally:
        with suppress(OSError):  # nothing was written
            file.close()


def _is_taken(file: IO[str], fcntl: Any) -> bool:
    """Take the lock, if nobody has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # this file system has no such locks
    return True
