"""ADOPT and Adan: the first update, the order of the moments, and the decay."""

from typing import Any

import numpy as np
import pytest

import mxtrain


def test_the_first_gradient_of_adopt_moves_nothing() -> None:
    weight = np.array([3.0, -2.0])
    optimizer = mxtrain.build({"kind": "adopt", "η": 1, "λ": 0.5})
    optimizer.update("W", np.array([4.0, -5.0]), weight)
    assert weight.tolist() == [3, -2]
    slots = optimizer.state_dict()["parameters"]["W"]["slots"]
    assert slots["v"].tolist() == [16, 25]
    assert slots["m"].tolist() == [0, 0]


def test_adopt_divides_by_the_root_of_earlier_gradients() -> None:
    weight = np.array([0.0])
    optimizer = mxtrain.build({"kind": "adopt", "η": 1, "β1": 0, "β2": 0})
    positions = []
    for gradient in (4.0, 2.0, 6.0, 300.0):
        optimizer.update("W", np.array([gradient]), weight)
        positions.append(float(weight[0]))
    # 2/4; then 6/2 is bounded by 2^¼, and 300/6 by 3^¼.
    assert positions == pytest.approx([0, -0.5, -0.5 - 2**0.25, -0.5 - 2**0.25 - 3**0.25], rel=1e-15)


def test_the_smallest_divisor_of_adopt_is_its_stability_term() -> None:
    weight = np.zeros(2, dtype="float32")
    optimizer = mxtrain.build({"kind": "adopt", "ϵ": 1.2e-38})
    for _ in range(3):
        optimizer.update("W", np.array([0, 1e-30], dtype="float32"), weight)
    assert np.isfinite(weight).all()
    assert weight[0] == 0


@pytest.mark.parametrize("prox", [True, False])
def test_the_decay_of_adan(prox: bool) -> None:
    weight = np.array([1.0])
    mxtrain.build({"kind": "adan", "η": 0.5, "λ": 2, "ϵ": 1e-30, "prox": prox}).update("W", np.array([3.0]), weight)
    # The step is η against the sign of the gradient; then 1/(1 + η·λ) of the result, or η·λ of the old weight less.
    assert weight == pytest.approx((1 - 0.5) / 2 if prox else 1 - 1 - 0.5, rel=1e-14)


def test_adan_has_no_difference_at_its_first_update(arrays: Any) -> None:
    weight, gradient = arrays(5, "float64")
    optimizer = mxtrain.build({"kind": "adan"})
    optimizer.update("W", gradient, weight)
    slots = optimizer.state_dict()["parameters"]["W"]["slots"]
    assert not slots["v"].any()
    np.testing.assert_array_equal(slots["p"], gradient)
    optimizer.update("W", 2 * gradient, weight)
    np.testing.assert_allclose(optimizer.state_dict()["parameters"]["W"]["slots"]["v"], 0.08 * gradient, rtol=1e-13)


def test_a_large_decay_of_adan_is_stable_with_prox() -> None:
    weight = np.array([1.0])
    optimizer = mxtrain.build({"kind": "adan", "η": 1e-3, "λ": 1e6})
    for _ in range(5):
        optimizer.update("W", np.zeros(1), weight)
    assert 0 < weight[0] < 1e-14
