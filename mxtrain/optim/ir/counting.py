"""Counts of elements, such as those that `cautious` keeps, without the quotients of which only the sign counts.

`sum(where(n/d < 0, 1, 0))` counts the elements with `n < 0`, as long as d is positive and finite and no quotient
underflows. Where d is a root plus a positive number, it is positive if the number under the root is not negative. So
an element is counted without divisions and roots if its dividend and divisor are within bounds.
"""

from dataclasses import dataclass

from mxtrain.optim.ir.program import Instruction, Operand, Program

SMALLEST_DIVIDEND, LARGEST_DIVISOR = 2.0**-90, 2.0**30
"""Bounds of a dividend and a divisor: their quotient is at least 2**-120, a normal number in float32."""
LARGEST_SUMMAND = LARGEST_DIVISOR / 2
LARGEST_SQUARE = LARGEST_SUMMAND**2


@dataclass(frozen=True, slots=True)
class Count:
    """A pass that counts elements, and conditions under which it counts the right ones.

    Attributes:
        program: the instructions.
        conditions: for each result, the condition of the elements that are counted.
        dividends: values that must be 0, NaN or at least `SMALLEST_DIVIDEND` in magnitude.
        divisors: values that must be positive and at most `LARGEST_DIVISOR`.
        squares: values that must be at least 0 and at most `LARGEST_SQUARE`.
        summands: scalars that must be positive and at most `LARGEST_SUMMAND`.
    """

    program: Program
    conditions: tuple[Operand, ...]
    dividends: tuple[Operand, ...] = ()
    divisors: tuple[Operand, ...] = ()
    squares: tuple[Operand, ...] = ()
    summands: tuple[Operand, ...] = ()

    @property
    def is_exact(self) -> bool:
        """True if there are no conditions."""
        return not self.dividends


def count_of(program: Program) -> Count | None:
    """Return a pass as a count; None if it writes, or if a reduction is no sum of ones and zeros."""
    if program.outputs or not program.reductions:
        return None
    conditions = []
    for each in program.reductions:
        step = _instruction(program, each.operands[0])
        if each.operation != "sum" or step is None or step.operation != "where":
            return None
        condition, kept, dropped = step.operands
        if (_number(program, kept), _number(program, dropped)) != (1.0, 0.0):
            return None
        conditions.append(condition)
    return Count(program, tuple(conditions))


def without_quotients(count: Count) -> Count:
    """Return a count with dividends in place of quotients of which only the sign counts; itself if it has none."""
    quotients = _sign_quotients(count)
    if not quotients:
        return count
    builder = _CountBuilder(count.program, quotients)
    conditions = tuple(map(builder.operand, count.conditions))
    for number in sorted(quotients):
        builder.add_bounds(count.program.instructions[number])
    program = Program(
        count.program.name, count.program.arrays, count.program.scalars, tuple(builder.instructions), (), ()
    )
    return Count(
        program, conditions, *map(tuple, (builder.dividends, builder.divisors, builder.squares, builder.summands))
    )


def _instruction(program: Program, operand: Operand) -> Instruction | None:
    return program.instructions[operand.number] if operand.space == "value" else None


def _number(program: Program, operand: Operand) -> float | None:
    """Return the value of a constant operand; None for any other."""
    if operand.space != "scalar" or program.scalars[operand.number].operation != "number":
        return None
    return float(program.scalars[operand.number].label or 0.0)


def _sign_quotients(count: Count) -> set[int]:
    """Return the numbers of quotients that are only negated, selected and compared with 0."""
    program = count.program
    only_sign = [False] * len(program.instructions)
    is_used = [False] * len(program.instructions)
    for number in reversed(range(len(program.instructions))):
        step = program.instructions[number]
        for place, operand in enumerate(step.operands):
            if operand.space == "value":
                fits = _needs_only_sign(program, step, place, result=only_sign[number])
                only_sign[operand.number] = fits and (only_sign[operand.number] or not is_used[operand.number])
                is_used[operand.number] = True
    return {
        number for number, step in enumerate(program.instructions) if only_sign[number] and step.operation == "divide"
    }


def _needs_only_sign(program: Program, step: Instruction, place: int, *, result: bool) -> bool:
    """Return whether only the sign of an operand counts, if only that of the result does or does not."""
    match step.operation:
        case "less" | "less_equal":
            return _number(program, step.operands[1 - place]) == 0.0
        case "negative":
            return result
        case "where":
            return place > 0 and result
    return False


class _CountBuilder:
    """Collects the instructions of a count without quotients, and its bounds.

    Args:
        program: the program of the count.
        quotients: the numbers of the quotients to replace.
    """

    def __init__(self, program: Program, quotients: set[int]) -> None:
        self._program = program
        self._quotients = quotients
        self._values: dict[int, Operand] = {}
        self.instructions: list[Instruction] = []
        self.dividends: list[Operand] = []
        self.divisors: list[Operand] = []
        self.squares: list[Operand] = []
        self.summands: list[Operand] = []

    def operand(self, operand: Operand) -> Operand:
        """Return an operand of the program as one of the count, after the instructions that it needs."""
        if operand.space != "value":
            return operand
        if operand.number not in self._values:
            step = self._program.instructions[operand.number]
            if operand.number in self._quotients:
                self._values[operand.number] = self.operand(step.operands[0])
            else:
                self._values[operand.number] = self._add(step.operation, *map(self.operand, step.operands))
        return self._values[operand.number]

    def add_bounds(self, quotient: Instruction) -> None:
        """Add the bounds of a dividend and a divisor."""
        dividend, divisor = quotient.operands
        self.dividends.append(self._copy(dividend))
        added = _instruction(self._program, divisor)
        if added is not None and added.operation == "add" and added.operands[1].space == "scalar":
            root = _instruction(self._program, added.operands[0])
            if root is not None and root.operation == "sqrt":
                self.squares.append(self._copy(root.operands[0]))
                self.summands.append(added.operands[1])
                return
        self.divisors.append(self._copy(divisor))

    def _copy(self, operand: Operand) -> Operand:
        """Return an operand as a value, so that an array is read."""
        operand = self.operand(operand)
        return operand if operand.space == "value" else self._add("copy", operand)

    def _add(self, operation: str, *operands: Operand) -> Operand:
        self.instructions.append(Instruction(operation, operands))
        return Operand("value", len(self.instructions) - 1)
