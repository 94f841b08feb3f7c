"""Grouping of updates into batches that one call of a backend computes."""

from collections.abc import Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from mxtrain.errors import ArrayError, ArrayTypeError, ConfigError
from mxtrain.optim.backends import Backend, OverlapCheck, array_kind, check_is_array, validate_update
from mxtrain.optim.backends.half_conversion import are_plain, can_run_compiled
from mxtrain.optim.backends.overlap import ParamUpdate
from mxtrain.optim.flat_parameters import FlatParameters
from mxtrain.optim.inputs import InputConverter, RowRequest, StepInputs, convert_arrays, names_error
from mxtrain.optim.inputs.complex_arrays import check_complex_rule, real_view
from mxtrain.optim.inputs.half_precision import HalfStep
from mxtrain.optim.ir import Program
from mxtrain.optim.ir.wrapping import ACCUMULATED
from mxtrain.optim.param_groups import ParamGroup, ParamGroups
from mxtrain.optim.param_state import FlatStates, ParamState, StateStore, new_state, normalize_index
from mxtrain.optim.row_updates import RowUpdate, dense_step_error
from mxtrain.types import Array, describe

BatchKey: TypeAlias = tuple[Any, ...]
"""The number of a parameter group, the type and dtype of the weight, the update count and the scalar slots."""

NewStates: TypeAlias = Mapping[Hashable, ParamState] | FlatStates
"""States that are not in the store yet."""


@dataclass(slots=True)
class UpdateBatch:
    """Updates that have the same program and the same scalars.

    Attributes:
        group: the number of the parameter group.
        states: the state of each weight; one for all arrays of flat parameters.
        arrays: the program's arrays for each weight: the weight, its gradient and its slots.
        positions: the place of each weight in the step; only used, and may be empty otherwise, if the rule has sums
            over all parameters.
        slices: the parts of the arrays that are parameters, in the order of `positions`, if the arrays are whole
            buffers and a norm over all parameters is needed.
        dtype: the dtype of the weights, if the arrays have another.
        is_complex: True if the arrays are real views of complex ones.
        is_direct: True if the arrays are those of `run_compiled`, with weights of half precision.
        names: the name of each weight, if the arrays are not those of the caller.
        squares: the sum of the squares of the gradient of each parameter, if they are known.
    """

    group: int
    states: list[ParamState]
    arrays: list[tuple[Array, ...]]
    positions: list[int] = field(default_factory=list)
    slices: list[slice] = field(default_factory=list)
    dtype: Any = None
    is_complex: bool = False
    is_direct: bool = False
    names: list[Hashable] = field(default_factory=list)
    squares: Any = None

    def add(
        self,
        name: Hashable,
        state: ParamState,
        arrays: tuple[Array, ...],
        position: int,
        dtype: Any,
        *,
        is_complex: bool,
    ) -> None:
        """Add a weight whose arrays may not be those of the caller; `dtype` is that of the weight."""
        self.dtype, self.is_complex = dtype, is_complex
        self.names.append(name)
        self.states.append(state)
        self.arrays.append(arrays)
        self.positions.append(position)

    def gradients(self, *, with_sums: bool = False) -> list[tuple[Array, ...]]:
        """Return the gradient of each parameter, with the sum of the gradients before it if that is wanted."""
        columns = (1, 2 + self.states[0].names.index(ACCUMULATED)) if with_sums else (1,)
        rows = [tuple(arrays[column] for column in columns) for arrays in self.arrays]
        return [tuple(array[part] for array in rows[0]) for part in self.slices] if self.slices else rows


BuiltStep: TypeAlias = tuple[list[UpdateBatch], NewStates, StepInputs | None]
"""Batches, states that are not in the store yet, and the inputs if they were converted."""


class BatchBuilder:
    """Builds batches from the arrays of a step, after validation.

    Args:
        backend: the backend that runs the batches.
        groups: the rule's parameter groups.
        tries_steps: updates may be run on copies of the arrays first.
    """

    def __init__(self, backend: Backend, groups: ParamGroups, *, tries_steps: bool = False) -> None:
        self._tries_steps = tries_steps
        self._backend = backend
        self._groups = groups
        self._overlap = OverlapCheck()
        self._converter = InputConverter()

    def build_step(self, store: StateStore, params: Any, grads: Any, rows: Any = None) -> BuiltStep:
        """Group the updates of a step; also return states that are not in the store yet, and converted inputs.

        Arrays that backends can update as they are cost nothing more than their validation: the inputs are converted
        only if that fails, or if those of the last step were.

        Raises:
            ArrayError: a name is missing, an array is invalid, or arrays share memory.
            ConfigError: a group takes none of the parameters, or none takes a parameter and `groups_required` is true.
            BackendError: a package that an array needs is not installed.
        """
        if rows is not None:
            inputs = self._converter.convert(params, grads, RowRequest(rows, store.row_counts, self._backend))
            return *self._build_converted(store, inputs), inputs
        if isinstance(params, FlatParameters) and isinstance(grads, FlatParameters):
            return *self._build_plain(store, params, grads), None
        if not self._converter.is_active:
            with suppress(ArrayError, ConfigError):  # a mistake is found again after the conversion
                return *self._build_plain(store, params, grads), None
        inputs = self._converter.convert(params, grads)
        return *self._build_converted(store, inputs), inputs

    def build_update(self, store: StateStore, index: Hashable, grad: Any, weight: Any) -> BuiltStep:
        """Return the batch of one array, as `build_step`."""
        if grad is None:  # in a step, it leaves the parameter unchanged
            check_is_array(f"the gradient of weight {index!r}", grad)
        with suppress(ArrayError):
            return *self.build(store, [(index, grad, weight)]), None
        inputs = convert_arrays({index: weight}, [grad])
        return *self._build_converted(store, inputs), inputs

    def _build_plain(
        self, store: StateStore, params: Mapping[Any, Array], grads: Mapping[Any, Array]
    ) -> tuple[list[UpdateBatch], NewStates]:
        """Group the updates of arrays that need no conversion.

        Flat parameters are updated as whole buffers if they have one layout and one update count, no rule updates
        whole arrays, and the scalar slots of parameter groups cannot differ.
        """
        need_arrays = self._groups.have_matrices or self._groups.have_own_states
        if isinstance(params, FlatParameters) and isinstance(grads, FlatParameters) and not need_arrays:
            if self._groups.need_check:
                self._groups.check(params, store.indices())
            flat_states = self._flat_states(store, params, grads)
            if flat_states is not None:
                return self._build_flat(params, grads, flat_states), flat_states
        _check_names(params, grads)
        if self._groups.need_check:
            self._groups.check(params, store.indices())
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
                if state.row_counts is not None:
                    raise dense_step_error(index)
            key = group, type(weight), weight.dtype, state.updates, state.scalars
            if key != last_key:  # the key of most weights is that of the weight before
                last_key, batch = key, self._find_batch(batches, index, weight, state, group)
            batch.states.append(state)
            batch.arrays.append((weight, grad, *state.slots))
            batch.positions.append(position)
        if not (all_own_memory and _have_distinct_arrays(updates)):
            self._overlap.check(updates)
        return list(batches.values()), new

    def _build_converted(
        self, store: StateStore, inputs: StepInputs
    ) -> tuple[list[UpdateBatch], dict[Hashable, ParamState]]:
        """Group the updates of converted arrays by their keys; also return states that are not in the store yet."""
        if self._groups.need_check:
            self._groups.check(inputs.originals, store.indices())
        if inputs.are_direct:
            return self.build(store, inputs.memory)
        states = store.unflatten()
        new: dict[Hashable, ParamState] = {}
        batches: dict[BatchKey, UpdateBatch] = {}
        groups, differ = self._groups.all, self._groups.differ
        halves = HalfStep(self._backend, self._groups.workspace)
        for position, (index, weight) in enumerate(inputs.params.items()):
            grad, stored = inputs.grads[index], inputs.stored.get(index, weight)
            is_complex = index in inputs.complex
            selection, row_update = inputs.rows.get(index), None
            if index not in inputs.half and (selection is None or selection.compact is not None):
                validate_update(index, grad, weight)
            group = self._groups.number(index, inputs.shape(index), is_complex=is_complex) if differ else 0
            if is_complex:
                check_complex_rule(index, stored, groups[group].rule, groups[group].program)
            state = states.get(index)
            if state is None:
                state = new[normalize_index(index)] = new_state(stored, groups[group])
            else:
                state.check(index, stored, groups[group])
            if selection is not None:
                row_update = RowUpdate(index, selection, state, groups[group], self._backend)
                inputs.write_back.insert(0, row_update.finish)
            elif state.row_counts is not None:
                raise dense_step_error(index)
            slots = tuple(map(real_view, state.slots)) if is_complex else state.slots
            dtype, arrays, is_direct = weight.dtype, (weight, grad, *slots), False
            if index in inputs.half:
                is_direct = selection is None and self._runs_directly(groups[group], *arrays)
                has_master = groups[group].rule.master
                arrays = halves.add(weight, grad, slots, state, has_master=has_master, is_direct=is_direct)
            for each, part in [(state, arrays)] if row_update is None else row_update.parts(*arrays):
                batch = self._find_batch(batches, index, stored, each, group, is_direct)
                batch.add(index, each, part, position, dtype, is_complex=is_complex)
            if selection is not None and selection.compact is not None:
                inputs.params[index] = selection.compact
        self._overlap.check(inputs.memory)
        if inputs.half:
            halves.load()
            inputs.write_back.insert(0, halves.store)
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
                whole = UpdateBatch(0, [flat.state], [arrays])
                if self._groups.all[0].rule.clip_norm is not None:
                    places = params.places(dtype)
                    whole.positions = [params.layout.index(place) for place in places]
                    whole.slices = [slice(place.start, place.stop) for place in places]
                batches.append(whole)
                continue
            places = params.places(dtype)
            for group, slices in self._groups.slices(dtype, places).items():
                parts = [tuple(array[part] for array in arrays) for _, part in slices]
                positions = (
                    [params.layout.index(places[first]) for first, _ in slices] if self._groups.need_positions else []
                )
                batches.append(UpdateBatch(group, [flat.state], parts, positions))
        return batches

    def _find_batch(
        self,
        batches: dict[BatchKey, UpdateBatch],
        index: Hashable,
        weight: Array,
        state: ParamState,
        group: int,
        is_direct: bool = False,
    ) -> UpdateBatch:
        key = group, type(weight), weight.dtype, is_direct, state.updates, *state.scalars.values()
        if key not in batches:
            self._check_backend(index, weight)  # once for all weights of a type
            batches[key] = UpdateBatch(group, [], [], is_direct=is_direct)
        return batches[key]

    def _runs_directly(self, group: ParamGroup, *arrays: Array) -> bool:
        """Return whether a compiled loop can convert and round a weight of half precision where it updates it.

        The arrays of a batch are otherwise float32, for norms, checks and copies.
        """
        return (
            isinstance(group.program, Program)
            and not (self._tries_steps or self._groups.wrap_steps or group.rule.agc)
            and are_plain(arrays)
            and can_run_compiled(self._backend, arrays[0].size)
        )

    def _check_backend(self, index: Hashable, weight: Array) -> None:
        if array_kind(weight) not in self._backend.kinds:
            raise ArrayTypeError(
                f"weight {index!r} is a {array_kind(weight)} array, which the backend {self._backend.name} does not "
                "support; choose the backend auto, or move the array"
            )


def check_mapping(argument: str, value: object) -> None:
    """Check that an argument is a mapping of arrays by name; raise an ArrayTypeError otherwise."""
    if not isinstance(value, Mapping):
        raise ArrayTypeError(f"{argument} must be a mapping of arrays by name, got {describe(value)}")


def _check_names(params: Mapping[Any, Array], grads: Mapping[Any, Array]) -> None:
    for argument, mapping in (("params", params), ("grads", grads)):
        check_mapping(argument, mapping)
    if params.keys() != grads.keys():
        missing, extra = (
            [name for name in params if name not in grads],
            [name for name in grads if name not in params],
        )
        raise names_error(missing, extra)


def _have_distinct_arrays(updates: list[ParamUpdate]) -> bool:
    """Return whether no weight is the same array as another weight or a gradient."""
    if len(updates) == 1:
        return updates[0][1] is not updates[0][2]
    weights = {id(weight) for _, _, weight in updates}
    return len(weights) == len(updates) and weights.isdisjoint([id(grad) for _, grad, _ in updates])
