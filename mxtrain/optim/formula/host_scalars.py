"""Scalars of a formula that the host evaluates, in float64 with the results of IEEE 754."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from mxtrain.optim.formula.compiler import CompiledFormula
from mxtrain.optim.formula.syntax import COMPARISONS, Expression, Name, Number, Operation, parts

_Environment: TypeAlias = dict[str, Any]
_HostFunction: TypeAlias = Callable[[_Environment], float]


def divide(a: float, b: float) -> float:
    """Return `a/b` with the results of IEEE 754: infinity or NaN where Python raises.

    >>> divide(1.0, 0.0), divide(-1.0, 0.0), divide(0.0, 0.0)
    (inf, -inf, nan)
    """
    try:
        return a / b
    except ZeroDivisionError:
        if a == 0 or math.isnan(a):
            return math.nan
        return math.copysign(math.inf, a) * math.copysign(1.0, b)


def power(a: float, b: float) -> float:
    """Return `a**b` with the results of IEEE 754.

    >>> power(2.0, 3.0), power(0.0, -1.0), power(-1.0, 0.5), power(10.0, 400.0)
    (8.0, inf, nan, inf)
    """
    try:
        return math.pow(a, b)
    except OverflowError:
        return -math.inf if a < 0 and b % 2 == 1 else math.inf
    except ValueError:
        return math.inf if a == 0 else math.nan


def square_root(a: float) -> float:
    """Return the square root; NaN of a negative number."""
    return math.nan if a < 0 else math.sqrt(a)


def exponential(a: float) -> float:
    """Return the exponential; infinity where it overflows."""
    try:
        return math.exp(a)
    except OverflowError:
        return math.inf


def logarithm(a: float) -> float:
    """Return the natural logarithm; -infinity of 0, and NaN of a negative number."""
    return math.log(a) if a > 0 else -math.inf if a == 0 else a if math.isnan(a) else math.nan


def maximum(a: float, b: float) -> float:
    """Return the larger of two numbers; NaN if either is NaN."""
    return a if a >= b or math.isnan(a) else b


def minimum(a: float, b: float) -> float:
    """Return the smaller of two numbers; NaN if either is NaN."""
    return a if a <= b or math.isnan(a) else b


def sign(a: float) -> float:
    """Return the sign, 0 for a zero, and NaN for NaN."""
    return float((a > 0) - (a < 0)) if not math.isnan(a) else a


def where(condition: bool, a: float, b: float) -> float:
    """Return one of two numbers."""
    return a if condition else b


ARITHMETIC: dict[str, Callable[..., Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "negative": lambda a: -a,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_HOST: dict[str, Callable[..., Any]] = {
    **ARITHMETIC,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "/": divide,
    "**": power,
    "sqrt": square_root,
    "exp": exponential,
    "log": logarithm,
    "absolute": abs,
    "maximum": maximum,
    "minimum": minimum,
    "sign": sign,
    "where": where,
}


def host_function(expression: Expression) -> _HostFunction:
    """Return a function that evaluates a host scalar from the values of names; it never raises."""
    if isinstance(expression, Number):
        value = expression.value
        return lambda values: value
    if isinstance(expression, Name):
        name = expression.name
        return lambda values: values[name]
    assert isinstance(expression, Operation), "the compiler replaces terms"
    function = _HOST[expression.operation]
    operands = [host_function(each) for each in expression.operands]
    if len(operands) == 1:
        (only,) = operands
        return lambda values: function(only(values))
    if len(operands) == 2:
        first, second = operands
        return lambda values: function(first(values), second(values))
    return lambda values: function(*[each(values) for each in operands])


class HostScalars:
    """The scalars that the host evaluates before an update, without those that nothing needs.

    Args:
        formula: the compiled formula.
    """

    def __init__(self, formula: CompiledFormula) -> None:
        results = [(name, name) for name in formula.inputs] + list(formula.host_state)
        needed = {new for _, new in results}
        steps = []
        for name, expression in reversed(formula.host):
            if name in needed:
                needed |= {each.name for each in parts(expression) if isinstance(each, Name)}
                steps.append((name, expression))
        self._assignments = steps[::-1]
        self._results = results
        self._steps = [(name, host_function(expression)) for name, expression in self._assignments]
        self._fast: Callable[[_Environment], tuple[float, ...]] | None = None

    def evaluate(self, values: _Environment) -> dict[str, float]:
        """Return the inputs of the update and the new scalar slots, in float64.

        Args:
            values: the values of the shared names, of `let`, and the old values of scalar slots; it is extended.
        """
        if self._fast is None:
            self._fast = fast_function(self._assignments, [new for _, new in self._results])
        try:
            numbers = self._fast(values)
        except (ArithmeticError, ValueError):  # Python raises where IEEE 754 has infinity or NaN
            for name, function in self._steps:
                values[name] = function(values)
            numbers = tuple(values[new] for _, new in self._results)
        return {name: number for (name, _), number in zip(self._results, numbers, strict=True)}


_FAST: dict[str, str] = {
    "+": "({} + {})",
    "-": "({} - {})",
    "*": "({} * {})",
    "/": "({} / {})",
    "**": "pow({}, {})",
    "negative": "(-{})",
    "where": "({1} if {0} else {2})",
    **{comparison: f"({{}} {comparison} {{}})" for comparison in COMPARISONS},
    **{function: f"{function}({{}})" for function in ("sqrt", "exp", "log", "absolute", "sign")},
    **{function: f"{function}({{}}, {{}})" for function in ("maximum", "minimum")},
}

_FAST_FUNCTIONS: dict[str, Any] = {
    **{name: getattr(math, name) for name in ("pow", "sqrt", "exp", "log")},
    "absolute": abs,
    "sign": sign,
    "maximum": maximum,
    "minimum": minimum,
}


def fast_function(
    assignments: Sequence[tuple[str, Expression]], results: Sequence[str]
) -> Callable[[_Environment], tuple[float, ...]]:
    """Return a function from the values of names to the results of assignments, which raises as Python does.

    Its source consists of operations and numbered variables: it contains no name and no number of the formula.
    """
    variables: dict[str, str] = {}
    constants: dict[str, Any] = dict(_FAST_FUNCTIONS)

    def variable(name: str) -> str:
        if name not in variables:
            key, variables[name] = f"n{len(variables)}", f"v{len(variables)}"
            constants[key] = name
            lines.append(f"    {variables[name]} = values[{key}]")
        return variables[name]

    def source(expression: Expression) -> str:
        if isinstance(expression, Number):
            key = f"k{len(constants)}"
            constants[key] = expression.value
            return key
        if isinstance(expression, Name):
            return variable(expression.name)
        assert isinstance(expression, Operation), "the compiler replaces terms"
        return _FAST[expression.operation].format(*map(source, expression.operands))

    lines = ["def evaluate(values):"]
    for name, expression in assignments:
        text = source(expression)
        variables[name] = f"v{len(variables)}"
        lines.append(f"    {variables[name]} = {text}")
    returned = "".join(f"{variable(name)}, " for name in results)
    lines.append(f"    return ({returned})")
    namespace = dict(constants)
    exec("\n".join(lines), namespace)
    function: Callable[[_Environment], tuple[float, ...]] = namespace["evaluate"]
    return function
