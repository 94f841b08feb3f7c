"""Scalars of a step on the host: coefficients, schedules and counts, in float64 as in `mxtrain.Optimizer`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mxtrain.errors import ConfigError, ConfigProblem
from mxtrain.jax.batches import Batch
from mxtrain.jax.float64 import from_bits, to_bits, to_int32
from mxtrain.optim.backends.numpy_backend import NumPyBackend
from mxtrain.optim.gradient_clipping import GradientNorm, clip_factor
from mxtrain.optim.ir import Variant
from mxtrain.optim.param_groups import ParamGroups
from mxtrain.optim.param_state import ParamState
from mxtrain.optim.step_scalars import StepScalars, compute_scalars
from mxtrain.optim.update_batches import UpdateBatch

IDLE, UPDATE, SYNCHRONIZE, BEGIN, ADD = range(5)
"""Codes of what a batch does in a step: nothing, or one of the variants of `ir.Variant`."""
_CODES: dict[Variant, int] = {"update": UPDATE, "synchronize": SYNCHRONIZE, "begin": BEGIN, "add": ADD}


def epoch_length(run: tuple[int, int] | None, steps_per_epoch: int | None) -> int | None:
    """Return the number of steps in an epoch, by default that of the run; None if both are None.

    Raises:
        ConfigError: it is no positive whole number, or not that of the run.
    """
    if steps_per_epoch is None:
        return None if run is None else run[1]
    message = None
    if isinstance(steps_per_epoch, bool) or not isinstance(steps_per_epoch, int) or steps_per_epoch < 1:
        message = f"must be a whole number, at least 1, got {steps_per_epoch!r}"
    elif run is not None and steps_per_epoch != run[1]:
        message = f"must be the batches in an epoch of run, {run[1]}, got {steps_per_epoch}; remove one of the two"
    if message is not None:
        raise ConfigError([ConfigProblem("steps_per_epoch", message)])
    return steps_per_epoch


@dataclass(frozen=True)
class BatchScalars:
    """Scalars of a batch in one step; numbers of Python, or traced.

    Attributes:
        code: what the batch does.
        updates: the count of updates after the step.
        values: the scalars of the program, in float64.
        agc: the ratio and the smallest norm of adaptive clipping, and the scale of the gradient.
        slots: the scalar slots after the step.
    """

    code: Any
    updates: Any
    values: list[Any]
    agc: list[Any]
    slots: list[Any]


class HostScalars:
    """Computes the scalars of a step.

    Args:
        groups: the parameter groups of the rule.
        batches: the batches.
        steps_per_epoch: the number of steps in an epoch; None without schedules per epoch.
    """

    def __init__(self, groups: ParamGroups, batches: Sequence[Batch], steps_per_epoch: int | None) -> None:
        self._groups, self._batches = groups, batches
        self._steps_per_epoch = steps_per_epoch

    @property
    def length(self) -> int:
        """The number of float64 numbers in the result of `compute`."""
        return 1 + sum(2 + batch.width + 3 + len(batch.scalar_names) for batch in self._batches)

    def compute(self, steps: Any, updates: Any, slots: Any, squares: Any) -> Any:
        """Return the bits of the count of iterations after the step, and of the scalars of each batch.

        Args:
            steps: the count of iterations.
            updates: the count of updates of each batch.
            slots: the bits of the scalar slots of all batches.
            squares: the bits of the sum of the squares of each gradient, for `clip_norm`; else empty.

        Raises:
            ScheduleError: a scheduled value is out of bounds.
        """
        iteration, stored = int(steps) + 1, from_bits(slots)
        epochs = 0 if self._steps_per_epoch is None else int(steps) // self._steps_per_epoch
        found: list[tuple[Batch, StepScalars | None, int, list[float]]] = []
        for batch, count in zip(self._batches, np.asarray(updates).tolist(), strict=True):
            own, stored = stored[: len(batch.scalar_names)], stored[len(batch.scalar_names) :]
            state = ParamState(count, (), dict(zip(batch.scalar_names, own, strict=True)))
            update = UpdateBatch(batch.group, [state], [(np.zeros(0, batch.dtype),)])
            _, scalars = compute_scalars([update], self._groups, iteration, epochs)
            found.append((batch, scalars[0] if scalars else None, count, own))
        active = [(batch, scalars) for batch, scalars, _, _ in found if scalars is not None]
        updating = [pair for pair in active if pair[1].updates]
        if np.size(squares) and updating:
            self._clip(updating, from_bits(squares))
        has_counted = bool(updating) or self._groups.rule.accumulate == 1 or not active
        result = [float(iteration if has_counted else iteration - 1)]
        for each in found:
            result += self._row(*each)
        return to_bits(result)

    def _clip(self, updating: Sequence[tuple[Batch, StepScalars]], squares: Sequence[float]) -> None:
        """Multiply the scale of gradients by the factor of `clip_norm`, as `clip_by_norm`."""
        limit = updating[0][1].coefficients["clip_norm"]
        total = GradientNorm(NumPyBackend())
        for batch, scalars in updating:
            sums = np.array([squares[position] for position in batch.positions])
            total.add([], batch.positions, scalars.coefficients["scale"], sums=sums)
        norm = total.value() if all(map(math.isfinite, squares)) else math.sqrt(sum(squares))
        factor = clip_factor(norm, limit)
        if factor != 1.0:
            for _, scalars in updating:
                scalars.coefficients["scale"] *= factor
                scalars.values = scalars.program.evaluate_scalars(scalars.coefficients)

    def _row(self, batch: Batch, scalars: StepScalars | None, count: int, slots: list[float]) -> list[float]:
        if scalars is None:
            return [IDLE, count, *[0.0] * (batch.width + 3), *slots]
        group = self._groups.all[batch.group]
        variant: Variant = "update"
        if not scalars.updates:
            variant = "add" if slots[batch.scalar_names.index("accumulated")] else "begin"
        elif scalars.program is not group.program:
            variant = "synchronize"
        agc = scalars.coefficients.get("agc")
        scale = scalars.coefficients.get("scale") or 1.0
        clipping = [0.0, 0.0, 0.0] if agc is None else [agc.clipping, agc.ϵ, scale]
        values = [*scalars.values, *[0.0] * (batch.width - len(scalars.values))]
        new = [scalars.scalar_slots[name] for name in batch.scalar_names]
        return [_CODES[variant], scalars.update, *values, *clipping, *new]

    def split(self, numbers: Sequence[Any]) -> tuple[Any, list[BatchScalars]]:
        """Return the count of iterations and the scalars of each batch, from the numbers of `compute`."""
        steps, *rest = numbers
        steps = to_int32(steps)
        result = []
        for batch in self._batches:
            code, updates, *rest = rest
            values, rest = rest[: batch.width], rest[batch.width :]
            agc, rest = rest[:3], rest[3:]
            slots, rest = rest[: len(batch.scalar_names)], rest[len(batch.scalar_names) :]
            result.append(BatchScalars(to_int32(code), to_int32(updates), values, agc, slots))
        return steps, result
