"""Backend selection, by name or automatically, and the threshold from which compilation pays off."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal, get_args

from mxtrain.errors import BackendError
from mxtrain.optim.backends.arrays import array_kind
from mxtrain.optim.backends.base import Backend, ProgramArrays
from mxtrain.optim.backends.numpy_backend import NumPyBackend
from mxtrain.optim.backends.threads import thread_count
from mxtrain.optim.ir import Program
from mxtrain.processes import fork_lock

_COMPILER_STARTUP_SECONDS = 0.7
"""What the compiler costs before its first loop runs."""

_saved_seconds = 0.0


def is_worth_compiling(seconds: float) -> bool:
    """Count what compiled code would have saved, and say whether that is by now what loading the compiler costs.

    Where the compiler is loaded already, nothing speaks against it.
    """
    global _saved_seconds
    _saved_seconds += seconds
    return _saved_seconds > _COMPILER_STARTUP_SECONDS or "numba" in sys.modules


_SECONDS_PER_RUN = 30e-6
"""What compiled loops save on each group."""
_SECONDS_PER_ELEMENT = 4e-9
"""And on each element."""


class AutoBackend:
    """Runs programs where they run best; the choice never changes a result.

    CuPy arrays go to the GPU that they are on. On NumPy arrays it begins with the NumPy backend, and goes over to
    compiled loops once these would have saved what the import of the compiler costs (at once, where the compiler is
    loaded already).
    """

    name = "auto"
    kinds: tuple[str, ...] = ("numpy", "cupy")

    def __init__(self) -> None:
        self._cpu: Backend = NumPyBackend()
        self._gpu: Backend | None = None
        self._is_final = False

    def run(self, program: Program, groups: Sequence[ProgramArrays], scalars: Sequence[float]) -> None:
        """Run a program in place on each group; see `Backend.run`."""
        if groups and array_kind(groups[0][0]) == "cupy":
            self._on_gpu().run(program, groups, scalars)
        else:
            self._select_cpu_backend(groups)
            self._cpu.run(program, groups, scalars)

    def _on_gpu(self) -> Backend:
        if self._gpu is None:
            from mxtrain.optim.backends.cupy_backend import CuPyBackend

            self._gpu = CuPyBackend()
        return self._gpu

    def _select_cpu_backend(self, groups: Sequence[ProgramArrays]) -> None:
        if self._is_final:
            return
        elements = sum(arrays[0].size for arrays in groups)
        if is_worth_compiling(len(groups) * _SECONDS_PER_RUN + elements * _SECONDS_PER_ELEMENT):
            self._is_final = True
            with fork_lock, suppress(ImportError):  # without a compiler it stays with NumPy
                from mxtrain.optim.backends.numba_backend import NumbaBackend

                self._cpu = NumbaBackend()


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
                    from mxtrain.optim.backends.numba_backend import NumbaBackend  # heavy: it imports the compiler
            except ImportError as error:
                raise BackendError(
                    f"the backend compiled needs Numba, which cannot be used here ({error}); choose the backend numpy"
                ) from error
            return NumbaBackend()
        case "cupy":
            from mxtrain.optim.backends.cupy_backend import CuPyBackend

            return CuPyBackend()
    raise BackendError(f"backend must be one of {', '.join(get_args(BackendName))}, got {name!r}")
