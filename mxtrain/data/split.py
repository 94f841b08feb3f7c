"""Which samples are trained on, and which are held out."""

import numpy as np
from numpy.typing import NDArray

from mxtrain.data.table import Table
from mxtrain.errors import DataError
from mxtrain.philox import permutation


def split(table: Table, fraction: float, seed: int, stratified: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose the samples to hold out: `fraction` of all, to the nearest whole number, by a random order.

    Stratified, each class gives `fraction` of its samples, rounded by the method of the largest remainder,
    and keeps at least one to be trained on.

    Args:
        table: n samples.
        fraction: share to hold out, at least 0 and below 1.
        seed: the split is a pure function of it and of the table.
        stratified: whether to take from each class alike; needs class indices as targets.

    Returns:
        The rows to train on and the rows held out, each int64 and ascending.

    Raises:
        DataError: there are too few samples to hold out any.

    Example:
        >>> table = Table(np.zeros((6, 1)), np.array([0, 0, 0, 0, 1, 1]), ("x",), "y", ("a", "b"))
        >>> train, held_out = split(table, 0.5, seed=0, stratified=True)
        >>> np.bincount(table.targets[held_out]).tolist()
        [2, 1]
    """
    samples = len(table)
    groups = table.targets.astype(np.int64) if stratified else np.zeros(samples, dtype=np.int64)
    sizes = np.bincount(groups)
    seats = _apportion(sizes, fraction)
    if fraction > 0 and not seats.any():
        raise DataError(
            f"data.validation: {fraction:g} of {samples} samples leaves none to validate on; raise it, or set it to 0"
        )
    order = permutation(seed, "split", size=samples)
    by_group = order[np.argsort(groups[order], kind="stable")]
    place_in_group = np.arange(samples) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    held_out = np.zeros(samples, dtype=bool)
    held_out[by_group[place_in_group < np.repeat(seats, sizes)]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _apportion(sizes: NDArray[np.int64], fraction: float) -> NDArray[np.int64]:
    """How many each group gives, so that all together give `fraction`, and none gives its last."""
    quotas = sizes * fraction
    seats = np.minimum(quotas.astype(np.int64), np.maximum(sizes - 1, 0))
    by_remainder = np.argsort(seats - quotas, kind="stable")
    can_give = by_remainder[(seats < sizes - 1)[by_remainder]]
    seats[can_give[: max(0, round(sizes.sum() * fraction) - int(seats.sum()))]] += 1
    return seats
