"""State of each parameter (update count, slots, scalar slots), stored per array or in flat buffers."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mxtrain.errors import ArrayError, ArrayTypeError
from mxtrain.optim.backends import on_same_device, to_device_of, zeros, zeros_like
from mxtrain.optim.backends.half_conversion import is_half, round_to
from mxtrain.optim.flat_parameters import BufferSlice, FlatParameters
from mxtrain.optim.inputs.complex_arrays import complex_view, is_complex, real_view
from mxtrain.optim.ir.wrapping import MASTER, ROW_UPDATES, START_SHARE
from mxtrain.optim.param_groups import ParamGroup, StoredRule
from mxtrain.optim.rules import Rule
from mxtrain.optim.rules.wrappers import rounded_bounds
from mxtrain.types import Array, describe


def normalize_index(index: Any) -> Hashable:
    """Return an index in the form in which it is saved: a string, a Python integer, or a tuple of these.

    Raises:
        ArrayTypeError: the index has another type.

    >>> normalize_index(np.int64(3)), normalize_index(("layer", np.int32(1)))
    (3, ('layer', 1))
    """
    match index:
        case str():
            return str(index)
        case Integral() if not isinstance(index, bool):
            return int(index)
        case tuple():
            return tuple(map(normalize_index, index))
    raise ArrayTypeError(
        f"the index of a weight must be a string, a whole number or a tuple of these, got {describe(index)}"
    )


@dataclass(slots=True)
class ParamState:
    """State of one weight: its update count, slots and scalar slots, and the names of the slots.

    Slots have the dtype of the weight; those of a weight of half precision, and its copy `master`, are float32.
    """

    updates: int = 0
    slots: tuple[Array, ...] = ()
    scalars: dict[str, float] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    rule: StoredRule | None = None
    """The rule that made the slots; None in a state of an earlier version, which does not record it."""
    overflow_free_until: int = field(default=0, compare=False)
    """The last update for which a scan found the slots far from overflow."""
    master: Array | None = None
    """The float32 copy of a weight of half precision; None without `master: true`."""

    row_counts: "NDArray[np.int64] | None" = None
    """The update count of each row, on the host; None unless rows were updated with `row_updates: own`."""

    def named_slots(self) -> Iterator[tuple[str, Array]]:
        """Yield the name and the array of each slot, the float32 copy of the weight, and the counts of its rows."""
        yield from zip(self.names, self.slots, strict=True)
        if self.master is not None:
            yield MASTER, self.master
        if self.row_counts is not None:
            yield ROW_UPDATES, self.row_counts

    def check(self, index: Hashable, weight: Array, group: ParamGroup) -> None:
        """Refuse a weight or a rule that does not match these slots, and move the slots to the device of the weight.

        Raises:
            ArrayError: the weight has another shape or dtype, or its rule has other slots.
        """
        if self.names is not group.slots and self.names != group.slots:
            raise ArrayError(
                f"weight {index!r} has the slots {', '.join(self.names) or '(none)'}, but the rule {group.rule.kind} "
                f"needs {', '.join(group.slots) or '(none)'}; it was loaded from a state with another rule for it; "
                "build the optimizer with the rule of the state"
            )
        if self.master is not None:
            self._check_master(index, weight)
        if self.rule is not group.stored:
            self._check_rule(index, group.stored)
        if not self.slots:
            return
        slot, rule = self.slots[0], group.rule
        has_type = slot.shape == weight.shape and slot.dtype is weight.dtype and type(slot) is type(weight)
        if has_type and type(slot) is np.ndarray and rule.slots_have_weight_shape:
            return  # the common case, decided quickly
        shapes = rule.stored_shapes(weight.shape)
        if slot.dtype == slot_dtype(weight) and all(
            each.shape == shape for each, shape in zip(self.slots, shapes, strict=True)
        ):
            if not on_same_device(slot, weight):
                self.slots = tuple(to_device_of(each, weight) for each in self.slots)
        else:
            raise ArrayError(
                f"weight {index!r} has shape {weight.shape} and dtype {weight.dtype}, but its slots "
                f"have shape {slot.shape} and dtype {slot.dtype}; give another array another index"
            )

    def _check_master(self, index: Hashable, weight: Array) -> None:
        assert self.master is not None
        if not is_half(weight.dtype) or self.master.shape != weight.shape:
            raise ArrayError(
                f"weight {index!r} has shape {weight.shape} and dtype {weight.dtype}, but its state has the float32 "
                f"copy of a half-precision weight of shape {self.master.shape}; give another array another index"
            )
        if not on_same_device(self.master, weight):
            self.master = to_device_of(self.master, weight)

    def _check_rule(self, index: Hashable, rule: StoredRule) -> None:
        if self.rule is not None and (problem := stored_rule_problem(self.rule, rule)):
            raise ArrayError(f"weight {index!r} {problem}")
        self.rule = rule


def slot_dtype(weight: Array) -> "np.dtype[Any]":
    """Return the dtype of the slots of a weight: its own, or float32 for half precision."""
    return np.dtype("float32") if is_half(weight.dtype) else weight.dtype


def stored_rule_problem(saved: StoredRule, present: StoredRule) -> str | None:
    """Return the difference between the rule of a state and that of an optimizer; None if the slots mean the same."""
    if saved.kind != present.kind:
        return f"was saved with the rule {saved.kind}, and this optimizer has {present.kind}; build it with the former"
    for name, value in present.options.items():
        before = saved.options.get(name, value)
        if before != value:
            shown, now = _option_texts(before, value)
            return (
                f"was saved with {name}: {shown}, and this optimizer has {name}: {now}, with which its slots mean "
                "something else; build it with the former"
            )
    return None


def _option_texts(before: Any, now: Any) -> tuple[str, str]:
    """Return two values of an option for a message: of texts with several lines, the first lines that differ."""
    if not (isinstance(before, str) and isinstance(now, str)):
        return describe(before), describe(now)
    pairs = zip_longest(before.split("\n"), now.split("\n"), fillvalue="no further line")
    return next((one, other) for one, other in pairs if one != other)


def new_state(weight: Array, group: ParamGroup) -> ParamState:
    """Return the state of a weight before its first update."""
    rule = group.rule
    starts = rule.stored_starts()
    slots = []
    for name, shape in zip(group.slots, rule.stored_shapes(weight.shape), strict=True):
        start = starts.get(name, 0.0)
        dtype = slot_dtype(weight)
        is_like = shape == weight.shape and dtype == weight.dtype
        slot = zeros_like(weight) if is_like else zeros(shape, str(dtype), weight)
        if start == "W":
            slot[...] = weight
        elif start:
            (real_view(slot) if is_complex(dtype) else slot)[...] = start
        slots.append(slot)
    return ParamState(0, tuple(slots), rule.stored_scalars(), group.slots, group.stored)


def evaluation_weight(rule: Rule, weight: Array, state: ParamState) -> Array:
    """Return the array of a weight to evaluate: an average that a rule or a wrapper keeps, or the weight itself."""
    name = rule.evaluation_weights()
    if name is None or state.updates == 0:
        return weight
    value = state.slots[state.names.index(name)]
    if rule.ema is not None and rule.ema.corrected:
        share = state.scalars.get(START_SHARE)  # checkpoints of earlier versions lack it
        divisor = 1 - (rule.ema.decay**state.updates if share is None else share)
        value = complex_view(real_view(value) / divisor) if is_complex(value.dtype) else value / divisor
    if rule.bounds is not None:  # averages may be outside by a rounding
        low, high = rounded_bounds(rule.bounds, weight.dtype)
        value = value.clip(low, high)
    return round_to(weight.dtype, value) if is_half(weight.dtype) else value


@dataclass(slots=True)
class FlatParamState:
    """State of all parameters in one buffer, which have the same update count and scalar slots.

    Attributes:
        places: the place of each parameter in the buffer.
        state: the shared state; the slots are buffers.
        rules: the rule that made the slots of each parameter, in the order of `places`.
    """

    places: tuple[BufferSlice, ...]
    state: ParamState
    rules: tuple[StoredRule | None, ...]

    @classmethod
    def gather(cls, places: tuple[BufferSlice, ...], buffer: Array, states: list[ParamState]) -> "FlatParamState":
        """Copy the slots of parameters into buffers; `states` is in the order of `places`."""
        slots = tuple(zeros_like(buffer) for _ in states[0].slots)
        for place, state in zip(places, states, strict=True):
            for flat, slot in zip(slots, state.slots, strict=True):
                place.view(flat)[...] = slot
        shared = ParamState(states[0].updates, slots, states[0].scalars, states[0].names)
        return cls(places, shared, tuple(each.rule for each in states))

    def scatter(self) -> dict[Hashable, ParamState]:
        """Return the state of each parameter by its name; the slots are views."""
        state = self.state
        return {
            place.name: ParamState(
                state.updates, tuple(map(place.view, state.slots)), dict(state.scalars), state.names, rule
            )
            for place, rule in zip(self.places, self.rules, strict=True)
        }


class FlatStates(NamedTuple):
    """States of flat parameters that were stored together.

    Attributes:
        layout: the layout of the parameters.
        by_dtype: the state of each buffer, by its dtype.
    """

    layout: tuple[BufferSlice, ...]
    by_dtype: dict[str, FlatParamState]

    @classmethod
    def gather(cls, params: FlatParameters, states: Mapping[Hashable, ParamState]) -> "FlatStates | None":
        """Copy the slots of flat parameters into buffers; None if slots, update counts or scalar slots differ."""
        if len({(states[name].names, states[name].updates, *states[name].scalars.values()) for name in params}) > 1:
            return None
        if any(slot.shape != params[name].shape for name in params for slot in states[name].slots):
            return None
        by_dtype: dict[str, FlatParamState] = {}
        for dtype, buffer in params.buffers.items():
            places = params.places(dtype)
            by_dtype[dtype] = FlatParamState.gather(places, buffer, [states[place.name] for place in places])
        return cls(params.layout, by_dtype)


class StateStore:
    """States of all weights of an optimizer: by index, or by dtype for flat parameters.

    Args:
        states: the first states, by index.
    """

    def __init__(self, states: Mapping[Hashable, ParamState] | None = None) -> None:
        self._by_index: dict[Hashable, ParamState] = dict(states or {})
        self._flat = FlatStates((), {})

    def states_by_index(self) -> dict[Hashable, ParamState]:
        """Return the state of each weight by its index."""
        if not self._flat.by_dtype:
            return self._by_index
        flat = {name: state for each in self._flat.by_dtype.values() for name, state in each.scatter().items()}
        return self._by_index | flat

    def indices(self) -> Iterator[Hashable]:
        """Yield the index of each weight."""
        yield from self._by_index
        yield from (place.name for place in self._flat.layout)

    def arrays(self) -> Iterator[Array]:
        """Yield the arrays that hold slots; those of flat parameters as whole buffers."""
        for state in (*self._by_index.values(), *(flat.state for flat in self._flat.by_dtype.values())):
            yield from state.slots
            if state.master is not None:
                yield state.master

    def row_counts(self, index: Hashable) -> "NDArray[np.int64] | None":
        """Return the update count of each row of a weight; None if it has none."""
        state = self.unflatten().get(index)
        return None if state is None else state.row_counts

    @property
    def size(self) -> int:
        """The number of weights; flat parameters of one dtype count as one."""
        return len(self._by_index) + len(self._flat.by_dtype)

    def unflatten(self) -> dict[Hashable, ParamState]:
        """Return the state of each weight by its index, and store it by index from here on."""
        if self._flat.by_dtype:
            self._by_index, self._flat = self.states_by_index(), FlatStates((), {})
        return self._by_index

    def flat(self, params: FlatParameters) -> FlatStates | None:
        """Return the states of flat parameters; None if they are not stored together."""
        return self._flat if self._flat.layout is params.layout else None

    def add(self, states: Mapping[Hashable, ParamState] | FlatStates) -> None:
        """Store the states of new weights, or those of flat parameters in place of the states of each of them."""
        if not isinstance(states, FlatStates):
            self._by_index.update(states)
        elif states is not self._flat:
            flat_names = {place.name for place in states.layout}
            self._by_index = {index: state for index, state in self._by_index.items() if index not in flat_names}
            self._flat = states
