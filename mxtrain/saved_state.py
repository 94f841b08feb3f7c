"""What an optimizer keeps as a dict of arrays and plain numbers, and back."""

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import asdict, fields
from numbers import Integral, Real
from typing import Any

from mxtrain.errors import ArrayTypeError, StateError
from mxtrain.optimizers import Rule
from mxtrain.slots import Kept, plain_index
from mxtrain.state import OptimizationState
from mxtrain.types import DTYPES, Array, describe


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
    kept = {_index(index): _read_parameter(index, entry, rule) for index, entry in parameters.items()}
    for index in kept.keys() & present.keys():
        _match(index, kept[index], present[index])
    return state, kept


def _index(index: Any) -> Hashable:
    """Return an index as it is saved; a StateError for any other."""
    try:
        return plain_index(index)
    except ArrayTypeError as error:
        raise StateError(f"parameters: {error}") from None


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
        if slot.shape != known.shape or slot.dtype != known.dtype:
            raise StateError(
                f"parameters[{index!r}] holds slots of shape {slot.shape} and dtype {slot.dtype}; "
                f"this optimizer's have shape {known.shape} and dtype {known.dtype}"
            )


def _need_keys(place: str, value: Any, keys: Iterable[str]) -> None:
    wanted = list(keys)
    if not isinstance(value, Mapping) or set(value) != set(wanted):
        got = ", ".join(map(str, value)) or "an empty mapping" if isinstance(value, Mapping) else describe(value)
        raise StateError(f"{place} must be a mapping with the keys {', '.join(wanted) or '(none)'}, got {got}")


def _count(place: str, value: Any) -> int:
    number = _plain(value)
    if isinstance(number, bool) or not isinstance(number, Integral) or number < 0:
        raise StateError(f"{place} must be a whole number, at least 0, got {describe(value)}")
    return int(number)


def _number(place: str, value: Any) -> float:
    number = _plain(value)
    if isinstance(number, bool) or not isinstance(number, Real) or not math.isfinite(number):
        raise StateError(f"{place} must be a finite number, got {describe(value)}")
    return float(number)


def _plain(value: Any) -> Any:
    """The number in a NumPy scalar or in an array of no dimensions, which is what an `.npz` file gives back."""
    return value.item() if getattr(value, "shape", None) == () else value


def _slot(place: str, value: Any) -> Array:
    if str(getattr(value, "dtype", None)) not in DTYPES:
        raise StateError(f"{place} must be an array of {' or '.join(DTYPES)}, got {describe(value)}")
    return value.copy()
