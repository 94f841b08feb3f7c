"""Gradients of a whole step: their norm over all parameters, whether they are finite, and clipping by columns."""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mxtrain.optim.backends import Backend, array_kind, array_module
from mxtrain.optim.ir import MatrixOperations, MultiPassProgram, dot, trace
from mxtrain.optim.ir.summation import combine
from mxtrain.optim.rules.wrappers import AGC
from mxtrain.types import Array

_SMALLEST, _LARGEST = 1e-280, 1e300
"""Sums of squares outside of these may have underflowed or overflowed."""


@cache
def _square_program(count: int) -> MultiPassProgram:
    """Return the program of the sum of squares of a gradient, or of the mean of `count` gradients."""

    def formula(*arrays: Any, squares: Any, **scalars: Any) -> dict[str, Any]:
        g = arrays[0] if count == 1 else (arrays[1] + arrays[0]) / scalars["accumulate"]
        return {"squares": dot(g, g)}

    names, scalars = (("g",), ()) if count == 1 else (("g", "accumulated"), ("accumulate",))
    program = trace("gradient_norm", formula, names, scalars, ("squares",))
    assert isinstance(program, MultiPassProgram)
    return program


def square_sums(backend: Backend, rows: Sequence[tuple[Array, ...]], count: int = 1) -> NDArray[np.float64]:
    """Return the sum of the squares of each gradient, in float64 and in the order of `ir.summation`.

    This reads each gradient once; on a GPU it waits for the device.

    Args:
        backend: the backend.
        rows: the gradient of each parameter, with the sum of the gradients before it if `count` is above 1.
        count: the number of gradients in the mean.
    """
    program = _square_program(count)
    records = np.zeros((len(rows), program.record_width))
    records[:, 0] = [row[0].size for row in rows]
    run = backend.start_passes(program, rows, program.evaluate_scalars({"accumulate": float(count)}))
    on_device = run.upload(records)
    run.run(0, on_device)
    column = on_device[:, program.first_result]
    return np.array(column) if isinstance(column, np.ndarray) else np.asarray(column.get())


class _Gradients(NamedTuple):
    """Gradients of a norm: arguments of `GradientNorm.add`, with their sums of squares."""

    rows: Sequence[tuple[Array, ...]]
    positions: Sequence[int]
    scale: float
    averaged: int
    sums: NDArray[np.float64]


class GradientNorm:
    """Norm of the scaled gradients of a step over all parameters.

    Parameters are added in the order of their positions in the step, so that the bits do not depend on batches.

    Args:
        backend: the backend.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._parts: list[_Gradients] = []

    def add(
        self,
        rows: Sequence[tuple[Array, ...]],
        positions: Sequence[int],
        scale: float,
        count: int = 1,
        sums: NDArray[np.float64] | None = None,
    ) -> None:
        """Add the gradients of parameters; arguments as in `square_sums`.

        Args:
            rows: the gradients.
            positions: the place of each parameter in the step.
            scale: the factor of these gradients.
            count: the number of gradients in the mean.
            sums: the result of `square_sums`, if it is known.
        """
        sums = square_sums(self._backend, rows, count) if sums is None else sums
        self._parts.append(_Gradients(rows, positions, abs(scale), count, sums))

    def value(self) -> float:
        """Return the norm; NaN or infinity if a gradient is, and infinity if it exceeds float64."""
        scales = {part.scale for part in self._parts}
        scale = scales.pop() if len(scales) == 1 else 0.0
        sums = [part.sums if scale else part.scale * part.scale * part.sums for part in self._parts]
        total = self._combine(sums)
        if _SMALLEST < total < _LARGEST:
            return math.sqrt(total) * (scale or 1.0)
        return self._without_overflow()

    def _combine(self, sums: Sequence[NDArray[np.float64]]) -> float:
        joined = np.concatenate(sums) if sums else np.zeros(0)
        positions = [position for part in self._parts for position in part.positions]
        return float(combine("sum", joined[np.argsort(positions, kind="stable")]))

    @np.errstate(all="ignore")
    def _without_overflow(self) -> float:
        """Return the norm, with every gradient divided by a power of two before it is squared."""
        gradients = [[_to_float64(row, part.averaged) * part.scale for row in part.rows] for part in self._parts]
        largest = max((float(np.abs(g).max(initial=0.0)) for part in gradients for g in part), default=0.0)
        if any(np.isnan(g).any() for part in gradients for g in part):
            return math.nan
        if not 0 < largest < math.inf:
            return largest
        unit = math.ldexp(1.0, math.frexp(largest)[1] - 1)
        sums = [np.array([float(dot(g / unit, g / unit)) for g in part]) for part in gradients]
        return unit * math.sqrt(self._combine(sums))


def _to_float64(row: tuple[Array, ...], count: int) -> NDArray[np.float64]:
    gradient = row[0] if count == 1 else (row[1] + row[0]) / count
    return np.asarray(gradient if isinstance(gradient, np.ndarray) else gradient.get(), dtype=np.float64)


def clip_factor(norm: float, limit: float) -> float:
    """Return the factor by which gradients of a norm are multiplied, at most 1.

    >>> clip_factor(5.0, 1.0), clip_factor(0.5, 1.0)
    (0.2, 1.0)
    """
    return 1.0 if norm <= limit else limit / norm


def all_finite(rows: Sequence[tuple[Array, ...]], sums: NDArray[np.float64]) -> bool:
    """Return whether all elements of gradients with these sums of squares are finite."""
    if np.isfinite(sums).all():
        return True
    suspects = [row[0] for row, each in zip(rows, sums, strict=True) if not math.isfinite(each)]
    return all(bool(array_module(array_kind(each) or "numpy").isfinite(each).all()) for each in suspects)


def clip_columns(W: Array, g: Array, scale: float, agc: AGC, operations: MatrixOperations, buffer: str) -> Array:
    """Return the gradient after adaptive clipping: `g` itself if no column is clipped, else a buffer.

    It reads W and g once, and where it clips, reads g and writes the buffer.

    Args:
        W: the weight.
        g: the gradient before its scale; not written to.
        scale: the factor of the gradient.
        agc: the settings.
        operations: the operations of the backend.
        buffer: the name of the buffer.
    """
    factors = column_factors(W, g, scale, agc, operations)
    return g if factors is None else scale_columns(g, factors, operations, buffer)


def column_factors(W: Array, g: Array, scale: float, agc: AGC, operations: MatrixOperations) -> Array | None:
    """Return the factors of adaptive clipping: one for each column, in the dtype of g; None if no column is clipped.

    It reads W and g once; arguments as in `clip_columns`.
    """
    xp = operations.xp
    if not g.size:
        return None
    matrices = [_as_matrix(xp.ascontiguousarray(each)) for each in (W, g)]
    W_norms, g_norms = _column_norms(matrices[0], matrices[1], operations)
    with np.errstate(all="ignore"):
        g_norms = g_norms * abs(scale)
        bounds = agc.clipping * xp.maximum(W_norms, agc.ϵ)
        is_clipped = g_norms >= bounds
        if xp is np and not is_clipped.any():
            return None
        return xp.where(is_clipped, bounds / xp.maximum(g_norms, _SMALLEST_NORM), 1.0).astype(g.dtype)


def scale_columns(g: Array, factors: Array, operations: MatrixOperations, buffer: str) -> Array:
    """Return a buffer with the product of a gradient and the factors of its columns."""
    result = operations.buffer(buffer, g.shape, g)
    with np.errstate(all="ignore"):
        operations.scale_columns(_as_matrix(g), factors, _as_matrix(result))
    return result


def _as_matrix(x: Array) -> Array:
    """Return a gradient as a matrix: of one column if at most one axis is longer than 1."""
    columns = 1 if sum(side > 1 for side in x.shape) < 2 else x.shape[-1]
    return x.reshape(x.size // columns, columns)


def clip_complex_columns(
    W: Array, g: Array, scale: float, agc: AGC, operations: MatrixOperations, buffer: str
) -> Array:
    """Return the result of `clip_columns` for complex arrays; arguments are their real views.

    A column of complex numbers has their real parts and their imaginary parts as rows.
    """
    if sum(side > 1 for side in g.shape[:-1]) < 2:
        parts = [operations.xp.ascontiguousarray(each).reshape(-1) for each in (W, g)]
        clipped = clip_columns(parts[0], parts[1], scale, agc, operations, buffer)
        return g if clipped is parts[1] else clipped.reshape(g.shape)
    parts = [operations.xp.swapaxes(each, -1, -2) for each in (W, g)]
    clipped = clip_columns(parts[0], parts[1], scale, agc, operations, buffer)
    return g if clipped is parts[1] else operations.xp.swapaxes(clipped, -1, -2)


_SMALLEST_NORM = 1e-6


def _column_norms(W: Array, g: Array, operations: MatrixOperations) -> tuple[Any, Any]:
    """Return the norm of each column of both in float64; of a single column in the order of `ir.summation`."""
    xp = operations.xp
    if W.shape[1] > 1:
        W_sums, g_sums = operations.column_square_sums(W, g)
        return xp.sqrt(W_sums), xp.sqrt(g_sums)
    if xp is np:
        return np.full(1, operations.norm(W)), np.full(1, operations.norm(g))
    W_norm, g_norm = (xp.sqrt(xp.square(each.astype(xp.float64)).sum(axis=0)) for each in (W, g))
    return W_norm, g_norm
