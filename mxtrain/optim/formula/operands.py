"""Operands of operations: their types, and the operands that each operation accepts."""

import math
import operator
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

from mxtrain.optim.formula.syntax import FUNCTIONS, Expression, Number, Operation, is_reduction

Kind: TypeAlias = Literal["host", "scalar", "array"]
"""Kind of a value: a scalar of the host, a scalar that depends on sums, or an array."""
RANKS: tuple[Kind, ...] = ("host", "scalar", "array")
DESCRIPTIONS = {"host": "a scalar", "scalar": "a sum", "array": "an array"}
_MAX_POWER = 16
_LITERAL_OPERATIONS: dict[str, Callable[..., float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "negative": operator.neg,
}


class TypedExpression(NamedTuple):
    """An expression in which names are resolved.

    Attributes:
        expression: the expression; None if it has a problem.
        kind: the kind of its value.
        is_condition: True for a comparison.
        depth: the number of operations one after the other.
        level: the number of sums one after the other.
    """

    expression: Expression | None
    kind: Kind = "array"
    is_condition: bool = False
    depth: int = 0
    level: int = 0


UNKNOWN = TypedExpression(None)


def operand_problem(operation: str, shown: str, operands: list[TypedExpression]) -> str | None:
    """Return the reason that an operation does not accept its operands.

    Args:
        operation: the operation.
        shown: its name as it was typed.
        operands: the operands.
    """
    count = len(operands)
    wanted = FUNCTIONS.get(operation, count)
    if count != wanted:
        return f"{shown} takes {wanted} argument{'s' * (wanted > 1)}, got {count}"
    is_where = operation == "where"
    for number, each in enumerate(operands):
        if each.expression is not None and each.is_condition != (is_where and number == 0):
            if each.is_condition:
                return "a comparison is allowed only as the first argument of where"
            return f"the first argument of where must be a comparison, such as a < b, got {DESCRIPTIONS[each.kind]}"
    for each in operands:
        if each.expression is None:
            continue
        if (is_reduction(operation) or operation in ("increment", "decrement")) and each.kind != "array":
            return f"{shown} needs an array, such as W or g, got {DESCRIPTIONS[each.kind]}"
        if operation in ("exp", "log") and each.kind != "host":
            return f"{shown} is a function of scalars, such as t, got {DESCRIPTIONS[each.kind]}"
    is_infinity = operation == "/" and bool(literal_value(operands[0].expression))  # spelled as 1/0
    if operation == "/" and literal_value(operands[1].expression) == 0 and not is_infinity:
        return "division by 0, for which the formula has no finite value"
    return _power_problem(operands) if operation == "**" else None


def literal_value(expression: Expression | None) -> float | None:
    """Return the value of an expression of numbers only; None for any other, or if it has no finite value."""
    if isinstance(expression, Number):
        return float(expression.value)
    if not isinstance(expression, Operation):
        return None
    operands = [literal_value(each) for each in expression.operands]
    function = _LITERAL_OPERATIONS.get(expression.operation)
    if function is None or any(each is None for each in operands):
        return None
    try:
        value = function(*operands)
    except (ArithmeticError, ValueError):
        return None
    return value if isinstance(value, float) and math.isfinite(value) else None


def _power_problem(operands: list[TypedExpression]) -> str | None:
    base, exponent = operands
    power = literal_value(exponent.expression)
    if literal_value(base.expression) == 0 and power is not None and power < 0:
        return "a negative power of 0, for which the formula has no finite value"
    if base.expression is None or exponent.expression is None or base.kind == exponent.kind == "host":
        return None
    number = exponent.expression
    if isinstance(number, Number) and number.value == int(number.value) and 1 <= number.value <= _MAX_POWER:
        return None
    what = DESCRIPTIONS[base.kind if base.kind != "host" else exponent.kind]
    return f"a power of {what} needs a whole exponent from 1 to {_MAX_POWER}; write sqrt(x) for a root"
