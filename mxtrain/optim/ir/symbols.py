"""Symbols that record operations, and the functions that rules are written with.

A rule's `update` is called once with symbols in place of arrays and scalars. Arithmetic on a symbol computes nothing:
it returns another symbol that stores the operation and its operands. The functions below do the same for symbols, and
compute the result for NumPy and CuPy arrays, so that an `update` can be traced and can also be called on arrays.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import numpy as np

from mxtrain.errors import TraceError
from mxtrain.optim.ir import summation

COMPARISONS: Final = ("less", "less_equal")
"""Operations whose result is a truth value."""
BINARY: Final = ("add", "subtract", "multiply", "divide", "maximum", "minimum", *COMPARISONS)
UNARY: Final = ("negative", "sqrt", "absolute")
OPERATIONS: Final = (*BINARY, *UNARY, "where", "sign")
REDUCTIONS: Final = ("sum", "dot", "max_abs")
"""Operations that combine all elements of an array; the result is a scalar."""

Scope: TypeAlias = Literal["parameter", "total"]
"""The elements that a reduction combines: those of one parameter, or those of all parameters of a step."""


class Symbol:
    """Symbolic value: an input (`operation` is "input"), a number, or an operation on other symbols.

    Attributes:
        operation: the name of the operation.
        operands: the symbols that it uses.
        label: the name of an input, or the value of a number.
        is_array: whether the value differs between elements, unlike a scalar of the whole update.
        is_condition: whether the value is the result of a comparison; in arithmetic it counts as 0 or 1.
        level: the number of reductions that have to be computed one after the other before the value is known.
    """

    is_array: bool
    is_condition: bool
    level: int
    __slots__ = ("is_array", "is_condition", "label", "level", "operands", "operation")
    __hash__ = object.__hash__

    def __init__(
        self, operation: str, operands: tuple[Symbol, ...] = (), *, label: Any = None, is_array: bool = False
    ) -> None:
        self.operation = operation
        self.operands = operands
        self.label = label
        is_reduction = operation in REDUCTIONS
        self.is_array = is_array or (not is_reduction and any(operand.is_array for operand in operands))
        self.is_condition = operation in COMPARISONS
        self.level = max((operand.level for operand in operands), default=0) + is_reduction

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
        return _power(self, other)

    def __rpow__(self, other: Any) -> Symbol:
        return _power(other, self)

    def __bool__(self) -> bool:
        raise TraceError(
            "a rule's update cannot branch on a value: it is traced once for all elements; "
            "use where(condition, a, b) in place of if, and, or, not, min and max"
        )

    def __float__(self) -> float:
        raise TraceError(
            "a rule's update cannot convert a value to a number: it is traced without values; "
            f"in place of float and the functions of math, {USE_FUNCTIONS}"
        )

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        raise TraceError("a rule's update cannot make a NumPy array of a value: it is traced without values")

    def __array_ufunc__(self, function: Any, method: str, *operands: Any, **options: Any) -> Symbol:
        """Record arithmetic of NumPy scalars with symbols, such as `np.float64(2) * g`; refuse other functions."""
        operation = _UFUNC_OPERATIONS.get(function.__name__)
        if operation is None or method != "__call__" or options:
            raise numpy_error(function.__name__)
        operands = operands[::-1] if function.__name__.startswith("greater") else operands
        return record_operation(operation, *operands)

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        raise numpy_error(function.__name__)

    def __matmul__(self, other: Any) -> Any:
        raise TraceError(
            "a rule's update works on each element, and cannot multiply matrices: subclass MatrixRule, and use "
            "operations.multiply in its update_matrix"
        )

    __rmatmul__ = __matmul__

    def __getitem__(self, index: Any) -> Any:
        raise TraceError(
            "a rule's update works on each element, and cannot index arrays: use where(condition, a, b) to choose "
            "values, or subclass MatrixRule"
        )

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TraceError("a rule's update cannot change arrays in place: return the new values")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise TraceError(
            f"a rule's update cannot use .{name} of a value: it is traced without arrays; {_remedy_for(name)}"
        )

    def __repr__(self) -> str:
        return f"<{self.label if self.label is not None else self.operation}>"


USE_FUNCTIONS: Final = "use + - * /, comparisons and the functions of mxtrain.optim.ir"
_FUNCTIONS = (
    *("sqrt", "absolute", "sign", "maximum", "minimum", "where", "sum", "mean", "dot", "norm", "max_abs"),
    *("total_sum", "total_mean", "total_dot", "total_norm", "total_max_abs"),
)
_REPLACEMENTS = {
    "abs": "absolute(x)",
    "square": "x * x",
    "power": "x * x or sqrt(x)",
    "clip": "minimum(maximum(x, low), high)",
    "max": "max_abs(x)",
    "vdot": "dot(x, y)",
}
"""Replacements for functions and methods of NumPy that have other names here."""
_UFUNC_OPERATIONS = {
    **{name: name for name in ("add", "subtract", "multiply", "divide", "less", "less_equal")},
    "greater": "less",
    "greater_equal": "less_equal",
}


def numpy_error(name: str) -> TraceError:
    """Return the error of a NumPy function that is called with symbols."""
    return TraceError(f"a rule's update cannot use NumPy's {name}: it is traced without arrays; {_remedy_for(name)}")


def _remedy_for(name: str) -> str:
    if name in _FUNCTIONS:
        return f"use {name} of mxtrain.optim.ir"
    return f"write {_REPLACEMENTS[name]}" if name in _REPLACEMENTS else USE_FUNCTIONS


def record_operation(operation: str, *operands: Any) -> Symbol:
    """Return the symbol of an operation; numbers among the operands become constants, and comparisons 0 or 1."""
    symbols = tuple(_to_symbol(operand) for operand in operands)
    if operation == "where":
        if not symbols[0].is_condition:
            raise TraceError(
                f"where(condition, a, b) needs a comparison, such as a < b, as its condition; got {symbols[0]!r}"
            )
        return Symbol(operation, (symbols[0], *map(_to_number, symbols[1:])))
    return Symbol(operation, tuple(map(_to_number, symbols)))


def _to_number(symbol: Symbol) -> Symbol:
    """Return a comparison as 1 where it is true and 0 elsewhere; other symbols unchanged."""
    return Symbol("where", (symbol, _to_symbol(1), _to_symbol(0))) if symbol.is_condition else symbol


def _power(of: Any, to: Any) -> Symbol:
    base, exponent = _to_number(_to_symbol(of)), _to_number(_to_symbol(to))
    if base.is_array or exponent.is_array:
        raise TraceError("a rule's update cannot use powers of arrays: write x * x or sqrt(x)")
    if base.level == exponent.level == 0:
        return Symbol("power", (base, exponent))
    count = exponent.label if exponent.operation == "number" else None
    if not isinstance(count, float) or count != int(count) or not 1 <= count <= 16:
        raise TraceError(
            f"a power of a sum needs a whole exponent from 1 to 16, got {exponent!r}; write sqrt(x) for a root"
        )
    result: Symbol = base
    for _ in range(int(count) - 1):
        result = record_operation("multiply", result, base)
    return result


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


def input_state(name: str) -> Symbol:
    """Return the symbol of a scalar that an update computes from reductions, such as the distance of Prodigy."""
    symbol = Symbol("state", label=name)
    symbol.level = 1  # known where the arrays are, not on the host
    return symbol


def _record_or_compute(operation: str, *operands: Any) -> Any:
    if _has_symbol(operands):
        return record_operation(operation, *operands)
    return getattr(np, operation)(*operands)


def _has_symbol(operands: tuple[Any, ...]) -> bool:
    return any(isinstance(operand, Symbol) for operand in operands)


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


def sign(x: Any) -> Any:
    """Return 1 for positive values, -1 for negative ones, 0 for zeros of either sign, and NaN for NaN."""
    return record_operation("sign", x, 1, 0) if isinstance(x, Symbol) else np.sign(x) + 0.0


def _reduce(operation: str, scope: Scope, *operands: Any, called: str = "") -> Any:
    if not _has_symbol(operands):
        return summation.reduce_array(operation, *operands)
    symbols = tuple(_to_number(_to_symbol(operand)) for operand in operands)
    for symbol in symbols:
        if not symbol.is_array:
            raise TraceError(f"{called or operation} needs arrays, such as W or g; got the scalar {symbol!r}")
    return Symbol(operation, symbols, label=scope)


def sum(x: Any) -> Any:  # noqa: A001 - the name in NumPy
    """Return the sum of the elements of one parameter, added in float64 in the order of `summation`."""
    return _reduce("sum", "parameter", x)


def mean(x: Any) -> Any:
    """Return the mean of the elements of one parameter, in float64."""
    return sum(x) / (Symbol("size") if isinstance(x, Symbol) else np.float64(np.size(x)))


def dot(x: Any, y: Any) -> Any:
    """Return the sum of the products of the elements of one parameter; products are formed in float64."""
    return _reduce("dot", "parameter", x, y)


def norm(x: Any) -> Any:
    """Return the Euclidean norm of one parameter, in float64."""
    return sqrt(_reduce("dot", "parameter", x, x, called="norm"))


def max_abs(x: Any) -> Any:
    """Return the largest absolute value of one parameter, 0 if it has no elements, NaN if any element is NaN."""
    return _reduce("max_abs", "parameter", x)


def total_sum(x: Any) -> Any:
    """Return the sum over the elements of all parameters of a step."""
    return _reduce("sum", "total", x, called="total_sum")


def total_dot(x: Any, y: Any) -> Any:
    """Return the sum of products over the elements of all parameters of a step."""
    return _reduce("dot", "total", x, y, called="total_dot")


def total_norm(x: Any) -> Any:
    """Return the Euclidean norm of all parameters of a step together."""
    return sqrt(_reduce("dot", "total", x, x, called="total_norm"))


def total_max_abs(x: Any) -> Any:
    """Return the largest absolute value in all parameters of a step."""
    return _reduce("max_abs", "total", x, called="total_max_abs")


def total_mean(x: Any) -> Any:
    """Return the mean over the elements of all parameters of a step."""
    return total_sum(x) / (Symbol("total_size") if isinstance(x, Symbol) else np.float64(np.size(x)))
