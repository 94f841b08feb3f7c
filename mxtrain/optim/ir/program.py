"""Straight-line program of a traced rule, which every backend runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import Literal

from mxtrain.names import display_name

Space = Literal["array", "scalar", "value"]


@dataclass(frozen=True, slots=True)
class Operand:
    """What an instruction works on.

    `array` number i is the i-th input array as it was before the update, `scalar` number i is the i-th scalar of the
    program, `value` number i is what instruction i computed. In what is printed they are `xi`, `si` and `ti`.
    """

    space: Space
    number: int

    def __str__(self) -> str:
        return f"{_PREFIXES[self.space]}{self.number}"


_PREFIXES: dict[Space, str] = {"array": "x", "scalar": "s", "value": "t"}


@dataclass(frozen=True, slots=True)
class Instruction:
    """One operation on operands, rounded once; its outcome is the value that bears the instruction's number."""

    operation: str
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A scalar of the update: a tree over coefficients and numbers, evaluated in float64 before any rounding."""

    operation: str
    operands: tuple["Scalar", ...] = ()
    label: str | float | None = None

    def source(self) -> str:
        """The scalar as a Python expression over the coefficients `c`."""
        if self.operation == "input":
            return f"c[{self.label!r}]"
        if self.operation == "number":
            return repr(self.label)
        return _SCALAR_SOURCE[self.operation].format(*(part.source() for part in self.operands))

    def __str__(self) -> str:
        if not self.operands:
            return f"{self.label:g}" if isinstance(self.label, float) else display_name(str(self.label))
        parts = [f"({part})" if part.operands else str(part) for part in self.operands]
        return format_operation(self.operation, parts)


_SCALAR_SOURCE = {
    "add": "({} + {})",
    "subtract": "({} - {})",
    "multiply": "({} * {})",
    "divide": "({} / {})",
    "negative": "(-{})",
    "sqrt": "sqrt({})",
    "absolute": "abs({})",
    "maximum": "max({}, {})",
    "minimum": "min({}, {})",
}


@dataclass(frozen=True, eq=False)
class Program:
    """A straight-line program over arrays of one shape and dtype.

    It holds no values of coefficients, so one program, compiled once, serves every η, λ or β. Programs are compared by
    identity: each variant of a rule is traced once.

    Args:
        name: what the program is called when printed or cached.
        arrays: names of the input arrays.
        scalars: what is computed on the host and rounded once to the arrays' dtype.
        instructions: in the order in which they run.
        outputs: for each array that changes, its number and the operand that it becomes.
    """

    name: str
    arrays: tuple[str, ...]
    scalars: tuple[Scalar, ...]
    instructions: tuple[Instruction, ...]
    outputs: tuple[tuple[int, Operand], ...]

    @property
    def written(self) -> tuple[int, ...]:
        """The numbers of the arrays that change."""
        return tuple(number for number, _ in self.outputs)

    @cached_property
    def evaluate_scalars(self) -> Callable[[Mapping[str, float]], tuple[float, ...]]:
        """The function from coefficients by name to the scalars' values, in float64."""
        expressions = "".join(f"{scalar.source()}, " for scalar in self.scalars)
        function: Callable[[Mapping[str, float]], tuple[float, ...]] = eval(
            f"lambda c: ({expressions})", {"sqrt": sqrt}
        )
        return function

    def __str__(self) -> str:
        """The program as text, one instruction a line."""
        scalars = [f"  s{i} = {scalar}" for i, scalar in enumerate(self.scalars)]
        width = max(map(len, scalars), default=0)
        lines = [
            f"{self.name}({', '.join(self.arrays)})",
            *(f"{line:<{width}}    (host, float64)" for line in scalars),
        ]
        for i, step in enumerate(self.instructions):
            lines.append(f"  t{i} = {format_operation(step.operation, [self._name(each) for each in step.operands])}")
        return "\n".join([*lines, *(f"  {self.arrays[i]} ← {self._name(to)}" for i, to in self.outputs)])

    def _name(self, operand: Operand) -> str:
        return self.arrays[operand.number] if operand.space == "array" else str(operand)


_INFIX_SYMBOLS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "less": "<", "less_equal": "<="}


def format_operation(operation: str, operands: list[str]) -> str:
    """An operation as mathematics writes it.

    >>> format_operation("add", ["a", "b"]), format_operation("sqrt", ["a"])
    ('a + b', 'sqrt(a)')
    """
    if operation in _INFIX_SYMBOLS:
        return f"{operands[0]} {_INFIX_SYMBOLS[operation]} {operands[1]}"
    if operation == "negative":
        return f"-{operands[0]}"
    return f"{operation}({', '.join(operands)})"
