"""Register assignment for programs that run one instruction at a time, with as little scratch memory as possible."""

from dataclasses import dataclass

from mxtrain.optim.ir.program import Operand, Program
from mxtrain.optim.ir.symbols import COMPARISONS


@dataclass(frozen=True, slots=True)
class Step:
    """An operation on registers. Registers are numbered: the arrays first, then the scalars, then scratch."""

    operation: str
    operands: tuple[int, ...]
    target: int


@dataclass(frozen=True, slots=True)
class RegisterAssignment:
    """A program's steps, and for each scratch register whether it holds truth values."""

    steps: tuple[Step, ...]
    scratch_kinds: tuple[bool, ...]


def assign_registers(program: Program) -> RegisterAssignment:
    """Give every value of a program a register.

    A value that is the new content of an array is written straight into that array, if the array's old content is not
    needed after that instruction; otherwise it waits in scratch and is copied at the end. A scratch register is free
    again after the last instruction that reads it.
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
        copies = [
            Step("copy", (self._register(value),), array)
            for array, value in self.program.outputs
            if self._register(value) != array
        ]
        return RegisterAssignment((*steps, *copies), tuple(self.scratch_kinds))

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
    """The number of the last instruction that reads an operand; outputs are read after all of them."""
    uses = {each: i for i, step in enumerate(program.instructions) for each in step.operands}
    return uses | {value: len(program.instructions) for _, value in program.outputs}
