"""A backend's name becomes the backend."""

from mxtrain.backends.auto import AutoBackend
from mxtrain.backends.base import Backend
from mxtrain.backends.blocked import NumPyBackend
from mxtrain.errors import BackendError


def select_backend(name: str) -> Backend:
    """The backend of a name: `auto`, `numpy`, `compiled` or `cupy`.

    Raises:
        BackendError: there is no such backend, or it cannot run here.
    """
    match name:
        case "auto":
            return AutoBackend()
        case "numpy":
            return NumPyBackend()
        case "compiled":
            from mxtrain.backends.compiled import CompiledBackend  # heavy: it imports the compiler

            return CompiledBackend()
        case "cupy":
            from mxtrain.backends.gpu import CuPyBackend

            return CuPyBackend()
    raise BackendError(f"backend must be one of auto, numpy, compiled, cupy, got {name!r}")
