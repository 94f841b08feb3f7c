"""Random and stratified splits into training, validation, and test sets."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mxtrain.errors import DataError
from mxtrain.random import permutation


class Split(NamedTuple):
    """The rows of each part, int64 and ascending; together they are all rows, each once."""

    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split(targets: NDArray[Any], validation: float, test: float, seed: int, stratified: bool) -> Split:
    """Choose the samples to hold out: a share of all, to the nearest whole number, by a random order.

    Stratified, each class gives its share of its samples, rounded by the method of the largest remainder, and keeps at
    least one to be trained on. The test part is taken from the end of the random order and the validation part from its
    beginning, so that a change of one share moves no sample between the two.

    Args:
        targets: (n,).
        validation, test: shares to hold out, each at least 0, together below 1.
        seed: the split is a pure function of it and of the targets.
        stratified: whether to take from each class alike; needs class indices as targets.

    Raises:
        DataError: there are too few samples to hold out any.

    Example:
        >>> parts = split(np.array([0, 0, 0, 0, 1, 1]), 0.25, 0.25, seed=0, stratified=True)
        >>> [rows.tolist() for rows in parts]
        [[0, 5], [1, 2], [3, 4]]
    """
    samples = len(targets)
    groups = targets.astype(np.int64) if stratified else np.zeros(samples, dtype=np.int64)
    sizes = np.bincount(groups)
    late = _allocate_by_largest_remainder(sizes, test, sizes - 1)
    early = _allocate_by_largest_remainder(sizes, validation, sizes - 1 - late)
    for name, share, seats, most in (
        ("validation", validation, early, sizes - 1 - late),
        ("test", test, late, sizes - 1),
    ):
        if share > 0 and not seats.any():
            purpose = "validate" if name == "validation" else "test"
            remedy = "raise it, or set it to 0" if (most > 0).any() else "set it to 0"
            raise DataError(f"data.{name}: {share:g} of {samples} samples leaves none to {purpose} on; {remedy}")
    order = permutation(seed, "split", size=samples)
    by_group = order[np.argsort(groups[order], kind="stable")]
    place_in_group = np.arange(samples) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    part = np.zeros(samples, dtype=np.int8)
    part[by_group[place_in_group < np.repeat(early, sizes)]] = 1
    part[by_group[place_in_group >= np.repeat(sizes - late, sizes)]] = 2
    return Split(*(np.flatnonzero(part == number) for number in range(3)))


def _allocate_by_largest_remainder(
    sizes: NDArray[np.int64], fraction: float, most: NDArray[np.int64]
) -> NDArray[np.int64]:
    """How many each group gives, so that all together give `fraction`, and none gives more than it may."""
    quotas = sizes * fraction
    most = np.maximum(most, 0)
    seats = np.minimum(quotas.astype(np.int64), most)
    by_remainder = np.argsort(seats - quotas, kind="stable")
    can_give = by_remainder[(seats < most)[by_remainder]]
    seats[can_give[: max(0, round(sizes.sum() * fraction) - int(seats.sum()))]] += 1
    return seats
