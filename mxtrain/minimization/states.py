"""Validation of the saved state of a method."""

from collections.abc import Mapping
from typing import Any

from mxtrain.errors import StateError


def check_state(
    method: Any, state: Mapping[str, Any], vectors: tuple[str, ...] = ("x", "g"), numbers: tuple[str, ...] = ("f",)
) -> None:
    """Check that a state belongs to a method, and that it has certain vectors and numbers.

    Raises:
        StateError: something is missing or different.
    """
    kind = state.get("method")
    if kind != method.name:
        raise StateError(f"the state is of the method {kind!r}, not of {method.name!r}; use the method that saved it")
    try:
        size = len(state["x"])
        for name in vectors:
            check_array(name, state[name], (size,), state["x"].dtype)
        for name in numbers:
            float(state[name])
    except (KeyError, AttributeError, TypeError) as error:
        raise StateError(f"the state of the method {kind!r} is incomplete: {error}; save it again") from error


def check_pairs(method: Any, state: Mapping[str, Any], products: tuple[str, ...]) -> None:
    """Check the pairs of a state and their inner products, after `check_state`.

    Raises:
        StateError: something is missing or different.
    """
    memory = state.get("memory")
    if memory != method.memory:
        raise StateError(f"the state has memory {memory}, the method {method.memory}; use the same memory")
    try:
        float(state["theta"])
        count = len(state["steps"])
        for name in ("steps", "changes"):
            check_array(name, state[name], (count, len(state["x"])), state["x"].dtype)
        for name in products:
            check_array(name, state[name], (count, count), "float64")
    except (KeyError, AttributeError, TypeError) as error:
        raise StateError(f"the state of the method {method.name!r} is incomplete: {error}; save it again") from error
    if count > memory:
        raise StateError(f"the state has {count} pairs, more than its memory {memory}; save it again")


def check_array(name: str, array: Any, shape: tuple[int, ...], dtype: Any) -> None:
    """Check shape and dtype of an array of a state."""
    if array.shape != shape:
        raise StateError(f"{name} in the state has shape {array.shape}, expected {shape}; save it again")
    if array.dtype != dtype:
        raise StateError(f"{name} in the state has dtype {array.dtype}, expected {dtype}; save it again")
