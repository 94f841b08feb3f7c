"""Backend selection by name or automatically, and the threshold above which compilation pays off."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal, get_args

from mxtrain.errors import BackendError
from mxtrain.optim.backends.arrays import Backend, PassRun, ProgramArrays, array_kind, thread_count
from mxtrain.optim.backends.numpy_backend import NumPyBackend
from mxtrain.optim.ir import MultiPassProgram, Program
from mxtrain.processes import fork_lock

_COMPILER_STARTUP_SECONDS = 0.7
"""Time to load the compiler and its first loop."""

_saved_seconds = 0.0


def is_worth_compiling(seconds: float) -> bool:
    """Add the time that compiled code would have saved, and return whether the total exceeds the compile threshold.

    The threshold is the time to load the compiler. If Numba is already imported, the result is always True.
    """
    global _saved_seconds
    _saved_seconds += seconds
    return _saved_seconds > _COMPILER_STARTUP_SECONDS or "numba" in sys.modules


_SECONDS_PER_RUN = 30e-6
"""Time that compiled loops save on each group of arrays."""
_SECONDS_PER_ELEMENT = 4e-9
"""Time that compiled loops save on each element."""


class AutoBackend:
    """Runs programs on the fastest backend for their arrays; the choice never changes a result.

    CuPy arrays are updated on their GPU. NumPy arrays start with the NumPy backend and switch to compiled loops once
    these would have saved the time to load the compiler, or immediately if Numba is already imported.
    """

    name = "auto"
    kinds: tuple[str, ...] = ("numpy", "cupy")

    def __init__(self) -> None:
        self._cpu: Backend = NumPyBackend()
        self._gpu: Backend | None = None
        self._is_settled = False

    def run(self, program: Program, groups: Sequence[ProgramArrays], scalars: Sequence[float]) -> None:
        """Run a program in place on each group; see `Backend.run`."""
        if groups and array_kind(groups[0][0]) == "cupy":
            self._gpu_backend().run(program, groups, scalars)
        else:
            self._select_cpu_backend(groups)
            self._cpu.run(program, groups, scalars)

    def start_passes(
        self, program: MultiPassProgram, groups: Sequence[ProgramArrays], scalars: Sequence[float]
    ) -> PassRun:
        """Prepare the passes of a program with reductions; see `Backend.start_passes`."""
        if groups and array_kind(groups[0][0]) == "cupy":
            return self._gpu_backend().start_passes(program, groups, scalars)
        self._select_cpu_backend(groups)
        return self._cpu.start_passes(program, groups, scalars)

    def _gpu_backend(self) -> Backend:
        if self._gpu is None:
            from mxtrain.optim.backends.cupy_backend import CuPyBackend

            self._gpu = CuPyBackend()
        return self._gpu

    def _select_cpu_backend(self, groups: Sequence[ProgramArrays]) -> None:
        if self._is_settled:
            return
        elements = sum(arrays[0].size for arrays in groups)
        if is_worth_compiling(len(groups) * _SECONDS_PER_RUN + elements * _SECONDS_PER_ELEMENT):
            self._is_settled = True
            with fork_lock, suppress(ImportError):  # without Numba, the NumPy backend remains
                from mxtrain.optim.backends.compiled.numba_backend import NumbaBackend

                self._cpu = NumbaBackend()


BackendName = Literal["auto", "numpy", "compiled", "cupy"]


def select_backend(name: str) -> Backend:
    """Return a backend by name: `auto`, `numpy`, `compiled` or `cupy`.

    Raises:
        BackendError: the name is unknown, the backend cannot run on this machine, or MXTRAIN_THREADS is invalid.
    """
    thread_count()  # raises for an invalid MXTRAIN_THREADS before anything runs
    match name:
        case "auto":
            return AutoBackend()
        case "numpy":
            return NumPyBackend()
        case "compiled":
            try:
                with fork_lock:
                    from mxtrain.optim.backends.compiled.numba_backend import NumbaBackend  # loads the compiler
            except ImportError as error:
                raise BackendError(
                    f"the backend compiled needs Numba, which cannot be used here ({error}); choose the backend numpy"
                ) from error
            return NumbaBackend()
        case "cupy":
            from mxtrain.optim.backends.cupy_backend import CuPyBackend

            return CuPyBackend()
    raise BackendError(f"backend must be one of {', '.join(get_args(BackendName))}, got {name!r}")
