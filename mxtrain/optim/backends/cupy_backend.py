"""CuPy backend: runs a program as one in-place elementwise kernel on the GPU, or one kernel for each pass.

Nothing waits for the GPU, except where scalar slots that an update computes are downloaded at its end.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.errors import BackendError
from mxtrain.optim.backends.arrays import ProgramArrays, round_scalars
from mxtrain.optim.backends.codegen_cuda import (
    CUDA_PREAMBLE,
    cuda_kernel_name,
    generate_cuda_pass_source,
    generate_cuda_source,
)
from mxtrain.optim.ir import MultiPassProgram, Program
from mxtrain.optim.ir.summation import LANES, block_count, combine
from mxtrain.types import Array


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

    def start_passes(
        self, program: MultiPassProgram, groups: Sequence[ProgramArrays], scalars: Sequence[float]
    ) -> "CuPyPassRun":
        """Prepare the passes of a program with reductions; see `Backend.start_passes`."""
        import cupy

        return CuPyPassRun(cupy, program, groups, scalars)


class CuPyPassRun:
    """Passes of a program on CuPy arrays, with one kernel launch for each pass and device; see `PassRun`.

    Args:
        cupy: the module CuPy.
        program: the program.
        groups: its arrays for each parameter; all of one parameter are on the same device.
        scalars: the scalars of the host.
    """

    def __init__(
        self, cupy: Any, program: MultiPassProgram, groups: Sequence[ProgramArrays], scalars: Sequence[float]
    ) -> None:
        self._cupy = cupy
        rows_by_device: dict[int, list[int]] = {}
        for row, arrays in enumerate(groups):
            rows_by_device.setdefault(arrays[0].device.id, []).append(row)
        self._parts = [_DeviceRows(cupy, program, rows, groups, scalars) for rows in rows_by_device.values()]

    def upload(self, records: NDArray[np.float64]) -> Array:
        """Return a copy of the records on the current device."""
        copy: Array = self._cupy.asarray(records)
        return copy

    def download(self, record: Array) -> NDArray[np.float64]:
        """Return a copy of a record on the host, after the GPU has finished all that was started before."""
        return np.asarray(record.get())

    def run(self, number: int, records: Array) -> None:
        """Launch the kernel of a pass, and combine the results of its blocks; see `PassRun.run`."""
        for part in self._parts:
            part.run(number, records)

    def finish(self) -> None:
        """Copy the results to arrays that are not contiguous."""
        for part in self._parts:
            part.write_back()


class _DeviceRows:
    """The rows of a run, one for each parameter, whose arrays are on one device.

    The results of the blocks of a row take as many places as the next power of two. Rows with equally many places are
    neighbours, so that their results are combined together; the places beyond the last block are always zero.

    Args:
        cupy: the module CuPy.
        program: the program.
        rows: the numbers of the rows.
        groups: the arrays of all rows.
        scalars: the scalars of the host.
    """

    def __init__(
        self,
        cupy: Any,
        program: MultiPassProgram,
        rows: list[int],
        groups: Sequence[ProgramArrays],
        scalars: Sequence[float],
    ) -> None:
        self._cupy = cupy
        self._program = program
        self._rows = rows
        self._has_all_rows = len(rows) == len(groups)
        self._device = groups[rows[0]][0].device
        self._dtype = groups[rows[0]][0].dtype
        with self._device:
            self._copy_arrays([groups[row] for row in rows])
            self._place_results([groups[row][0].size for row in rows])
            self._scalars = self._cupy.asarray(np.array(scalars, dtype=np.float64))

    def _copy_arrays(self, groups: Sequence[ProgramArrays]) -> None:
        """Copy the arrays that are not in C order: sums add the elements in that order."""
        contiguous = self._cupy.ascontiguousarray
        self._arrays = [
            [array if array.flags.c_contiguous else contiguous(array) for array in arrays] for arrays in groups
        ]
        self._copies = [
            (arrays[number], copies[number])
            for arrays, copies in zip(groups, self._arrays, strict=True)
            for number in self._program.written
            if copies[number] is not arrays[number]
        ]

    def _place_results(self, sizes: Sequence[int]) -> None:
        """Assign places to the results of all blocks, and upload the table of the kernels."""
        cupy = self._cupy
        blocks = np.array([block_count(size) for size in sizes], dtype=np.int64)
        widths = np.array([1 << (max(int(count), 1) - 1).bit_length() for count in blocks], dtype=np.int64)
        order = np.argsort(widths, kind="stable")
        places = np.empty(len(sizes), dtype=np.int64)
        places[order] = np.cumsum(widths[order]) - widths[order]
        self._zones = [
            (int(places[zone[0]]), int(width), cupy.asarray(zone))
            for width in np.unique(widths)
            for zone in [np.flatnonzero(widths == width)]
        ]
        self._block_count = int(blocks.sum())
        self._stride = int(widths.sum())
        results = max(len(each.results) for each in self._program.passes)
        self._partials = cupy.zeros((results, self._stride))
        starts = np.concatenate([[0], np.cumsum(blocks)])
        addresses = [array.data.ptr for arrays in self._arrays for array in arrays]
        self._table = cupy.asarray(np.concatenate([starts, places, np.array(addresses, dtype=np.int64)]))

    def run(self, number: int, records: Array) -> None:
        """Run a pass on the rows."""
        if not self._block_count:
            return
        is_local = self._has_all_rows and records.device == self._device
        rows = records if is_local else records[self._cupy.asarray(self._rows)]
        with self._device:
            local = rows if is_local else rows.copy()  # a copy is made on the current device
            kernel = compile_pass(self._cupy, self._program, number, self._dtype.name)
            kernel(
                (self._block_count,),
                (LANES,),
                (self._scalars, local, self._table, np.int32(len(self._rows)), self._partials, np.int64(self._stride)),
            )
            columns = self._combine(number, local)
        if not is_local and columns:
            records[self._cupy.asarray(self._rows)] = local.copy()

    def _combine(self, number: int, records: Array) -> list[int]:
        """Combine the results of the blocks of each row, write them to its record, and return their columns."""
        step = self._program.passes[number]
        columns = [self._program.first_result + result for result in step.results]
        maxima = [each.operation == "max_abs" for each in step.program.reductions]
        for is_maximum in set(maxima):
            chosen = [result for result, each in enumerate(maxima) if each == is_maximum]
            partials = self._partials[: len(columns)] if len(chosen) == len(columns) else self._partials[chosen]
            for place, width, rows in self._zones:
                values = partials[:, place : place + width * len(rows)].reshape(len(chosen), len(rows), width)
                totals = combine("max_abs" if is_maximum else "sum", values)
                for result, total in zip(chosen, totals, strict=True):
                    records[:, columns[result]][rows] = total
        return columns

    def write_back(self) -> None:
        """Copy the new content to the arrays that were copied."""
        with self._device:
            for array, copy in self._copies:
                array[...] = copy


@cache
def compile_pass(cupy: Any, program: MultiPassProgram, number: int, dtype: str) -> Any:
    """Return the kernel of a pass for arrays of a dtype; CuPy compiles it at its first launch on a device."""
    step = program.passes[number]
    source = generate_cuda_pass_source(program, step, {"float32": "float", "float64": "double"}[dtype])
    return cupy.RawKernel(CUDA_PREAMBLE + source, cuda_kernel_name(step), options=("--fmad=false",))


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
