"""Grouping of updates into batches that one call of a backend computes."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from mxtrain.errors import ArrayError, ArrayTypeError, TraceError
from mxtrain.optim.backends import Backend, OverlapCheck, array_kind, validate_update
from mxtrain.optim.backends.matmul import single_threaded_blas
from mxtrain.optim.backends.matrix_selection import matrix_operations
from mxtrain.optim.backends.overlap import ParamUpdate
from mxtrain.optim.backends.passes import MultiPassUpdate, run_passes
from mxtrain.optim.flat_parameters import FlatParameters
from mxtrain.optim.ir import MatrixProgram, Program
from mxtrain.optim.param_groups import ParamGroups
from mxtrain.optim.param_state import FlatStates, ParamState, StateStore, new_state, normalize_index
from mxtrain.optim.rules import Time
from mxtrain.types import Array, describe

BatchKey: TypeAlias = tuple[Any, ...]
"""The number of a parameter group, the type and dtype of the weight, the update count and the scalar slots."""


@dataclass(slots=True)
class UpdateBatch:
    """Updates that have the same program and the same scalars.

    Attributes:
        group: the number of the parameter group.
        states: the state of each weight; one for all arrays of flat parameters.
        arrays: the program's arrays for each weight: the weight, its gradient and its slots.
        positions: the place of each weight in the step; only used, and may be empty otherwise, if the rule has sums
            over all parameters.
    """

    group: int
    states: list[ParamState]
    arrays: list[tuple[Array, ...]]
    positions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class StepScalars:
    """Scalars of one update of a batch, computed on the host.

    Attributes:
        update: the number of the update, 1 at the first.
        values: the scalars of the program.
        scalar_slots: the scalar slots after the update.
        coefficients: the coefficients of the rule.
    """

    update: int
    values: tuple[float, ...]
    scalar_slots: dict[str, float]
    coefficients: dict[str, float]


class BatchBuilder:
    """Builds batches from the arrays of a step, after validation.

    Args:
        backend: the backend that runs the batches.
        groups: the rule's parameter groups.
    """

    def __init__(self, backend: Backend, groups: ParamGroups) -> None:
        self._backend = backend
        self._groups = groups
        self._overlap = OverlapCheck()

    def build_step(
        self, store: StateStore, params: Mapping[Any, Array], grads: Mapping[Any, Array]
    ) -> tuple[list[UpdateBatch], Mapping[Hashable, ParamState] | FlatStates]:
        """Group the updates of a step; also return states that are not in the store yet.

        Flat parameters are updated as whole buffers if they have one layout and one update count, no rule updates
        whole arrays, and the scalar slots of parameter groups cannot differ.

        Raises:
            ArrayError: a name is missing, an array is invalid, or arrays share memory.
        """
        need_arrays = self._groups.have_matrices or self._groups.have_own_scalars
        if isinstance(params, FlatParameters) and isinstance(grads, FlatParameters) and not need_arrays:
            flat_states = self._flat_states(store, params, grads)
            if flat_states is not None:
                return self._build_flat(params, grads, flat_states), flat_states
        _check_names(params, grads)
        return self.build(store, [(name, grads[name], weight) for name, weight in params.items()])

    def build(
        self, store: StateStore, updates: list[ParamUpdate]
    ) -> tuple[list[UpdateBatch], dict[Hashable, ParamState]]:
        """Group updates by their keys; also return states that are not in the store yet.

        Raises:
            ArrayError: an array is invalid, or shares memory with another.
        """
        states = store.unflatten()
        new: dict[Hashable, ParamState] = {}
        batches: dict[BatchKey, UpdateBatch] = {}
        last_key: BatchKey = ()
        groups, differ, all_own_memory = self._groups.all, self._groups.differ, True
        for position, (index, grad, weight) in enumerate(updates):
            all_own_memory &= validate_update(index, grad, weight)
            group = self._groups.number(index, weight.shape) if differ else 0
            state = states.get(index)
            if state is None:
                state = new[normalize_index(index)] = new_state(weight, groups[group])
            else:
                state.check(index, weight, groups[group])
            key = group, type(weight), weight.dtype, state.updates, state.scalars
            if key != last_key:  # the key of most weights is that of the weight before
                last_key, batch = key, self._find_batch(batches, index, weight, state, group)
            batch.states.append(state)
            batch.arrays.append((weight, grad, *state.slots))
            batch.positions.append(position)
        if not (all_own_memory and _have_distinct_arrays(updates)):
            self._overlap.check(updates)
        return list(batches.values()), new

    def _flat_states(self, store: StateStore, params: FlatParameters, grads: FlatParameters) -> FlatStates | None:
        """Validate flat arrays and return their states; None if layouts or update counts differ."""
        if not grads.has_same_layout(params):
            return None
        updates: list[ParamUpdate] = []
        all_own_memory = True
        for dtype, buffer in params.buffers.items():
            if grads.buffers[dtype] is buffer:
                raise ArrayError("the gradients share memory with the parameters; make them with params.zeros_like()")
            first = params.places(dtype)[0].name
            all_own_memory &= validate_update(first, grads.buffers[dtype], buffer)
            self._check_backend(first, buffer)
            updates.append((first, grads.buffers[dtype], buffer))
        if not (all_own_memory and _have_distinct_arrays(updates)):
            self._overlap.check(updates)
        states = store.flat(params)
        if states is not None:
            return states
        _, new = self.build(store, [(name, grads[name], weight) for name, weight in params.items()])
        return FlatStates.gather(params, store.states_by_index() | new)

    def _build_flat(self, params: FlatParameters, grads: FlatParameters, states: FlatStates) -> list[UpdateBatch]:
        """Return a batch for the buffer of each dtype, or one for each parameter group with parts of that buffer."""
        batches: list[UpdateBatch] = []
        for dtype, flat in states.by_dtype.items():
            arrays = params.buffers[dtype], grads.buffers[dtype], *flat.state.slots
            if not self._groups.differ and isinstance(self._groups.all[0].program, Program):
                batches.append(UpdateBatch(0, [flat.state], [arrays]))
                continue
            places = params.places(dtype)
            for group, slices in self._groups.slices(dtype, places).items():
                parts = [tuple(array[part] for array in arrays) for _, part in slices]
                positions = (
                    [params.layout.index(places[first]) for first, _ in slices] if self._groups.have_totals else []
                )
                batches.append(UpdateBatch(group, [flat.state], parts, positions))
        return batches

    def _find_batch(
        self, batches: dict[BatchKey, UpdateBatch], index: Hashable, weight: Array, state: ParamState, group: int
    ) -> UpdateBatch:
        key = group, type(weight), weight.dtype, state.updates, *state.scalars.values()
        if key not in batches:
            self._check_backend(index, weight)  # once for all weights of a type
            batches[key] = UpdateBatch(group, [], [])
        return batches[key]

    def _check_backend(self, index: Hashable, weight: Array) -> None:
        if array_kind(weight) not in self._backend.kinds:
            raise ArrayTypeError(
                f"weight {index!r} is a {array_kind(weight)} array, which the backend {self._backend.name} does not "
                "support; choose the backend auto, or move the array"
            )


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
        rule, program, fields, _ = groups.all[batch.group]
        state = batch.states[0]  # all states of a batch have the same update count and scalar slots
        update = state.updates + 1
        time = Time(update, iteration or update, finished_epochs)
        if rule.has_scheduled_numbers:
            rule = rule.at(time)
            fields = fields | rule.__dict__
        if rule.is_idle(time):
            continue
        coefficients = rule.coefficients(time, state.scalars)
        try:
            values = program.evaluate_scalars(fields | coefficients)
        except KeyError as error:
            raise TraceError(
                f"the update of {rule.kind} needs {error.args[0]}, which is neither a field nor a coefficient; return "
                "it from coefficients, or name it in computed_scalars if update computes it"
            ) from None
        scalar_slots = {name: coefficients.get(name, value) for name, value in state.scalars.items()}
        active.append(batch)
        step_scalars.append(StepScalars(update, values, scalar_slots, coefficients))
    return active, step_scalars


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
    for (batch, arrays), scalars in zip(batches, step_scalars, strict=True):
        program = groups.all[batch.group].program
        if isinstance(program, Program):
            backend.run(program, arrays, scalars.values)
        elif isinstance(program, MatrixProgram):
            _run_matrices(backend, groups, program, arrays, scalars.values)
        else:
            updates.append(MultiPassUpdate(program, arrays, scalars.values, scalars.scalar_slots, batch.positions))
    if updates:
        run_passes(backend, updates)


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
                continue
            with each[0].device:
                program.run(each, scalars, operations)


def _check_names(params: Mapping[Any, Array], grads: Mapping[Any, Array]) -> None:
    for argument, mapping in (("params", params), ("grads", grads)):
        if not isinstance(mapping, Mapping):
            raise ArrayTypeError(f"{argument} must be a mapping of arrays by name, got {describe(mapping)}")
    if params.keys() != grads.keys():
        missing, extra = (
            sorted(map(repr, names)) for names in (params.keys() - grads.keys(), grads.keys() - params.keys())
        )
        problems = [f"no gradient for {', '.join(missing)}"] if missing else []
        problems += [f"no parameter {', '.join(extra)}"] if extra else []
        raise ArrayError(f"params and grads must have the same names: {'; '.join(problems)}")


def _have_distinct_arrays(updates: list[ParamUpdate]) -> bool:
    """Return whether no weight is the same array as another weight or a gradient."""
    if len(updates) == 1:
        return updates[0][1] is not updates[0][2]
    weights = {id(weight) for _, _, weight in updates}
    return len(weights) == len(updates) and weights.isdisjoint([id(grad) for _, grad, _ in updates])
