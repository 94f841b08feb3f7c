"""Inputs of a step: what the caller passed, as NumPy or CuPy arrays of float32 or float64 by name.

`Optimizer.step` first takes its arguments as they are: mappings of arrays that backends can update. Only if that fails
does an `InputConverter` turn them into `StepInputs`, in this order:

1. `trees` flattens nested dicts, lists, tuples, named tuples and dataclasses into names by path, `layers.0.W`, and
   removes parameters whose gradient is None.
2. `foreign_arrays` turns torch tensors and objects with `__dlpack__` or `__array__` into NumPy or CuPy arrays, as views
   where possible.
3. `rows` replaces parameters of which only some rows are updated by copies of these rows, and adds up the gradients of
   rows that occur more than once.
4. Each function of `conversion.STAGES` replaces arrays that backends cannot update by arrays that they can. It gets the
   `StepInputs`, changes them, and adds to `write_back` what must happen after the update. Nothing that the caller owns
   may change before that.

Then names, shapes, dtypes and shared memory are validated, as for arrays that need no conversion.
"""

from mxtrain.optim.inputs.conversion import InputConverter, convert_arrays
from mxtrain.optim.inputs.foreign_arrays import any_array, copy_with, gradient_array, shape_of, weight_array
from mxtrain.optim.inputs.matching import names_error
from mxtrain.optim.inputs.rows import RowRequest
from mxtrain.optim.inputs.step_inputs import StepInputs
from mxtrain.optim.inputs.trees import check_container, flatten, map_leaves

__all__ = [
    "InputConverter",
    "RowRequest",
    "StepInputs",
    "any_array",
    "check_container",
    "convert_arrays",
    "copy_with",
    "flatten",
    "gradient_array",
    "map_leaves",
    "names_error",
    "shape_of",
    "weight_array",
]
