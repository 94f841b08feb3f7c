"""Straight-line program of a traced rule, and the assignment of its values to registers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import inf, nan, sqrt
from typing import Any, Final, Literal

from mxtrain.names import display_name
from mxtrain.optim.ir.symbols import COMPARISONS, Scope

Space = Literal["array", "scalar", "value"]


@dataclass(frozen=True, slots=True)
class Operand:
    """Operand of an instruction.

    `array` number i is the i-th input array before the update, `scalar` number i is the i-th scalar of the program,
    and `value` number i is the result of instruction i. A printed program names them `xi`, `si` and `ti`.
    """

    space: Space
    number: int

    def __str__(self) -> str:
        return f"{_PREFIXES[self.space]}{self.number}"


_PREFIXES: dict[Space, str] = {"array": "x", "scalar": "s", "value": "t"}


@dataclass(frozen=True, slots=True)
class Instruction:
    """One operation on operands, rounded once; its result is the value with the number of the instruction."""

    operation: str
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Reduction:
    """Reduction of values over the elements of one parameter, or of all parameters of a step.

    Attributes:
        operation: `sum`, `dot` or `max_abs`.
        scope: `parameter` or `total`.
        operands: one value, or the two of `dot`.
    """

    operation: str
    scope: Scope
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A scalar of the update: a tree over coefficients and numbers, evaluated in float64 before any rounding.

    Leaves: `input` is a coefficient, `number` a constant; `reduction` is a result with the number `label`, `state` a
    scalar slot that the update itself computes, `size` the number of elements of the parameter, and `total_size` that
    of all parameters. The last four are known only where the arrays are, not on the host.
    """

    operation: str
    operands: tuple["Scalar", ...] = ()
    label: str | float | None = None
    is_host: bool = field(init=False, repr=False, compare=False)
    """True if the host can evaluate the scalar before the update."""
    tree_size: int = field(init=False, repr=False, compare=False)
    """Number of operations and leaves, counting a shared part once for each use."""
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Computed here, from the operands: a recursion would visit shared parts once for each path to them.
        is_host = self.operation not in DEVICE_LEAVES and all(part.is_host for part in self.operands)
        object.__setattr__(self, "is_host", is_host)
        object.__setattr__(self, "tree_size", 1 + sum(part.tree_size for part in self.operands))
        object.__setattr__(self, "_hash", hash((self.operation, self.operands, self.label)))

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.operation, self.operands, self.label)

    def __str__(self) -> str:
        return self.format({})

    def format(self, names: Mapping["Scalar", str]) -> str:
        """Format the scalar in mathematical notation, with these names for parts of it; shortened if it is large."""
        if self in names:
            return names[self]
        if self.tree_size > MAX_TREE_SIZE and not names:
            return f"{self.operation}(...)"
        if self.operation == "reduction":
            return f"r{self.label}"
        if self.operation in ("size", "total_size"):
            return self.operation
        if not self.operands:
            return f"{self.label:g}" if isinstance(self.label, float) else display_name(str(self.label))
        parts = [part.format(names) for part in self.operands]
        if self.operation in _INFIX_SYMBOLS or self.operation == "negative":
            is_compound = [part.operation in (*_INFIX_SYMBOLS, "negative") for part in self.operands]
            has_name = [part in names for part in self.operands]
            parts = [
                f"({text})" if compound and not named else text
                for text, compound, named in zip(parts, is_compound, has_name, strict=True)
            ]
        return format_operation(self.operation, parts)


MAX_TREE_SIZE: Final = 1000
"""Size of the largest scalar whose source and printed form repeat shared parts."""

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
    "power": "({} ** {})",
    "where": "({1} if {0} else {2})",
    "less": "({} < {})",
    "less_equal": "({} <= {})",
    "sign": "(({0} > 0) - ({0} < 0))",
}

DEVICE_LEAVES: Final = ("reduction", "state", "size", "total_size")
"""Scalars that are known only where the arrays are."""


@dataclass(frozen=True, eq=False)
class Program:
    """A straight-line program over arrays of one shape and dtype.

    It contains no values of coefficients, so one program, compiled once, is used for every η, λ or β. Programs are
    compared by identity: each gradient stage of a rule is traced once.

    Args:
        name: the name of the program in print and in caches.
        arrays: names of the input arrays.
        scalars: scalars that are computed on the host and rounded once to the dtype of the arrays.
        instructions: the instructions in the order in which they run.
        outputs: for each array that changes, its number and the operand with its new value.
        reductions: the reductions that the pass computes; empty for a program that is not part of a `MultiPassProgram`.
    """

    name: str
    arrays: tuple[str, ...]
    scalars: tuple[Scalar, ...]
    instructions: tuple[Instruction, ...]
    outputs: tuple[tuple[int, Operand], ...]
    reductions: tuple[Reduction, ...] = ()

    @property
    def written(self) -> tuple[int, ...]:
        """Numbers of the arrays that change."""
        return tuple(number for number, _ in self.outputs)

    @property
    def read(self) -> tuple[int, ...]:
        """Numbers of the arrays that the program reads."""
        used = [*(step.operands for step in self.instructions), *(each.operands for each in self.reductions)]
        operands = [*(each for operands in used for each in operands), *(operand for _, operand in self.outputs)]
        return tuple(sorted({operand.number for operand in operands if operand.space == "array"}))

    @property
    def arrays_moved(self) -> int:
        """Number of times that the program reads or writes an array."""
        return len(self.read) + len(self.outputs)

    @cached_property
    def evaluate_scalars(self) -> Callable[[Mapping[str, float]], tuple[float, ...]]:
        """Function from coefficients by name to the values of the scalars, in float64."""
        return scalar_function(self.scalars)

    def __str__(self) -> str:
        """Return the program as text, one instruction on each line."""
        return self.format({})

    def format(self, names: Mapping[Scalar, str]) -> str:
        """Return the program as text, with these names for parts of its scalars."""
        scalars = [f"  s{i} = {scalar.format(names)}" for i, scalar in enumerate(self.scalars)]
        width = max(map(len, scalars), default=0)
        lines = [
            f"{self.name}({', '.join(self.arrays)})",
            *(
                f"{line:<{width}}    ({'host, float64' if scalar.is_host else 'float64'})"
                for line, scalar in zip(scalars, self.scalars, strict=True)
            ),
        ]
        for i, step in enumerate(self.instructions):
            lines.append(f"  t{i} = {format_operation(step.operation, [self._name(each) for each in step.operands])}")
        return "\n".join([*lines, *(f"  {self.arrays[i]} ← {self._name(to)}" for i, to in self.outputs)])

    def _name(self, operand: Operand) -> str:
        return self.arrays[operand.number] if operand.space == "array" else str(operand)


def scalar_function(scalars: tuple[Scalar, ...]) -> Callable[[Mapping[str, float]], tuple[float, ...]]:
    """Return a function from coefficients by name to the values of scalars, in float64.

    It is compiled from a source that contains operations and numbers, but no names of coefficients.
    """
    source = _ScalarSource()
    results = "".join(f"{source.expression(scalar)}, " for scalar in scalars)
    lines = ["def evaluate(c):", *source.lines, f"    return ({results})"]
    namespace = _SOURCE_NAMES | {variable: label for label, variable in source.labels.items()}
    exec("\n".join(lines), namespace)
    function: Callable[[Mapping[str, float]], tuple[float, ...]] = namespace["evaluate"]
    return function


class _ScalarSource:
    """Python source of scalars, as a function of the coefficients `c`; a large scalar is divided into statements.

    Attributes:
        lines: the statements.
        labels: the variable that holds the name of each coefficient.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.labels: dict[str | float | None, str] = {}
        self._variables: dict[Scalar, str] = {}

    def expression(self, scalar: Scalar) -> str:
        """Return the source of a scalar, after the statements that it needs."""
        if scalar.operation == "input":
            return f"c[{self.labels.setdefault(scalar.label, f'n{len(self.labels)}')}]"
        if scalar.operation == "number":
            return repr(scalar.label)
        if scalar in self._variables:
            return self._variables[scalar]
        source = _SCALAR_SOURCE[scalar.operation].format(*map(self.expression, scalar.operands))
        if scalar.tree_size <= MAX_TREE_SIZE:
            return source
        variable = self._variables[scalar] = f"v{len(self._variables)}"
        self.lines.append(f"    {variable} = {source}")
        return variable


_SOURCE_NAMES: dict[str, Any] = {"sqrt": sqrt, "inf": inf, "nan": nan}
"""Names in the source of scalars; `inf` and `nan` are the `repr` of such constants."""


_INFIX_SYMBOLS = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "less": "<", "less_equal": "<=", "power": "**",
}  # fmt: skip


def format_operation(operation: str, operands: list[str]) -> str:
    """Format an operation in mathematical notation.

    >>> format_operation("add", ["a", "b"]), format_operation("sqrt", ["a"])
    ('a + b', 'sqrt(a)')
    """
    if operation in _INFIX_SYMBOLS:
        return f"{operands[0]} {_INFIX_SYMBOLS[operation]} {operands[1]}"
    if operation == "negative":
        return f"-{operands[0]}"
    if operation == "sign":
        return f"sign({operands[0]})"
    return f"{operation}({', '.join(operands)})"


@dataclass(frozen=True, slots=True)
class Step:
    """Operation on registers, which are numbered: first the arrays, then the scalars, then scratch."""

    operation: str
    operands: tuple[int, ...]
    target: int


@dataclass(frozen=True, slots=True)
class RegisterAssignment:
    """Steps of a program on registers.

    Attributes:
        steps: the operations in order.
        reductions: the reductions that follow them; the target is the number of the reduction.
        copies: the copies of results into arrays whose old content was needed until the end.
        scratch_kinds: for each scratch register, whether it holds truth values.
    """

    steps: tuple[Step, ...]
    reductions: tuple[Step, ...]
    copies: tuple[Step, ...]
    scratch_kinds: tuple[bool, ...]


def assign_registers(program: Program) -> RegisterAssignment:
    """Assign a register to every value of a program, with as little scratch memory as possible.

    The new content of an array is written directly into that array if no later instruction reads its old content;
    otherwise it is stored in scratch and copied at the end. A scratch register is free again after the last
    instruction that reads it.
    """
    return _RegisterAllocator(program).assign()


class _RegisterAllocator:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.last_use = _last_uses(program)
        self.register_of: dict[Operand, int] = {}
        self.scratch_kinds: list[bool] = []
        self.free: list[int] = []
        self.first_scratch = len(program.arrays) + len(program.scalars)
        self.output_arrays = {operand: number for number, operand in program.outputs if operand.space == "value"}

    def assign(self) -> RegisterAssignment:
        steps = [self._step(number) for number in range(len(self.program.instructions))]
        reductions = [
            Step(each.operation, tuple(map(self._register, each.operands)), number)
            for number, each in enumerate(self.program.reductions)
        ]
        copies = [
            Step("copy", (self._register(value),), array)
            for array, value in self.program.outputs
            if self._register(value) != array
        ]
        return RegisterAssignment((*steps,), (*reductions,), (*copies,), tuple(self.scratch_kinds))

    def _step(self, number: int) -> Step:
        instruction = self.program.instructions[number]
        value = Operand("value", number)
        operands = tuple(map(self._register, instruction.operands))
        for operand in dict.fromkeys(instruction.operands):
            if self.last_use[operand] == number and self._register(operand) >= self.first_scratch:
                self.free.append(self._register(operand))
        self.register_of[value] = self._target(value, number)
        return Step(instruction.operation, operands, self.register_of[value])

    def _target(self, value: Operand, number: int) -> int:
        array = self.output_arrays.get(value)
        if array is not None and self.last_use.get(Operand("array", array), -1) <= number:
            return array
        holds_truth = self.program.instructions[number].operation in COMPARISONS
        for register in self.free:
            if self.scratch_kinds[register - self.first_scratch] == holds_truth:
                self.free.remove(register)
                return register
        self.scratch_kinds.append(holds_truth)
        return self.first_scratch + len(self.scratch_kinds) - 1

    def _register(self, operand: Operand) -> int:
        match operand.space:
            case "array":
                return operand.number
            case "scalar":
                return len(self.program.arrays) + operand.number
        return self.register_of[operand]


def _last_uses(program: Program) -> dict[Operand, int]:
    """Return the last instruction that reads each operand; reductions and outputs are read after all instructions."""
    uses = {each: i for i, step in enumerate(program.instructions) for each in step.operands}
    end = len(program.instructions)
    uses |= {each: end for reduction in program.reductions for each in reduction.operands}
    return uses | {value: end for _, value in program.outputs}
