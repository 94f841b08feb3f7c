"""Batches: every sample once per epoch, in an order determined by the seed and the epoch."""

from itertools import product

import numpy as np
import pytest

from mxtrain.config.data_section import DataConfig
from mxtrain.data import Batches, InMemorySamples, in_order


def batches_of(samples: int, batch_size: int, seed: int = 0, shuffle: bool = True, last_batch: str = "keep") -> Batches:
    targets = np.arange(samples)
    part = InMemorySamples(np.stack([targets, targets**2], axis=1).astype(np.float32), targets)
    parts = {"source": "digits", "batch_size": batch_size, "shuffle": shuffle, "last_batch": last_batch}
    return Batches(part, DataConfig.model_validate(parts), seed)


def drawn(batches: Batches, epoch: int = 1, start: int = 0) -> list[list[int]]:
    return [targets.tolist() for _, targets in batches.epoch(epoch, start)]


@pytest.mark.parametrize(("samples", "size", "shuffle"), list(product([1, 7, 12], [1, 3, 4, 100], [True, False])))
def test_every_sample_occurs_once(samples: int, size: int, shuffle: bool) -> None:
    batches = batches_of(samples, size, shuffle=shuffle)
    sizes = [len(batch) for batch in drawn(batches)]
    assert sorted(sum(drawn(batches), [])) == list(range(samples))
    assert len(sizes) == len(batches)
    assert all(n == size for n in sizes[:-1])


@pytest.mark.parametrize("shuffle", [True, False])
def test_the_smaller_last_batch_can_be_dropped(shuffle: bool) -> None:
    batches = batches_of(10, 4, shuffle=shuffle, last_batch="drop")
    assert [len(batch) for batch in drawn(batches)] == [4, 4]
    assert len(batches) == 2


def test_inputs_stay_with_their_targets() -> None:
    for inputs, targets in batches_of(20, 6).epoch(3):
        assert inputs.dtype == np.float32
        assert inputs.flags.c_contiguous
        assert inputs.tolist() == [[t, t * t] for t in targets.tolist()]


def test_the_order_follows_from_the_seed_and_the_epoch() -> None:
    assert drawn(batches_of(30, 4), 2) == drawn(batches_of(30, 4), 2)
    orders = {str(drawn(batches_of(30, 4, seed), epoch)) for seed, epoch in product([0, 1], [1, 2, 3])}
    assert len(orders) == 6


def test_the_order_does_not_depend_on_the_batch_size() -> None:
    assert sum(drawn(batches_of(30, 4)), []) == sum(drawn(batches_of(30, 7)), [])


def test_the_order_of_a_seed_is_frozen() -> None:
    assert drawn(batches_of(8, 3), epoch=1) == [[1, 0, 3], [2, 6, 4], [5, 7]]


def test_without_shuffling_the_order_is_the_order_of_the_file() -> None:
    batches = batches_of(5, 2, shuffle=False)
    assert drawn(batches, 1) == drawn(batches, 2) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(("start", "shuffle"), list(product([0, 1, 2, 3, 4], [True, False])))
def test_an_epoch_can_begin_at_any_batch(start: int, shuffle: bool) -> None:
    batches = batches_of(10, 3, shuffle=shuffle)
    assert drawn(batches, 1, start) == drawn(batches, 1)[start:]


def test_evaluation_is_in_order_and_without_copies() -> None:
    part = batches_of(5, 2).samples
    seen = list(in_order(part, 2))
    assert [targets.tolist() for _, targets in seen] == [[0, 1], [2, 3], [4]]
    assert all(np.shares_memory(inputs, part.inputs) for inputs, _ in seen)


@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_have_the_weights_of_their_samples(shuffle: bool) -> None:
    plain = InMemorySamples(np.arange(7.0)[:, None], np.arange(14).reshape(7, 2))
    weighted = InMemorySamples(plain.inputs, plain.targets, weights=np.arange(7.0) / 3)
    config = DataConfig(source="digits", batch_size=3, shuffle=shuffle)
    of_plain = [[array.copy() for array in batch] for batch in Batches(plain, config, 0).epoch(1)]
    assert {len(batch) for batch in of_plain} == {2}
    seen = 0
    for (inputs, targets, weights), expected in zip(Batches(weighted, config, 0).epoch(1), of_plain, strict=True):
        np.testing.assert_array_equal(inputs, expected[0])
        np.testing.assert_array_equal(targets, expected[1])
        np.testing.assert_array_equal(weights, inputs[:, 0] / 3)
        seen += len(weights)
    assert seen == 7
