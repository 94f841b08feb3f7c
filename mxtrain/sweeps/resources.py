"""How a machine is shared among workers."""

import os

from mxtrain.config import Sweep
from mxtrain.errors import SweepError

_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "MXTRAIN_THREADS")


def share(sweep: Sweep, workers: int | None, elsewhere: bool = False) -> tuple[int, int]:
    """BLAS threads for each trial, and how many workers there are.

    A trial has one thread, unless the file says otherwise, however many workers there are: on another number the
    products of a model of one's own would round differently.

    Args:
        sweep: the sweep.
        workers: where it is not as the file says.
        elsewhere: whether the workers are on other machines; then `auto` is as many as can be of use.

    Raises:
        SweepError: `workers` is below 1.
    """
    threads = sweep.threads or 1
    most = max(1, min(sweep.total, sweep.settings.parallel if sweep.learns else sweep.total) * sweep.settings.seeds)
    wanted = workers if workers is not None else sweep.settings.workers
    if wanted == "auto":
        wanted = most if elsewhere else max(1, gpus() if sweep.backend == "cupy" else cores() // threads)
    if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
        raise SweepError(f"workers must be a whole number at least 1, got {wanted!r}")
    return threads, min(wanted, most)


def environments(sweep: Sweep, count: int, threads: int) -> list[dict[str, str]]:
    """What each worker's process finds in its environment: its share of the cores, and one GPU where there are any."""
    common = dict.fromkeys(_THREADS, str(threads))
    devices = _devices() if sweep.backend == "cupy" else []
    return [common | ({"CUDA_VISIBLE_DEVICES": devices[i % len(devices)]} if devices else {}) for i in range(count)]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> int:
    """GPUs that this process may use."""
    return len(_devices())


def _devices() -> list[str]:
    """The names of the GPUs, as CUDA_VISIBLE_DEVICES has them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [device for device in named.split(",") if device]
    from mxtrain.backends import select_backend

    select_backend("cupy")  # or it says what is missing
    import cupy

    return [str(i) for i in range(cupy.cuda.runtime.getDeviceCount())]
