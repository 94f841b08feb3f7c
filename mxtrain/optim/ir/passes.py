"""Programs with reductions, divided into passes over the arrays.

The results of a reduction are needed before the values that depend on them can be computed, so the arrays are read
again. A value that two passes need is computed in both, which moves no bytes; only arrays are stored. An array whose
new content is known early may be written in any pass from then on. The choice that moves the fewest bytes is made when
the program is traced.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod

from mxtrain.optim.ir.program import (
    MAX_TREE_SIZE,
    Instruction,
    Operand,
    Program,
    Reduction,
    Scalar,
    format_operation,
    scalar_function,
)


@dataclass(frozen=True, eq=False)
class Pass:
    """One pass over the arrays of a `MultiPassProgram`.

    Attributes:
        program: its instructions, and the reductions and outputs that it computes.
        arrays: the arrays of the program, by their numbers in the whole update.
        results: the numbers of the reductions, in the order of `program.reductions`.
    """

    program: Program
    arrays: tuple[int, ...]
    results: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class MultiPassProgram:
    """A program whose scalars depend on reductions over its arrays.

    Args:
        name: the name of the program in print and in caches.
        arrays: names of the input arrays.
        scalars: scalars that the host evaluates in float64; the programs of the passes use them unrounded.
        passes: the passes in the order in which they run.
        reductions: the reductions of all passes.
        state: the new value of each scalar slot that the update computes.
    """

    name: str
    arrays: tuple[str, ...]
    scalars: tuple[Scalar, ...]
    passes: tuple[Pass, ...]
    reductions: tuple[Reduction, ...]
    state: tuple[tuple[str, Scalar], ...]

    @cached_property
    def evaluate_scalars(self) -> Callable[[Mapping[str, float]], tuple[float, ...]]:
        """Function from coefficients by name to the values of the scalars, in float64."""
        return scalar_function(self.scalars)

    @cached_property
    def scalar_numbers(self) -> dict[Scalar, int]:
        """Number of each scalar of the host."""
        return {scalar: number for number, scalar in enumerate(self.scalars)}

    @cached_property
    def record_columns(self) -> dict[Scalar, int]:
        """Column of each number in the record of a parameter: sizes, scalar slots, results of reductions."""
        state = [Scalar("state", label=name) for name, _ in self.state]
        results = [Scalar("reduction", label=str(number)) for number in range(len(self.reductions))]
        leaves = [Scalar("size"), Scalar("total_size"), *state, *results]
        return {leaf: column for column, leaf in enumerate(leaves)}

    @cached_property
    def record_width(self) -> int:
        """Number of columns of a record."""
        return len(self.record_columns)

    @cached_property
    def first_result(self) -> int:
        """Column of the first result of a reduction in a record."""
        return self.record_width - len(self.reductions)

    @cached_property
    def has_totals(self) -> bool:
        """True if a reduction combines all parameters of a step, so that none can be updated alone."""
        return any(each.scope == "total" for each in self.reductions) or any(
            part.operation == "total_size" for part in _all_parts(self._scalars_in_order())
        )

    @cached_property
    def written(self) -> tuple[int, ...]:
        """Numbers of the arrays that change."""
        return tuple(sorted(each.arrays[number] for each in self.passes for number in each.program.written))

    def __str__(self) -> str:
        """Return the program as text, one instruction on each line."""
        names: dict[Scalar, str] = {}
        repeated = _repeated_parts([*self._scalars_in_order()])
        lines = [f"{self.name}({', '.join(self.arrays)})"]
        for number, each in enumerate(self.passes, start=1):
            lines.append(f"pass {number} of {len(self.passes)}: {describe_traffic(each.program)}")
            lines += _definitions(each.program.scalars, repeated, names)
            lines += self._pass_lines(each, names)
        new = [scalar for _, scalar in self.state]
        lines += _definitions(new, repeated, names)
        return "\n".join([*lines, *(f"  {name} ← {scalar.format(names)}    (float64)" for name, scalar in self.state)])

    def _scalars_in_order(self) -> Iterator[Scalar]:
        for each in self.passes:
            yield from each.program.scalars
        yield from (scalar for _, scalar in self.state)

    def _pass_lines(self, each: Pass, names: Mapping[Scalar, str]) -> Iterator[str]:
        program = each.program
        _, *lines = program.format(names).split("\n")
        count = len(program.outputs)
        yield from lines[: len(lines) - count]
        for result, reduction in zip(each.results, program.reductions, strict=True):
            prefix = "total_" if reduction.scope == "total" else ""
            operands = [program._name(operand) for operand in reduction.operands]
            yield f"  r{result} = {format_operation(prefix + reduction.operation, operands)}    (float64)"
        yield from lines[len(lines) - count :]


def _all_parts(scalars: Iterable[Scalar]) -> set[Scalar]:
    """Return the scalars and their parts, each once."""
    found: set[Scalar] = set()
    remaining = list(scalars)
    while remaining:
        scalar = remaining.pop()
        if scalar not in found:
            found.add(scalar)
            remaining += scalar.operands
    return found


def _repeated_parts(scalars: list[Scalar]) -> set[Scalar]:
    """Return the operations of scalars that are used more than once and depend on reductions or scalar slots.

    Those of large scalars of the host are included.
    """
    uses: dict[Scalar, int] = {}

    def visit(scalar: Scalar) -> None:
        uses[scalar] = uses.get(scalar, 0) + 1
        if uses[scalar] == 1:
            for part in scalar.operands:
                visit(part)

    for scalar in scalars:
        visit(scalar)
    return {
        scalar
        for scalar, count in uses.items()
        if count > 1 and scalar.operands and (not scalar.is_host or scalar.tree_size > MAX_TREE_SIZE)
    }


def _definitions(scalars: Sequence[Scalar], repeated: set[Scalar], names: dict[Scalar, str]) -> list[str]:
    """Return a line for each repeated part of scalars that has no name yet, after the parts that it uses."""
    lines: list[str] = []
    seen: set[Scalar] = set()

    def define(scalar: Scalar) -> None:
        if scalar in names or scalar in seen:
            return
        seen.add(scalar)
        for part in scalar.operands:
            define(part)
        if scalar in repeated:
            text = scalar.format(names)
            names[scalar] = f"q{len(names)}"
            lines.append(f"  {names[scalar]} = {text}    (float64)")

    for scalar in scalars:
        define(scalar)
    return lines


def describe_traffic(program: Program) -> str:
    """Describe the arrays that a program reads and writes, and the bytes that this moves for each element.

    >>> from mxtrain.optim.rules import Adam
    >>> describe_traffic(Adam().program())
    'reads W, g, m, v; writes W, m, v; 28 bytes per element in float32, 56 in float64'
    """
    read = ", ".join(program.arrays[number] for number in program.read)
    written = ", ".join(program.arrays[number] for number in sorted(program.written))
    count = program.arrays_moved
    return (
        f"reads {read}; writes {written or 'nothing'}; {4 * count} bytes per element in float32, {8 * count} in float64"
    )


_MAX_CHOICES = 1024
"""Largest number of choices that are compared; of more, only the earliest and the latest writes are tried."""


def split_into_passes(
    name: str,
    arrays: tuple[str, ...],
    scalars: tuple[Scalar, ...],
    instructions: tuple[Instruction, ...],
    reductions: tuple[Reduction, ...],
    outputs: tuple[tuple[int, Operand], ...],
    state: tuple[tuple[str, Scalar], ...],
) -> MultiPassProgram:
    """Divide traced instructions into the passes that move the fewest bytes; arguments as in `Program`."""
    levels = _Levels(scalars, instructions, reductions)
    first_passes = [levels.of(value) for _, value in outputs]
    last = max([*levels.reductions, *first_passes])
    best: list[Pass] = []
    # Of equal choices the last is kept: it writes late, when all reductions are known.
    every = product(*(range(first, last + 1) for first in first_passes))
    few = [tuple(first_passes), (last,) * len(outputs)]
    for choice in every if prod(last + 1 - first for first in first_passes) <= _MAX_CHOICES else few:
        passes = _build_passes(name, arrays, scalars, instructions, reductions, outputs, levels, choice, last)
        if passes is not None and (not best or _moved(passes) <= _moved(best)):
            best = passes
    device = [scalar for each in best for scalar in each.program.scalars] + [scalar for _, scalar in state]
    seen: set[Scalar] = set()
    host = tuple(dict.fromkeys(part for scalar in device for part in _host_parts(scalar, seen)))
    return MultiPassProgram(name, arrays, host, tuple(best), reductions, state)


def _moved(passes: list[Pass]) -> int:
    return sum(each.program.arrays_moved for each in passes)


def _host_parts(scalar: Scalar, seen: set[Scalar]) -> Iterator[Scalar]:
    """Yield the largest parts of a scalar that the host can evaluate, if the scalar was not seen before."""
    if scalar in seen:
        return
    seen.add(scalar)
    if scalar.is_host:
        yield scalar
    else:
        for part in scalar.operands:
            yield from _host_parts(part, seen)


class _Levels:
    """The first pass in which each value is known: one after the last reduction that it depends on."""

    def __init__(
        self, scalars: tuple[Scalar, ...], instructions: tuple[Instruction, ...], reductions: tuple[Reduction, ...]
    ) -> None:
        self._scalars = scalars
        self._instructions = instructions
        self._reductions = reductions
        self._known: dict[Operand, int] = {}
        self._known_scalars: dict[Scalar, int] = {}
        self.reductions = [max(map(self.of, each.operands)) for each in reductions]

    def of(self, operand: Operand) -> int:
        """Return the level of an operand."""
        if operand.space == "array":
            return 0
        if operand not in self._known:
            if operand.space == "scalar":
                level = self._of_scalar(self._scalars[operand.number])
            else:
                level = max(map(self.of, self._instructions[operand.number].operands))
            self._known[operand] = level
        return self._known[operand]

    def _of_scalar(self, scalar: Scalar) -> int:
        if scalar.operation == "reduction":
            return 1 + max(map(self.of, self._reductions[int(str(scalar.label))].operands))
        if scalar not in self._known_scalars:
            self._known_scalars[scalar] = max(map(self._of_scalar, scalar.operands), default=0)
        return self._known_scalars[scalar]


class _OldContentLostError(Exception):
    """A pass needs the old content of an array that an earlier pass overwrote."""


def _build_passes(
    name: str,
    arrays: tuple[str, ...],
    scalars: tuple[Scalar, ...],
    instructions: tuple[Instruction, ...],
    reductions: tuple[Reduction, ...],
    outputs: tuple[tuple[int, Operand], ...],
    levels: _Levels,
    choice: tuple[int, ...],
    last: int,
) -> list[Pass] | None:
    """Build the passes if each output is written in the chosen pass; None if old content would be needed later."""
    passes = []
    for number in range(last + 1):
        stored = {value: array for (array, value), at in zip(outputs, choice, strict=True) if at < number}
        builder = _PassBuilder(scalars, instructions, stored)
        results = tuple(i for i, level in enumerate(levels.reductions) if level == number)
        try:
            reduced = [
                Reduction(each.operation, each.scope, tuple(map(builder.operand, each.operands)))
                for each in (reductions[i] for i in results)
            ]
            written = [
                (builder.array(array, is_read=False), builder.operand(value))
                for (array, value), at in zip(outputs, choice, strict=True)
                if at == number
            ]
        except _OldContentLostError:
            return None
        passes.append(builder.finish(f"{name}_{number + 1}", arrays, reduced, written, results))
    return passes


class _PassBuilder:
    """Collects the instructions that a pass needs, and numbers its arrays, scalars and values."""

    def __init__(
        self, scalars: tuple[Scalar, ...], instructions: tuple[Instruction, ...], stored: dict[Operand, int]
    ) -> None:
        self._all_scalars = scalars
        self._all_instructions = instructions
        self._stored = stored
        self._overwritten = set(stored.values())
        self._arrays: dict[int, int] = {}
        self._scalars: dict[int, int] = {}
        self._values: dict[int, int] = {}
        self._instructions: list[Instruction] = []

    def array(self, number: int, is_read: bool = True) -> int:
        """Return the number in the pass of an array of the update."""
        if is_read and number in self._overwritten:
            raise _OldContentLostError
        return self._arrays.setdefault(number, len(self._arrays))

    def operand(self, operand: Operand) -> Operand:
        """Return an operand of the update as one of the pass, after the instructions that it needs."""
        if operand in self._stored:
            return Operand("array", self.array(self._stored[operand], is_read=False))
        match operand.space:
            case "array":
                return Operand("array", self.array(operand.number))
            case "scalar":
                return Operand("scalar", self._scalars.setdefault(operand.number, len(self._scalars)))
        if operand.number not in self._values:
            step = self._all_instructions[operand.number]
            self._instructions.append(Instruction(step.operation, tuple(map(self.operand, step.operands))))
            self._values[operand.number] = len(self._instructions) - 1
        return Operand("value", self._values[operand.number])

    def finish(
        self,
        name: str,
        arrays: tuple[str, ...],
        reductions: list[Reduction],
        outputs: list[tuple[int, Operand]],
        results: tuple[int, ...],
    ) -> Pass:
        """Return the pass, with its arrays in the order of the update."""
        order = sorted(self._arrays)
        numbers = {self._arrays[array]: number for number, array in enumerate(order)}

        def renumbered(operands: tuple[Operand, ...]) -> tuple[Operand, ...]:
            return tuple(Operand("array", numbers[each.number]) if each.space == "array" else each for each in operands)

        program = Program(
            name,
            tuple(arrays[number] for number in order),
            tuple(self._all_scalars[number] for number in self._scalars),
            tuple(Instruction(each.operation, renumbered(each.operands)) for each in self._instructions),
            tuple((numbers[array], renumbered((value,))[0]) for array, value in outputs),
            tuple(Reduction(each.operation, each.scope, renumbered(each.operands)) for each in reductions),
        )
        return Pass(program, tuple(order), results)
