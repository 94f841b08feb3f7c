"""One process at a time in a folder; the lock goes with its process, however that ends."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    """
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        yield
        return
    deadline = time.monotonic() + wait
    with (folder / ".lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() >= deadline:
                    raise FolderBusyError(refusal) from error
                time.sleep(0.05)
        yield
