"""Tracing: call the update of a rule with symbols, and record its operations as a program."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

from mxtrain.errors import TraceError
from mxtrain.optim.ir.passes import MultiPassProgram, split_into_passes
from mxtrain.optim.ir.program import Instruction, Operand, Program, Reduction, Scalar
from mxtrain.optim.ir.symbols import REDUCTIONS, Symbol, input_array, input_scalar, input_state, maximum, minimum
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
    name: str,
    update: Callable[..., tuple[Any, ...]],
    slots: tuple[str, ...],
    stage: GradientStage,
    options: tuple[tuple[str, Any], ...] = (),
    state: tuple[str, ...] = (),
) -> UpdateProgram:
    """Return the program of one update: the gradient stage, then the rule.

    It is cached, and independent of the values of coefficients: optimizers that differ in η or β share it.

    Args:
        name: the name of the program.
        update: the `update` function of the rule.
        slots: names of the slots.
        stage: the steps of the gradient stage.
        options: fields on which `update` branches, with their values.
        state: names of the scalar slots that `update` computes.

    Raises:
        TraceError: `update` cannot be traced, or returns something else than a tuple of W, the slots and the scalars.
    """
    known = dict(options)
    names = tuple(each for each in keyword_only_names(update) if each not in known)
    results_in_order = ("W", *slots, *state)

    def formula(W: Any, g: Any, *slot_arrays: Any, **scalars: Any) -> dict[str, Any]:
        g = stage.apply(W, g, **{key: scalars[key] for key in stage.scalars})
        results = update(W, g, *slot_arrays, **{key: scalars[key] for key in names}, **known)
        if not isinstance(results, tuple) or len(results) != len(results_in_order):
            listed = f"the slots {', '.join(slots)}" if slots else "no slots"
            scalars_listed = f", and the scalars {', '.join(state)}" if state else ""
            got = f"a tuple of {len(results)}" if isinstance(results, tuple) else describe(results)
            hint = ""
            if isinstance(results, tuple) and len(results) > len(results_in_order):
                hint = "; if it computes scalar slots, name them in computed_scalars"
            raise TraceError(
                f"the update of {name} must return a tuple of W and {listed}{scalars_listed}; got {got}{hint}"
            )
        return dict(zip(results_in_order, results, strict=True))

    coefficients = tuple(dict.fromkeys((*stage.scalars, *(each for each in names if each not in state))))
    return trace(name, formula, ("W", "g", *slots), coefficients, state)


@cache
def gradient_program(stage: GradientStage) -> Program:
    """Return the program of the gradient stage alone, which overwrites `g`."""
    program = trace("gradient", lambda W, g, **scalars: {"g": stage.apply(W, g, **scalars)}, ("W", "g"), stage.scalars)
    assert isinstance(program, Program)
    return program
