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

    Attributes:
        mean: (d,), float64.
        scale: (d,), float64; never 0, and infinite where a variance is too large for float64.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def identity(cls, features: int) -> Self:
        """The map that changes nothing."""
        return cls(np.zeros(features), np.ones(features))

    @classmethod
    def fit(cls, inputs: NDArray[Any]) -> Self:
        """The map that brings each feature of `inputs`, (n, d), to mean 0 and variance 1 (divided by n).

        A feature that is constant becomes 0: its mean is its value, and its scale is 1.

        Example:
            >>> Standardization.fit(np.array([[1, 7], [3, 7]])).apply(np.array([[5, 8]]), np.float32)
            array([[3., 1.]], dtype=float32)
        """
        low, high = inputs.min(axis=0), inputs.max(axis=0)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = inputs.mean(axis=0, dtype=np.float64)
            squares = sum(np.square(inputs[rows] - mean).sum(axis=0) for rows in _blocks(inputs))
        scale = np.sqrt(squares / len(inputs))
        # A rounded mean gives a constant a tiny scale, by which any other value would become huge.
        constant = (low == high) | (scale == 0)
        return cls(np.where(constant, low.astype(np.float64), mean), np.where(constant, 1.0, scale.astype(np.float64)))

    @classmethod
    def fit_whole(cls, inputs: NDArray[Any]) -> Self:
        """The map that brings all features together to mean 0 and variance 1: they share one unit, as pixels do.

        Example:
            >>> Standardization.fit_whole(np.array([[0, 4], [0, 4]])).apply(np.array([[2, 6]]), np.float32)
            array([[0., 2.]], dtype=float32)
        """
        features = inputs.shape[1]
        one = cls.fit(inputs.reshape(-1, 1))
        return cls(np.repeat(one.mean, features), np.repeat(one.scale, features))

    def apply(self, inputs: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
        """The mapped inputs, (n, d), in `dtype` and C-contiguous; what does not fit becomes infinite."""
        mapped = np.empty(inputs.shape, dtype=dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            for rows in _blocks(inputs):
                mapped[rows] = (inputs[rows] - self.mean) / self.scale
        return mapped


def _blocks(inputs: NDArray[Any]) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, len(inputs), _BLOCK))
