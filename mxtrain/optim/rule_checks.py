"""Checks of the rules that users write: each mistake is a TraceError of one line with a remedy."""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from numbers import Real
from pathlib import Path
from types import CodeType
from typing import Any

from mxtrain.errors import MxtrainError, TraceError
from mxtrain.names import display_name, field_name, nearest
from mxtrain.optim.ir import AnyProgram, error_text, keyword_only_names
from mxtrain.optim.rules.base import Rule
from mxtrain.optim.rules.matrix_rule import MatrixRule
from mxtrain.optim.rules.time import Time
from mxtrain.types import describe

_TUPLES_OF_NAMES = ("slots", "options", "computed_scalars")


def checked_program(rule: Rule) -> AnyProgram:
    """Return the program of a rule, after a check of its definition and of its coefficients at the first update.

    Rules of the package are not checked, nor are the functions of rules that make their programs themselves.

    Raises:
        TraceError: with the first mistake; for a rule of a user's, it begins with the line of the code.
    """
    model = type(rule)
    if _is_builtin(rule):
        return rule.program()
    for message in _attribute_problems(rule):
        raise TraceError(f"{model.__name__}: {message}")
    if model.program not in (Rule.program, MatrixRule.program):
        return rule.program()
    update = _update_of(rule)
    if problem := _signature_problem(rule, update):
        raise TraceError(f"{_location(update)}{problem}")
    try:
        program = rule.program()
    except TraceError as error:
        raise TraceError(f"{_location(update, error)}{error}") from error
    if problem := _coefficients_problem(rule, update, _first_coefficients(rule)):
        raise TraceError(f"{_location(model.coefficients)}the coefficients of {rule.kind} {problem}")
    return program


def _is_builtin(rule: Rule) -> bool:
    return type(rule).__module__.startswith("mxtrain.")


def _location(function: Callable[..., Any], error: BaseException | None = None) -> str:
    """Return `file:line: ` of an error in a function, or of the function; empty if it is not in a file."""
    code = getattr(function, "__code__", None)
    if code is None or not Path(code.co_filename).is_file():
        return ""
    lines = [line for each, line in _frames(error) if each.co_filename == code.co_filename]
    path = Path(code.co_filename)
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"{shown}:{lines[-1] if lines else code.co_firstlineno}: "


def _frames(error: BaseException | None) -> Iterator[tuple[CodeType, int]]:
    """Yield the code and the line of each call that led to an error, those of its cause last."""
    while error is not None:
        trace = error.__traceback__
        while trace is not None:
            yield trace.tb_frame.f_code, trace.tb_lineno
            trace = trace.tb_next
        error = error.__cause__


def _attribute_problems(rule: Rule) -> Iterator[str]:
    """Yield the problems of the class attributes and of the fields of a rule."""
    for name in _TUPLES_OF_NAMES:
        value = getattr(rule, name)
        if isinstance(value, str) or not isinstance(value, tuple) or not all(isinstance(each, str) for each in value):
            yield f'{name} must be a tuple of names, as in {name} = ("m",), got {_python_text(value)}'
    if not isinstance(rule.scalar_slots, Mapping):
        yield f'scalar_slots must be a mapping, as in {{"d": 0.0}}, got {_python_text(rule.scalar_slots)}'
    names = [*rule.active_slots(), *rule.initial_scalars()]
    for name in dict.fromkeys(names):
        if name in ("W", "g") or names.count(name) > 1 or name in type(rule).model_fields:
            yield f"the slot {name} has the name of another slot, of a field, or of W or g; rename it"
    fields = type(rule).model_fields
    for name in rule.options:
        if field_name(name, fields) not in fields:
            yield f"options names {name}, which is not a field"
    for name in fields:
        if name not in Rule.model_fields and not _is_hashable(value := getattr(rule, name)):
            remedy = "use a tuple" if isinstance(value, list) else "use a tuple or a number"
            yield f"the field {display_name(name)} is {describe(value)}, which can change and has no hash; {remedy}"


def _update_of(rule: Rule) -> Callable[..., Any]:
    """Return the `update` of a rule, or the `update_matrix` of a matrix rule."""
    name = "update_matrix" if isinstance(rule, MatrixRule) else "update"
    update = inspect.getattr_static(type(rule), name, None)
    if update is None:
        raise TraceError(f"{type(rule).__name__} defines no {name}; add a static method {name}(W, g, *slots, *, ...)")
    found: Callable[..., Any] = getattr(type(rule), name)
    if not inspect.isfunction(found):
        raise TraceError(f"{type(rule).__name__}.{name} must be a function with @staticmethod, got {describe(found)}")
    return found


def _signature_problem(rule: Rule, update: Callable[..., Any]) -> str | None:
    """Return the problem of the positional parameters of `update`."""
    slots, parameters = rule.active_slots(), list(inspect.signature(update).parameters.values())
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    takes_any = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    needed = sum(each.default is each.empty for each in positional)
    given = 2 + len(slots)
    if needed <= given and (takes_any or given <= len(positional)):
        return None
    taken = ", ".join(each.name for each in positional)
    if positional[:1] and positional[0].name == "self":
        remedy = "add @staticmethod and remove self"
    elif len(positional) > given:
        remedy = "put a * before the coefficients, or add the missing slots to slots"
    else:
        remedy = "add the missing parameters"
    wanted = ", ".join(("W", "g", *slots))
    return f"the {update.__name__} of {rule.kind} is called with ({wanted}), and takes ({taken}); {remedy}"


def _first_coefficients(rule: Rule) -> object:
    try:
        return rule.coefficients(Time(update=1, iteration=1), rule.initial_scalars())
    except Exception as error:  # noqa: BLE001 - a rule of a user's can raise anything
        raise coefficients_error(rule, error) or error from None


def _coefficients_problem(rule: Rule, update: Callable[..., Any], coefficients: object) -> str | None:
    """Return the problem of the result of `coefficients`."""
    if not isinstance(coefficients, Mapping):
        remedy = "; add a return" if coefficients is None else ""
        return f"must be a dict of numbers by name, got {_python_text(coefficients)}{remedy}"
    for name, value in coefficients.items():
        if isinstance(value, bool) or not isinstance(value, Real) or math.isnan(value):
            return f"must be numbers, got {name}: {_python_text(value)}"
    known = {*rule.options, *rule.computed_scalars, "operations"}
    wanted = [name for name in keyword_only_names(update) if name not in known]
    unknown = [name for name in coefficients if name not in (*wanted, *rule.initial_scalars())]
    for name in wanted:
        if name not in coefficients and name not in type(rule).model_fields:
            guess = nearest(name, unknown)
            remedy = f"rename {guess}" if guess else "return it, or name it in computed_scalars if update computes it"
            return f"lack {name}, which {update.__name__} takes and which is not a field; {remedy}"
    if unknown and _owner(rule, update.__name__) is _owner(rule, "coefficients"):  # a subclass may need fewer
        taker = update.__name__
        return f"have {unknown[0]}, which {taker} does not take; remove it, or let {taker} take it after a *"
    return None


def _owner(rule: Rule, name: str) -> type[Any] | None:
    """Return the class that defines an attribute."""
    return next((each for each in type(rule).__mro__ if name in vars(each)), None)


def coefficients_error(rule: Rule, error: Exception) -> TraceError | None:
    """Return the error of `coefficients` that failed, or whose result cannot be used; None for other errors."""
    function = type(rule).coefficients
    if isinstance(error, KeyError) and function.__code__ not in dict(_frames(error)):
        return TraceError(
            f"the update of {rule.kind} needs {error.args[0]}, which is neither a field nor a coefficient; return "
            "it from coefficients, or name it in computed_scalars if update computes it"
        )
    if isinstance(error, MxtrainError) or _is_builtin(rule):
        return None
    return TraceError(f"{_location(function, error)}{error_text(f'the coefficients of {rule.kind}', error)}")


def _is_hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _python_text(value: object) -> str:
    return "None" if value is None else describe(value)
