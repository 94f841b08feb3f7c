"""Tracing of a rule's `coefficients`: its host scalars as expressions of hyperparameters and of t.

`coefficients` is called with symbols in place of the numbers of the rule and of the time. Functions of `math`, and a
few built-in ones, are replaced by functions of symbols. Where it branches on a symbol, it is called once for each
branch, and the results are joined by `where`.
"""

import builtins
import math
import types
from collections.abc import Callable, Mapping
from typing import Any

from mxtrain.names import normalize
from mxtrain.optim.formula.syntax import Expression, Name, Number, Operation, Place, parts, structure
from mxtrain.optim.rules.base import Rule

_NOWHERE = Place("", 0, 0)
_MAX_BRANCHES = 64
_OWN_PACKAGE = "mxtrain.optim."


class CannotPrintError(Exception):
    """A rule cannot be written as a formula; the message gives the reason."""


def operation(name: str, *operands: Expression) -> Operation:
    """Return an expression without a place."""
    return Operation(name, operands, _NOWHERE, _NOWHERE)


def name(text: str) -> Name:
    """Return a name without a place."""
    return Name(text, text, _NOWHERE)


def number(value: float) -> Number:
    """Return a number without a place."""
    return Number(float(value), _NOWHERE)


def _about_first_update(condition: Expression) -> bool | None:
    """Return the result of a comparison of t with a number, if it is that of every t from 1; otherwise None."""
    if not isinstance(condition, Operation):
        return None
    left, right = condition.operands
    if not (isinstance(left, Name) and left.name == "t" and isinstance(right, Number) and right.value <= 1):
        return None
    if condition.operation == ">" and right.value == 1:
        return None
    return {"<": False, ">=": True, ">": True}.get(condition.operation)


class _Branches:
    """Decisions of one call, of which the first are given and the others are True."""

    def __init__(self, given: tuple[bool, ...]) -> None:
        self.given = given
        self.conditions: list[Expression] = []

    def decide(self, condition: Expression) -> bool:
        """Return the decision about a condition."""
        known_result = _about_first_update(condition)
        if known_result is not None:
            return known_result
        for known, decision in zip(self.conditions, self.given, strict=False):
            if structure(known) == structure(condition):
                return decision
        self.conditions.append(condition)
        position = len(self.conditions) - 1
        return self.given[position] if position < len(self.given) else True


class _Scalar:
    """A symbolic scalar of the host."""

    __slots__ = ("branches", "expression")
    __hash__ = object.__hash__

    def __init__(self, expression: Expression, branches: _Branches) -> None:
        self.expression = expression
        self.branches = branches

    def _record(self, operator: str, *operands: Any) -> "_Scalar":
        return _Scalar(operation(operator, *map(_expression, operands)), self.branches)

    def __add__(self, other: Any) -> "_Scalar":
        return self._record("+", self, other)

    def __radd__(self, other: Any) -> "_Scalar":
        return self._record("+", other, self)

    def __sub__(self, other: Any) -> "_Scalar":
        return self._record("-", self, other)

    def __rsub__(self, other: Any) -> "_Scalar":
        return self._record("-", other, self)

    def __mul__(self, other: Any) -> "_Scalar":
        return self._record("*", self, other)

    def __rmul__(self, other: Any) -> "_Scalar":
        return self._record("*", other, self)

    def __truediv__(self, other: Any) -> "_Scalar":
        return self._record("/", self, other)

    def __rtruediv__(self, other: Any) -> "_Scalar":
        return self._record("/", other, self)

    def __pow__(self, other: Any) -> "_Scalar":
        return self._record("**", self, other)

    def __rpow__(self, other: Any) -> "_Scalar":
        return self._record("**", other, self)

    def __neg__(self) -> "_Scalar":
        return self._record("negative", self)

    def __abs__(self) -> "_Scalar":
        return self._record("absolute", self)

    def __lt__(self, other: Any) -> "_Condition":
        return _Condition(self._record("<", self, other).expression, self.branches)

    def __le__(self, other: Any) -> "_Condition":
        return _Condition(self._record("<=", self, other).expression, self.branches)

    def __gt__(self, other: Any) -> "_Condition":
        return _Condition(self._record(">", self, other).expression, self.branches)

    def __ge__(self, other: Any) -> "_Condition":
        return _Condition(self._record(">=", self, other).expression, self.branches)

    def __eq__(self, other: object) -> Any:
        return _Condition(self._record("==", self, other).expression, self.branches)

    def __ne__(self, other: object) -> Any:
        return _Condition(self._record("!=", self, other).expression, self.branches)

    def __bool__(self) -> bool:
        return self.branches.decide(self._record("!=", self, 0.0).expression)

    def __float__(self) -> float:
        _reject_times(self.expression)
        raise CannotPrintError("its coefficients convert a value with float")


class _Condition(_Scalar):
    """A symbolic comparison."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        return self.branches.decide(self.expression)


class _ScheduledScalar(_Scalar):
    """A symbolic number that can also be called with a time, as `ScheduledValue`."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __call__(self, time: Any) -> _Scalar:
        return self


def _expression(value: Any) -> Expression:
    if isinstance(value, _Condition):
        return operation("where", value.expression, number(1), number(0))
    if isinstance(value, _Scalar):
        return value.expression
    if isinstance(value, int | float):
        return number(value)
    raise CannotPrintError(f"coefficients uses {value!r}, which is not a number")


def _function(operator: str, plain: Callable[..., Any]) -> Callable[..., Any]:
    def apply(*values: Any) -> Any:
        symbol = next((each for each in values if isinstance(each, _Scalar)), None)
        return plain(*values) if symbol is None else symbol._record(operator, *values)

    return apply


def _float(value: Any) -> Any:
    return _Scalar(_expression(value), value.branches) if isinstance(value, _Scalar) else float(value)


_REPLACED: dict[Any, Any] = {
    math.sqrt: _function("sqrt", math.sqrt),
    math.exp: _function("exp", math.exp),
    math.log: _function("log", math.log),
    math.pow: _function("**", math.pow),
    builtins.max: _function("maximum", builtins.max),
    builtins.min: _function("minimum", builtins.min),
    builtins.float: _float,
}


def _with_symbols(function: types.FunctionType) -> types.FunctionType:
    """Return a function whose global names of functions stand for functions of symbols."""
    found = {each: getattr(builtins, each) for each in ("max", "min", "float")} | function.__globals__
    names = {each: found[each] for each in function.__code__.co_names if each in found}
    replaced: dict[str, Any] = {}
    for key, value in names.items():
        if isinstance(value, type | types.BuiltinFunctionType) and value in _REPLACED:
            replaced[key] = _REPLACED[value]
        elif isinstance(value, types.FunctionType) and value.__module__.startswith(_OWN_PACKAGE):
            replaced[key] = _with_symbols(value)
    copy = types.FunctionType(
        function.__code__,
        {**function.__globals__, **replaced},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


class _SymbolicRule:
    """Stands for a rule: its numbers are symbols, and its other fields plain values."""

    def __init__(self, rule: Rule, branches: _Branches) -> None:
        self._rule = rule
        self._branches = branches

    def __getattr__(self, field: str) -> Any:
        rule = self._rule
        field = normalize(field)
        if field == "learning_rate_at":
            return lambda time: _Scalar(name("η"), self._branches)
        if field == "learning_rate":
            return _ScheduledScalar(name("η"), self._branches)
        if field == "peak_learning_rate":
            return rule.peak_learning_rate
        value = getattr(type(rule), field, None)
        if isinstance(value, types.FunctionType):
            return types.MethodType(_with_symbols(value), self)
        value = getattr(rule, field)
        if field in type(rule).model_fields and isinstance(value, float):
            return _Scalar(name(field), self._branches)
        return value


_UNKNOWN_TIMES = ("time.iteration", "time.epochs")


class _SymbolicTime:
    """Stands for a time, of which a formula has only the number of the update."""

    def __init__(self, branches: _Branches) -> None:
        self.update = _Scalar(name("t"), branches)
        self.iteration, self.epochs = (_Scalar(name(each), branches) for each in _UNKNOWN_TIMES)


def trace_coefficients(rule: Rule) -> dict[str, Expression]:
    """Return the coefficients of a rule as expressions of η, λ, t, its other numbers, and its scalar slots.

    Raises:
        CannotPrintError: they do something that a formula cannot express.
    """
    calls = 0

    def call(given: tuple[bool, ...]) -> Mapping[str, Expression]:
        nonlocal calls
        calls += 1
        if calls > _MAX_BRANCHES:
            raise CannotPrintError(f"its coefficients have more than {_MAX_BRANCHES} branches")
        branches = _Branches(given)
        scalars = {each: _Scalar(name(each), branches) for each in rule.initial_scalars()}
        function: Any = _with_symbols(type(rule).coefficients)  # type: ignore[arg-type]  # a plain function
        try:
            values = function(_SymbolicRule(rule, branches), _SymbolicTime(branches), scalars)
            results = {key: _expression(value) for key, value in values.items()}
        except (TypeError, AttributeError, ValueError, ArithmeticError) as error:
            raise CannotPrintError(f"its coefficients cannot be traced: {error}") from None
        if len(branches.conditions) == len(given):
            return results
        condition = branches.conditions[len(given)]
        yes, no = call((*given, True)), call((*given, False))
        return {key: _joined(condition, yes[key], no[key]) for key in results}

    results = dict(call(()))
    for expression in results.values():
        _reject_times(expression)
    return results


def _reject_times(expression: Expression) -> None:
    for each in parts(expression):
        if isinstance(each, Name) and each.name in _UNKNOWN_TIMES:
            raise CannotPrintError(f"its coefficients depend on {each.name}, and a formula has only the number t")


def _joined(condition: Expression, yes: Expression, no: Expression) -> Expression:
    return yes if structure(yes) == structure(no) else operation("where", condition, yes, no)
