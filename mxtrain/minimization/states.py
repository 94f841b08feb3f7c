"""Validation of the saved state of a method."""

from collections.abc import Mapping
from typing import Any

from mxtrain.errors import StateError


def check_state(method: Any, state: Mapping[str, Any], products: tuple[str, ...] = ()) -> None:
    """Check that a state belongs to a method with the same settings, and that its arrays agree with each other.

    Args:
        method: the method, with `name`, and `memory` if it has one.
        state: the state.
        products: names of the matrices of inner products.

    Raises:
        StateError: something is missing or different.
    """
    kind = state.get("method")
    if kind != method.name:
        raise StateError(f"the state is of the method {kind!r}, not of {method.name!r}; use the method that saved it")
    memory = getattr(method, "memory", None)
    if state.get("memory") != memory:
        raise StateError(f"the state has memory {state.get('memory')}, the method {memory}; use the same memory")
    try:
        _check_arrays(state, memory, products)
    except (KeyError, AttributeError, TypeError) as error:
        raise StateError(f"the state of the method {kind!r} is incomplete: {error}; save it again") from error


def _check_arrays(state: Mapping[str, Any], memory: int | None, products: tuple[str, ...]) -> None:
    size = len(state["x"])
    float(state["f"])
    shapes: dict[str, tuple[int, ...]] = {"x": (size,), "g": (size,)}
    if memory is not None:
        float(state["theta"])
        count = len(state["steps"])
        shapes |= {"steps": (count, size), "changes": (count, size)} | dict.fromkeys(products, (count, count))
        if count > memory:
            raise StateError(f"the state has {count} pairs, more than its memory {memory}; save it again")
    for name, shape in shapes.items():
        if state[name].shape != shape:
            raise StateError(f"{name} in the state has shape {state[name].shape}, expected {shape}; save it again")
        expected = "float64" if name in products else state["x"].dtype
        if state[name].dtype != expected:
            raise StateError(f"{name} in the state has dtype {state[name].dtype}, expected {expected}; save it again")
