"""Weights of half precision (float16, bfloat16): float32 arrays to update in their place, and rounding afterwards.

All arithmetic and all slots are float32. After the update each weight is rounded once, to the nearest number. With
`master: true` the state has a float32 copy of the weight: the copy is updated, and the weight is the rounded copy.
Where a weight differs from the rounded copy, because the caller has set it since, the copy takes its value.

Source: Micikevicius et al., "Mixed Precision Training" (ICLR 2018), arXiv:1710.03740.
"""

from types import ModuleType
from typing import Protocol

import numpy as np

from mxtrain.optim.backends import Backend, array_kind, array_module, check_gradient, check_writable, zeros
from mxtrain.optim.backends.half_conversion import decode, encode, is_half, is_rounded, on_device_of, round_to
from mxtrain.optim.inputs.step_inputs import StepInputs
from mxtrain.optim.ir import Workspace
from mxtrain.types import Array


class HasMaster(Protocol):
    """State of a weight with a float32 copy."""

    master: Array | None


def find_half_weights(inputs: StepInputs) -> None:
    """Record the names of weights of half precision in `inputs.half`, after a check of their gradients.

    Raises:
        ArrayTypeError: a gradient has neither the dtype of its weight nor float32, or belongs to another library.
        ArrayError: the shapes differ, the weight is read-only, or its elements share memory with each other.
    """
    for name, weight in inputs.params.items():
        if is_half(weight.dtype):
            check_writable(name, weight)
            check_gradient(name, inputs.grads[name], weight)
            inputs.half.add(name)
            inputs.is_converted = True


class HalfStep:
    """The weights of half precision of one step.

    Args:
        backend: the backend, which decides whether compiled loops convert.
        workspace: buffers that are used again in the next step.
    """

    def __init__(self, backend: Backend, workspace: Workspace) -> None:
        self._backend = backend
        self._workspace = workspace
        self._weights: list[tuple[Array, Array]] = []
        self._copies: list[tuple[HasMaster, Array]] = []
        self._to_decode: list[tuple[Array, Array]] = []

    def add(
        self,
        weight: Array,
        gradient: Array,
        slots: tuple[Array, ...],
        state: HasMaster,
        *,
        has_master: bool,
        is_direct: bool,
    ) -> tuple[Array, ...]:
        """Return the arrays of an update: float32 ones in place of a weight and its gradient, and the slots.

        Their content is undefined before `load`. Neither the weight nor its state changes before `store`.

        Args:
            weight: a weight of half precision.
            gradient: its gradient, of the same dtype or float32.
            slots: its slots.
            state: its state.
            has_master: keep the updated array in the state.
            is_direct: return the arrays of `run_compiled`, which converts and rounds the weight and the gradient.
        """
        if is_direct:
            return self._add_directly(weight, gradient, slots, state, has_master=has_master)
        if has_master:
            numbers = self._master(weight, state.master)
            self._copies.append((state, numbers))
        else:
            numbers = self._buffer("half-precision weight", weight)
            self._to_decode.append((weight, numbers))
        if is_half(gradient.dtype):
            half, gradient = gradient, self._buffer("half-precision gradient", gradient)
            self._to_decode.append((half, gradient))
        self._weights.append((weight, numbers))
        return numbers, gradient, *slots

    def _add_directly(
        self, weight: Array, gradient: Array, slots: tuple[Array, ...], state: HasMaster, *, has_master: bool
    ) -> tuple[Array, ...]:
        """Return the arrays of `run_compiled`; arguments as in `add`."""
        if not has_master:
            return weight, gradient, *slots
        numbers = self._master(weight, state.master)
        self._copies.append((state, numbers))
        return numbers, gradient, *slots, weight

    def load(self) -> None:
        """Write the numbers of weights and gradients to the float32 arrays."""
        decode(self._backend, self._to_decode)

    def store(self) -> None:
        """Round the updated arrays to the weights, and keep the copies of those with `master`."""
        for state, numbers in self._copies:
            state.master = numbers
        encode(self._backend, self._weights)

    def _master(self, weight: Array, master: Array | None) -> Array:
        """Return the float32 copy of a weight; another array if there is none, or the weight was set since."""
        if master is None:
            numbers = zeros(weight.shape, "float32", weight)
            self._to_decode.append((weight, numbers))
            return numbers
        if is_rounded(self._backend, weight, master):
            return master
        with on_device_of(weight):
            is_set = round_to(weight.dtype, master).view(np.uint16) != weight.view(np.uint16)
            numbers = zeros(weight.shape, "float32", weight)
            decode(self._backend, [(weight, numbers)])
            return _module_of(weight).where(is_set, numbers, master)

    def _buffer(self, role: str, array: Array) -> Array:
        """Return a float32 buffer of the shape of an array."""
        with on_device_of(array):
            example = zeros((), "float32", array)
            return self._workspace.array(f"{role} {len(self._weights)}", array.shape, example, _module_of(array))


def _module_of(array: Array) -> ModuleType:
    return array_module(array_kind(array) or "numpy")
