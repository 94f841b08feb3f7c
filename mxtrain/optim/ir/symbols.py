"""Symbols that record operations, and the functions that rules are written with.

A rule's `update` is called once with symbols in place of arrays and scalars. Arithmetic on a symbol computes nothing:
it returns another symbol that stores the operation and its operands. The functions below do the same for symbols, and
compute the result for NumPy and CuPy arrays, so that an `update` can be traced and can also be called on arrays.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from mxtrain.errors import TraceError

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
