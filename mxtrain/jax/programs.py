"""Traced programs of rules, evaluated with jax.numpy.

In place of the new weight W, an evaluation returns the update X that is to be added to it. Most programs end with
`W ← W + X`, of which X itself is returned. Evaluated operation by operation, outside of `jit`, each is rounded once, as
on every backend, so that `W + X` is bit-for-bit equal to `mxtrain.Optimizer`. `jit` lets XLA fuse operations.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mxtrain.jax.float64 import reduce_array, rounded
from mxtrain.optim.ir import MultiPassProgram, Operand, Program, Scalar
from mxtrain.optim.ir.passes import Pass

_OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": jnp.add,
    "subtract": jnp.subtract,
    "multiply": jnp.multiply,
    "divide": jnp.divide,
    "maximum": jnp.maximum,
    "minimum": jnp.minimum,
    "less": jnp.less,
    "less_equal": jnp.less_equal,
    "negative": jnp.negative,
    "sqrt": jnp.sqrt,
    "absolute": jnp.abs,
    "where": jnp.where,
    "sign": lambda x, one, zero: jnp.sign(x) + zero,  # no negative zeros
    "copy": lambda x: x,
}


class Evaluated(NamedTuple):
    """Results of a program: the update of W, None if W does not change, and the new content of each other array."""

    update: Any
    arrays: dict[int, Any]


class Values:
    """Values of the operands of a program."""

    def __init__(self, program: Program, arrays: Sequence[Any], scalars: Sequence[Any]) -> None:
        self.program, self.arrays, self.scalars = program, arrays, scalars
        self.values: list[Any] = []
        for step in program.instructions:
            self.values.append(_OPERATIONS[step.operation](*map(self.value, step.operands)))

    def value(self, operand: Operand) -> Any:
        """Return the value of an operand."""
        return {"array": self.arrays, "scalar": self.scalars, "value": self.values}[operand.space][operand.number]

    def outputs(self, weight: int | None) -> Evaluated:
        """Return the results; `weight` is the number of W in the program."""
        update, new = None, {}
        for number, operand in self.program.outputs:
            if number == weight:
                update = self._update(operand, weight)
            else:
                new[number] = jnp.broadcast_to(self.value(operand), self.arrays[number].shape)
        return Evaluated(update, new)

    def _update(self, result: Operand, weight: int) -> Any:
        W, own = self.arrays[weight], Operand("array", weight)
        step = self.program.instructions[result.number] if result.space == "value" else None
        if step is not None and step.operation in ("add", "subtract") and own in step.operands:
            left, right = step.operands
            if step.operation == "add":
                change = self.value(left if right == own else right)
            elif left == own:
                change = -self.value(right)
            else:
                return update_to(W, self.value(result))
            return jnp.broadcast_to(change, W.shape)
        return update_to(W, self.value(result))


def update_to(W: Any, new: Any) -> Any:
    """Return the update that moves a weight to a new value, as exactly as the dtype allows."""
    change = new - W
    return jnp.broadcast_to(change + (new - (W + change)), W.shape)


def run_program(program: Program, arrays: Sequence[Any], scalars: Sequence[Any]) -> Evaluated:
    """Evaluate a program on the arrays of one parameter, of which W is the first.

    Args:
        program: the program.
        arrays: W, its gradient and the slots.
        scalars: the scalars of the program, in float64.
    """
    values = [rounded(each, arrays[0].dtype) for each in scalars]
    return Values(program, arrays, values).outputs(program.arrays.index("W") if "W" in program.arrays else None)


class MultiPassRun:
    """Evaluation of a program with reductions on the parameters of one batch.

    Args:
        program: the program.
        arrays: W, its gradient and the slots of each parameter.
        scalars: the scalars of the host, in float64.
        state: the scalar slots, in float64.
        positions: the place of each parameter in the step.
        is_idle: True, or a traced truth value, if the parameters do not count in sums over all parameters.

    Attributes:
        done: the number of passes that have been evaluated.
        records: for each parameter, the numbers that passes read, by their leaf.
    """

    def __init__(
        self,
        program: MultiPassProgram,
        arrays: Sequence[Sequence[Any]],
        scalars: Sequence[Any],
        state: Mapping[str, Any],
        positions: Sequence[int],
        is_idle: Any,
    ) -> None:
        self.program, self.positions, self.is_idle, self.done = program, positions, is_idle, 0
        self._arrays = [list(each) for each in arrays]
        self._updates: list[Any] = [None] * len(arrays)
        host = dict(zip(program.scalars, scalars, strict=True))
        slots = {Scalar("state", label=name): state[name] for name, _ in program.state}
        self.records: list[dict[Scalar, Any]] = [
            {**host, **slots, Scalar("size"): np.float64(each[0].size)} for each in arrays
        ]

    def run_until_total(self) -> list[int]:
        """Evaluate passes up to the next one with sums over all parameters, and return the numbers of these sums."""
        while self.done < len(self.program.passes):
            each = self.program.passes[self.done]
            self.done += 1
            for parameter in range(len(self._arrays)):
                self._run_pass(each, parameter)
            totals = [number for number in each.results if self.program.reductions[number].scope == "total"]
            if totals:
                return totals
        return []

    def _run_pass(self, each: Pass, parameter: int) -> None:
        arrays, record = [self._arrays[parameter][number] for number in each.arrays], self.records[parameter]
        scalars = [rounded(evaluate_scalar(scalar, record), arrays[0].dtype) for scalar in each.program.scalars]
        values = Values(each.program, arrays, scalars)
        for number, reduction in zip(each.results, each.program.reductions, strict=True):
            operands = (jnp.broadcast_to(values.value(operand), arrays[0].shape) for operand in reduction.operands)
            record[Scalar("reduction", label=str(number))] = reduce_array(reduction.operation, *operands)
        outputs = values.outputs(each.arrays.index(0) if 0 in each.arrays else None)
        if outputs.update is not None:
            self._updates[parameter] = outputs.update
        for number, value in outputs.arrays.items():
            self._arrays[parameter][each.arrays[number]] = value

    def results(self) -> list[Evaluated]:
        """Return the results for each parameter."""
        written = [number for number in self.program.written if number]
        return [
            Evaluated(update, {number: arrays[number] for number in written})
            for update, arrays in zip(self._updates, self._arrays, strict=True)
        ]

    def new_state(self) -> dict[str, Any]:
        """Return the scalar slots that the program computes."""
        return {name: evaluate_scalar(scalar, self.records[0]) for name, scalar in self.program.state}


def run_family(runs: Sequence[MultiPassRun]) -> None:
    """Evaluate programs whose sums over all parameters belong together."""
    sizes = [select(run.is_idle, np.float64(0), record[Scalar("size")]) for run in runs for record in run.records]
    for run in runs:
        for record in run.records:
            record[Scalar("total_size")] = combine(sizes)
    while any(run.done < len(run.program.passes) for run in runs):
        totals = [run.run_until_total() for run in runs]
        for numbers in zip(*totals, strict=True):
            leaves = [Scalar("reduction", label=str(number)) for number in numbers]
            is_max = runs[0].program.reductions[numbers[0]].operation == "max_abs"
            parts = [
                (position, select(run.is_idle, np.float64(0), record[leaf]))
                for run, leaf in zip(runs, leaves, strict=True)
                for position, record in zip(run.positions, run.records, strict=True)
            ]
            total = combine([value for _, value in sorted(parts, key=lambda part: part[0])], is_max)
            for run, leaf in zip(runs, leaves, strict=True):
                for record in run.records:
                    record[leaf] = total


def select(condition: Any, a: Any, b: Any) -> Any:
    """Return a number or an array where a condition is true, and another elsewhere."""
    if not isinstance(condition, jax.core.Tracer):
        return a if condition else b
    with jax.enable_x64(True):
        return jnp.where(condition, a, b)


def combine(values: Sequence[Any], is_max: bool = False) -> Any:
    """Return the sum or the maximum of float64 scalars, added in halves as in `ir.summation`."""
    width = 1 << max(len(values) - 1, 0).bit_length()
    values = [*values, *[np.float64(0)] * (width - len(values))]
    xp = jnp if any(isinstance(each, jax.core.Tracer) for each in values) else np
    join = xp.maximum if is_max else xp.add
    with jax.enable_x64(True), np.errstate(all="ignore"):
        while (half := len(values) // 2) > 0:
            values = [join(a, b) for a, b in zip(values[:half], values[half:], strict=True)]
    return values[0]


def evaluate_scalar(scalar: Scalar, known: dict[Scalar, Any]) -> Any:
    """Return a scalar of a program in float64; its parts are added to those that are known."""
    if scalar in known:
        return known[scalar]
    if scalar.operation == "number":
        return np.float64(scalar.label)
    operands = [evaluate_scalar(part, known) for part in scalar.operands]
    xp: Any = jnp if any(isinstance(each, jax.core.Tracer) for each in operands) else np
    with jax.enable_x64(True), np.errstate(all="ignore"):
        if scalar.operation == "sign":
            value = xp.sign(operands[0]) + operands[2]
        else:
            value = getattr(xp, scalar.operation)(*operands)
    known[scalar] = value
    return value
