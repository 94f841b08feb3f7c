"""State dicts of optimizers: create and validate them."""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import PydanticCustomError

from mxtrain.errors import ArrayTypeError, StateError
from mxtrain.optim.backends.half_conversion import is_half
from mxtrain.optim.ir.wrapping import ACCUMULATED, AVERAGE, MASTER, ROW_UPDATES, SLOW, START_SHARE
from mxtrain.optim.optimization_state import OptimizationState
from mxtrain.optim.param_groups import StoredRule
from mxtrain.optim.param_state import ParamState, normalize_index, stored_rule_problem
from mxtrain.optim.rules import Rule
from mxtrain.types import COMPLEX_DTYPES, DTYPES, Array, describe


def make_state_dict(rule: Rule, state: OptimizationState, states: Mapping[Hashable, ParamState]) -> dict[str, Any]:
    """Return the state of an optimizer as a dict that shares no memory with it."""
    parameters = {index: _make_entry(param) for index, param in states.items()}
    counts = asdict(state)
    if not state.skipped:
        del counts["skipped"]  # as in states of earlier versions
    options = rule.stored_options()
    return {"rule": rule.kind, **({"options": options} if options else {}), "state": counts, "parameters": parameters}


def _make_entry(param: ParamState) -> dict[str, Any]:
    """Return the state of one parameter, with the rule that made its slots."""
    entry: dict[str, Any] = {}
    if param.rule is not None:
        entry["rule"] = param.rule.kind
        if param.rule.options:
            entry["options"] = dict(param.rule.options)
    slots = {name: slot.copy() for name, slot in param.named_slots()}
    return entry | {"updates": param.updates, "slots": slots, "scalars": dict(param.scalars)}


def parse_state_dict(
    saved: Mapping[str, Any],
    rule: Rule,
    rules_for: Callable[[Hashable], Sequence[Rule]],
    present: Mapping[Hashable, ParamState],
) -> tuple[OptimizationState, dict[Hashable, ParamState]]:
    """Validate the result of `make_state_dict` against the rule and the present states.

    Args:
        saved: the result of `make_state_dict`.
        rule: the rule.
        rules_for: returns the rules that a parameter may have, which groups and its number of axes decide.
        present: the present states.

    Raises:
        StateError: it belongs to another rule, or to arrays of another shape or dtype, is incomplete, or has a number
            out of its bounds.
    """
    has_options = isinstance(saved, Mapping) and "options" in saved  # states of earlier versions have none
    _check_keys("the state", saved, ("rule", *(("options",) if has_options else ()), "state", "parameters"))
    if saved["rule"] != rule.kind:
        raise StateError(f"the state belongs to {describe(saved['rule'])}, this optimizer is {rule.kind!r}")
    counts = saved["state"]
    names = [each.name for each in fields(OptimizationState)]
    if isinstance(counts, Mapping) and "skipped" not in counts:
        names.remove("skipped")
    _check_keys("state", counts, names)
    state = OptimizationState(**{name: _check_count(f"state[{name!r}]", value) for name, value in counts.items()})
    parameters = saved["parameters"]
    if not isinstance(parameters, Mapping):
        raise StateError(f"parameters must be a mapping, got {describe(parameters)}")
    if has_options:
        options = _check_options("options", saved["options"])
        if any(isinstance(entry, Mapping) and "rule" not in entry for entry in parameters.values()):
            _check_earlier_options(options, rule)
    states = {
        _check_index(index): _parse_param_state(index, entry, rules_for(index)) for index, entry in parameters.items()
    }
    for index in states.keys() & present.keys():
        _check_same_arrays(index, states[index], present[index])
    return state, states


def _check_options(place: str, saved: Any) -> dict[str, Any]:
    """Return the options of a rule as plain values."""
    if not isinstance(saved, Mapping):
        raise StateError(f"{place} must be a mapping, got {describe(saved)}")
    return {name: _unwrap_scalar(value) for name, value in saved.items()}


def _check_earlier_options(options: dict[str, Any], rule: Rule) -> None:
    """Check the options of the optimizer's rule in a state that does not record the rule of each parameter."""
    if problem := stored_rule_problem(StoredRule(rule.kind, options), StoredRule(rule.kind, rule.stored_options())):
        raise StateError(f"the state {problem}")


def _check_index(index: Any) -> Hashable:
    """Return an index in the form in which it is saved; a StateError if it has another type."""
    try:
        return normalize_index(index)
    except ArrayTypeError as error:
        raise StateError(f"parameters: {error}") from None


def _parse_param_state(index: Hashable, entry: Any, rules: Sequence[Rule]) -> ParamState:
    place = f"parameters[{index!r}]"
    recorded = [name for name in ("rule", "options") if isinstance(entry, Mapping) and name in entry]
    _check_keys(place, entry, (*recorded, "updates", "slots", "scalars"), hidden=recorded)
    stored = _parse_stored_rule(place, entry)
    updates = _check_count(f"{place}['updates']", entry["updates"])
    entry = _with_start_share(entry, rules, updates)
    rule = _find_rule(place, entry, rules, stored)
    names, scalar_names = rule.stored_slots(), rule.stored_scalars()
    extra = [name for name in _extra_slots(rule) if isinstance(entry["slots"], Mapping) and name in entry["slots"]]
    _check_keys(f"{place}['slots']", entry["slots"], (*names, *extra))
    _check_keys(f"{place}['scalars']", entry["scalars"], scalar_names)
    slots = tuple(_check_slot(f"{place}['slots'][{name!r}]", entry["slots"][name]) for name in names)
    for slot in slots[1:]:
        if (rule.slots_have_weight_shape and slot.shape != slots[0].shape) or slot.dtype != slots[0].dtype:
            raise StateError(f"{place}: its slots have different shapes or dtypes")
    scalars = {
        name: _check_scalar(f"{place}['scalars'][{name!r}]", entry["scalars"][name], name, rule, updates)
        for name in scalar_names
    }
    _check_accumulated(place, scalars.get(ACCUMULATED, 0.0), rule.accumulate)
    master = _check_master(place, entry["slots"][MASTER], slots, rule) if MASTER in extra else None
    counts = _check_row_counts(place, entry["slots"][ROW_UPDATES], slots, updates) if ROW_UPDATES in extra else None
    return ParamState(updates, slots, scalars, names, stored, master=master, row_counts=counts)


def _extra_slots(rule: Rule) -> list[str]:
    """Return the names of arrays that a state may have in addition to the slots of a rule."""
    return [*([MASTER] if rule.master else []), *([ROW_UPDATES] if rule.row_updates == "own" else [])]


def _parse_stored_rule(place: str, entry: Mapping[str, Any]) -> StoredRule | None:
    """Return the rule that made the slots of a parameter; None in a state of an earlier version."""
    if "rule" not in entry:
        if "options" in entry:
            raise StateError(f"{place} has options, but no rule; it must have both, or none of the two")
        return None
    if not isinstance(entry["rule"], str):
        raise StateError(f"{place}['rule'] must be the kind of a rule, got {describe(entry['rule'])}")
    return StoredRule(entry["rule"], _check_options(f"{place}['options']", entry.get("options", {})))


def _with_start_share(entry: Mapping[str, Any], rules: Sequence[Rule], updates: int) -> Mapping[str, Any]:
    """Add the product of the decays of an average to a state of an earlier version, which had it for schedules only."""
    scalars = entry["scalars"]
    if not isinstance(scalars, Mapping) or START_SHARE in scalars:
        return entry
    if any(_has_slots_of(rule, entry) for rule in rules):
        return entry
    for rule in rules:
        decay = 0.0 if rule.ema is None else rule.ema.decay
        completed = {**entry, "scalars": {**scalars, START_SHARE: decay**updates}}
        if "ema.decay" not in rule.schedules and _has_slots_of(rule, completed):
            return completed
    return entry


def _find_rule(place: str, entry: Mapping[str, Any], rules: Sequence[Rule], stored: StoredRule | None) -> Rule:
    """Return the first of the rules whose slots an entry has, and which gives them the meaning of the state."""
    found = [each for each in rules if _has_slots_of(each, entry)] or list(rules)
    if stored is None:
        return found[0]
    problems = [stored_rule_problem(stored, _stored_rule(each)) for each in found]
    if None not in problems:
        raise StateError(f"{place} {problems[0]}")
    return found[problems.index(None)]


def _stored_rule(rule: Rule) -> StoredRule:
    return StoredRule(rule.kind, rule.stored_options())


def _check_scalar(place: str, value: Any, name: str, rule: Rule, updates: int) -> float:
    """Return the value of a scalar slot; after an update it has bounds, out of which it would give NaN or infinity."""
    number = _check_number(place, value)
    bounds = rule.stored_scalar_bounds().get(name)
    if bounds is None or (updates == 0 and number == rule.stored_scalars()[name]):
        return number
    try:
        bounds.check(number)
    except PydanticCustomError as error:
        raise StateError(f"{place} {error.message()}; load a state that was saved by an optimizer") from None
    return number


def _check_master(place: str, value: Any, slots: Sequence[Array], rule: Rule) -> Array:
    """Return a copy of the float32 copy of a weight; a StateError if it does not match the slots."""
    master = _check_slot(f"{place}['slots'][{MASTER!r}]", value)
    is_like = not slots or not rule.slots_have_weight_shape or master.shape == slots[0].shape
    if str(master.dtype) != "float32" or any(slot.dtype != master.dtype for slot in slots) or not is_like:
        raise StateError(
            f"{place}: {MASTER} must be a float32 copy of the weight, like its slots, got shape {master.shape} and "
            f"dtype {master.dtype}"
        )
    return master


def _check_row_counts(place: str, value: Any, slots: Sequence[Array], updates: int) -> NDArray[np.int64]:
    """Return a copy of the update counts of rows; a StateError if they do not match the slots."""
    if str(getattr(value, "dtype", None)) != "int64" or value.ndim != 1:
        got = f"{value.dtype} of shape {value.shape}" if hasattr(value, "dtype") else describe(value)
        raise StateError(f"{place}['slots'][{ROW_UPDATES!r}] must be a vector of int64, got {got}")
    counts = np.array(as_numpy(value))
    if slots and slots[0].shape[:1] != counts.shape:
        raise StateError(f"{place}: {ROW_UPDATES} has {len(counts)} counts, and the slots have shape {slots[0].shape}")
    if counts.size and not 0 <= counts.min() <= counts.max() <= updates:
        raise StateError(
            f"{place}['slots'][{ROW_UPDATES!r}] must be counts from 0 to the {updates} updates of the weight, got "
            f"{counts.min()} to {counts.max()}"
        )
    return counts


def _check_accumulated(place: str, count: float, accumulate: int) -> None:
    """Refuse the sum of more gradients than an update waits for, whose mean would be wrong."""
    if count < 0 or not count.is_integer():
        raise StateError(f"{place}['scalars'][{ACCUMULATED!r}] must be a whole number, at least 0, got {count:g}")
    if count >= accumulate:
        raise StateError(
            f"{place} has the sum of {count:g} gradients, and with accumulate: {accumulate} an update has the mean of "
            "fewer; build the optimizer with the accumulate of the state"
        )


def _has_slots_of(rule: Rule, entry: Mapping[str, Any]) -> bool:
    """Return whether the slots and scalar slots of an entry are those of a rule."""
    wanted = set(rule.stored_slots()), set(rule.stored_scalars())
    ignored = set(_extra_slots(rule))
    return all(isinstance(entry[key], Mapping) for key in ("slots", "scalars")) and wanted == (
        set(entry["slots"]) - ignored, set(entry["scalars"]),
    )  # fmt: skip


def _check_same_arrays(index: Hashable, new: ParamState, old: ParamState) -> None:
    if new.names != old.names:
        raise StateError(
            f"parameters[{index!r}] has the slots {', '.join(new.names) or '(none)'}; "
            f"this optimizer has the slots {', '.join(old.names) or '(none)'}"
            f"{_wrapper_remedy(set(new.names), set(old.names)) or '; build the optimizer with the rule of the state'}"
        )
    for slot, known in zip(new.slots, old.slots, strict=True):
        if slot.shape != known.shape or slot.dtype != known.dtype:
            raise StateError(
                f"parameters[{index!r}] has slots of shape {slot.shape} and dtype {slot.dtype}; "
                f"the slots of this optimizer have shape {known.shape} and dtype {known.dtype}"
            )


_WRAPPERS = {
    ACCUMULATED: "accumulate",
    SLOW: "lookahead",
    AVERAGE: "ema",
    START_SHARE: "ema",
    ROW_UPDATES: "row_updates: own",
}
"""The field that adds each slot of a wrapper."""


def _check_keys(place: str, value: Any, keys: Iterable[str], hidden: Iterable[str] = ()) -> None:
    """Refuse a mapping with other keys; the message does not list those in `hidden`, which are optional."""
    expected = list(keys)
    if isinstance(value, Mapping) and set(value) == set(expected):
        return
    got, remedy = describe(value), ""
    if isinstance(value, Mapping):
        got = ", ".join(str(key) for key in value if key not in hidden) or "an empty mapping"
        remedy = _wrapper_remedy(set(value), set(expected))
    listed = ", ".join(key for key in expected if key not in hidden) or "(none)"
    raise StateError(f"{place} must be a mapping with the keys {listed}, got {got}{remedy}")


def _wrapper_remedy(found: set[Any], expected: set[str]) -> str:
    """Return the remedy for slots of a wrapper that a state lacks or has in addition."""
    lacking = ", ".join(dict.fromkeys(field for slot, field in _WRAPPERS.items() if slot in expected - found))
    extra = ", ".join(dict.fromkeys(field for slot, field in _WRAPPERS.items() if slot in found - expected))
    if lacking:
        return f"; the state was saved without {lacking}: load it without, or start a new optimizer"
    return f"; the state was saved with {extra}: build the optimizer with {extra}" if extra else ""


_LARGEST_COUNT = 2**53
"""Larger counts are not exact in float64, with which coefficients and schedules are computed."""


def _check_count(place: str, value: Any) -> int:
    number = _unwrap_scalar(value)
    if isinstance(number, bool) or not isinstance(number, Integral) or number < 0:
        raise StateError(f"{place} must be a whole number, at least 0, got {describe(value)}")
    if int(number) > _LARGEST_COUNT:
        raise StateError(f"{place} must be at most {_LARGEST_COUNT}, got {describe(value)}")
    return int(number)


def _check_number(place: str, value: Any) -> float:
    number = _unwrap_scalar(value)
    if isinstance(number, bool) or not isinstance(number, Real) or not math.isfinite(number):
        raise StateError(f"{place} must be a finite number, got {describe(value)}")
    return float(number)


def _unwrap_scalar(value: Any) -> Any:
    """Return the number in a NumPy scalar or a zero-dimensional array, which `.npz` files contain."""
    return value.item() if getattr(value, "shape", None) == () else value


def _check_slot(place: str, value: Any) -> Array:
    dtype = getattr(value, "dtype", None)
    if str(dtype) not in (*DTYPES, *COMPLEX_DTYPES):
        got = describe(value) if dtype is None else f"dtype {dtype}"
        remedy = "; slots of half-precision weights are float32" if dtype is not None and is_half(dtype) else ""
        *first, last = (*DTYPES, *COMPLEX_DTYPES)
        raise StateError(f"{place} must be an array of {', '.join(first)} or {last}, got {got}{remedy}")
    return value.copy()


def as_numpy(array: Array) -> NDArray[Any]:
    """Return a NumPy array, or a copy of a CuPy array in the memory of the host."""
    return array if isinstance(array, np.ndarray) else array.get()
