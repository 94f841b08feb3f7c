"""Standardization of features and targets, and one-pass statistics of arrays on disk."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mxtrain.config.data_section import Standardize
from mxtrain.data.readers.npy_files import DiskArrays
from mxtrain.data.readers.npz_file import check_finite_numbers
from mxtrain.errors import DataError

_BLOCK_ROWS = 4096
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
            squares = sum(np.square(inputs[rows] - mean).sum(axis=0) for rows in _row_blocks(inputs))
            scale = np.sqrt(squares / len(inputs)).astype(np.float64)
        beyond = out_of_range(mean, scale, low, high)
        if beyond.any():
            mean[beyond], scale[beyond] = _scaled_moments(inputs[:, beyond].astype(np.float64))
        return cls.from_features(mean, scale, low.astype(np.float64), high.astype(np.float64))

    @classmethod
    def fit_whole(cls, inputs: NDArray[Any]) -> Self:
        """The map that brings all features together to mean 0 and variance 1: they share one unit, as pixels do.

        Example:
            >>> Standardization.fit_whole(np.array([[0, 4], [0, 4]])).apply(np.array([[2, 6]]), np.float32)
            array([[0., 2.]], dtype=float32)
        """
        return cls.from_whole(cls.fit(inputs.reshape(-1, 1)), inputs.min(axis=0), inputs.max(axis=0))

    @classmethod
    def from_features(
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
    def from_whole(cls, one: Self, low: NDArray[Any], high: NDArray[Any]) -> Self:
        """Apply the map `one`, of all values together, to each feature; `low` and `high` are per feature."""
        constant = (low == high) & (low == one.mean)
        return cls(np.repeat(one.mean, len(low)), np.repeat(one.scale, len(low)), constant)

    def apply(self, inputs: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
        """The mapped inputs, (n, d), in `dtype` and C-contiguous; what does not fit becomes infinite."""
        mapped = np.empty(inputs.shape, dtype=dtype)
        for rows in _row_blocks(inputs):
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


def _row_blocks(inputs: NDArray[Any]) -> Iterator[slice]:
    return (slice(start, start + _BLOCK_ROWS) for start in range(0, len(inputs), _BLOCK_ROWS))


_BLOCK_NUMBERS = 1 << 17
"""Numbers that are looked at together: a float64 copy of them is 1 MiB."""

_Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class DiskStatistics:
    """Statistics of the inputs from one pass; each (d,).

    Attributes:
        count: samples in the training part.
        exponent: 0, unless sums would overflow float64; `mean` and `squares` are those of `x / 2**exponent`.
        mean: of the training part.
        squares: sum of `(x - mean)²` over the training part.
        low, high: least and largest value of the training part.
        least, most: the same of all samples.
    """

    count: int
    exponent: NDArray[np.int32]
    mean: _Vector
    squares: _Vector
    low: _Vector
    high: _Vector
    least: _Vector
    most: _Vector

    def standardization(self, standardize: Standardize) -> Standardization:
        """The map that a config asks for; up to rounding that of `Standardization.fit` or `fit_whole`."""
        match standardize:
            case "features":
                scale = np.ldexp(np.sqrt(self.squares / self.count), self.exponent)
                return Standardization.from_features(np.ldexp(self.mean, self.exponent), scale, self.low, self.high)
            case "whole":
                exponent = self.exponent.max() if self.exponent.any() else self.exponent[0]
                shift = self.exponent - exponent
                means, squares = np.ldexp(self.mean, shift), np.ldexp(self.squares, 2 * shift)
                mean = means.mean()
                scale = np.sqrt((squares / self.count + np.square(means - mean)).mean())
                ends = (np.ldexp(mean, exponent), np.ldexp(scale, exponent), self.low.min(), self.high.max())
                one = Standardization.from_features(*map(np.atleast_1d, ends))
                return Standardization.from_whole(one, self.low, self.high)
        return Standardization.unchanged(np.stack([self.low, self.high]))


def compute_disk_statistics(arrays: DiskArrays, is_training: NDArray[np.bool_]) -> DiskStatistics:
    """Read all inputs once, check that they are finite, and measure those of the training part.

    Blocks are measured in float64, and joined by Chan's formulas, always in the same order.

    Args:
        arrays: the files.
        is_training: (n,), which of their rows belong to the training part.

    Raises:
        DataError: a value is not a finite number; with its file and place.

    Source: Chan, Golub & LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances" (1979).
    """
    found = _one_pass(arrays, is_training, np.zeros(arrays.width, dtype=np.int32))
    beyond = out_of_range(found.mean, found.squares, found.low, found.high) if found.count else np.array(False)
    if not beyond.any():
        return found
    exponent = np.where(beyond, exponent_of(found.low, found.high), 0).astype(np.int32)
    return _one_pass(arrays, is_training, exponent)


def _one_pass(arrays: DiskArrays, is_training: NDArray[np.bool_], exponent: NDArray[np.int32]) -> DiskStatistics:
    width = arrays.width
    count, mean, squares = 0, np.zeros(width), np.zeros(width)
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    least, most = low.copy(), high.copy()
    row = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for file, first, block in arrays.blocks(max(1, _BLOCK_NUMBERS // width)):
            check_finite_numbers(block, file.path, first)
            np.minimum(least, block.min(axis=0), out=least)
            np.maximum(most, block.max(axis=0), out=most)
            chosen = is_training[row : row + len(block)]
            row += len(block)
            part = (block if chosen.all() else block[chosen]).astype(np.float64)
            if not len(part):
                continue
            np.minimum(low, part.min(axis=0), out=low)
            np.maximum(high, part.max(axis=0), out=high)
            if exponent.any():
                part = np.ldexp(part, -exponent)
            own = part.mean(axis=0)
            part -= own
            step, total = own - mean, count + len(part)
            squares += np.einsum("ij,ij->j", part, part) + step * step * (count * len(part) / total)
            mean += step * (len(part) / total)
            count = total
    return DiskStatistics(count, exponent, mean, squares, low, high, least, most)


@dataclass(frozen=True, slots=True)
class TargetScale:
    """The map `(y - mean) / scale` of targets, and its inverse; both in float64.

    Attributes:
        mean: of the targets of the training part.
        scale: their standard deviation (divided by n); above 0.

    Example:
        >>> prices = TargetScale.fit(np.array([100_000, 300_000]), "houses.csv", "price")
        >>> prices
        TargetScale(mean=200000.0, scale=100000.0)
        >>> prices.apply(np.array([500_000])), prices.restore(np.array([3], dtype=np.float32))
        (array([3.]), array([500000.]))
    """

    mean: float
    scale: float

    @classmethod
    def fit(cls, targets: NDArray[Any], source: str, name: str) -> Self:
        """The map that brings targets to mean 0 and variance 1.

        Args:
            targets: (n,), numbers of any dtype, at least one.
            source: where they are from, as an error names it.
            name: what they are called there.

        Raises:
            DataError: they are all equal, or as good as equal in float64.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # what is beyond float64 is told of when it is mapped
            numbers = targets.astype(np.float64)
            low, high = float(numbers.min()), float(numbers.max())
            # Divided by a power of 2, which rounds nothing, no square overflows; and from the least one on, equal
            # targets are exactly 0, where a rounded mean of theirs would leave noise to divide by.
            exponent = int(np.frexp(max(abs(low), abs(high)))[1])
            numbers = np.ldexp(numbers, -exponent)
            least = numbers.min()
            numbers -= least
            middle = numbers.mean()
            deviation = np.sqrt(np.square(numbers - middle).mean())
            mean, scale = float(np.ldexp(least + middle, exponent)), float(np.ldexp(deviation, exponent))
        if deviation <= np.finfo(np.float64).eps or scale < np.finfo(np.float64).tiny:
            values = f"are all {low}" if low == high else f"from {low} to {high} are as good as equal in float64"
            raise DataError(
                f"{source}: {name!r}: the targets of the training part {values}, and cannot be brought to variance 1; "
                "set data.standardize_target: false, or choose another target"
            )
        return cls(mean, scale)

    def apply(self, targets: NDArray[Any]) -> NDArray[np.float64]:
        """Standardized targets, (n,), of targets in their own unit; what does not fit is not finite."""
        with np.errstate(over="ignore", invalid="ignore"):
            return (targets.astype(np.float64) - self.mean) / self.scale

    def restore(self, standardized: NDArray[Any]) -> NDArray[np.float64]:
        """The targets or predictions, (n,), in their own unit: float32 would lose deviations beside a large mean."""
        with np.errstate(over="ignore", invalid="ignore"):
            return standardized.astype(np.float64) * self.scale + self.mean
