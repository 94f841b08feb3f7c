"""Every stream is a pure function of its seed, purpose and position, the same on every machine and NumPy version."""

import numpy as np
import pytest

from mxtrain.random import permutation, raw_words, uniform


def test_the_words_are_frozen() -> None:
    """The order of samples and the initial weights of every published run depend on these."""
    assert raw_words(0, "order", 1, count=3).tolist() == [2358197355163821134, 403572378238822651, 3690669684305880192]
    assert raw_words(2**64 - 1, "init/W1", count=2).tolist() == [12537927837755846527, 323391184231586506]
    assert raw_words(7, "noise", 3, 2**64 - 1, 5, count=2).tolist() == [9980274664668583803, 5973151047519335940]
    assert permutation(0, "order", 1, size=10).tolist() == [1, 0, 3, 2, 8, 9, 6, 4, 5, 7]
    assert uniform(0, "init/W1", size=3).tolist() == [0.3344612585527382, 0.8247131113576179, 0.7271569513487621]


def test_a_stream_depends_on_seed_purpose_and_position_alone() -> None:
    streams = {
        tuple(raw_words(seed, purpose, *position, count=4).tolist())
        for seed in (0, 1)
        for purpose in ("order", "noise")
        for position in ((), (0,), (0, 0), (1,), (0, 1), (1, 0), (0, 0, 1))
    }
    assert len(streams) == 2 * 2 * 7


def test_a_longer_stream_begins_with_the_shorter() -> None:
    assert raw_words(3, "order", 1, count=100)[:7].tolist() == raw_words(3, "order", 1, count=7).tolist()


def test_streams_of_adjacent_positions_do_not_overlap() -> None:
    numbers = np.concatenate([raw_words(0, "order", epoch, count=10_000) for epoch in range(10)])
    assert len(np.unique(numbers)) == len(numbers)


@pytest.mark.parametrize("size", [0, 1, 2, 1000])
def test_a_permutation_has_every_number_once(size: int) -> None:
    order = permutation(5, "order", 2, size=size)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(size))


def test_deviates_are_uniform_in_the_unit_interval() -> None:
    deviates = uniform(0, "init/W1", size=100_000)
    assert deviates.dtype == np.float64
    assert 0 <= deviates.min() < 1e-4
    assert 1 - 1e-4 < deviates.max() < 1
    assert abs(deviates.mean() - 1 / 2) < 0.003
    assert abs(deviates.var() - 1 / 12) < 0.003


def test_a_position_has_at_most_three_numbers() -> None:
    with pytest.raises(ValueError, match="at most three numbers, got 4"):
        raw_words(0, "order", 1, 2, 3, 4, count=1)
