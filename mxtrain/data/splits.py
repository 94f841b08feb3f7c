"""Random and stratified splits into training, validation, and test sets."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mxtrain.errors import DataError
from mxtrain.random import permutation


class Split(NamedTuple):
    """The rows of each set, int64 and ascending; each row is in exactly one set."""

    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split(targets: NDArray[Any], validation: float, test: float, seed: int, stratified: bool) -> Split:
    """Split samples at random into training, validation and test sets.

    A stratified split takes the same fraction of each class, rounded by the largest-remainder method, and leaves at
    least one sample of each class in the training set. The test set is taken from the end of the random order and the
    validation set from its beginning, so that another fraction moves no sample from one to the other.

    Args:
        targets: (n,).
        validation, test: the fractions to hold out, each at least 0, together below 1.
        seed: the seed of the random order.
        stratified: True to split each class alike; the targets must be class indices.

    Raises:
        DataError: a fraction above 0 leaves no sample to hold out.

    Example:
        >>> sets = split(np.array([0, 0, 0, 0, 1, 1]), 0.25, 0.25, seed=0, stratified=True)
        >>> [rows.tolist() for rows in sets]
        [[0, 5], [1, 2], [3, 4]]
    """
    samples = len(targets)
    groups = targets.astype(np.int64) if stratified else np.zeros(samples, dtype=np.int64)
    sizes = np.bincount(groups)
    test_counts = _allocate_by_largest_remainder(sizes, test, sizes - 1)
    validation_counts = _allocate_by_largest_remainder(sizes, validation, sizes - 1 - test_counts)
    for name, fraction, counts, most in (
        ("validation", validation, validation_counts, sizes - 1 - test_counts),
        ("test", test, test_counts, sizes - 1),
    ):
        if fraction > 0 and not counts.any():
            purpose = "validate" if name == "validation" else "test"
            remedy = "raise it, or set it to 0" if (most > 0).any() else "set it to 0"
            raise DataError(f"data.{name}: {fraction:g} of {samples} samples leaves none to {purpose} on; {remedy}")
    order = permutation(seed, "split", size=samples)
    by_group = order[np.argsort(groups[order], kind="stable")]
    rank_in_group = np.arange(samples) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    set_number = np.zeros(samples, dtype=np.int8)
    set_number[by_group[rank_in_group < np.repeat(validation_counts, sizes)]] = 1
    set_number[by_group[rank_in_group >= np.repeat(sizes - test_counts, sizes)]] = 2
    return Split(*(np.flatnonzero(set_number == number) for number in range(3)))


def _allocate_by_largest_remainder(
    sizes: NDArray[np.int64], fraction: float, most: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the number of samples to take from each group, at most `most`, so that all together are `fraction`."""
    quotas = sizes * fraction
    most = np.maximum(most, 0)
    counts = np.minimum(quotas.astype(np.int64), most)
    by_remainder = np.argsort(counts - quotas, kind="stable")
    can_give_more = by_remainder[(counts < most)[by_remainder]]
    counts[can_give_more[: max(0, round(sizes.sum() * fraction) - int(counts.sum()))]] += 1
    return counts
