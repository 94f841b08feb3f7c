"""Tracing: call a function with symbols and record a program."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mxtrain.errors import TraceError
from mxtrain.optim.ir.program import Instruction, Operand, Program, Scalar
from mxtrain.optim.ir.symbols import COMPARISONS, Symbol, input_array, input_scalar


def trace(
    name: str, formula: Callable[..., Mapping[str, Any]], arrays: Sequence[str], scalars: Sequence[str]
) -> Program:
    """The program of a formula.

    Args:
        name: the program's name.
        formula: called once, with a symbol for every array (by position) and every scalar (by name); returns, for
            each array that changes, the symbol of its new value.
        arrays: names of the input arrays.
        scalars: names of the coefficients.

    Returns:
        The instructions in the order in which the formula computed them. What only involves scalars is left to the
        host; what is written twice is computed once.

    Raises:
        TraceError: the formula branches on a symbol, or returns something else than symbols.
    """
    results = formula(*map(input_array, arrays), **{scalar: input_scalar(scalar) for scalar in scalars})
    recorder = _ProgramBuilder(tuple(arrays))
    changes = [(number, results[name]) for number, name in enumerate(arrays) if name in results]
    outputs = [(number, recorder.output(number, result)) for number, result in changes]
    written = tuple((number, value) for number, value in outputs if value is not None)
    return Program(name, recorder.arrays, tuple(recorder.scalars), tuple(recorder.instructions), written)


class _ProgramBuilder:
    """Brings symbols into order: each operation after its operands, equal operations once."""

    def __init__(self, arrays: tuple[str, ...]) -> None:
        self.arrays = arrays
        self.scalars: dict[Scalar, int] = {}
        self.instructions: dict[Instruction, int] = {}
        self.operands_by_id: dict[int, Operand] = {}

    def output(self, number: int, symbol: Any) -> Operand | None:
        """The value that array `number` becomes; None where it stays what it is."""
        if not isinstance(symbol, Symbol) or symbol.is_condition:
            raise TraceError(f"a rule's update must return symbols, one for W and one for each slot; got {symbol!r}")
        operand = self._operand(symbol)
        if operand.space == "value":
            return operand
        return None if operand == Operand("array", number) else self._instruction("copy", operand)

    def _operand(self, symbol: Symbol) -> Operand:
        if not symbol.is_array:
            return Operand("scalar", self.scalars.setdefault(_scalar(symbol), len(self.scalars)))
        if symbol.operation == "input":
            return Operand("array", self.arrays.index(symbol.label))
        if id(symbol) not in self.operands_by_id:
            self.operands_by_id[id(symbol)] = self._instruction(symbol.operation, *map(self._operand, symbol.operands))
        return self.operands_by_id[id(symbol)]

    def _instruction(self, operation: str, *operands: Operand) -> Operand:
        step = Instruction(operation, operands)
        return Operand("value", self.instructions.setdefault(step, len(self.instructions)))


def _scalar(symbol: Symbol) -> Scalar:
    if symbol.operation in (*COMPARISONS, "where"):
        raise TraceError("where on scalars alone belongs into the rule's coefficients, which may branch")
    return Scalar(symbol.operation, tuple(map(_scalar, symbol.operands)), symbol.label)


def keyword_only_names(formula: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's keyword-only parameters: the coefficients that a rule's `update` asks for."""
    parameters = inspect.signature(formula).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)
