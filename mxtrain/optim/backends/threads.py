"""Number of threads, from MXTRAIN_THREADS or the available cores."""

import os

from mxtrain.errors import BackendError


def thread_count() -> int:
    """How many threads work on a large array: MXTRAIN_THREADS where it is set, else the cores this process may use.

    Raises:
        BackendError: MXTRAIN_THREADS is no whole number, or below 1.
    """
    named = os.environ.get("MXTRAIN_THREADS", "")
    if named:
        if named.isdecimal() and int(named) > 0:
            return int(named)
        raise BackendError(f"MXTRAIN_THREADS must be a whole number, at least 1, got {named!r}")
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
