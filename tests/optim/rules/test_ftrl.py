"""FTRL-Proximal: weights that are replaced, exact zeros, and inputs that would divide by zero."""

from typing import Any

import numpy as np
import pytest

import mxtrain


def test_a_weight_whose_first_gradient_is_zero_becomes_zero() -> None:
    weight = np.array([5.0, 5.0])
    mxtrain.build({"kind": "ftrl"}).update("W", np.array([0.0, 1.0]), weight)
    assert weight[0] == 0
    assert weight[1] != 0


def test_the_stability_term_pulls_the_first_weights_towards_zero() -> None:
    pulled, free = np.array([5.0]), np.array([5.0])
    for weight, β in ((pulled, 1), (free, 0)):
        mxtrain.build({"kind": "ftrl", "β": β, "λ1": 0}).update("W", np.array([0.1]), weight)
    assert abs(pulled[0]) < 1
    assert free[0] == pytest.approx(5 - 0.1, rel=1e-12)  # η·g/√n = η


def test_the_l1_penalty_makes_weights_exactly_zero(arrays: Any) -> None:
    weight, *gradients = arrays(1000, count=20)
    weight[:] = 0
    zeros = []
    for λ1 in (0, 1, 5, 1e3):
        optimizer, w = mxtrain.build({"kind": "ftrl", "λ1": λ1}), weight.copy()
        for gradient in gradients:
            optimizer.update("W", gradient, w)
        zeros.append(int((w == 0).sum()))
    assert zeros[0] == 0
    assert zeros == sorted(zeros)
    assert zeros[-1] == 1000


def test_the_penalties_are_no_part_of_the_gradient() -> None:
    optimizer = mxtrain.build({"kind": "ftrl", "λ": 0.5, "clip": 0.25})
    assert mxtrain.normgrad(optimizer, np.array([8.0]), np.array([1.0])) == [0.25]


@pytest.mark.parametrize("backend", ["numpy", "compiled"])
def test_gradients_whose_squares_vanish_leave_no_infinity(backend: str) -> None:
    weight = np.ones(3, dtype="float32")
    optimizer = mxtrain.build({"kind": "ftrl", "β": 0, "λ1": 0}, backend=backend)
    optimizer.update("W", np.array([1e-30, 0, 1], dtype="float32"), weight)
    assert weight.tolist() == pytest.approx([0, 0, 0.9])


def test_a_learning_rate_of_zero_changes_no_weight_and_no_slot() -> None:
    schedule = {"kind": "multistep", "milestones": [2], "γ": 0.5, "per": "iteration"}
    optimizer = mxtrain.build({"kind": "ftrl", "η_sched": schedule, "groups": {"b": {"η": 0}}})
    params = {name: np.array([0.3, -0.7]) for name in "Wb"}
    for _ in range(3):
        optimizer.step(params, {name: np.array([1.0, -1.0]) for name in "Wb"})
    assert params["b"].tolist() == [0.3, -0.7]
    slots = optimizer.state_dict()["parameters"]["b"]["slots"]
    assert not slots["z"].any()
    assert not slots["n"].any()
