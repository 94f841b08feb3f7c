"""Targets on a scale that trains well, whatever their unit is, and predictions back in that unit."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mxtrain.errors import DataError


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
