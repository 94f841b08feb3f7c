"""How many threads BLAS uses: it divides products of matrices among them, so their last bits depend on the number.

The package's own models have products of the same bits on any number (`mxtrain.passes`), so this is for models of one's
own, and for a NumPy whose BLAS cannot be called directly.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mxtrain.config import CustomConfig, RunConfig
from mxtrain.passes import gemm, one_thread


def with_threads(config: RunConfig) -> RunConfig:
    """The config with the number of BLAS threads that this process uses now, where that matters and is not said."""
    matters = isinstance(config.model, CustomConfig) or gemm(config.dtype) is None
    return config.model_copy(update={"threads": blas_threads()}) if matters and not config.threads else config


def blas_threads() -> int | None:
    """How many threads BLAS uses in this process; None where it is one that does not tell, as on macOS."""
    return max(map(_threads, _libraries()), default=None)


@contextmanager
def blas_limited(threads: int | None) -> Iterator[None]:
    """Have BLAS use so many threads, and as many as before afterwards; None leaves it as it is."""
    libraries = _libraries() if threads else []
    before = [(library, number) for library in libraries if (number := _threads(library)) != threads]
    try:
        for library, _ in before:
            _set_threads(library, threads)
        yield
    finally:
        for library, number in before:
            _set_threads(library, number)


def hold_blas_threads(threads: int | None) -> None:
    """Have BLAS use so many threads from now on: for a process that trains several runs at once, in threads."""
    for library in _libraries() if threads else []:
        _set_threads(library, threads)


def _libraries() -> list[Any]:
    """Each BLAS that this process has loaded."""
    from threadpoolctl import ThreadpoolController

    found: list[Any] = ThreadpoolController().select(user_api="blas").lib_controllers
    return found


def _threads(library: Any) -> int:
    return one_thread.outside if one_thread.is_of(library.filepath) else library.num_threads or 1


def _set_threads(library: Any, threads: int | None) -> None:
    """NumPy's own BLAS keeps its one thread while another thread of Python computes a pass."""
    if one_thread.is_of(library.filepath):
        one_thread.outside = threads or 1
    else:
        library.set_num_threads(threads)
