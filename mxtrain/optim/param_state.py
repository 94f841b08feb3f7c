"""State of each parameter (update count, slots, scalar slots), stored per array or in flat buffers."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np

from mxtrain.errors import ArrayError, ArrayTypeError
from mxtrain.optim.backends import on_same_device, to_device_of, zeros_like
from mxtrain.optim.flat_parameters import BufferSlice, FlatParameters
from mxtrain.types import Array, describe


def normalize_index(index: Any) -> Hashable:
    """Return an index as it is saved: a string, a Python integer, or a tuple of these.

    Raises:
        ArrayTypeError: it is something else.

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
    """What an optimizer keeps for one weight: the count of its updates, its slots and its scalar slots."""

    updates: int = 0
    slots: tuple[Array, ...] = ()
    scalars: dict[str, float] = field(default_factory=dict)
    overflow_free_until: int = field(default=0, compare=False)
    """The last update for which a scan found the slots far from overflow."""

    def check(self, index: Hashable, weight: Array) -> None:
        """Refuse a weight that these slots do not fit, and move slots to the memory of the weight."""
        if not self.slots:
            return
        slot = self.slots[0]  # all slots of a weight are alike
        if slot.shape == weight.shape and slot.dtype is weight.dtype and type(slot) is type(weight) is np.ndarray:
            return  # the common case, decided quickly
        if slot.shape == weight.shape and slot.dtype == weight.dtype:
            if not on_same_device(slot, weight):
                self.slots = tuple(to_device_of(each, weight) for each in self.slots)
        else:
            raise ArrayError(
                f"weight {index!r} has shape {weight.shape} and dtype {weight.dtype}, but the slots kept for it "
                f"have shape {slot.shape} and dtype {slot.dtype}; give another array another index"
            )


@dataclass(slots=True)
class FlatParamState:
    """What is kept for all parameters of one dtype that lie in one buffer, and so have one history."""

    places: tuple[BufferSlice, ...]
    kept: ParamState

    @classmethod
    def gather(cls, places: tuple[BufferSlice, ...], buffer: Array, kept: list[ParamState]) -> "FlatParamState":
        """Bring the slots of parameters that have one history together in buffers; `kept` is in the places' order."""
        slots = tuple(zeros_like(buffer) for _ in kept[0].slots)
        for place, each in zip(places, kept, strict=True):
            for flat, slot in zip(slots, each.slots, strict=True):
                place.view(flat)[...] = slot
        return cls(places, ParamState(kept[0].updates, slots, kept[0].scalars))

    def scatter(self) -> dict[Hashable, ParamState]:
        """The same for each parameter by its name; the slots are views."""
        updates, slots, scalars = self.kept.updates, self.kept.slots, self.kept.scalars
        return {place.name: ParamState(updates, tuple(map(place.view, slots)), dict(scalars)) for place in self.places}


class StateStore:
    """What an optimizer keeps for all its weights: by index, or for flat parameters together, by dtype."""

    def __init__(self, kept: Mapping[Hashable, ParamState] | None = None) -> None:
        self._loose: dict[Hashable, ParamState] = dict(kept or {})
        self._flat: dict[str, FlatParamState] = {}
        self._layout: tuple[BufferSlice, ...] | None = None

    def states_by_index(self) -> dict[Hashable, ParamState]:
        """What is kept, by index."""
        if not self._flat:
            return self._loose
        return self._loose | {name: each for flat in self._flat.values() for name, each in flat.scatter().items()}

    def arrays(self) -> Iterator[Array]:
        """The arrays that hold slots; those of flat parameters as whole buffers."""
        for each in (*self._loose.values(), *(flat.kept for flat in self._flat.values())):
            yield from each.slots

    @property
    def size(self) -> int:
        """The number of weights that something is kept for; flat parameters of one dtype count as one."""
        return len(self._loose) + len(self._flat)

    def unflatten(self) -> dict[Hashable, ParamState]:
        """The same; from here on, slots are kept for each weight by itself."""
        self._loose, self._flat, self._layout = self.states_by_index(), {}, None
        return self._loose

    def flat(self, params: FlatParameters) -> dict[str, FlatParamState] | None:
        """What is kept for flat parameters, by dtype, where it has been brought together."""
        return self._flat if self._layout is params.layout else None

    def keep(self, kept: Mapping[Hashable, ParamState]) -> None:
        """Keep this for weights that are new."""
        self._loose.update(kept)

    def set_flat(self, params: FlatParameters, flat: dict[str, FlatParamState]) -> None:
        """Keep this for flat parameters in the place of what was kept for each of them."""
        if flat is not self._flat:
            self._loose = {index: each for index, each in self._loose.items() if index not in params}
            self._flat, self._layout = flat, params.layout


def gather(params: FlatParameters, kept: Mapping[Hashable, ParamState]) -> dict[str, FlatParamState] | None:
    """The slots of flat parameters brought together by dtype; None where the parameters differ in their histories."""
    if len({(kept[name].updates, *kept[name].scalars.values()) for name in params}) > 1:
        return None
    places = {dtype: params.places(dtype) for dtype in params.buffers}
    return {
        dtype: FlatParamState.gather(places[dtype], buffer, [kept[place.name] for place in places[dtype]])
        for dtype, buffer in params.buffers.items()
    }
