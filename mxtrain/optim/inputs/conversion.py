"""Conversion of the arguments of `step` and `update` into StepInputs."""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final

import numpy as np

from mxtrain.optim.inputs.complex_arrays import view_complex_weights
from mxtrain.optim.inputs.foreign_arrays import device_fence, gradient_array, weight_array
from mxtrain.optim.inputs.half_precision import find_half_weights
from mxtrain.optim.inputs.matching import match_gradients
from mxtrain.optim.inputs.step_inputs import StepInputs
from mxtrain.optim.inputs.trees import FlatTree, flatten

STAGES: Final[tuple[Callable[[StepInputs], None], ...]] = (view_complex_weights, find_half_weights)
"""Functions that replace arrays that backends cannot update, called in this order; see the package."""


class InputConverter:
    """Converts the arguments of steps, and remembers the structure of the last ones.

    Attributes:
        is_active: True if the last step needed a conversion, so that the next one is likely to.
    """

    def __init__(self) -> None:
        self.is_active = False
        self._params: FlatTree | None = None
        self._grads: FlatTree | None = None

    def convert(self, params: Any, grads: Any) -> StepInputs:
        """Convert the arguments of `step`.

        Raises:
            ArrayError: a container or an array is invalid, or the trees differ.
            BackendError: a package that an array needs is not installed.
        """
        flat, flat_grads = flatten("params", params, self._params), flatten("grads", grads, self._grads)
        inputs = convert_arrays(*match_gradients(flat, flat_grads))
        self.is_active = inputs.is_converted or not (flat.structure.is_flat and flat_grads.structure.is_flat)
        self._params, self._grads = flat.without_leaves(), flat_grads.without_leaves()
        return inputs


def convert_arrays(params: dict[Hashable, Any], grads: Iterable[Any]) -> StepInputs:
    """Convert weights and their gradients; a parameter whose gradient is None is only in `originals`.

    Raises:
        ArrayError: an array is invalid.
        BackendError: a package that an array needs is not installed.
    """
    inputs = StepInputs(params, {}, {})
    foreign: list[Any] = []
    for (name, weight), grad in zip(params.items(), grads, strict=True):
        if grad is None:
            inputs.is_converted = True
            continue
        if type(weight) is not np.ndarray:
            foreign.append(weight)
            weight = weight_array(name, weight)
        if type(grad) is not np.ndarray:
            foreign.append(grad)
            grad = gradient_array(name, grad, weight)
        inputs.params[name], inputs.grads[name] = weight, grad
        inputs.memory.append((name, grad, weight))
    inputs.is_converted = inputs.is_converted or bool(foreign)
    for stage in STAGES:
        stage(inputs)
    if (fence := device_fence(foreign)) is not None:
        inputs.write_back.append(fence)
    return inputs
