"""Complex weights: views whose last axis has the real and the imaginary part.

A gradient of a complex weight is `dL/dRe + i·dL/dIm`, as in PyTorch, so that `W - η·g` descends; JAX returns its
conjugate. Elementwise rules act on the two parts, as on `torch.view_as_real`; norms and sums of squares over parts are
those of the complex numbers.

Source: Kreutz-Delgado, "The Complex Gradient Operator and the CR-Calculus", arXiv:0906.4835.
"""

from collections.abc import Hashable
from functools import lru_cache
from typing import Any

import numpy as np

from mxtrain.errors import ArrayError
from mxtrain.optim.backends import array_kind, array_module, check_gradient
from mxtrain.optim.inputs.step_inputs import StepInputs
from mxtrain.optim.ir import AnyProgram, MatrixProgram
from mxtrain.types import COMPLEX_DTYPES, Array


@lru_cache(maxsize=64)
def is_complex(dtype: Any) -> bool:
    """Return whether a dtype is complex64 or complex128 in the machine's byte order, also one of torch.

    >>> is_complex(np.dtype("complex64")), is_complex(np.dtype("float32"))
    (True, False)
    """
    return str(dtype).removeprefix("torch.") in COMPLEX_DTYPES


def real_dtype(dtype: Any) -> "np.dtype[Any]":
    """Return the dtype of the real and the imaginary part of complex numbers."""
    return np.dtype(f"float{4 * dtype.itemsize}")


def real_view(array: Array) -> Array:
    """Return a view of a complex array with another axis, which has the real and the imaginary part.

    Args:
        array: a NumPy or CuPy array with any strides.

    >>> z = np.array([1 + 2j, 3 + 4j], dtype="complex64")
    >>> real_view(z)
    array([[1., 2.],
           [3., 4.]], dtype=float32)
    """
    dtype = real_dtype(array.dtype)
    if array_kind(array) == "cupy":
        strides = (*array.strides, dtype.itemsize)
        return array_module("cupy").ndarray((*array.shape, 2), dtype, array.data, strides=strides)
    return array.view(np.ndarray)[..., None].view(dtype)


def complex_view(array: Array) -> Array:
    """Return a view of a contiguous array of real and imaginary parts as complex numbers: the inverse of `real_view`.

    >>> complex_view(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([1.+2.j, 3.+4.j])
    """
    return array.view(np.dtype(f"complex{16 * array.dtype.itemsize}"))[..., 0]


def view_complex_weights(inputs: StepInputs) -> None:
    """Replace complex weights and gradients by views of their parts, and record their names in `inputs.complex`.

    Raises:
        ArrayTypeError: a gradient has another dtype than its complex weight, or belongs to another library.
        ArrayError: the shapes differ.
    """
    for name, weight in inputs.params.items():
        if is_complex(weight.dtype):
            check_gradient(name, inputs.grads[name], weight)
            inputs.complex.add(name)
            inputs.is_converted = True
            inputs.stored.setdefault(name, weight)
            inputs.params[name], inputs.grads[name] = real_view(weight), real_view(inputs.grads[name])


def check_complex_rule(index: Hashable, weight: Array, rule: Any, program: AnyProgram | None = None) -> None:
    """Refuse a rule that has no meaning for a complex weight.

    Raises:
        ArrayError: the rule has bounds, or updates whole real matrices.
    """
    label = f"weight {index!r} is {weight.dtype}"
    if rule.bounds is not None:
        raise ArrayError(f"{label}, and complex numbers have no order; set bounds: null in a group for it")
    if isinstance(program, MatrixProgram):
        raise ArrayError(
            f"{label}, and {rule.kind} computes products of real matrices; give it an elementwise rule with a group"
        )
