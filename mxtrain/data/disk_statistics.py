"""Means and scales of data on the disk, in one pass."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import Standardize
from mxtrain.data.arrays import check_numbers
from mxtrain.data.npy_folder import DiskArrays
from mxtrain.data.standardization import Standardization, exponent_of, out_of_range

_BLOCK_NUMBERS = 1 << 17
"""Numbers that are looked at together: a float64 copy of them is 1 MiB."""

Vector = NDArray[np.float64]


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
    mean: Vector
    squares: Vector
    low: Vector
    high: Vector
    least: Vector
    most: Vector

    def standardization(self, standardize: Standardize) -> Standardization:
        """The map that a config asks for; up to rounding that of `Standardization.fit` or `fit_whole`."""
        match standardize:
            case "features":
                scale = np.ldexp(np.sqrt(self.squares / self.count), self.exponent)
                return Standardization.of_features(np.ldexp(self.mean, self.exponent), scale, self.low, self.high)
            case "whole":
                exponent = self.exponent.max() if self.exponent.any() else self.exponent[0]
                shift = self.exponent - exponent
                means, squares = np.ldexp(self.mean, shift), np.ldexp(self.squares, 2 * shift)
                mean = means.mean()
                scale = np.sqrt((squares / self.count + np.square(means - mean)).mean())
                ends = (np.ldexp(mean, exponent), np.ldexp(scale, exponent), self.low.min(), self.high.max())
                one = Standardization.of_features(*map(np.atleast_1d, ends))
                return Standardization.of_whole(one, self.low, self.high)
        return Standardization.unchanged(np.stack([self.low, self.high]))


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
    found = _measured(arrays, is_training, np.zeros(arrays.width, dtype=np.int32))
    beyond = out_of_range(found.mean, found.squares, found.low, found.high) if found.count else np.array(False)
    if not beyond.any():
        return found
    exponent = np.where(beyond, exponent_of(found.low, found.high), 0).astype(np.int32)
    return _measured(arrays, is_training, exponent)


def _measured(arrays: DiskArrays, is_training: NDArray[np.bool_], exponent: NDArray[np.int32]) -> DiskStatistics:
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
            if exponent.any():
                part = np.ldexp(part, -exponent)
            own = part.mean(axis=0)
            part -= own
            step, total = own - mean, count + len(part)
            squares += np.einsum("ij,ij->j", part, part) + step * step * (count * len(part) / total)
            mean += step * (len(part) / total)
            count = total
    return DiskStatistics(count, exponent, mean, squares, low, high, least, most)
