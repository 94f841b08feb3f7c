"""Losses equal values computed by hand, and stay finite for huge outputs."""

from math import exp, log, log1p
from typing import Any

import numpy as np
import pytest

from mxtrain.nn.losses import LOSSES
from mxtrain.types import LossName


def value_and_gradient(loss: LossName, outputs: Any, targets: Any, dtype: str = "float64") -> tuple[float, Any]:
    outputs = np.array(outputs, dtype=dtype)
    targets = np.array(targets, dtype=np.int64 if loss == "softmax_cross_entropy" else dtype)
    before, gradient = outputs.copy(), np.full_like(outputs, np.nan)
    value = LOSSES[loss](np, outputs, targets, gradient)
    assert value.dtype == gradient.dtype == dtype
    assert (outputs == before).all()
    return float(value), gradient.tolist()


@pytest.mark.parametrize(
    ("loss", "outputs", "targets", "value", "gradient"),
    [
        ("softmax_cross_entropy", [[0, 0]], [0], log(2), [[-0.5, 0.5]]),
        ("softmax_cross_entropy", [[log(1), log(2), log(5)]], [1], log(4), [[1 / 8, -6 / 8, 5 / 8]]),
        ("softmax_cross_entropy", [[0, 0], [log(3), 0]], [1, 0], log(2) + log(4 / 3), [[0.5, -0.5], [-0.25, 0.25]]),
        ("logistic", [[0]], [1], log(2), [[-0.5]]),
        ("logistic", [[log(3)], [log(3)]], [1, 0], log(4 / 3) + log(4), [[-0.25], [0.75]]),
        ("squared_error", [[3], [5]], [1, 6], 2.5, [[2], [-1]]),
    ],
)
def test_values_and_gradients_computed_by_hand(
    loss: LossName, outputs: Any, targets: Any, value: float, gradient: Any
) -> None:
    found, gradient_found = value_and_gradient(loss, outputs, targets)
    assert found == pytest.approx(value, rel=1e-14)
    assert np.array(gradient_found) == pytest.approx(np.array(gradient), rel=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("loss", "outputs", "target", "value", "gradient"),
    [
        ("softmax_cross_entropy", [1e4, -1e4], 0, 0, [0, 0]),
        ("softmax_cross_entropy", [1e4, -1e4], 1, 2e4, [1, -1]),
        ("softmax_cross_entropy", [-1e4, -1e4], 1, log(2), [0.5, -0.5]),
        ("logistic", [1e4], 1, 0, [0]),
        ("logistic", [1e4], 0, 1e4, [1]),
        ("logistic", [-1e4], 0, 0, [0]),
        ("logistic", [-1e4], 1, 1e4, [-1]),
        ("squared_error", [1e4], -1e4, 2e8, [2e4]),
    ],
)
def test_huge_outputs_give_finite_losses(
    loss: LossName, outputs: Any, target: Any, value: float, gradient: Any, dtype: str
) -> None:
    found, gradient_found = value_and_gradient(loss, [outputs], [target], dtype)
    assert found == pytest.approx(value, rel=1e-6)
    assert np.array(gradient_found) == pytest.approx(np.array([gradient]), abs=1e-30)


def test_the_loss_of_a_nearly_certain_prediction_is_accurate() -> None:
    found, gradient_found = value_and_gradient("logistic", [[20]], [1], "float32")
    assert found == pytest.approx(log1p(exp(-20)), rel=1e-6)
    assert gradient_found[0][0] == pytest.approx(-1 / (1 + exp(20)), rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_nan_outputs_give_a_nan_loss(loss: LossName) -> None:
    """The training loop detects NaN by the loss."""
    outputs = np.array([[np.nan]])
    with np.errstate(invalid="ignore"):
        assert np.isnan(LOSSES[loss](np, outputs, np.array([0]), np.empty_like(outputs)))
