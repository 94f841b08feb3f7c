"""Standardization of features and targets: means and variances are measured, and applied to new data."""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mxtrain.config.data_section import Standardize
from mxtrain.data.readers.numpy_files import DiskArrays, check_finite_numbers
from mxtrain.errors import DataError

_BLOCK_ROWS = 4096
"""Rows of arrays in memory that are processed together, so that their float64 copies stay small."""
_BLOCK_NUMBERS = 1 << 17
"""Numbers of arrays on disk that are processed together: a float64 copy of them is 1 MiB."""


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Mean, variance and range of k features; or, with means and variances of shape (1,), of all features together.

    Data in memory, data on disk and targets are measured with different arithmetic, which is part of the results of a
    run: when it is resumed, they are measured again.

    Attributes:
        exponent: 0, or where float64 would overflow or underflow, a number e such that `mean` and `variance` are those
            of `x / 2**e`.
        mean, variance: of the training set; the variance is divided by n.
        low, high: (k,), the smallest and the largest value, in the dtype of the data.
    """

    exponent: NDArray[np.int32]
    mean: NDArray[np.float64]
    variance: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]

    def mean_and_deviation(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean and the standard deviation in the unit of the data."""
        deviation = np.sqrt(self.variance).astype(np.float64)
        return np.ldexp(self.mean, self.exponent), np.ldexp(deviation, self.exponent)

    def pooled(self) -> "Moments":
        """Return the moments of all features together, with the range of each."""
        if len(self.mean) == 1:
            return self
        exponent = self.exponent.max() if self.exponent.any() else self.exponent[0]
        shift = self.exponent - exponent
        means, variances = np.ldexp(self.mean, shift), np.ldexp(self.variance, 2 * shift)
        mean = means.mean()
        variance = (variances + np.square(means - mean)).mean()
        return replace(self, exponent=exponent.reshape(1), mean=mean.reshape(1), variance=variance.reshape(1))


def moments_of_array(inputs: NDArray[Any], standardize: Standardize = "features") -> Moments:
    """Measure inputs in memory, (n, d), in two passes; with `whole`, all features together."""
    if standardize == "whole":
        return replace(moments_of_array(inputs.reshape(-1, 1)), low=inputs.min(axis=0), high=inputs.max(axis=0))
    low, high = inputs.min(axis=0), inputs.max(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = inputs.mean(axis=0, dtype=np.float64)
        variance = sum(np.square(inputs[rows] - mean).sum(axis=0) for rows in _row_blocks(inputs)) / len(inputs)
        beyond = _is_out_of_range(mean, np.sqrt(variance).astype(np.float64), low, high)
    exponent = np.zeros(len(mean), dtype=np.int32)
    if beyond.any():
        columns = inputs[:, beyond].astype(np.float64)
        exponent[beyond] = _exponent_of(columns.min(axis=0), columns.max(axis=0))
        scaled = np.ldexp(columns, -exponent[beyond])
        mean[beyond] = scaled.mean(axis=0)
        variance[beyond] = np.square(scaled - mean[beyond]).mean(axis=0)
    return Moments(exponent, mean, variance, low, high)


def moments_of_blocks(arrays: DiskArrays, is_training: NDArray[np.bool_]) -> tuple[Moments, NDArray[np.float64]]:
    """Measure inputs on disk in one pass, or in two if float64 would overflow or underflow.

    Blocks are measured in float64 and combined by Chan's formulas, always in the same order.

    Args:
        arrays: the files.
        is_training: (n,), the rows of the training set; at least one.

    Returns:
        The moments of the training set, and the smallest and largest values of all rows, (2, d).

    Raises:
        DataError: a value is not a finite number; with its file and index.

    Source: Chan, Golub & LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances" (1979).
    """
    moments, ends = _measure_blocks(arrays, is_training, np.zeros(arrays.width, dtype=np.int32))
    beyond = _is_out_of_range(moments.mean, moments.variance, moments.low, moments.high)
    if not beyond.any():
        return moments, ends
    exponent = np.where(beyond, _exponent_of(moments.low, moments.high), 0).astype(np.int32)
    return _measure_blocks(arrays, is_training, exponent)


def _measure_blocks(
    arrays: DiskArrays, is_training: NDArray[np.bool_], exponent: NDArray[np.int32]
) -> tuple[Moments, NDArray[np.float64]]:
    width = arrays.width
    count, mean, squares = 0, np.zeros(width), np.zeros(width)
    training_ends, ends = _empty_range(width), _empty_range(width)
    with np.errstate(over="ignore", invalid="ignore"):
        for row, raw in _finite_blocks(arrays):
            _widen(ends, raw)
            is_chosen = is_training[row : row + len(raw)]
            block = (raw if is_chosen.all() else raw[is_chosen]).astype(np.float64)
            if not len(block):
                continue
            _widen(training_ends, block)
            if exponent.any():
                block = np.ldexp(block, -exponent)
            block_mean = block.mean(axis=0)
            block -= block_mean
            step, total = block_mean - mean, count + len(block)
            squares += np.einsum("ij,ij->j", block, block) + step * step * (count * len(block) / total)
            mean += step * (len(block) / total)
            count = total
    return Moments(exponent, mean, squares / count, *training_ends), ends


def value_range(arrays: DiskArrays) -> NDArray[np.float64]:
    """Return the smallest and the largest value of each feature on disk, (2, d); a DataError if one is not finite."""
    ends = _empty_range(arrays.width)
    for _, block in _finite_blocks(arrays):
        _widen(ends, block)
    return ends


def _finite_blocks(arrays: DiskArrays) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the inputs in blocks that are checked, each with its first row; the array of a block is reused."""
    row = 0
    for file, first, block in arrays.blocks(max(1, _BLOCK_NUMBERS // arrays.width)):
        check_finite_numbers(block, file.path, first)
        yield row, block
        row += len(block)


def _empty_range(width: int) -> NDArray[np.float64]:
    return np.stack([np.full(width, np.inf), np.full(width, -np.inf)])


def _widen(ends: NDArray[np.float64], block: NDArray[Any]) -> None:
    np.minimum(ends[0], block.min(axis=0), out=ends[0])
    np.maximum(ends[1], block.max(axis=0), out=ends[1])


def moments_of_targets(targets: NDArray[Any]) -> Moments:
    """Measure targets, (n,), exactly enough that equal ones have the variance 0."""
    with np.errstate(over="ignore", invalid="ignore"):  # numbers beyond float64 are reported when they are mapped
        numbers = targets.astype(np.float64)
        low, high = np.atleast_1d(numbers.min()), np.atleast_1d(numbers.max())
        # A power of 2 rounds nothing, and no square overflows. After subtraction of the smallest, equal targets are
        # exactly 0, whereas their rounded mean would leave noise to divide by.
        exponent = _exponent_of(low, high)
        numbers = np.ldexp(numbers, -exponent)
        least = numbers.min()
        numbers -= least
        middle = numbers.mean()
        variance = np.square(numbers - middle).mean()
    return Moments(exponent, np.atleast_1d(least + middle), np.atleast_1d(variance), low, high)


def _is_out_of_range(
    mean: NDArray[np.float64], scale: NDArray[np.float64], low: NDArray[Any], high: NDArray[Any]
) -> NDArray[np.bool_]:
    """Return the features whose sums, or sums of squares, overflow or underflow float64."""
    beyond: NDArray[np.bool_] = ~np.isfinite(mean) | ~np.isfinite(scale) | ((scale == 0) & (low != high))
    return beyond


def _exponent_of(low: NDArray[Any], high: NDArray[Any]) -> NDArray[np.int32]:
    """Return the exponent of the power of 2 by which each feature is divided so that no square overflows."""
    exponent: NDArray[np.int32] = np.frexp(np.maximum(np.abs(low), np.abs(high)).astype(np.float64))[1]
    return exponent


def _row_blocks(inputs: NDArray[Any]) -> Iterator[slice]:
    return (slice(start, start + _BLOCK_ROWS) for start in range(0, len(inputs), _BLOCK_ROWS))


@dataclass(frozen=True, slots=True, eq=False)
class Standardization:
    """The map `(x - mean) / scale` of each feature, computed in float64 and rounded once.

    A feature that is 0 in every training sample is 0 in all data: its weights get no gradient, so they keep their
    initial values and must not affect predictions.

    Attributes:
        mean: (d,), float64.
        scale: (d,), float64; finite, and never 0.
        constant: (d,), bool; the features that are always 0.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    constant: NDArray[np.bool_]

    @classmethod
    def fit(cls, inputs: NDArray[Any], standardize: Standardize = "features") -> Self:
        """Fit to the inputs of the training set, (n, d).

        Args:
            inputs: finite numbers of any dtype.
            standardize: `features` brings each feature to mean 0 and variance 1 (divided by n); `whole` brings all
                features together to mean 0 and variance 1; `none` only sets features to 0 that are always 0.

        Example:
            >>> Standardization.fit(np.array([[1, 7], [3, 7]])).apply(np.array([[5, 8]]), np.float32)
            array([[3., 0.]], dtype=float32)
            >>> Standardization.fit(np.array([[0, 4], [0, 4]]), "whole").apply(np.array([[2, 6]]), np.float32)
            array([[0., 2.]], dtype=float32)
            >>> Standardization.fit(np.array([[0, 7], [0, 7]]), "none").apply(np.array([[5, 8]]), np.float32)
            array([[0., 8.]], dtype=float32)
        """
        if standardize == "none" or not inputs.shape[1]:
            return cls._without_scaling(np.logical_not(inputs.any(axis=0)))
        return cls.from_moments(moments_of_array(inputs, standardize), standardize)

    @classmethod
    def from_moments(cls, moments: Moments, standardize: Standardize) -> Self:
        """Return the map for measured inputs; see `fit`."""
        low, high = moments.low, moments.high
        if standardize == "none":
            return cls._without_scaling((low == 0) & (high == 0))
        if standardize == "whole":
            mean, scale, _ = _scale(moments.pooled(), low.min(keepdims=True), high.max(keepdims=True))
            return cls(np.repeat(mean, len(low)), np.repeat(scale, len(low)), (low == high) & (low == mean))
        return cls(*_scale(moments, low, high))

    @classmethod
    def _without_scaling(cls, constant: NDArray[np.bool_]) -> Self:
        features = len(constant)
        return cls(np.zeros(features), np.ones(features), np.asarray(constant, dtype=bool))

    @classmethod
    def identity(cls, features: int) -> Self:
        """Return the map that changes nothing."""
        return cls._without_scaling(np.zeros(features, dtype=bool))

    def apply(self, inputs: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
        """Return the mapped inputs, (n, d), C-contiguous and in `dtype`; numbers beyond its range become infinite."""
        mapped = np.empty(inputs.shape, dtype=dtype)
        for rows in _row_blocks(inputs):
            block = inputs[rows]
            self.apply_to(block, mapped[rows], np.empty(block.shape, np.result_type(block.dtype, np.float64)))
        return mapped

    def apply_to(self, inputs: NDArray[Any], out: NDArray[Any], scratch: NDArray[Any]) -> None:
        """Map inputs into `out`; both and the float64 `scratch` array are (n, d)."""
        with np.errstate(over="ignore", invalid="ignore"):
            np.subtract(inputs, self.mean, out=scratch, casting="same_kind")
            np.divide(scratch, self.scale, out=out, casting="same_kind", dtype=scratch.dtype)
            if inputs.dtype.kind == "f" and inputs.dtype.itemsize >= 8 and not np.isfinite(scratch).all():
                beyond = ~np.isfinite(scratch)  # the difference of two finite numbers overflows float64
                out[beyond] = (inputs / self.scale - self.mean / self.scale)[beyond]
        if self.constant.any():
            out[:, self.constant] = 0


def _scale(
    moments: Moments, low: NDArray[Any], high: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return the mean and the scale of each feature, and whether it is constant; then they are its value and 1."""
    low, high = low.astype(np.float64), high.astype(np.float64)
    mean, scale = moments.mean_and_deviation()
    # The rounded mean of equal numbers leaves a tiny deviation, by which other values would become huge.
    constant = (low == high) | (scale == 0)
    return np.where(constant, low, mean), np.where(constant, 1.0, scale), constant


@dataclass(frozen=True, slots=True)
class TargetScale:
    """The map `(y - mean) / scale` of targets and its inverse, both in float64.

    Attributes:
        mean: the mean of the targets of the training set; for several targets, that of each.
        scale: their standard deviation (divided by n); above 0; for several targets, that of each.

    Example:
        >>> prices = TargetScale.fit(np.array([100_000, 300_000]), "houses.csv", "price")
        >>> prices
        TargetScale(mean=200000.0, scale=100000.0)
        >>> prices.apply(np.array([500_000])), prices.restore(np.array([3], dtype=np.float32))
        (array([3.]), array([500000.]))
    """

    mean: float | tuple[float, ...]
    scale: float | tuple[float, ...]

    @classmethod
    def fit_each(cls, targets: NDArray[Any], source: str, names: Sequence[str]) -> Self:
        """Return the map that brings each of several targets, (n, k), to mean 0 and variance 1; errors as for `fit`.

        >>> TargetScale.fit_each(np.array([[1, 20], [3, 60]]), "houses.csv", ["rooms", "area"])
        TargetScale(mean=(2.0, 40.0), scale=(1.0, 20.0))
        """
        found = [cls.fit(column, source, name) for column, name in zip(targets.T, names, strict=True)]
        means, scales = ([np.float64(value) for value in values] for values in zip(*map(astuple, found), strict=True))
        return cls(tuple(map(float, means)), tuple(map(float, scales)))

    @classmethod
    def fit(cls, targets: NDArray[Any], source: str, name: str) -> Self:
        """Return the map that brings targets to mean 0 and variance 1.

        Args:
            targets: (n,), numbers of any dtype, at least one.
            source: the name of their file in error messages.
            name: the name of their column or array.

        Raises:
            DataError: all targets are equal, or differ by no more than float64 rounds off.
        """
        moments = moments_of_targets(targets)
        with np.errstate(over="ignore", invalid="ignore"):
            (mean,), (scale,) = moments.mean_and_deviation()
        if np.sqrt(moments.variance[0]) <= np.finfo(np.float64).eps or scale < np.finfo(np.float64).tiny:
            low, high = float(moments.low[0]), float(moments.high[0])
            values = f"are all {low}" if low == high else f"from {low} to {high} are equal up to rounding in float64"
            raise DataError(
                f"{source}: {name!r}: the targets of the training set {values}, and cannot be brought to variance 1; "
                "set data.standardize_target: false, or choose another target"
            )
        return cls(float(mean), float(scale))

    def apply(self, targets: NDArray[Any]) -> NDArray[np.float64]:
        """Return standardized targets, (n,) or (n, k); numbers beyond float64 are not finite."""
        with np.errstate(over="ignore", invalid="ignore"):
            standardized: NDArray[np.float64] = (targets.astype(np.float64) - self.mean) / self.scale
            return standardized

    def restore(self, standardized: NDArray[Any]) -> NDArray[np.float64]:
        """Return targets or predictions in the unit of the data; float32 could not hold a large mean exactly."""
        with np.errstate(over="ignore", invalid="ignore"):
            restored: NDArray[np.float64] = standardized.astype(np.float64) * self.scale + self.mean
            return restored
