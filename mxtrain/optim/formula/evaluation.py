"""Updates of compiled formulas, as functions of symbols or arrays."""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from inspect import Parameter, Signature
from typing import Any, NamedTuple

from mxtrain.optim.formula.compiler import CompiledFormula, compile_formula
from mxtrain.optim.formula.definition import Definition
from mxtrain.optim.formula.host_scalars import ARITHMETIC, HostScalars
from mxtrain.optim.formula.syntax import Expression, Name, Number, Operation
from mxtrain.optim.ir import increment, symbols

_SYMBOLS: dict[str, Callable[..., Any]] = {
    **ARITHMETIC,
    "/": lambda a, b: a / b,
    **{
        name: getattr(symbols, name)
        for name in (
            *("sqrt", "absolute", "sign", "maximum", "minimum", "where"),
            *("sum", "mean", "norm", "max_abs", "dot"),
            *("total_sum", "total_mean", "total_norm", "total_max_abs", "total_dot"),
        )
    },
    "increment": increment,
    "decrement": partial(increment, negated=True),
}


class FormulaUpdate:
    """The update of a formula: a function of symbols or arrays, like that of a rule in Python.

    Args:
        formula: the compiled formula.
    """

    def __init__(self, formula: CompiledFormula) -> None:
        self._formula = formula
        self._arrays = ["W", "g", *(name for name, _ in formula.outputs if name != "W")]
        positional = [Parameter(name, Parameter.POSITIONAL_ONLY) for name in self._arrays]
        names = (*formula.inputs, *dict(formula.device_state))
        self.__signature__ = Signature([*positional, *(Parameter(name, Parameter.KEYWORD_ONLY) for name in names)])

    def __call__(self, *arrays: Any, **scalars: Any) -> tuple[Any, ...]:
        values: dict[str, Any] = {**dict(zip(self._arrays, arrays, strict=True)), **scalars}
        for name, expression in self._formula.arrays:
            values[name] = _evaluate(expression, values)
        results = [expression for _, expression in (*self._formula.outputs, *self._formula.device_state)]
        return tuple(_evaluate(each, values) for each in results)


class RunnableFormula(NamedTuple):
    """A formula that can be run.

    Attributes:
        definition: its names and texts.
        compiled: the checked formula.
        host: its host scalars.
        update: its update.
    """

    definition: Definition
    compiled: CompiledFormula
    host: HostScalars
    update: FormulaUpdate


@lru_cache(maxsize=256)
def formula_of(definition: Definition) -> RunnableFormula:
    """Return the formula of a valid definition; equal definitions have one, and so one program."""
    compiled, problems = compile_formula(definition)
    assert compiled is not None, f"a formula is checked when its rule is made: {problems}"
    return RunnableFormula(definition, compiled, HostScalars(compiled), FormulaUpdate(compiled))


def _evaluate(expression: Expression, values: Mapping[str, Any]) -> Any:
    if isinstance(expression, Number):
        return expression.value
    if isinstance(expression, Name):
        return values[expression.name]
    assert isinstance(expression, Operation), "the compiler replaces terms"
    operation = expression.operation
    if operation == "where":
        return _where(expression, values)
    operands = [_evaluate(each, values) for each in expression.operands]
    if operation == "**":
        base, exponent = operands
        result = base
        for _ in range(int(exponent) - 1):
            result = result * base
        return result
    return _SYMBOLS[operation](*operands)


def _where(expression: Operation, values: Mapping[str, Any]) -> Any:
    """Evaluate `where`; an equality becomes two comparisons, which programs have."""
    condition = expression.operands[0]
    assert isinstance(condition, Operation), "the compiler checked that it is a comparison"
    a, b = (_evaluate(each, values) for each in condition.operands)
    equal, other = (_evaluate(each, values) for each in expression.operands[1:])
    if condition.operation not in ("==", "!="):
        return symbols.where(_SYMBOLS[condition.operation](a, b), equal, other)
    if condition.operation == "!=":
        equal, other = other, equal
    return symbols.where(a <= b, symbols.where(b <= a, equal, other), other)
