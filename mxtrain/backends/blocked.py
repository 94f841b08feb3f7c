"""The NumPy backend: a program walked over blocks that fit in the cache, with no temporaries.

A plain array expression streams every intermediate result through memory. Here each block of the arrays stays in the
cache while all instructions run on it, and every instruction writes into scratch memory or, as soon as the old values
are no longer needed, straight into the array that it updates.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from mxtrain.backends.base import Group
from mxtrain.backends.layout import BLOCK, Flat, flat_views, gathered_blocks
from mxtrain.backends.rounding import rounded
from mxtrain.kernel import Program
from mxtrain.kernel.registers import assign_registers


class NumPyBackend:
    """Runs programs on NumPy arrays, one cache-sized block after the other; the reference for every other backend."""

    name = "numpy"
    kinds: tuple[str, ...] = ("numpy",)

    def run(self, program: Program, groups: Sequence[Group], scalars: Sequence[float]) -> None:
        """Run a program in place on each group; see `Backend.run`."""
        if not groups:
            return
        plan = _plan(program)
        dtype = groups[0][0].dtype
        constants = list(rounded(scalars, dtype))
        scratch = plan.scratch(min(max(arrays[0].size for arrays in groups), BLOCK), dtype)
        with np.errstate(all="ignore"):  # overflow and NaN are results like any other, on every backend
            for arrays in groups:
                for blocks in _blocks(arrays, program.written):
                    plan.run(blocks, constants, scratch)


def _blocks(arrays: Group, written: Sequence[int]) -> Iterator[list[Flat]]:
    views = flat_views(arrays)
    if views is None:
        yield from gathered_blocks(arrays, written)
    elif views[0].size <= BLOCK:
        yield views
    else:
        for start in range(0, views[0].size, BLOCK):
            yield [view[start : start + BLOCK] for view in views]


@dataclass(frozen=True, slots=True)
class _Plan:
    """A program whose values have registers: the arrays come first, then the scalars, then scratch."""

    steps: tuple[tuple[Callable[..., Any], tuple[int, ...], int], ...]
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
    return _Plan(tuple(steps), assignment.scratch_kinds)


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
