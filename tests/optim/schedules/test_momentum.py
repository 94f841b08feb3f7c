"""Momentum schedules: values at given iterations."""

import pytest

from mxtrain import momentum


def test_null_is_zero_at_every_iteration() -> None:
    assert [momentum.Null().value(t) for t in (1, 2, 1000)] == [0.0, 0.0, 0.0]


def test_fixed_is_its_value_or_that_of_the_optimizer() -> None:
    assert momentum.Fixed(μ=0.9).value(5, 0.5) == 0.9
    assert momentum.Fixed().value(5, 0.5) == 0.5


@pytest.mark.parametrize(("μ", "base", "limit"), [(None, None, 0.99), (None, 0.8, 0.8), (0.7, 0.8, 0.7)])
def test_nadam_approaches_its_limit(μ: float | None, base: float | None, limit: float) -> None:
    schedule = momentum.Nadam(μ=μ)
    assert schedule.value(1, base) == limit * (1 - 0.5 * 0.96**0.004)
    assert schedule.value(10**9, base) == limit
