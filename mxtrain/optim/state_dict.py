"""State dicts of optimizers: create, validate, save and load them.

A state file is one safetensors file whose header holds the counts.
"""

import json
import math
import os
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from mxtrain.atomic_io import write_output
from mxtrain.errors import ArrayTypeError, StateError
from mxtrain.optim.backends.half_conversion import is_half
from mxtrain.optim.inputs.complex_arrays import complex_view, is_complex, real_view
from mxtrain.optim.ir.wrapping import ACCUMULATED, MASTER
from mxtrain.optim.optimization_state import OptimizationState
from mxtrain.optim.param_state import ParamState, normalize_index
from mxtrain.optim.rules import Rule
from mxtrain.types import COMPLEX_DTYPES, DTYPES, Array, describe


def make_state_dict(rule: Rule, state: OptimizationState, states: Mapping[Hashable, ParamState]) -> dict[str, Any]:
    """Return the state of an optimizer as a dict that shares no memory with it."""
    parameters = {
        index: {
            "updates": param.updates,
            "slots": {name: slot.copy() for name, slot in param.named_slots()},
            "scalars": dict(param.scalars),
        }
        for index, param in states.items()
    }
    counts = asdict(state)
    if not state.skipped:
        del counts["skipped"]  # as in states of earlier versions
    options = rule.stored_options()
    return {"rule": rule.kind, **({"options": options} if options else {}), "state": counts, "parameters": parameters}


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
        rules_for: returns the rules that a parameter may have, the likely ones first; groups and vectors have others.
        present: the present states.

    Raises:
        StateError: it belongs to another rule, or to arrays of another shape or dtype, or is incomplete.
    """
    has_options = isinstance(saved, Mapping) and "options" in saved  # states of earlier versions have none
    _check_keys("the state", saved, ("rule", *(("options",) if has_options else ()), "state", "parameters"))
    if saved["rule"] != rule.kind:
        raise StateError(f"the state belongs to {describe(saved['rule'])}, this optimizer is {rule.kind!r}")
    if has_options:
        _check_options(saved["options"], rule.stored_options())
    counts = saved["state"]
    names = [each.name for each in fields(OptimizationState)]
    if isinstance(counts, Mapping) and "skipped" not in counts:
        names.remove("skipped")
    _check_keys("state", counts, names)
    state = OptimizationState(**{name: _check_count(f"state[{name!r}]", value) for name, value in counts.items()})
    parameters = saved["parameters"]
    if not isinstance(parameters, Mapping):
        raise StateError(f"parameters must be a mapping, got {describe(parameters)}")
    states = {
        _check_index(index): _parse_param_state(index, entry, rules_for(index)) for index, entry in parameters.items()
    }
    for index in states.keys() & present.keys():
        _check_same_arrays(index, states[index], present[index])
    return state, states


def _check_options(saved: Any, present: Mapping[str, Any]) -> None:
    """Refuse a state whose slots have another meaning, because it was saved with another value of an option."""
    if not isinstance(saved, Mapping):
        raise StateError(f"options must be a mapping, got {describe(saved)}")
    for name, value in present.items():
        before = _unwrap_scalar(saved.get(name, value))
        if before != value:
            raise StateError(
                f"the state was saved with {name}: {_option_text(before)}, and this optimizer has {name}: "
                f"{_option_text(value)}, with which its slots mean something else; build it with the former"
            )


def _option_text(value: Any) -> str:
    return value if isinstance(value, str) else describe(value)


def _check_index(index: Any) -> Hashable:
    """Return an index in the form in which it is saved; a StateError if it has another type."""
    try:
        return normalize_index(index)
    except ArrayTypeError as error:
        raise StateError(f"parameters: {error}") from None


def _parse_param_state(index: Hashable, entry: Any, rules: Sequence[Rule]) -> ParamState:
    place = f"parameters[{index!r}]"
    _check_keys(place, entry, ("updates", "slots", "scalars"))
    rule = next((each for each in rules if _has_slots_of(each, entry)), rules[0])
    names, scalar_names = rule.stored_slots(), rule.stored_scalars()
    has_master = rule.master and isinstance(entry["slots"], Mapping) and MASTER in entry["slots"]
    _check_keys(f"{place}['slots']", entry["slots"], (*names, MASTER) if has_master else names)
    _check_keys(f"{place}['scalars']", entry["scalars"], scalar_names)
    slots = tuple(_check_slot(f"{place}['slots'][{name!r}]", entry["slots"][name]) for name in names)
    for slot in slots[1:]:
        if (rule.slots_have_weight_shape and slot.shape != slots[0].shape) or slot.dtype != slots[0].dtype:
            raise StateError(f"{place}: its slots have different shapes or dtypes")
    master = _check_master(place, entry["slots"][MASTER], slots, rule) if has_master else None
    scalars = {name: _check_number(f"{place}['scalars'][{name!r}]", entry["scalars"][name]) for name in scalar_names}
    _check_accumulated(place, scalars.get(ACCUMULATED, 0.0), rule.accumulate)
    updates = _check_count(f"{place}['updates']", entry["updates"])
    return ParamState(updates, slots, scalars, names, master=master)


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
    ignored = {MASTER} if rule.master else set()
    return all(isinstance(entry[key], Mapping) for key in ("slots", "scalars")) and wanted == (
        set(entry["slots"]) - ignored, set(entry["scalars"]),
    )  # fmt: skip


def _check_same_arrays(index: Hashable, new: ParamState, old: ParamState) -> None:
    if new.names != old.names:
        raise StateError(
            f"parameters[{index!r}] has the slots {', '.join(new.names) or '(none)'}; "
            f"this optimizer has the slots {', '.join(old.names) or '(none)'}"
        )
    for slot, known in zip(new.slots, old.slots, strict=True):
        if slot.shape != known.shape or slot.dtype != known.dtype:
            raise StateError(
                f"parameters[{index!r}] has slots of shape {slot.shape} and dtype {slot.dtype}; "
                f"the slots of this optimizer have shape {known.shape} and dtype {known.dtype}"
            )


def _check_keys(place: str, value: Any, keys: Iterable[str]) -> None:
    expected = list(keys)
    if not isinstance(value, Mapping) or set(value) != set(expected):
        got = ", ".join(map(str, value)) or "an empty mapping" if isinstance(value, Mapping) else describe(value)
        raise StateError(f"{place} must be a mapping with the keys {', '.join(expected) or '(none)'}, got {got}")


def _check_count(place: str, value: Any) -> int:
    number = _unwrap_scalar(value)
    if isinstance(number, bool) or not isinstance(number, Integral) or number < 0:
        raise StateError(f"{place} must be a whole number, at least 0, got {describe(value)}")
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


_METADATA_KEY = "mxtrain"


def write_state_file(path: str | os.PathLike[str], saved: Mapping[str, Any]) -> None:
    """Write the result of `Optimizer.state_dict` atomically.

    Raises:
        OSError: the file cannot be written; an existing file is unchanged.
    """
    from safetensors.numpy import save

    entries: list[dict[str, Any]] = []
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    for number, (index, entry) in enumerate(saved["parameters"].items()):
        entries.append({"index": index, "updates": entry["updates"], "scalars": entry["scalars"]})
        arrays = {slot: _to_numpy(array) for slot, array in entry["slots"].items()}
        if any(is_complex(array.dtype) for array in arrays.values()):  # safetensors has no complex128
            entries[-1]["is_complex"] = True
            arrays = {slot: np.ascontiguousarray(real_view(array)) for slot, array in arrays.items()}
        tensors |= {f"{number}/{slot}": array for slot, array in arrays.items()}
    options = {"options": saved["options"]} if "options" in saved else {}
    header = {"rule": saved["rule"], **options, "state": saved["state"], "parameters": entries}
    content = save(tensors, {_METADATA_KEY: json.dumps(header, ensure_ascii=False)})
    write_output(Path(path), content)


def read_state_file(path: str | os.PathLike[str], asarray: Callable[[Any], Array] = np.asarray) -> dict[str, Any]:
    """Read a file of `write_state_file`, for `Optimizer.load_state_dict`.

    Args:
        path: the file.
        asarray: the function that converts NumPy arrays to those of the backend.

    Raises:
        StateError: not an optimizer state file.
        OSError: the file cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = Path(path).read_bytes()
    try:
        tensors = load(content)
        size = int.from_bytes(content[:8], "little")
        header = json.loads(json.loads(content[8 : 8 + size])["__metadata__"][_METADATA_KEY])
        parameters = {
            _lists_to_tuples(entry["index"]): {"updates": entry["updates"], "scalars": entry["scalars"], "slots": {}}
            for entry in header["parameters"]
        }
        entries = list(parameters.values())
        for name, array in tensors.items():
            number, _, slot = name.partition("/")
            is_pairs = header["parameters"][int(number)].get("is_complex", False)
            entries[int(number)]["slots"][slot] = asarray(complex_view(array) if is_pairs else array)
    except (SafetensorError, KeyError, ValueError, TypeError, IndexError, RecursionError) as error:
        raise StateError(f"{os.fspath(path)} is not an optimizer state file ({error})") from error
    options = {"options": header["options"]} if "options" in header else {}
    return {"rule": header.get("rule"), **options, "state": header.get("state"), "parameters": parameters}


def _lists_to_tuples(index: Any) -> Any:
    """Return an index that was read from JSON, in which a tuple is a list."""
    return tuple(map(_lists_to_tuples, index)) if isinstance(index, list) else index


def _to_numpy(array: Any) -> np.ndarray[Any, Any]:
    return array if isinstance(array, np.ndarray) else array.get()
