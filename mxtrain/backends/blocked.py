"""The NumPy backend: a program walked over blocks that fit in the cache, with no temporaries.

A plain array expression streams every intermediate result through memory. Here each block of the arrays stays in the
cache while all instructions run on it, and every instruction writes into scratch memory or, as soon as the old values
are no longer needed, straight into the array that it updates.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from mxtrain.backends.layout import Flat, flat_views
from mxtrain.kernel import Program
from mxtrain.kernel.registers import assign_registers

BLOCK = 32_768
"""Elements in a block: blocks of Adam's four arrays and its scratch fit in one megabyte of cache."""


class NumPyBackend:
    """Runs programs on NumPy arrays, one cache-sized block after the other; the reference for every other backend."""

    name = "numpy"

    def run(self, program: Program, arrays: Sequence[Any], scalars: Sequence[float]) -> None:
        """Run a program in place; see `Backend.run`."""
        plan = _plan(program)
        first = arrays[0]
        with np.errstate(all="ignore"):  # overflow and NaN are results like any other, on every backend
            constants = [first.dtype.type(scalar) for scalar in scalars]
            scratch = plan.scratch(min(first.size, BLOCK), first.dtype)
            views = flat_views(arrays)
            if views is not None:
                for start in range(0, first.size, BLOCK):
                    plan.run([view[start : start + BLOCK] for view in views], constants, scratch)
            else:
                _run_gathered(plan, arrays, constants, scratch)


def _run_gathered(plan: "_Plan", arrays: Sequence[Any], constants: list[Any], scratch: list[Any]) -> None:
    """Arrays that have no common flat order: gather each block, run, and put back what changed."""
    for start in range(0, arrays[0].size, BLOCK):
        span = slice(start, start + BLOCK)
        blocks = [array.flat[span] for array in arrays]
        plan.run(blocks, constants, scratch)
        for number in plan.written:
            arrays[number].flat[span] = blocks[number]


@dataclass(frozen=True, slots=True)
class _Plan:
    """A program whose values have registers: the arrays come first, then the scalars, then scratch."""

    steps: tuple[tuple[Callable[..., Any], tuple[int, ...], int], ...]
    written: tuple[int, ...]
    scratch_kinds: tuple[bool, ...]

    def scratch(self, size: int, dtype: np.dtype[Any]) -> list[Any]:
        """Memory for the intermediate values: truth values for comparisons, the arrays' dtype for the rest."""
        return [np.empty(size, dtype=bool if holds_truth else dtype) for holds_truth in self.scratch_kinds]

    def run(self, blocks: list[Flat], constants: list[Any], scratch: list[Any]) -> None:
        """Run all steps on one block."""
        size = blocks[0].size
        if scratch and scratch[0].size != size:
            scratch = [memory[:size] for memory in scratch]
        registers = [*blocks, *constants, *scratch]
        for operation, operands, target in self.steps:
            operation(*[registers[operand] for operand in operands], out=registers[target])


@cache
def _plan(program: Program) -> _Plan:
    assignment = assign_registers(program)
    steps = [(_OPERATIONS[step.operation], step.operands, step.target) for step in assignment.steps]
    return _Plan(tuple(steps), tuple(number for number, _ in program.outputs), assignment.scratch_kinds)


def _where(condition: Any, a: Any, b: Any, out: Any) -> None:
    np.copyto(out, np.where(condition, a, b))


def _copy(source: Any, out: Any) -> None:
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
    "where": _where,
    "copy": _copy,
}
