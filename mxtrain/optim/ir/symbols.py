"""Symbols that record operations, and the functions that rules are written with.

A rule's `update` is called once with symbols in place of arrays and scalars. Arithmetic on a symbol computes nothing:
it returns another symbol that stores the operation and its operands. The functions below do the same for symbols, and
compute the result for NumPy and CuPy arrays, so that an `update` can be traced and can also be called on arrays.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np

from mxtrain.errors import TraceError
from mxtrain.optim.ir.program import Instruction, Operand, Program, Scalar

COMPARISONS: Final = ("less", "less_equal")
"""Operations whose result is a truth value."""
BINARY: Final = ("add", "subtract", "multiply", "divide", "maximum", "minimum", *COMPARISONS)
UNARY: Final = ("negative", "sqrt", "absolute")
OPERATIONS: Final = (*BINARY, *UNARY, "where")


class Symbol:
    """Symbolic value: an input (`operation` is "input"), a number, or an operation on other symbols.

    Attributes:
        operation: the name of the operation.
        operands: the symbols that it uses.
        label: the name of an input, or the value of a number.
        is_array: whether the value differs between elements, unlike a scalar of the whole update.
        is_condition: whether the value is the result of a comparison, which only `where` accepts.
    """

    is_array: bool
    is_condition: bool
    __slots__ = ("is_array", "is_condition", "label", "operands", "operation")
    __array_ufunc__ = None  # makes a NumPy scalar on the left defer to the symbol
    __hash__ = object.__hash__

    def __init__(
        self, operation: str, operands: tuple[Symbol, ...] = (), *, label: Any = None, is_array: bool = False
    ) -> None:
        self.operation = operation
        self.operands = operands
        self.label = label
        self.is_array = is_array or any(operand.is_array for operand in operands)
        self.is_condition = operation in COMPARISONS

    def __add__(self, other: Any) -> Symbol:
        return record_operation("add", self, other)

    def __radd__(self, other: Any) -> Symbol:
        return record_operation("add", other, self)

    def __sub__(self, other: Any) -> Symbol:
        return record_operation("subtract", self, other)

    def __rsub__(self, other: Any) -> Symbol:
        return record_operation("subtract", other, self)

    def __mul__(self, other: Any) -> Symbol:
        return record_operation("multiply", self, other)

    def __rmul__(self, other: Any) -> Symbol:
        return record_operation("multiply", other, self)

    def __truediv__(self, other: Any) -> Symbol:
        return record_operation("divide", self, other)

    def __rtruediv__(self, other: Any) -> Symbol:
        return record_operation("divide", other, self)

    def __neg__(self) -> Symbol:
        return record_operation("negative", self)

    def __abs__(self) -> Symbol:
        return record_operation("absolute", self)

    def __lt__(self, other: Any) -> Symbol:
        return record_operation("less", self, other)

    def __le__(self, other: Any) -> Symbol:
        return record_operation("less_equal", self, other)

    def __gt__(self, other: Any) -> Symbol:
        return record_operation("less", other, self)

    def __ge__(self, other: Any) -> Symbol:
        return record_operation("less_equal", other, self)

    def __eq__(self, other: object) -> bool:
        raise TraceError("a rule's update cannot compare with == or !=; write where(a <= b, …) instead")

    def __pow__(self, other: Any) -> Symbol:
        raise TraceError(
            "a rule's update cannot use powers: write x * x or sqrt(x); powers of scalars belong in coefficients"
        )

    def __bool__(self) -> bool:
        raise TraceError(
            "a rule's update cannot branch on a value: it is traced once for all elements; "
            "use where(condition, a, b) in place of if, and, or, not, min and max"
        )

    def __float__(self) -> float:
        raise TraceError("a rule's update cannot convert a value to a number: it is traced without values")

    def __repr__(self) -> str:
        return f"<{self.label if self.label is not None else self.operation}>"


def record_operation(operation: str, *operands: Any) -> Symbol:
    """Return the symbol of an operation; numbers among the operands become constants."""
    symbols = tuple(_to_symbol(operand) for operand in operands)
    conditions = symbols[1:] if operation == "where" else symbols
    if any(symbol.is_condition for symbol in conditions):
        raise TraceError("the result of a comparison can only be the condition of where(condition, a, b)")
    if operation == "where" and not symbols[0].is_condition:
        raise TraceError("where(condition, a, b) needs a comparison, such as a < b, as its condition")
    return Symbol(operation, symbols)


def _to_symbol(operand: Any) -> Symbol:
    if isinstance(operand, Symbol):
        return operand
    if isinstance(operand, bool) or not isinstance(operand, int | float):
        raise TraceError(f"a rule's update can use symbols and numbers, got {operand!r}")
    return Symbol("number", label=float(operand))


def input_array(name: str) -> Symbol:
    """Return the symbol of an array: the weight, the gradient or a slot."""
    return Symbol("input", label=name, is_array=True)


def input_scalar(name: str) -> Symbol:
    """Return the symbol of a coefficient."""
    return Symbol("input", label=name)


def _record_or_compute(operation: str, *operands: Any) -> Any:
    if any(isinstance(operand, Symbol) for operand in operands):
        return record_operation(operation, *operands)
    return getattr(np, operation)(*operands)


def sqrt(x: Any) -> Any:
    """Return the square root, correctly rounded."""
    return _record_or_compute("sqrt", x)


def absolute(x: Any) -> Any:
    """Return the absolute value; the sign of a zero or a NaN is cleared too."""
    return _record_or_compute("absolute", x)


def maximum(a: Any, b: Any) -> Any:
    """Return the larger of two values; NaN if either is NaN. Of two zeros of different sign, either one."""
    return _record_or_compute("maximum", a, b)


def minimum(a: Any, b: Any) -> Any:
    """Return the smaller of two values; NaN if either is NaN. Of two zeros of different sign, either one."""
    return _record_or_compute("minimum", a, b)


def where(condition: Any, a: Any, b: Any) -> Any:
    """Return `a` where the condition is true and `b` elsewhere; both are computed."""
    return _record_or_compute("where", condition, a, b)


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
