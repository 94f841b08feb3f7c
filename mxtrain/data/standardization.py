"""Features brought to a common scale."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

_BLOCK = 4096
"""Rows at a time, so that the float64 copies of a large table stay small."""


@dataclass(frozen=True, slots=True, eq=False)
class Standardization:
    """The map `(x - mean) / scale`, feature by feature, computed in float64 and rounded once.

    A feature that is 0 in every training sample is 0 in all data: its weights get no gradient, so they keep their
    initial values and must not affect predictions.

    Attributes:
        mean: (d,), float64.
        scale: (d,), float64; finite, and never 0.
        constant: (d,), bool: which features are always 0.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    constant: NDArray[np.bool_]

    @classmethod
    def identity(cls, features: int) -> Self:
        """The map that changes nothing."""
        return cls(np.zeros(features), np.ones(features), np.zeros(features, dtype=bool))

    @classmethod
    def unchanged(cls, inputs: NDArray[Any]) -> Self:
        """The map that sets features that are 0 in all of `inputs`, (n, d), to 0, and changes no others.

        Example:
            >>> Standardization.unchanged(np.array([[0, 7], [0, 7]])).apply(np.array([[5, 8]]), np.float32)
            array([[0., 8.]], dtype=float32)
        """
        features = inputs.shape[1]
        return cls(np.zeros(features), np.ones(features), np.asarray(~inputs.any(axis=0), dtype=bool))

    @classmethod
    def fit(cls, inputs: NDArray[Any]) -> Self:
        """The map that brings each feature of `inputs`, (n, d), to mean 0 and variance 1 (divided by n).

        A feature that is constant becomes 0: its mean is its value, and its scale is 1.

        Example:
            >>> Standardization.fit(np.array([[1, 7], [3, 7]])).apply(np.array([[5, 8]]), np.float32)
            array([[3., 0.]], dtype=float32)
        """
        low, high = inputs.min(axis=0), inputs.max(axis=0)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = inputs.mean(axis=0, dtype=np.float64)
            squares = sum(np.square(inputs[rows] - mean).sum(axis=0) for rows in _blocks(inputs))
            scale = np.sqrt(squares / len(inputs)).astype(np.float64)
        beyond = out_of_range(mean, scale, low, high)
        if beyond.any():
            mean[beyond], scale[beyond] = _scaled_moments(inputs[:, beyond].astype(np.float64))
        return cls.of_features(mean, scale, low.astype(np.float64), high.astype(np.float64))

    @classmethod
    def fit_whole(cls, inputs: NDArray[Any]) -> Self:
        """The map that brings all features together to mean 0 and variance 1: they share one unit, as pixels do.

        Example:
            >>> Standardization.fit_whole(np.array([[0, 4], [0, 4]])).apply(np.array([[2, 6]]), np.float32)
            array([[0., 2.]], dtype=float32)
        """
        return cls.of_whole(cls.fit(inputs.reshape(-1, 1)), inputs.min(axis=0), inputs.max(axis=0))

    @classmethod
    def of_features(
        cls,
        mean: NDArray[np.float64],
        scale: NDArray[np.float64],
        low: NDArray[np.float64],
        high: NDArray[np.float64],
    ) -> Self:
        """The map for these means, standard deviations, and smallest and largest values of features; each (d,)."""
        # A rounded mean gives a constant a tiny scale, by which any other value would become huge.
        constant = (low == high) | (scale == 0)
        return cls(np.where(constant, low, mean), np.where(constant, 1.0, scale), constant)

    @classmethod
    def of_whole(cls, one: Self, low: NDArray[Any], high: NDArray[Any]) -> Self:
        """Apply the map `one`, of all values together, to each feature; `low` and `high` are per feature."""
        constant = (low == high) & (low == one.mean)
        return cls(np.repeat(one.mean, len(low)), np.repeat(one.scale, len(low)), constant)

    def apply(self, inputs: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
        """The mapped inputs, (n, d), in `dtype` and C-contiguous; what does not fit becomes infinite."""
        mapped = np.empty(inputs.shape, dtype=dtype)
        for rows in _blocks(inputs):
            block = inputs[rows]
            self.apply_to(block, mapped[rows], np.empty(block.shape, np.result_type(block.dtype, np.float64)))
        return mapped

    def apply_to(self, inputs: NDArray[Any], out: NDArray[Any], scratch: NDArray[Any]) -> None:
        """Map inputs into `out`, both (n, d), using a scratch array of that shape."""
        with np.errstate(over="ignore", invalid="ignore"):
            np.subtract(inputs, self.mean, out=scratch, casting="same_kind")
            np.divide(scratch, self.scale, out=out, casting="same_kind", dtype=scratch.dtype)
            if inputs.dtype.kind == "f" and inputs.dtype.itemsize >= 8 and not np.isfinite(scratch).all():
                beyond = ~np.isfinite(scratch)  # differences of finite numbers that overflow float64
                out[beyond] = (inputs / self.scale - self.mean / self.scale)[beyond]
        if self.constant.any():
            out[:, self.constant] = 0


def out_of_range(
    mean: NDArray[np.float64], scale: NDArray[np.float64], low: NDArray[Any], high: NDArray[Any]
) -> NDArray[np.bool_]:
    """Return the features whose sums, or sums of squares, overflow or underflow float64."""
    beyond: NDArray[np.bool_] = ~np.isfinite(mean) | ~np.isfinite(scale) | ((scale == 0) & (low != high))
    return beyond


def exponent_of(low: NDArray[Any], high: NDArray[Any]) -> NDArray[np.int32]:
    """Return the exponent, (d,), of the power of 2 by which features are divided so that no square overflows."""
    exponent: NDArray[np.int32] = np.frexp(np.maximum(np.abs(low), np.abs(high)).astype(np.float64))[1]
    return exponent


def _scaled_moments(inputs: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and the standard deviation of each feature of (n, d) inputs, for numbers of any size."""
    exponent = exponent_of(inputs.min(axis=0), inputs.max(axis=0))
    scaled = np.ldexp(inputs, -exponent)
    mean = scaled.mean(axis=0)
    deviation = np.sqrt(np.square(scaled - mean).mean(axis=0))
    return np.ldexp(mean, exponent), np.ldexp(deviation, exponent)


def _blocks(inputs: NDArray[Any]) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, len(inputs), _BLOCK))
