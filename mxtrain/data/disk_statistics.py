"""Means and scales of data on the disk, in one pass."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import Standardize
from mxtrain.data.arrays import check_numbers
from mxtrain.data.npy_folder import DiskArrays
from mxtrain.data.standardization import Standardization

_BLOCK_NUMBERS = 1 << 17
"""Numbers that are looked at together: a float64 copy of them is 1 MiB."""

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class DiskStatistics:
    """What one pass over the inputs finds; each (d,).

    Attributes:
        count: samples in the training part.
        mean: of the training part.
        squares: sum of `(x - mean)²` over the training part.
        low, high: least and largest value of the training part.
        least, most: the same of all samples.
    """

    count: int
    mean: Vector
    squares: Vector
    low: Vector
    high: Vector
    least: Vector
    most: Vector

    def standardization(self, standardize: Standardize) -> Standardization:
        """The map that a config asks for; up to rounding that of `Standardization.fit` or `fit_whole`."""
        features = len(self.mean)
        match standardize:
            case "features":
                return _map(self.mean, self.squares / self.count, self.low, self.high)
            case "whole":
                mean = self.mean.mean()
                variance = (self.squares / self.count + np.square(self.mean - mean)).mean()
                one = _map(*(np.atleast_1d(value) for value in (mean, variance, self.low.min(), self.high.max())))
                return Standardization(np.repeat(one.mean, features), np.repeat(one.scale, features))
        return Standardization.identity(features)


def measure_disk(arrays: DiskArrays, is_training: NDArray[np.bool_]) -> DiskStatistics:
    """Read all inputs once, check that they are finite, and measure those of the training part.

    Blocks are measured in float64, and joined by Chan's formulas, always in the same order.

    Args:
        arrays: the files.
        is_training: (n,), which of their rows belong to the training part.

    Raises:
        DataError: a value is not a finite number; with its file and place.

    Source: Chan, Golub & LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances" (1979).
    """
    width = arrays.width
    count, mean, squares = 0, np.zeros(width), np.zeros(width)
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    least, most = low.copy(), high.copy()
    row = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for file, first, block in arrays.blocks(max(1, _BLOCK_NUMBERS // width)):
            check_numbers(block, file.path, first)
            np.minimum(least, block.min(axis=0), out=least)
            np.maximum(most, block.max(axis=0), out=most)
            chosen = is_training[row : row + len(block)]
            row += len(block)
            part = (block if chosen.all() else block[chosen]).astype(np.float64)
            if not len(part):
                continue
            np.minimum(low, part.min(axis=0), out=low)
            np.maximum(high, part.max(axis=0), out=high)
            own = part.mean(axis=0)
            part -= own
            step, total = own - mean, count + len(part)
            squares += np.einsum("ij,ij->j", part, part) + step * step * (count * len(part) / total)
            mean += step * (len(part) / total)
            count = total
    return DiskStatistics(count, mean, squares, low, high, least, most)


def _map(mean: Vector, variance: Vector, low: Vector, high: Vector) -> Standardization:
    scale = np.sqrt(variance)
    constant = (low == high) | (scale == 0)
    return Standardization(np.where(constant, low, mean), np.where(constant, 1.0, scale))
