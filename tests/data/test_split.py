"""The split holds out the share asked for, of each class alike, and the same samples every time."""

from itertools import product

import numpy as np
import pytest

from mxtrain.data import Table, split
from mxtrain.errors import DataError


def table_of(*class_sizes: int) -> Table:
    targets = np.repeat(np.arange(len(class_sizes)), class_sizes)
    names = tuple(f"c{i}" for i in range(len(class_sizes)))
    return Table(np.zeros((len(targets), 1)), np.random.default_rng(0).permutation(targets), ("x",), "y", names)


@pytest.mark.parametrize(("samples", "fraction"), list(product([5, 10, 101], [0.2, 0.5, 0.9])))
@pytest.mark.parametrize("stratified", [True, False])
def test_every_sample_is_in_one_part_in_the_order_of_the_file(samples: int, fraction: float, stratified: bool) -> None:
    train, held_out = split(table_of(samples), fraction, 0, stratified)
    assert sorted([*train, *held_out]) == list(range(samples))
    assert train.tolist() == sorted(train)
    assert held_out.tolist() == sorted(held_out)
    assert len(held_out) == min(round(samples * fraction), samples - 1)


@pytest.mark.parametrize(
    ("sizes", "fraction", "held_out_sizes"),
    [
        ((50, 30, 20), 0.2, [10, 6, 4]),
        ((7, 7, 7), 0.25, [2, 2, 1]),  # 1.75 each, 5 in all: the first of equal remainders
        ((6, 3, 1), 0.5, [3, 2, 0]),  # 3, 1.5, 0.5: a class never gives its last
        ((2, 2, 2), 0.9, [1, 1, 1]),
        ((97, 3), 0.1, [10, 0]),  # 9.7 and 0.3
    ],
)
def test_each_class_gives_its_share_by_the_largest_remainder(
    sizes: tuple[int, ...], fraction: float, held_out_sizes: list[int]
) -> None:
    table = table_of(*sizes)
    train, held_out = split(table, fraction, 0, stratified=True)
    assert np.bincount(table.targets[held_out], minlength=len(sizes)).tolist() == held_out_sizes
    assert set(table.targets[train]) == set(range(len(sizes)))


def test_a_split_is_a_pure_function_of_the_seed() -> None:
    table = table_of(60, 40)
    assert split(table, 0.1, 5, True)[1].tolist() == split(table, 0.1, 5, True)[1].tolist()
    assert len({tuple(split(table, 0.1, seed, True)[1].tolist()) for seed in range(10)}) == 10


def test_the_split_of_a_seed_is_frozen() -> None:
    assert split(table_of(10), 0.3, 0, stratified=False)[1].tolist() == [2, 7, 8]


def test_a_larger_share_holds_out_the_same_samples_and_more() -> None:
    table = table_of(100)
    assert set(split(table, 0.1, 0, False)[1]) < set(split(table, 0.3, 0, False)[1])


def test_no_share_holds_out_nothing() -> None:
    train, held_out = split(table_of(3), 0.0, 0, stratified=True)
    assert (train.tolist(), held_out.tolist()) == ([0, 1, 2], [])


@pytest.mark.parametrize("sizes", [(1,), (2,), (1, 1, 1, 1, 1)])
def test_too_few_samples_to_hold_out_any(sizes: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"data.validation: 0.2 of \d samples leaves none to validate on; raise it, or"):
        split(table_of(*sizes), 0.2, 0, stratified=True)
