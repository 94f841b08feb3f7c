"""Execution of batches by a backend: elementwise, multi-pass and matrix programs."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from mxtrain.optim.backends import Backend
from mxtrain.optim.backends.half_conversion import run_compiled
from mxtrain.optim.backends.matmul import single_threaded_blas
from mxtrain.optim.backends.matrix_selection import matrix_operations
from mxtrain.optim.backends.passes import MultiPassUpdate, run_passes
from mxtrain.optim.gradient_clipping import clip_complex_columns, column_factors, scale_columns
from mxtrain.optim.ir import MatrixProgram, Program
from mxtrain.optim.ir.wrapping import ACCUMULATED
from mxtrain.optim.param_groups import ParamGroups
from mxtrain.optim.step_scalars import StepScalars
from mxtrain.optim.update_batches import UpdateBatch
from mxtrain.types import Array


def run_batches(
    backend: Backend,
    groups: ParamGroups,
    batches: Sequence[tuple[UpdateBatch, list[tuple[Array, ...]]]],
    step_scalars: Sequence[StepScalars],
) -> None:
    """Run the update of each batch in place; scalar slots that the update computes are replaced in `step_scalars`.

    Args:
        backend: the backend.
        groups: the rule's parameter groups.
        batches: the batches, each with its arrays, or with copies of them.
        step_scalars: the scalars of each batch.
    """
    updates: list[MultiPassUpdate] = []
    for number, ((batch, arrays), scalars) in enumerate(zip(batches, step_scalars, strict=True)):
        program = scalars.program
        if not scalars.updates:
            stored = 2 + batch.states[0].names.index(ACCUMULATED)
            backend.run(program, [(each[1], each[stored]) for each in arrays], ())  # type: ignore[arg-type]
            continue
        if groups.all[batch.group].clips_columns:
            arrays = _clip_columns(backend, groups, batch, arrays, scalars, number)
            if not arrays:
                continue
        if isinstance(program, Program) and batch.is_direct:
            rule = groups.all[batch.group].rule
            run_compiled(program, str(batch.dtype), arrays, scalars.values, has_master=rule.master)
        elif isinstance(program, Program):
            backend.run(program, arrays, scalars.values)
        elif isinstance(program, MatrixProgram):
            _run_matrices(backend, groups, program, arrays, scalars.values)
        else:
            family = groups.all[batch.group].family
            updates.append(
                MultiPassUpdate(program, arrays, scalars.values, scalars.scalar_slots, batch.positions, family)
            )
    if updates:
        run_passes(backend, updates)


def _clip_columns(
    backend: Backend,
    groups: ParamGroups,
    batch: UpdateBatch,
    arrays: list[tuple[Array, ...]],
    scalars: StepScalars,
    number: int,
) -> list[tuple[Array, ...]]:
    """Return the arrays of a batch with gradients after adaptive clipping, in place of which buffers may be used.

    Arrays that are updated while their gradient is clipped are left out.
    """
    rule = groups.all[batch.group].rule
    assert rule.agc is not None
    agc: Any = scalars.coefficients["agc"]  # of the rule at this time
    scale = scalars.coefficients["scale"] or 1.0
    stored = 2 + batch.states[0].names.index(ACCUMULATED) if rule.accumulate > 1 else 0
    program = scalars.program
    result = []
    for row, (W, g, *slots) in enumerate(arrays):
        operations = matrix_operations(backend, W, groups.workspace)
        name = f"clipped {number}, {row}"  # buffers of one step are in use together
        with nullcontext() if operations.xp is np else W.device:
            if stored:
                mean = operations.buffer(name, g.shape, g)
                operations.xp.add(slots[stored - 2], g, out=mean)
                g = operations.xp.divide(mean, rule.accumulate, out=mean)
            if batch.is_complex:
                clipped = clip_complex_columns(W, g, scale, agc, operations, name)
            elif (factors := column_factors(W, g, scale, agc, operations)) is None:
                clipped = g
            elif isinstance(program, Program) and operations.run_with_factors(
                program, (W, g, *slots), factors, scalars.values
            ):
                continue
            else:
                clipped = scale_columns(g, factors, operations, name)
        result.append((W, clipped, *slots))
    return result


def _run_matrices(
    backend: Backend,
    groups: ParamGroups,
    program: MatrixProgram,
    arrays: Sequence[tuple[Array, ...]],
    scalars: Sequence[float],
) -> None:
    """Run a program of whole arrays on each parameter."""
    with single_threaded_blas, np.errstate(all="ignore"):  # also NumPy's QR must not depend on the number of threads
        for each in arrays:
            operations = matrix_operations(backend, each[0], groups.workspace)
            if operations.xp is np:
                program.run(tuple(map(np.asarray, each)), scalars, operations)  # np.matrix has another * and reshape
            else:
                with each[0].device:
                    program.run(each, scalars, operations)
    if program.final is not None and arrays:
        values = program.final.evaluate_scalars(dict(zip(program.coefficients, scalars, strict=True)))
        backend.run(program.final, [program.final_arrays(each) for each in arrays], values)
