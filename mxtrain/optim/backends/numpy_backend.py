"""NumPy backend: runs a program over cache-sized blocks without full-size temporaries.

A plain array expression writes every intermediate result to main memory. Here each block of the arrays stays in the
cache while all instructions run on it. Every instruction writes into scratch memory or, once the old values are no
longer needed, directly into the array that it updates.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.optim.backends.arrays import ProgramArrays, round_scalars
from mxtrain.optim.backends.passes import scalar_evaluator
from mxtrain.optim.ir import MultiPassProgram, Program, assign_registers
from mxtrain.optim.ir.program import Step
from mxtrain.optim.ir.summation import combine, reduce_blocks

FlatArray = NDArray[np.floating]

BLOCK = 65_536
"""Elements per block: the blocks of Adam's four arrays and its scratch memory fit in 2 MB of cache, and are large
enough that the overhead of NumPy calls does not matter."""


def flat_views(arrays: Sequence[FlatArray]) -> list[FlatArray] | None:
    """Return one-dimensional views with a common order of elements; None if the memory layouts do not allow that.

    >>> w = np.zeros((2, 3), dtype="float32")
    >>> [view.shape for view in flat_views([w, w + 1])]
    [(6,), (6,)]
    >>> flat_views([w, np.zeros((3, 2), dtype="float32").T]) is None
    True
    """
    views = []
    for array in arrays:  # the common case in one loop, because this runs for every array at every step
        if type(array) is not np.ndarray:
            array = array.view(np.ndarray)  # np.matrix always has two dimensions, and np.memmap is slow to slice
        flags = array.flags
        if not (flags.c_contiguous and flags.aligned):
            break
        views.append(array if array.ndim == 1 else array.reshape(-1))
    else:
        return views
    if all(array.flags.f_contiguous and array.flags.aligned for array in arrays):
        return [array.T.reshape(-1) for array in arrays]
    return None


def buffered_blocks(arrays: Sequence[FlatArray], written: Sequence[int]) -> Iterator[list[FlatArray]]:
    """Yield blocks of arrays without a common flat order, through NumPy's buffers.

    Args:
        arrays: arrays of the same shape.
        written: the indices of the arrays whose blocks are copied back.
    """
    flags = ["external_loop", "buffered", "zerosize_ok"]
    kinds = [["readwrite" if number in written else "readonly", "contig", "aligned"] for number in range(len(arrays))]
    with np.nditer(arrays, flags, kinds, order="K", buffersize=BLOCK) as blocks:  # type: ignore[call-overload]
        for each in blocks:
            yield list(each)


class NumPyBackend:
    """Runs programs on NumPy arrays, one cache-sized block at a time; the reference for all other backends."""

    name = "numpy"
    kinds: tuple[str, ...] = ("numpy",)

    def run(self, program: Program, groups: Sequence[ProgramArrays], scalars: Sequence[float]) -> None:
        """Run a program in place on each group; see `Backend.run`."""
        if not groups:
            return
        plan = _compile_block_program(program)
        dtype = groups[0][0].dtype
        constants = list(round_scalars(scalars, dtype))
        scratch = plan.allocate_scratch(min(max(arrays[0].size for arrays in groups), BLOCK), dtype)
        with np.errstate(all="ignore"):  # overflow and NaN are valid results on every backend
            for arrays in groups:
                for blocks in _blocks(arrays, program.written):
                    plan.run(blocks, constants, scratch)

    def start_passes(
        self, program: MultiPassProgram, groups: Sequence[ProgramArrays], scalars: Sequence[float]
    ) -> "NumPyPassRun":
        """Prepare the passes of a program with reductions; see `Backend.start_passes`."""
        return NumPyPassRun(program, groups, scalars)


class NumPyPassRun:
    """Passes of a program on NumPy arrays, one cache-sized block at a time; see `PassRun`."""

    def __init__(self, program: MultiPassProgram, groups: Sequence[ProgramArrays], scalars: Sequence[float]) -> None:
        self._program = program
        self._scalars = scalars
        self._copies = ContiguousCopies(groups, program.written)

    def upload(self, records: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the records themselves."""
        return records

    def download(self, record: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the record itself."""
        return record

    def finish(self) -> None:
        """Copy the results to arrays that are not contiguous."""
        self._copies.write_back()

    def run(self, number: int, records: NDArray[np.float64]) -> None:
        """Run a pass on each parameter; see `PassRun.run`."""
        if not self._copies.groups:
            return
        step = self._program.passes[number]
        plan = _compile_block_program(step.program)
        columns = [self._program.first_result + result for result in step.results]
        dtype = self._copies.groups[0][0].dtype
        size = max(arrays[0].size for arrays in self._copies.groups)
        scratch = plan.allocate_scratch(min(size, BLOCK), dtype)
        evaluate, host = scalar_evaluator(self._program, number), np.array(self._scalars)
        with np.errstate(all="ignore"):
            for arrays, record in zip(self._copies.groups, records, strict=True):
                constants = list(round_scalars([float(value) for value in evaluate(host, record)], dtype))
                views = [arrays[array].reshape(-1) for array in step.arrays]
                partial: list[list[NDArray[np.float64]]] = [[] for _ in columns]
                for start in range(0, views[0].size, BLOCK):  # a multiple of the blocks of a sum
                    plan.run([view[start : start + BLOCK] for view in views], constants, scratch, partial)
                for column, reduction, results in zip(columns, step.program.reductions, partial, strict=True):
                    joined = np.concatenate(results) if results else np.zeros(0)
                    record[column] = combine(reduction.operation, joined)


class ContiguousCopies:
    """The arrays of several parameters in C order: sums add the elements in that order.

    Args:
        groups: the arrays of each parameter.
        written: the numbers of the arrays that change.

    Attributes:
        groups: the same arrays, or copies of those that are not contiguous or not aligned.
    """

    def __init__(self, groups: Sequence[ProgramArrays], written: Sequence[int]) -> None:
        self.groups: list[Sequence[FlatArray]] = []
        self._copies: list[tuple[FlatArray, FlatArray]] = []
        for arrays in groups:
            if all(
                type(array) is np.ndarray and (flags := array.flags).c_contiguous and flags.aligned for array in arrays
            ):
                self.groups.append(arrays)  # the common case, decided quickly
                continue
            plain = [array.view(np.ndarray) for array in arrays]
            ordered = [np.require(array, requirements=["C", "A"]) for array in plain]
            self._copies += [(plain[i], ordered[i]) for i in written if ordered[i] is not plain[i]]
            self.groups.append(ordered)

    def write_back(self) -> None:
        """Copy the new content to the arrays that were copied."""
        for array, copy in self._copies:
            array[...] = copy


def _blocks(arrays: ProgramArrays, written: Sequence[int]) -> Iterator[list[FlatArray]]:
    views = flat_views(arrays)
    if views is None:
        yield from buffered_blocks(arrays, written)
    elif views[0].size <= BLOCK:
        yield views
    else:
        for start in range(0, views[0].size, BLOCK):
            yield [view[start : start + BLOCK] for view in views]


@dataclass(frozen=True, slots=True)
class _BlockProgram:
    """A program with register numbers for its values: arrays first, then scalars, then scratch memory."""

    steps: tuple[tuple[Callable[..., Any], tuple[int, ...], int], ...]
    reductions: tuple[Step, ...]
    copies: tuple[tuple[Callable[..., Any], tuple[int, ...], int], ...]
    scratch_is_bool: tuple[bool, ...]

    def allocate_scratch(self, size: int, dtype: np.dtype[Any]) -> list[Any]:
        """Allocate memory for intermediate values: bool for comparisons, the dtype of the arrays for the rest."""
        return [np.empty(size, dtype=bool if is_bool else dtype) for is_bool in self.scratch_is_bool]

    def run(
        self,
        blocks: list[FlatArray],
        constants: list[Any],
        scratch: list[Any],
        partial: Sequence[list[NDArray[np.float64]]] = (),
    ) -> None:
        """Run all steps on one block of each array, and append the results of each reduction to its list."""
        size = blocks[0].size
        if scratch and scratch[0].size != size:
            scratch = [memory[:size] for memory in scratch]
        registers = [*blocks, *constants, *scratch]
        for operation, operands, target in self.steps:
            operation(*[registers[operand] for operand in operands], out=registers[target])
        for reduction in self.reductions:
            values = [registers[operand] for operand in reduction.operands]
            partial[reduction.target].append(reduce_blocks(reduction.operation, *values))
        for operation, operands, target in self.copies:
            operation(*[registers[operand] for operand in operands], out=registers[target])


@cache
def _compile_block_program(program: Program) -> _BlockProgram:
    assignment = assign_registers(program)
    steps, copies = (
        tuple((_OPERATIONS[step.operation], step.operands, step.target) for step in each)
        for each in (assignment.steps, assignment.copies)
    )
    return _BlockProgram(steps, assignment.reductions, copies, assignment.scratch_kinds)


def _where_into(condition: Any, a: Any, b: Any, out: Any) -> None:
    np.copyto(out, np.where(condition, a, b))


def _sign_into(x: Any, one: Any, zero: Any, out: Any) -> None:
    np.sign(x, out=out)
    np.add(out, zero, out=out)  # no negative zeros


def _copy_into(source: Any, out: Any) -> None:
    np.copyto(out, source)


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "less": np.less,
    "less_equal": np.less_equal,
    "negative": np.negative,
    "sqrt": np.sqrt,
    "absolute": np.absolute,
    "where": _where_into,
    "sign": _sign_into,
    "copy": _copy_into,
}
