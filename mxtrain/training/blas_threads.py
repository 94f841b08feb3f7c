"""How many threads BLAS uses: it divides products of matrices among them, so their last bits depend on the number.

The package's own models have products of the same bits on any number (`mxtrain.passes`), so this is for models of one's
own, and for a NumPy whose BLAS cannot be called directly.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from mxtrain.config import CustomConfig, RunConfig
from mxtrain.passes import gemm


def with_threads(config: RunConfig) -> RunConfig:
    """The config with the number of BLAS threads that this process uses now, where that matters and is not said."""
    matters = isinstance(config.model, CustomConfig) or gemm(config.dtype) is None
    return config.model_copy(update={"threads": blas_threads()}) if matters and not config.threads else config


def blas_threads() -> int | None:
    """How many threads BLAS uses in this process; None where it is one that does not tell, as on macOS."""
    from threadpoolctl import threadpool_info

    return max((each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"), default=None)


@contextmanager
def blas_limited(threads: int | None) -> Iterator[None]:
    """Have BLAS use so many threads, and as many as before afterwards; None leaves it as it is."""
    if threads is None or threads == blas_threads():
        yield
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=threads, user_api="blas"):
        yield


def hold_blas_threads(threads: int | None) -> None:
    """Have BLAS use so many threads from now on: for a process that trains several runs at once, in threads."""
    if threads is not None and threads != blas_threads():
        from threadpoolctl import threadpool_limits

        threadpool_limits(limits=threads, user_api="blas")
