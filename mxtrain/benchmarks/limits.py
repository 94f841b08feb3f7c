"""What no rule can be faster than: programs that only move its bytes, or only do its divisions and square roots."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from mxtrain.kernel import Program, sqrt, trace


@cache
def streaming_program(slots: Sequence[str]) -> Program:
    """Read W, g and the slots, and write W and the slots: `W ← W + g`, and likewise for each slot."""

    def formula(W: Any, g: Any, *kept: Any) -> dict[str, Any]:
        return {"W": W + g} | {name: slot + g for name, slot in zip(slots, kept, strict=True)}

    return trace(f"streaming{len(slots)}", formula, ("W", "g", *slots), ())


@cache
def arithmetic_program(divisions: int, roots: int) -> Program:
    """So many divisions and square roots for each element, and nothing else."""

    def formula(result: Any, a: Any, b: Any) -> dict[str, Any]:
        for _ in range(divisions):
            a = a / b
        for _ in range(roots):
            a = sqrt(a)
        return {"result": a}

    return trace(f"arithmetic{divisions}_{roots}", formula, ("result", "a", "b"), ())


def slow_operations(program: Program) -> tuple[int, int]:
    """How many divisions and square roots a program has: each takes many cycles, where an addition takes one."""
    operations = [step.operation for step in program.instructions]
    return operations.count("divide"), operations.count("sqrt")


def bytes_moved(program: Program, size: int, itemsize: int) -> int:
    """What a program reads and writes, in bytes, if every array is read once and written once."""
    return size * itemsize * (len(program.arrays) + len(program.written))
