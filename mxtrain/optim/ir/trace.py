"""Tracing: call the update of a rule with symbols, and record its operations as a program."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from mxtrain.errors import TraceError
from mxtrain.optim.ir.program import Instruction, Operand, Program, Scalar
from mxtrain.optim.ir.symbols import COMPARISONS, Symbol, input_array, input_scalar, maximum, minimum


def trace(
    name: str, formula: Callable[..., Mapping[str, Any]], arrays: Sequence[str], scalars: Sequence[str]
) -> Program:
    """Record the program of a formula.

    Args:
        name: the name of the program.
        formula: a function that is called once, with a symbol for every array (by position) and every scalar (by
            name), and returns the symbol of the new value of each array that changes.
        arrays: names of the input arrays.
        scalars: names of the coefficients.

    Returns:
        The instructions in the order in which the formula computed them. Operations on scalars alone are evaluated on
        the host, and an operation that is written twice is computed once.

    Raises:
        TraceError: the formula branches on a symbol, or returns something else than symbols.
    """
    results = formula(*map(input_array, arrays), **{scalar: input_scalar(scalar) for scalar in scalars})
    builder = _ProgramBuilder(tuple(arrays))
    changes = [(number, results[name]) for number, name in enumerate(arrays) if name in results]
    outputs = [(number, builder.output(number, result)) for number, result in changes]
    written = tuple((number, value) for number, value in outputs if value is not None)
    return Program(name, builder.arrays, tuple(builder.scalars), tuple(builder.instructions), written)


class _ProgramBuilder:
    """Orders symbols as instructions: each operation after its operands, equal operations once."""

    def __init__(self, arrays: tuple[str, ...]) -> None:
        self.arrays = arrays
        self.scalars: dict[Scalar, int] = {}
        self.instructions: dict[Instruction, int] = {}
        self.operands_by_id: dict[int, Operand] = {}

    def output(self, number: int, symbol: Any) -> Operand | None:
        """Return the operand with the new value of array `number`; None if the array does not change."""
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
        raise TraceError("where on scalars alone belongs in the rule's coefficients, which may branch")
    return Scalar(symbol.operation, tuple(map(_scalar, symbol.operands)), symbol.label)


def keyword_only_names(formula: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a function's keyword-only parameters: the coefficients that a rule's `update` needs."""
    parameters = inspect.signature(formula).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class GradientStage:
    """Steps of the gradient stage that a rule needs; they are part of the traced program, their values are not.

    1. `scale ≠ 0`: `g ← scale·g`
    2. `clip > 0`: `g ← min(max(g, -clip), clip)`
    3. `λ > 0`: `g ← g + λ·W`, unless the rule decouples the decay from the gradient
    """

    scales: bool
    clips: bool
    decays: bool

    @property
    def scalars(self) -> tuple[str, ...]:
        """Names of the coefficients of the stage."""
        needed = {"scale": self.scales, "clip": self.clips, "λ": self.decays}
        return tuple(name for name, is_needed in needed.items() if is_needed)

    def apply(self, W: Any, g: Any, *, scale: Any = None, clip: Any = None, λ: Any = None) -> Any:
        """Return the gradient that the rule receives; works on symbols and on arrays."""
        if self.scales:
            g = scale * g
        if self.clips:
            g = minimum(maximum(g, -clip), clip)
        if self.decays:
            g = g + λ * W
        return g


@cache
def update_program(
    name: str, update: Callable[..., tuple[Any, ...]], slots: tuple[str, ...], stage: GradientStage
) -> Program:
    """Return the program of one update: the gradient stage, then the rule.

    It is cached, and independent of the values of coefficients: optimizers that differ in η or β share it.

    Args:
        name: the name of the program.
        update: the `update` function of the rule.
        slots: names of the slots.
        stage: the steps of the gradient stage.

    Raises:
        TraceError: `update` cannot be traced, or returns something else than a tuple of W and the slots.
    """
    names = keyword_only_names(update)

    def formula(W: Any, g: Any, *slot_arrays: Any, **scalars: Any) -> dict[str, Any]:
        g = stage.apply(W, g, **{key: scalars[key] for key in stage.scalars})
        results = update(W, g, *slot_arrays, **{key: scalars[key] for key in names})
        if not isinstance(results, tuple) or len(results) != 1 + len(slots):
            raise TraceError(
                f"the update of {name} must return a tuple of W and {len(slots)} slots: {', '.join(slots)}"
            )
        return dict(zip(("W", *slots), results, strict=True))

    return trace(name, formula, ("W", "g", *slots), tuple(dict.fromkeys((*stage.scalars, *names))))


@cache
def gradient_program(stage: GradientStage) -> Program:
    """Return the program of the gradient stage alone, which overwrites `g`."""
    return trace("gradient", lambda W, g, **scalars: {"g": stage.apply(W, g, **scalars)}, ("W", "g"), stage.scalars)
