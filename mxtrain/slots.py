"""What an optimizer keeps for each weight, and how that is saved and read back."""

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from mxtrain.backends import same_kind, zeros_like
from mxtrain.errors import ArrayError, StateError
from mxtrain.flat import Place
from mxtrain.optimizers import Rule
from mxtrain.state import OptimizationState
from mxtrain.types import Array, describe


@dataclass(slots=True)
class Kept:
    """What an optimizer keeps for one weight: the count of its updates, its slots and its scalar slots."""

    updates: int = 0
    slots: tuple[Array, ...] = ()
    scalars: dict[str, float] = field(default_factory=dict)

    def check(self, index: Hashable, weight: Array) -> None:
        """Refuse a weight that these slots do not fit."""
        if not self.slots:
            return
        slot = self.slots[0]  # all slots of a weight are alike
        if slot.shape != weight.shape or slot.dtype != weight.dtype or not same_kind(slot, weight):
            raise ArrayError(
                f"weight {index!r} has shape {weight.shape} and dtype {weight.dtype}, but the slots kept for it "
                f"have shape {slot.shape} and dtype {slot.dtype}; give another array another index"
            )


@dataclass(slots=True)
class FlatKept:
    """What is kept for all parameters of one dtype that lie in one buffer, and so have one history."""

    places: tuple[Place, ...]
    kept: Kept

    @classmethod
    def gather(cls, places: tuple[Place, ...], buffer: Array, kept: list[Kept]) -> "FlatKept":
        """Bring the slots of parameters that have one history together in buffers; `kept` is in the places' order."""
        slots = tuple(zeros_like(buffer) for _ in kept[0].slots)
        for place, each in zip(places, kept, strict=True):
            for flat, slot in zip(slots, each.slots, strict=True):
                place.view(flat)[...] = slot
        return cls(places, Kept(kept[0].updates, slots, kept[0].scalars))

    def scatter(self) -> dict[Hashable, Kept]:
        """The same for each parameter by its name; the slots are views."""
        updates, slots, scalars = self.kept.updates, self.kept.slots, self.kept.scalars
        return {place.name: Kept(updates, tuple(map(place.view, slots)), dict(scalars)) for place in self.places}


def write_state(rule: Rule, state: OptimizationState, kept: Mapping[Hashable, Kept]) -> dict[str, Any]:
    """Everything that must survive, as a dict that shares no memory with the optimizer."""
    names = rule.active_slots()
    parameters = {
        index: {
            "updates": each.updates,
            "slots": {name: slot.copy() for name, slot in zip(names, each.slots, strict=True)},
            "scalars": dict(each.scalars),
        }
        for index, each in kept.items()
    }
    return {"rule": rule.kind, "state": asdict(state), "parameters": parameters}


def read_state(
    saved: Mapping[str, Any], rule: Rule, present: Mapping[Hashable, Kept]
) -> tuple[OptimizationState, dict[Hashable, Kept]]:
    """What `write_state` wrote, checked against the rule and against what is kept at present.

    Raises:
        StateError: it belongs to another rule, or to arrays of another shape or dtype, or is incomplete.
    """
    _need_keys("the state", saved, ("rule", "state", "parameters"))
    if saved["rule"] != rule.kind:
        raise StateError(f"the state belongs to {describe(saved['rule'])}, this optimizer is {rule.kind!r}")
    counts = saved["state"]
    _need_keys("state", counts, [each.name for each in fields(OptimizationState)])
    state = OptimizationState(**{name: _count(f"state[{name!r}]", value) for name, value in counts.items()})
    parameters = saved["parameters"]
    if not isinstance(parameters, Mapping):
        raise StateError(f"parameters must be a mapping, got {describe(parameters)}")
    kept = {index: _read_parameter(index, entry, rule) for index, entry in parameters.items()}
    for index in kept.keys() & present.keys():
        _match(index, kept[index], present[index])
    return state, kept


def _read_parameter(index: Hashable, entry: Any, rule: Rule) -> Kept:
    place = f"parameters[{index!r}]"
    _need_keys(place, entry, ("updates", "slots", "scalars"))
    _need_keys(f"{place}['slots']", entry["slots"], rule.active_slots())
    _need_keys(f"{place}['scalars']", entry["scalars"], rule.scalar_slots)
    slots = tuple(_slot(f"{place}['slots'][{name!r}]", entry["slots"][name]) for name in rule.active_slots())
    for slot in slots[1:]:
        if slot.shape != slots[0].shape or slot.dtype != slots[0].dtype:
            raise StateError(f"{place}: its slots have different shapes or dtypes")
    scalars = {name: _number(f"{place}['scalars'][{name!r}]", entry["scalars"][name]) for name in rule.scalar_slots}
    return Kept(_count(f"{place}['updates']", entry["updates"]), slots, scalars)


def _match(index: Hashable, new: Kept, old: Kept) -> None:
    for slot, known in zip(new.slots, old.slots, strict=True):
        if slot.shape != known.shape or slot.dtype != known.dtype or not same_kind(slot, known):
            raise StateError(
                f"parameters[{index!r}] holds slots of shape {slot.shape} and dtype {slot.dtype}; "
                f"this optimizer's have shape {known.shape} and dtype {known.dtype}"
            )


def _need_keys(place: str, value: Any, keys: Iterable[str]) -> None:
    wanted = list(keys)
    if not isinstance(value, Mapping) or set(value) != set(wanted):
        got = ", ".join(map(str, value)) if isinstance(value, Mapping) else describe(value)
        raise StateError(
            f"{place} must be a mapping with the keys {', '.join(wanted) or '(none)'}, got {got or 'none'}"
        )


def _count(place: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise StateError(f"{place} must be a whole number, at least 0, got {describe(value)}")
    return value


def _number(place: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise StateError(f"{place} must be a finite number, got {describe(value)}")
    return float(value)


def _slot(place: str, value: Any) -> Array:
    if str(getattr(value, "dtype", None)) not in ("float32", "float64"):
        raise StateError(f"{place} must be an array of float32 or float64, got {describe(value)}")
    return value.copy()
