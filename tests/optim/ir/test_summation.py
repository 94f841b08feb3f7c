"""One order of summation: equal bits for every way to cut an array, and sums close to the exact one."""

import math
from typing import Any

import numpy as np
import pytest

from mxtrain.optim.ir import dot, max_abs, mean, norm, total_norm, total_sum
from mxtrain.optim.ir import sum as sum_of
from mxtrain.optim.ir.summation import LANES, ROWS, SUM_BLOCK, combine, reduce_array, reduce_blocks


def sum_by_hand(values: list[float]) -> float:
    """Add numbers in the documented order, one addition at a time."""
    blocks = []
    for start in range(0, len(values), SUM_BLOCK):
        block = values[start : start + SUM_BLOCK]
        block = block + [0.0] * (SUM_BLOCK - len(block))
        lanes = [0.0] * LANES
        for row in range(ROWS):
            for lane in range(LANES):
                lanes[lane] += block[row * LANES + lane]
        blocks.append(_in_halves(lanes))
    count = 1
    while count < len(blocks):
        count *= 2
    return _in_halves(blocks + [0.0] * (count - len(blocks)))


def _in_halves(values: list[float]) -> float:
    while len(values) > 1:
        half = len(values) // 2
        values = [values[i] + values[i + half] for i in range(half)]
    return values[0]


@pytest.mark.parametrize("size", [0, 1, 2, 127, 128, 129, 4095, 4096, 4097, 12_289, 20_000])
def test_sums_follow_the_documented_order(size: int) -> None:
    values = np.random.default_rng(size).standard_normal(size) * 10.0 ** np.random.default_rng(1).integers(-8, 8, size)
    assert float(reduce_array("sum", values)) == sum_by_hand(values.tolist())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_are_within_four_ulp_of_the_exact_sum_of_magnitudes(dtype: str) -> None:
    generator = np.random.default_rng(3)
    for size in [1, 100, 4096, 50_000, 1_000_003]:
        values = generator.standard_normal(size).astype(dtype)
        exact = math.fsum(np.abs(values.astype(float)).tolist())
        assert abs(float(reduce_array("sum", np.abs(values))) - exact) <= 4 * math.ulp(exact)
        squares = math.fsum((values.astype(float) ** 2).tolist())
        assert abs(float(reduce_array("dot", values, values)) - squares) <= 4 * math.ulp(squares)


def test_products_of_float32_are_formed_in_float64() -> None:
    large = np.full(3, 3e38, dtype="float32")
    assert float(dot(large, large)) == 3 * float(large[0]) ** 2
    assert float(norm(np.full(1, 1e-30, dtype="float32"))) == pytest.approx(1e-30, rel=1e-7)


def test_reductions_of_arrays_have_their_names() -> None:
    x, y = np.array([[1.0, -5.0], [2.0, 2.0]]), np.full((2, 2), 0.5)
    results: dict[str, Any] = {
        "sum": sum_of(x), "mean": mean(x), "norm": norm(x), "dot": dot(x, y), "max_abs": max_abs(x),
        "total_sum": total_sum(x), "total_norm": total_norm(x),
    }  # fmt: skip
    assert results == {
        "sum": 0.0, "mean": 0.0, "norm": math.sqrt(34), "dot": 0.0, "max_abs": 5.0, "total_sum": 0.0,
        "total_norm": math.sqrt(34),
    }  # fmt: skip


def test_an_empty_array_sums_to_zero() -> None:
    assert float(reduce_array("sum", np.zeros((0, 3)))) == 0.0
    assert float(reduce_array("max_abs", np.zeros(0))) == 0.0
    assert combine("sum", np.zeros(0)) == 0.0


def test_nan_is_the_largest_absolute_value() -> None:
    values = np.array([1.0, np.nan, np.inf] + [0.0] * 5000)
    assert np.isnan(reduce_array("max_abs", values))
    assert np.isnan(reduce_array("sum", values))
    assert reduce_array("max_abs", np.array([1.0, -np.inf])) == np.inf


def test_a_sum_of_negative_zeros_is_zero() -> None:
    assert not np.signbit(reduce_blocks("sum", np.full(300, -0.0))).any()
