"""Which values of several choices are tried together, where all combinations may be too many."""

from collections.abc import Iterator, Sequence
from itertools import chain, combinations, islice, product
from math import prod

MOST_PAIRS = 1000
"""Pairs of values that are tried; each value alone always is."""


def combined(counts: Sequence[int], all_up_to: int) -> Iterator[tuple[int, ...]]:
    """An index for each of several choices at a time, those with the fewest differences from the first of all first.

    Args:
        counts: how many values each choice has.
        all_up_to: up to so many combinations, all of them; of more, each value alone, and pairs of two.

    Example:
        >>> list(combined([2, 2], 4)), len(list(combined([2] * 20, 4)))
        ([(0, 0), (0, 1), (1, 0), (1, 1)], 211)
    """
    if prod(counts) <= all_up_to:
        yield from sorted(product(*map(range, counts)), key=lambda indices: sum(map(bool, indices)))
        return
    alone, pairs = chain(_different(counts, 0), _different(counts, 1)), _different(counts, 2)
    yield from chain(alone, islice(pairs, MOST_PAIRS))


def _different(counts: Sequence[int], differences: int) -> Iterator[tuple[int, ...]]:
    for places in combinations(range(len(counts)), differences):
        for values in product(*(range(1, counts[place]) for place in places)):
            changed = dict(zip(places, values, strict=True))
            yield tuple(changed.get(i, 0) for i in range(len(counts)))
