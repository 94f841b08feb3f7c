"""The automatic choice of a backend."""

from collections.abc import Sequence
from contextlib import suppress

from mxtrain.backends.arrays import array_kind
from mxtrain.backends.base import Backend, Group
from mxtrain.backends.blocked import NumPyBackend
from mxtrain.backends.worth import is_worth_compiling
from mxtrain.fork_lock import fork_lock
from mxtrain.kernel import Program

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
        self._is_settled = False

    def run(self, program: Program, groups: Sequence[Group], scalars: Sequence[float]) -> None:
        """Run a program in place on each group; see `Backend.run`."""
        if groups and array_kind(groups[0][0]) == "cupy":
            self._on_gpu().run(program, groups, scalars)
        else:
            self._choose(groups)
            self._cpu.run(program, groups, scalars)

    def _on_gpu(self) -> Backend:
        if self._gpu is None:
            from mxtrain.backends.gpu import CuPyBackend

            self._gpu = CuPyBackend()
        return self._gpu

    def _choose(self, groups: Sequence[Group]) -> None:
        if self._is_settled:
            return
        elements = sum(arrays[0].size for arrays in groups)
        if is_worth_compiling(len(groups) * _SECONDS_PER_RUN + elements * _SECONDS_PER_ELEMENT):
            self._is_settled = True
            with fork_lock, suppress(ImportError):  # without a compiler it stays with NumPy
                from mxtrain.backends.compiled import CompiledBackend

                self._cpu = CompiledBackend()
