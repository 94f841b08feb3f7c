"""Conversion of the arguments of `step` and `update` into StepInputs."""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final

import numpy as np

from mxtrain.optim.inputs.complex_arrays import view_complex_weights
from mxtrain.optim.inputs.foreign_arrays import device_fence, gradient_array, weight_array
from mxtrain.optim.inputs.half_precision import find_half_weights
from mxtrain.optim.inputs.matching import match_gradients
from mxtrain.optim.inputs.rows import RowRequest, select_rows
from mxtrain.optim.inputs.step_inputs import StepInputs
from mxtrain.optim.inputs.trees import FlatTree, flatten
from mxtrain.types import DTYPES

STAGES: Final[tuple[Callable[[StepInputs], None], ...]] = (view_complex_weights, find_half_weights)
"""Functions that replace arrays that backends cannot update, called in this order; see the package.

They are called only if a weight is neither float32 nor float64.
"""

_PLAIN_DTYPES: Final = frozenset(map(np.dtype, DTYPES))


class InputConverter:
    """Converts the arguments of steps, and remembers the structure of the last ones.

    Attributes:
        is_active: True if the last step needed a conversion, so that the next one is likely to.
    """

    def __init__(self) -> None:
        self.is_active = False
        self._params: FlatTree | None = None
        self._grads: FlatTree | None = None

    def convert(self, params: Any, grads: Any, rows: RowRequest | None = None) -> StepInputs:
        """Convert the arguments of `step`.

        Raises:
            ArrayError: a container or an array is invalid, or the trees differ.
            BackendError: a package that an array needs is not installed.
        """
        flat, flat_grads = flatten("params", params, self._params), flatten("grads", grads, self._grads)
        inputs = convert_arrays(*match_gradients(flat, flat_grads), rows)
        self.is_active = inputs.is_converted or not (flat.structure.is_flat and flat_grads.structure.is_flat)
        self._params, self._grads = flat.without_leaves(), flat_grads.without_leaves()
        return inputs


def convert_arrays(params: dict[Hashable, Any], grads: Iterable[Any], rows: RowRequest | None = None) -> StepInputs:
    """Convert weights and their gradients; a parameter whose gradient is None is only in `originals`.

    Raises:
        ArrayError: an array is invalid.
        BackendError: a package that an array needs is not installed.
    """
    inputs = StepInputs(params, {}, {})
    on_gpu: list[Any] = []
    for (name, original), gradient in zip(params.items(), grads, strict=True):
        if gradient is None:
            inputs.is_converted = True
            continue
        weight, grad = original, gradient
        if type(weight) is not np.ndarray:
            weight = weight_array(name, original)
            if weight is not original:
                inputs.is_converted = True
                if not isinstance(weight, np.ndarray):
                    on_gpu.append(original)
        if type(grad) is not np.ndarray:
            grad = gradient_array(name, gradient, weight)
            if grad is not gradient:
                inputs.is_converted = True
                if not isinstance(grad, np.ndarray):
                    on_gpu.append(gradient)
        inputs.params[name], inputs.grads[name] = weight, grad
        inputs.memory.append((name, grad, weight))
    if rows is not None:
        select_rows(inputs, rows)
    if not _PLAIN_DTYPES.issuperset([weight.dtype for weight in inputs.params.values()]):
        for stage in STAGES:
            stage(inputs)
    if on_gpu and (fence := device_fence(on_gpu)) is not None:
        inputs.write_back.append(fence)
    return inputs
