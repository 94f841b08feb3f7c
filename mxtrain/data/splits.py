"""Split samples at random into training, validation and test sets, stratified by class, and by groups."""

from collections.abc import Sequence
from itertools import pairwise
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
    least one sample of each class in the training set. A fraction above 0 takes at least one sample. The test
    set is taken from the end of the random order and the validation set from its beginning, so that another fraction
    moves no sample from one to the other.

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
    for name, fraction, counts in (("validation", validation, validation_counts), ("test", test, test_counts)):
        if fraction > 0 and not counts.any():
            raise _empty_error(name, fraction, samples, "each class occurs once, and " if len(sizes) > 1 else "")
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
    wanted = max(round(sizes.sum() * fraction), int(fraction > 0))
    counts[can_give_more[: max(0, wanted - int(counts.sum()))]] += 1
    return counts


def _empty_error(name: str, fraction: float, samples: int, reason: str) -> DataError:
    purpose = "validate" if name == "validation" else "test"
    left = f"{fraction:g} of {samples} {'sample' if samples == 1 else 'samples'}"
    remedy = "set it to 0, or choose another target" if reason else "set it to 0"
    return DataError(f"data.{name}: {reason}{left} leaves none to {purpose} on; {remedy}")


def split_groups(
    targets: NDArray[Any],
    groups: NDArray[np.int64],
    validation: float,
    test: float,
    seed: int,
    stratified: bool,
) -> Split:
    """Split samples at random into sets, so that all samples of a group are in one set.

    Groups are assigned one by one, the largest first and equal ones in random order, each to the set that lacks most of
    its samples, relative to the size of the set's share. In a stratified split, each class counts alike, so that the
    sets have similar fractions of each class as far as the groups allow.

    Args:
        targets: (n,).
        groups: (n,), the number of each sample's group, from 0.
        validation, test: the fractions to hold out, each at least 0, together below 1.
        seed: the seed of the random order.
        stratified: True if the targets are class indices.

    Raises:
        DataError: there are fewer groups than sets.

    Example:
        >>> sets = split_groups(np.zeros(6), np.array([0, 0, 1, 1, 2, 2]), 0.3, 0.0, seed=0, stratified=False)
        >>> [rows.tolist() for rows in sets]
        [[0, 1, 2, 3], [4, 5], []]
    """
    fractions = np.array([1 - validation - test, validation, test])
    n_groups, n_sets = int(groups.max()) + 1, int((fractions > 0).sum())
    if n_groups < n_sets:
        name = "test" if test > 0 else "validation"
        many = "all samples are of one group" if n_groups == 1 else f"there are {n_groups} groups"
        raise DataError(f"data.groups: {many}, and {n_sets} sets need one each; set data.{name} to 0")
    classes = targets.astype(np.int64) if stratified else np.zeros(len(targets), dtype=np.int64)
    counts = _group_counts(groups, classes, n_groups)
    order = permutation(seed, "split", size=n_groups)
    sizes = np.bincount(groups, minlength=n_groups)
    order = order[np.argsort(-sizes[order], kind="stable")]
    set_of_group = _assign_groups(order, counts, np.bincount(classes), fractions)
    set_number = set_of_group[groups]
    return Split(*(np.flatnonzero(set_number == number) for number in range(3)))


def _group_counts(
    groups: NDArray[np.int64], classes: NDArray[np.int64], n_groups: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the classes of each group, and the number of its samples of each."""
    n_classes = int(classes.max()) + 1
    pairs, times = np.unique(groups * n_classes + classes, return_counts=True)
    starts = np.searchsorted(pairs // n_classes, np.arange(n_groups + 1))
    return [(pairs[a:b] % n_classes, times[a:b]) for a, b in pairwise(starts.tolist())]


def _assign_groups(
    order: NDArray[np.int64],
    counts: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    totals: NDArray[np.int64],
    fractions: NDArray[np.float64],
) -> NDArray[np.int8]:
    """Return the set of each group, 0 to 2; each set with a fraction above 0 has at least one group."""
    taken = np.zeros((3, len(totals)))
    wanted = fractions[:, None] * totals
    empty = [number for number in (0, 1, 2) if fractions[number] > 0]
    assigned = np.zeros(len(order), dtype=np.int8)
    for position, group in enumerate(order.tolist()):
        classes, times = counts[group]
        lacking = ((wanted - taken)[:, classes] * times / totals[classes]).sum(axis=1) / np.maximum(fractions, 1e-300)
        lacking[fractions == 0] = -np.inf
        must_fill = len(order) - position == len(empty)  # as many groups are left as sets without one
        chosen = empty[0] if must_fill and empty else int(lacking.argmax())
        taken[chosen, classes] += times
        assigned[group] = chosen
        if chosen in empty:
            empty.remove(chosen)
    return assigned
