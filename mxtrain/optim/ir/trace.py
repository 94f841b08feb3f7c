"""Tracing: call the update of a rule with symbols, and record its operations as a program."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

from mxtrain.errors import MxtrainError, TraceError
from mxtrain.optim.ir.passes import MultiPassProgram, split_into_passes
from mxtrain.optim.ir.program import Instruction, Operand, Program, Reduction, Scalar
from mxtrain.optim.ir.symbols import (
    REDUCTIONS,
    USE_FUNCTIONS,
    Symbol,
    input_array,
    input_scalar,
    input_state,
    maximum,
    minimum,
    where,
)
from mxtrain.optim.ir.wrapping import ACCUMULATED, HIGH, LOW, NO_WRAPPER, UpdateWrapper, Variant
from mxtrain.types import describe

UpdateProgram: TypeAlias = Program | MultiPassProgram
"""A program of one pass, or of several if it has reductions."""


def trace(
    name: str,
    formula: Callable[..., Mapping[str, Any]],
    arrays: Sequence[str],
    scalars: Sequence[str],
    state: Sequence[str] = (),
) -> UpdateProgram:
    """Record the program of a formula.

    Args:
        name: the name of the program.
        formula: a function that is called once, with a symbol for every array (by position) and every scalar (by
            name), and returns the symbol of the new value of each array, and each scalar of `state`, that changes.
        arrays: names of the input arrays.
        scalars: names of the coefficients.
        state: names of scalars that the formula itself computes for the next update.

    Returns:
        The instructions in the order in which the formula computed them, in one pass, or in several if the formula has
        reductions. Operations on scalars alone are evaluated on the host, and an operation that is written twice is
        computed once.

    Raises:
        TraceError: the formula branches on a symbol, or returns something else than symbols.
    """
    inputs = {scalar: input_scalar(scalar) for scalar in scalars} | {each: input_state(each) for each in state}
    results = formula(*map(input_array, arrays), **inputs)
    builder = ProgramBuilder(tuple(arrays))
    changes = [(number, results[name]) for number, name in enumerate(arrays) if name in results]
    outputs = [(number, builder.output(number, result)) for number, result in changes]
    written = tuple((number, value) for number, value in outputs if value is not None)
    if not builder.reductions and not state:
        return Program(name, builder.arrays, tuple(builder.scalars), tuple(builder.instructions), written)
    new_state = tuple((each, builder.scalar_of(results[each])) for each in state)
    return split_into_passes(
        name,
        builder.arrays,
        tuple(builder.scalars),
        tuple(builder.instructions),
        tuple(builder.reductions),
        written,
        new_state,
    )


class ProgramBuilder:
    """Orders symbols as instructions: each operation after its operands, equal operations once."""

    def __init__(self, arrays: tuple[str, ...]) -> None:
        self.arrays = arrays
        self.scalars: dict[Scalar, int] = {}
        self.instructions: dict[Instruction, int] = {}
        self.reductions: dict[Reduction, int] = {}
        self.operands_by_id: dict[int, Operand] = {}
        self.scalars_by_id: dict[int, Scalar] = {}
        self.known_scalars: dict[Scalar, Scalar] = {}

    def output(self, number: int, symbol: Any) -> Operand | None:
        """Return the operand with the new value of array `number`; None if the array does not change."""
        if not isinstance(symbol, Symbol) or symbol.is_condition:
            raise TraceError(f"a rule's update must return symbols, one for W and one for each slot; got {symbol!r}")
        operand = self._operand(symbol)
        if operand.space == "value":
            return operand
        return None if operand == Operand("array", number) else self._instruction("copy", operand)

    def scalar_of(self, symbol: Any) -> Scalar:
        """Return a symbol that holds no array as a scalar."""
        if isinstance(symbol, int | float):
            return Scalar("number", label=float(symbol))
        if not isinstance(symbol, Symbol) or symbol.is_array:
            raise TraceError(f"a rule's update must return a scalar for each scalar slot; got {symbol!r}")
        if id(symbol) not in self.scalars_by_id:
            scalar = self._new_scalar(symbol)
            # Equal scalars are one object, so that they are compared without a look at their parts.
            self.scalars_by_id[id(symbol)] = self.known_scalars.setdefault(scalar, scalar)
        return self.scalars_by_id[id(symbol)]

    def _new_scalar(self, symbol: Symbol) -> Scalar:
        if symbol.operation in REDUCTIONS:
            reduction = Reduction(symbol.operation, symbol.label, tuple(map(self._operand, symbol.operands)))
            return Scalar("reduction", label=str(self.reductions.setdefault(reduction, len(self.reductions))))
        return Scalar(symbol.operation, tuple(map(self.scalar_of, symbol.operands)), symbol.label)

    def _operand(self, symbol: Symbol) -> Operand:
        if not symbol.is_array:
            return Operand("scalar", self.scalars.setdefault(self.scalar_of(symbol), len(self.scalars)))
        if symbol.operation == "input":
            return Operand("array", self.arrays.index(symbol.label))
        if id(symbol) not in self.operands_by_id:
            self.operands_by_id[id(symbol)] = self._instruction(symbol.operation, *map(self._operand, symbol.operands))
        return self.operands_by_id[id(symbol)]

    def _instruction(self, operation: str, *operands: Operand) -> Operand:
        step = Instruction(operation, operands)
        return Operand("value", self.instructions.setdefault(step, len(self.instructions)))


def keyword_only_names(formula: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a function's keyword-only parameters: the coefficients that a rule's `update` needs."""
    parameters = inspect.signature(formula).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class GradientStage:
    """Steps of the gradient stage that a rule needs; they are part of the traced program, their values are not.

    1. `accumulate > 1`: `g ← (accumulated + g) / accumulate`
    2. `scale ≠ 0`: `g ← scale·g`; the factor of `clip_norm` is a part of `scale`
    3. `clip > 0`: `g ← min(max(g, -clip), clip)`
    4. `λ > 0`: `g ← g + λ·W`, unless the rule decouples the decay from the gradient
    5. `bounds`: `g ← 0` where W is at a bound and the step against g points outwards
    """

    scales: bool
    clips: bool
    decays: bool
    averages: bool = False
    has_low: bool = False
    has_high: bool = False

    @property
    def scalars(self) -> tuple[str, ...]:
        """Names of the coefficients of the stage."""
        needed = {
            "accumulate": self.averages,
            "scale": self.scales,
            "clip": self.clips,
            "λ": self.decays,
            LOW: self.has_low,
            HIGH: self.has_high,
        }
        return tuple(name for name, is_needed in needed.items() if is_needed)

    def apply(self, W: Any, g: Any, scalars: Mapping[str, Any], accumulated: Any = None) -> Any:
        """Return the gradient that the rule receives; works on symbols and on arrays.

        Args:
            W: the weight.
            g: the gradient.
            scalars: the coefficients of the stage.
            accumulated: the sum of the gradients before this one, if the stage averages them.
        """
        if self.averages:
            g = (accumulated + g) / scalars["accumulate"]
        if self.scales:
            g = scalars["scale"] * g
        if self.clips:
            g = minimum(maximum(g, -scalars["clip"]), scalars["clip"])
        if self.decays:
            g = g + scalars["λ"] * W
        if self.has_low:
            g = where(scalars[LOW] >= W, where(g > 0, 0, g), g)
        if self.has_high:
            g = where(scalars[HIGH] <= W, where(g < 0, 0, g), g)
        return g


def _results_message(name: str, results: object, slots: tuple[str, ...], state: tuple[str, ...]) -> str:
    """Return the message for an `update` that does not return W, the slots and the scalars."""
    listed = f"the slots {', '.join(slots)}" if slots else "no slots"
    scalars = f", and the scalars {', '.join(state)}" if state else ""
    got, hint = describe(results), ""
    if isinstance(results, tuple):
        got = f"a tuple of {len(results)}"
        if len(results) > 1 + len(slots) + len(state):
            hint = "; if it computes scalar slots, name them in computed_scalars"
    elif results is None:
        got, hint = "None", "; add a return"
    elif not slots and not state:
        hint = "; write return (W + ...,)"
    return f"the update of {name} must return a tuple of W and {listed}{scalars}; got {got}{hint}"


def error_text(label: str, error: Exception) -> str:
    """Return the message, on one line, for an exception of a function of a rule."""
    reason = (str(error).splitlines() or [""])[0]
    remedy = f"; {USE_FUNCTIONS}" if isinstance(error, TypeError) and Symbol.__name__ in reason else ""
    return f"{label} raised {type(error).__name__}: {reason}".removesuffix(": ") + remedy


@cache
def update_program(
    name: str,
    update: Callable[..., tuple[Any, ...]],
    slots: tuple[str, ...],
    stage: GradientStage,
    options: tuple[tuple[str, Any], ...] = (),
    state: tuple[str, ...] = (),
    wrapper: UpdateWrapper = NO_WRAPPER,
) -> UpdateProgram:
    """Return the program of one update: the gradient stage, then the rule, and the wrappers around it.

    It is cached, and independent of the values of coefficients: optimizers that differ in η or β share it.

    Args:
        name: the name of the program.
        update: the `update` function of the rule.
        slots: names of the slots.
        stage: the steps of the gradient stage.
        options: fields on which `update` branches, with their values.
        state: names of the scalar slots that `update` computes.
        wrapper: the wrappers around the update; their slots follow those of the rule.

    Raises:
        TraceError: `update` cannot be traced, or returns something else than a tuple of W, the slots and the scalars.
    """
    known = dict(options)
    names = tuple(each for each in keyword_only_names(update) if each not in known)
    results_in_order = ("W", *slots, *state)

    def formula(W: Any, g: Any, *slot_arrays: Any, **scalars: Any) -> dict[str, Any]:
        own, stored = slot_arrays[: len(slots)], dict(zip(wrapper.slots, slot_arrays[len(slots) :], strict=True))
        g = stage.apply(W, g, scalars, stored.get(ACCUMULATED))
        needed = {key: scalars[key] for key in names} | known
        try:
            results = wrapper.call(lambda: update(W, g, *own, **needed), W, g, scalars)
        except MxtrainError:
            raise
        except Exception as error:
            raise TraceError(error_text(f"the update of {name}", error)) from error
        if not isinstance(results, tuple) or len(results) != len(results_in_order):
            raise TraceError(_results_message(name, results, slots, state))
        new = dict(zip(results_in_order, results, strict=True))
        return new if wrapper == NO_WRAPPER else new | wrapper.finish(new["W"], stored, scalars)

    own_names = (each for each in names if each not in state)
    coefficients = tuple(dict.fromkeys((*stage.scalars, *own_names, *wrapper.scalars)))
    return trace(name, formula, ("W", "g", *slots, *wrapper.slots), coefficients, state)


@cache
def gradient_program(stage: GradientStage) -> Program:
    """Return the program of the gradient stage alone, which overwrites `g`."""
    program = trace("gradient", lambda W, g, **scalars: {"g": stage.apply(W, g, scalars)}, ("W", "g"), stage.scalars)
    assert isinstance(program, Program)
    return program


@cache
def accumulation_program(variant: Variant) -> Program:
    """Return the program that stores the first gradient of a mean (`begin`), or adds a later one (`add`)."""

    def formula(g: Any, accumulated: Any) -> dict[str, Any]:
        return {ACCUMULATED: g if variant == "begin" else accumulated + g}

    program = trace(f"accumulate_{variant}", formula, ("g", ACCUMULATED), ())
    assert isinstance(program, Program)
    return program
