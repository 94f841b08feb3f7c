"""Splits: fractions, stratification, and reproducibility."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from mxtrain.data import split, split_groups
from mxtrain.errors import DataError


def classes_of(*class_sizes: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(class_sizes)), class_sizes))


def held_out(targets: NDArray[np.int64], share: float, seed: int = 0, stratified: bool = True) -> list[int]:
    return split(targets, share, 0.0, seed, stratified).validation.tolist()


@pytest.mark.parametrize(("samples", "share"), list(product([5, 10, 101], [0.2, 0.5, 0.9])))
@pytest.mark.parametrize("stratified", [True, False])
def test_every_sample_is_in_one_set_in_the_order_of_the_file(samples: int, share: float, stratified: bool) -> None:
    parts = split(classes_of(samples), share, 0.0, 0, stratified)
    assert sorted(np.concatenate(parts).tolist()) == list(range(samples))
    assert all(rows.tolist() == sorted(rows) for rows in parts)
    assert len(parts.validation) == min(round(samples * share), samples - 1)
    assert len(parts.test) == 0


@pytest.mark.parametrize(
    ("sizes", "share", "held_out_sizes"),
    [
        ((50, 30, 20), 0.2, [10, 6, 4]),
        ((7, 7, 7), 0.25, [2, 2, 1]),  # 1.75 each, 5 in all: the first of equal remainders
        ((6, 3, 1), 0.5, [3, 2, 0]),  # 3, 1.5, 0.5: a class never gives its last
        ((2, 2, 2), 0.9, [1, 1, 1]),
        ((97, 3), 0.1, [10, 0]),  # 9.7 and 0.3
    ],
)
def test_the_fraction_of_each_class_is_rounded_by_the_largest_remainder(
    sizes: tuple[int, ...], share: float, held_out_sizes: list[int]
) -> None:
    targets = classes_of(*sizes)
    for parts in (split(targets, share, 0.0, 0, stratified=True), split(targets, 0.0, share, 0, stratified=True)):
        rows = np.concatenate([parts.validation, parts.test])
        assert np.bincount(targets[rows], minlength=len(sizes)).tolist() == held_out_sizes
        assert set(targets[parts.training]) == set(range(len(sizes)))


def test_validation_and_test_sets_are_disjoint_and_stratified() -> None:
    targets = classes_of(50, 30, 20)
    parts = split(targets, 0.2, 0.1, 0, stratified=True)
    assert sorted(np.concatenate(parts).tolist()) == list(range(100))
    assert [np.bincount(targets[rows]).tolist() for rows in parts] == [[35, 21, 14], [10, 6, 4], [5, 3, 2]]


def test_a_class_keeps_one_training_sample() -> None:
    targets = classes_of(3, 3)
    parts = split(targets, 0.45, 0.45, 0, stratified=True)
    assert np.bincount(targets[parts.training]).tolist() == [1, 1]


def test_another_fraction_moves_no_sample_between_validation_and_test() -> None:
    """A sample used to select a model is never used to test it."""
    targets = classes_of(60, 40)
    test = split(targets, 0.1, 0.2, 0, stratified=True).test.tolist()
    assert split(targets, 0.4, 0.2, 0, stratified=True).test.tolist() == test
    assert split(targets, 0.0, 0.2, 0, stratified=True).test.tolist() == test


def test_a_split_is_a_pure_function_of_the_seed() -> None:
    targets = classes_of(60, 40)
    assert held_out(targets, 0.1, seed=5) == held_out(targets, 0.1, seed=5)
    assert len({tuple(held_out(targets, 0.1, seed)) for seed in range(10)}) == 10


def test_the_split_of_a_seed_is_frozen() -> None:
    assert held_out(classes_of(10), 0.3, stratified=False) == [2, 7, 8]


def test_a_larger_fraction_holds_out_the_same_samples_and_more() -> None:
    targets = classes_of(100)
    assert set(held_out(targets, 0.1)) < set(held_out(targets, 0.3))


def test_a_fraction_of_0_holds_out_nothing() -> None:
    assert [rows.tolist() for rows in split(classes_of(3), 0.0, 0.0, 0, stratified=True)] == [[0, 1, 2], [], []]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((1,), "0.2 of 1 sample leaves none to {} on; set it to 0"),
        (
            (1, 1, 1, 1, 1),
            "each class occurs once, and 0.2 of 5 samples leaves none to {} on; set it to 0, or choose another target",
        ),
    ],
)
def test_too_few_samples_to_hold_out_any(sizes: tuple[int, ...], message: str) -> None:
    with pytest.raises(DataError, match=f"^data.validation: {message.format('validate')}$"):
        split(classes_of(*sizes), 0.2, 0.0, 0, stratified=True)
    with pytest.raises(DataError, match=f"^data.test: {message.format('test')}$"):
        split(classes_of(*sizes), 0.0, 0.2, 0, stratified=True)


def test_a_small_fraction_takes_at_least_one_sample() -> None:
    assert [len(rows) for rows in split(classes_of(2), 0.2, 0.0, 0, stratified=True)] == [1, 1, 0]
    assert [len(rows) for rows in split(np.zeros(5), 0.01, 0.01, 0, stratified=False)] == [3, 1, 1]


def test_a_class_that_occurs_once_stays_in_training() -> None:
    targets = classes_of(10, 1, 1)
    for seed in range(5):
        parts = split(targets, 0.4, 0.3, seed, stratified=True)
        assert {1, 2} <= set(targets[parts.training].tolist())
        assert len(parts.validation) == 5


@pytest.mark.parametrize("stratified", [True, False])
def test_a_group_stays_in_one_set(stratified: bool) -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 60, 1000)
    targets = rng.permutation(classes_of(700, 300))
    for seed in range(4):
        parts = split_groups(targets, groups, 0.2, 0.1, seed, stratified)
        assert sorted(np.concatenate(parts).tolist()) == list(range(1000))
        sets = [set(groups[rows].tolist()) for rows in parts]
        assert sum(map(len, sets)) == len(set.union(*sets)) == 60
        assert [len(rows) for rows in parts] == [pytest.approx(n, abs=15) for n in (700, 200, 100)]
        if stratified:
            assert all(targets[rows].mean() == pytest.approx(0.3, abs=0.05) for rows in parts)
    assert str(parts) == str(split_groups(targets, groups, 0.2, 0.1, 3, stratified))
    assert str(parts) != str(split_groups(targets, groups, 0.2, 0.1, 2, stratified))


def test_each_set_has_a_group_even_if_one_is_large() -> None:
    groups = np.array([0] * 97 + [1, 2, 3])[np.argsort(np.arange(100) % 7, kind="stable")]
    parts = split_groups(np.zeros(100), np.unique(groups, return_inverse=True)[1], 0.2, 0.2, 0, stratified=False)
    assert all(len(rows) for rows in parts)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([0, 0, 0], "data.groups: all samples are of one group, and 2 sets need one each; set data.validation to 0"),
        ([0, 0, 1], None),
    ],
)
def test_too_few_groups(groups: list[int], message: str | None) -> None:
    if message is None:
        parts = split_groups(np.zeros(3), np.array(groups), 0.2, 0.0, 0, stratified=False)
        assert [rows.tolist() for rows in parts] == [[0, 1], [2], []]
        return
    with pytest.raises(DataError, match=f"^{message}$"):
        split_groups(np.zeros(3), np.array(groups), 0.2, 0.0, 0, stratified=False)


def test_a_class_without_samples_does_not_affect_the_split() -> None:
    targets = np.repeat([0, 2], 5)
    training, validation, test = split(targets, 0.2, 0.2, 0, stratified=True)
    assert sorted(np.concatenate([training, validation, test]).tolist()) == list(range(10))
    assert [sorted(targets[part].tolist()) for part in (validation, test)] == [[0, 2], [0, 2]]
