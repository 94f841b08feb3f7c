"""Scalars of an update, computed on the host: coefficients of the rule, and the factor of `clip_norm`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mxtrain.optim.backends import Backend
from mxtrain.optim.gradient_clipping import GradientNorm, all_finite, clip_factor, square_sums
from mxtrain.optim.ir import AnyProgram
from mxtrain.optim.ir.wrapping import ACCUMULATED
from mxtrain.optim.param_groups import ParamGroups
from mxtrain.optim.rule_checks import coefficients_error
from mxtrain.optim.rules import Time
from mxtrain.optim.update_batches import UpdateBatch


@dataclass(slots=True)
class StepScalars:
    """Scalars of one update of a batch, computed on the host.

    Attributes:
        update: the number of the update, 1 at the first.
        values: the scalars of the program.
        scalar_slots: the scalar slots after the update.
        coefficients: the coefficients of the rule and of its wrappers.
        program: the program of the call.
        updates: False if the call only stores gradients for a later mean.
    """

    update: int
    values: tuple[float, ...]
    scalar_slots: dict[str, float]
    coefficients: dict[str, Any]
    program: AnyProgram
    updates: bool = True


def compute_scalars(
    batches: list[UpdateBatch], groups: ParamGroups, iteration: int, finished_epochs: int
) -> tuple[list[UpdateBatch], list[StepScalars]]:
    """Return the batches whose rules are not idle, and the scalars of the next update of each.

    Errors of a rule are raised here, before any change.

    Args:
        batches: the batches.
        groups: the rule's parameter groups.
        iteration: the current iteration; 0 means the update count of each weight.
        finished_epochs: the number of finished epochs.
    """
    active: list[UpdateBatch] = []
    step_scalars: list[StepScalars] = []
    for batch in batches:
        scalars = _scalars_of(batch, groups, iteration, finished_epochs)
        if scalars is not None:
            active.append(batch)
            step_scalars.append(scalars)
    return active, step_scalars


def _scalars_of(batch: UpdateBatch, groups: ParamGroups, iteration: int, finished_epochs: int) -> StepScalars | None:
    """Return the scalars of a batch; None if its rule is idle."""
    group = groups.all[batch.group]
    state = batch.states[0]  # all states of a batch have the same update count and scalar slots
    update = state.updates + 1
    time = Time(update, iteration or update, finished_epochs)
    rule = group.rule.at(time) if group.is_scheduled else group.rule
    if group.may_be_idle and rule.is_idle(time):
        return None
    variant = rule.variant(time, state.scalars) if group.has_variants else "update"
    program = group.program if variant == "update" else groups.program(batch.group, variant)
    if variant in ("begin", "add"):
        counted = state.scalars | {ACCUMULATED: state.scalars[ACCUMULATED] + 1}
        return StepScalars(state.updates, (), counted, {}, program, updates=False)
    fields = group.fields if rule is group.rule else group.fields | rule.__dict__
    coefficients = rule.coefficients(time, state.scalars)
    try:
        if group.is_wrapped:
            dtype = batch.dtype or batch.arrays[0][0].dtype
            coefficients = rule.wrapper_coefficients(time, dtype, state.scalars) | coefficients
        if group.wraps_steps and rule.clip_norm is not None:  # `clip_by_norm` multiplies it by another factor
            coefficients["scale"] = rule.scale or 1.0
        numbers = fields | coefficients
        values = program.evaluate_scalars(numbers)
    except Exception as error:  # noqa: BLE001 - coefficients of a user's rule may be anything
        if (found := coefficients_error(rule, error)) is None:
            raise
        raise found from error
    scalar_slots = {name: coefficients.get(name, value) for name, value in state.scalars.items()}
    if group.wraps_steps and rule.accumulate > 1:
        scalar_slots[ACCUMULATED] = 0.0
    return StepScalars(update, values, scalar_slots, numbers, program)


def are_finite(backend: Backend, batches: Sequence[UpdateBatch]) -> bool:
    """Return whether all gradients of a step are finite; it reads each once, and stores the sums of the squares."""
    for batch in batches:
        rows = batch.gradients()
        batch.squares = square_sums(backend, rows)
        if not all_finite(rows, batch.squares):
            return False
    return True


def clip_by_norm(
    backend: Backend, groups: ParamGroups, batches: Sequence[UpdateBatch], step_scalars: Sequence[StepScalars]
) -> None:
    """Multiply the scale of the gradients of a step by one factor, if their norm exceeds `clip_norm`.

    Args:
        backend: the backend that computes the norm.
        groups: the rule's parameter groups.
        batches: the batches.
        step_scalars: the scalars of each batch; their values are replaced.
    """
    updating = [pair for pair in zip(batches, step_scalars, strict=True) if pair[1].updates]
    limits = [scalars.coefficients["clip_norm"] for _, scalars in updating]
    if not limits or limits[0] is None:
        return
    total = GradientNorm(backend)
    for batch, scalars in updating:
        count = groups.all[batch.group].rule.accumulate
        rows = batch.gradients(with_sums=count > 1)
        total.add(rows, batch.positions, scalars.coefficients["scale"], count, batch.squares if count == 1 else None)
    factor = clip_factor(total.value(), limits[0])
    if factor == 1.0:
        return
    for _, scalars in updating:
        scalars.coefficients["scale"] *= factor
        scalars.values = scalars.program.evaluate_scalars(scalars.coefficients)
