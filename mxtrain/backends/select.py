"""A backend's name becomes the backend."""

from typing import Literal, get_args

from mxtrain.backends.auto import AutoBackend
from mxtrain.backends.base import Backend
from mxtrain.backends.blocked import NumPyBackend
from mxtrain.backends.threads import thread_count
from mxtrain.errors import BackendError
from mxtrain.fork_lock import fork_lock

BackendName = Literal["auto", "numpy", "compiled", "cupy"]


def select_backend(name: str) -> Backend:
    """The backend of a name: `auto`, `numpy`, `compiled` or `cupy`.

    Raises:
        BackendError: there is no such backend, or it cannot run here, or MXTRAIN_THREADS is no number of threads.
    """
    thread_count()  # read here so that a wrong MXTRAIN_THREADS is told before anything runs
    match name:
        case "auto":
            return AutoBackend()
        case "numpy":
            return NumPyBackend()
        case "compiled":
            try:
                with fork_lock:
                    from mxtrain.backends.compiled import CompiledBackend  # heavy: it imports the compiler
            except ImportError as error:
                raise BackendError(
                    f"the backend compiled needs Numba, which cannot be used here ({error}); choose the backend numpy"
                ) from error
            return CompiledBackend()
        case "cupy":
            from mxtrain.backends.gpu import CuPyBackend

            return CuPyBackend()
    raise BackendError(f"backend must be one of {', '.join(get_args(BackendName))}, got {name!r}")
