"""CuPy backend: runs a program as one in-place elementwise kernel on the GPU."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from mxtrain.errors import BackendError
from mxtrain.optim.backends.arrays import ProgramArrays, round_scalars
from mxtrain.optim.backends.codegen import CUDA_PREAMBLE, generate_cuda_source
from mxtrain.optim.ir import Program


class CuPyBackend:
    """Runs programs on CuPy arrays with one kernel launch for each group, without copies to the host.

    Raises:
        BackendError: CuPy is not installed or finds no CUDA device.
    """

    name = "cupy"
    kinds: tuple[str, ...] = ("cupy",)

    def __init__(self) -> None:
        _require_cupy()

    def run(self, program: Program, groups: Sequence[ProgramArrays], scalars: Sequence[float]) -> None:
        """Run a program in place on each group; see `Backend.run`."""
        if not groups:
            return
        kernel = _compile_kernel(program)
        constants = list(round_scalars(scalars, groups[0][0].dtype))
        for arrays in groups:
            inputs = [array for number, array in enumerate(arrays) if number not in program.written]
            outputs = [arrays[number] for number in sorted(program.written)]
            with arrays[0].device:
                kernel(*inputs, *constants, *outputs)


@cache
def _compile_kernel(program: Program) -> Any:
    import cupy

    names = [f"T a{number}" for number in range(len(program.arrays))]
    inputs = [name for number, name in enumerate(names) if number not in program.written]
    outputs = [names[number] for number in sorted(program.written)]
    scalars = [f"T s{number}" for number in range(len(program.scalars))]
    return cupy.ElementwiseKernel(
        ", ".join([*inputs, *scalars]),
        ", ".join(outputs),
        generate_cuda_source(program),
        f"mxtrain_{program.name}",
        preamble=CUDA_PREAMBLE,
        options=("--fmad=false",),
    )


def _require_cupy() -> None:
    try:
        import cupy
    except ImportError as error:
        raise BackendError(
            "the backend cupy needs CuPy; install it with `pip install 'mxtrain[cuda12]'` (or cuda13), "
            "or choose the backend numpy"
        ) from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise BackendError(f"the backend cupy finds no CUDA device ({error}); choose the backend numpy") from error
    if count == 0:
        raise BackendError("the backend cupy finds no CUDA device; choose the backend numpy")
