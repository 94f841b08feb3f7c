"""Float64 numbers in programs of JAX, whether or not `jax_enable_x64` is set.

A float64 number is stored as its bits, two uint32 numbers, because JAX changes the dtype of float64 arrays at the
boundaries of `jit` and of callbacks unless that option is set. Inside of `jax.enable_x64` it can compute with them.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def to_bits(values: Sequence[float]) -> Any:
    """Return the bits of numbers, of shape (n, 2).

    >>> to_bits([1.0, 0.1]).shape
    (2, 2)
    """
    return np.array(values, dtype=np.float64).reshape(-1, 1).view(np.uint32)


def from_bits(bits: Any) -> list[float]:
    """Return the numbers with these bits, on the host.

    >>> from_bits(to_bits([0.1]))
    [0.1]
    """
    return np.ascontiguousarray(bits, dtype=np.uint32).view(np.float64).reshape(-1).tolist()


def traced_from_bits(bits: Any) -> list[Any]:
    """Return the numbers with these bits as traced float64 scalars."""
    with jax.enable_x64(True):
        values = lax.bitcast_convert_type(bits, jnp.float64)
        return [values[i] for i in range(values.shape[0])]


def traced_to_bits(values: Sequence[Any]) -> Any:
    """Return the bits of traced float64 scalars, of shape (n, 2)."""
    if not values:
        return np.zeros((0, 2), dtype=np.uint32)
    with jax.enable_x64(True):
        numbers = jnp.stack([jnp.asarray(value, dtype=jnp.float64) for value in values])
        return lax.bitcast_convert_type(numbers, jnp.uint32)


def to_int32(value: Any) -> Any:
    """Return a whole number in a float64 scalar as an int, or as a traced int32."""
    if not isinstance(value, jax.core.Tracer):
        return int(value)
    with jax.enable_x64(True):
        return lax.convert_element_type(value, jnp.int32)


def rounded(value: Any, dtype: Any) -> Any:
    """Return a float64 scalar, of NumPy or traced, rounded once to a dtype."""
    if isinstance(value, float | np.floating):
        with np.errstate(over="ignore"):
            return np.asarray(value, dtype=np.float64).astype(dtype)[()]
    with jax.enable_x64(True):
        return lax.convert_element_type(value, dtype)


def reduce_array(operation: str, *operands: Any) -> Any:
    """Return the sum, the dot product or the largest absolute value of arrays, in float64.

    On concrete arrays, the result is a number of NumPy.
    """
    with jax.enable_x64(True):
        first, *others = (lax.convert_element_type(each, jnp.float64) for each in operands)
        if operation == "max_abs":
            result = jnp.max(jnp.abs(first), initial=0.0)
        else:
            result = jnp.sum(first * others[0] if others else first)
    return result if isinstance(result, jax.core.Tracer) else np.float64(result)
