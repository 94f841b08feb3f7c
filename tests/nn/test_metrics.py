"""Metrics summed over batches equal those of scikit-learn over all samples."""

from typing import Any, get_args

import numpy as np
import pytest

from mxtrain.nn import build_metric, predictions_from_outputs, probabilities
from mxtrain.nn.losses import LOSSES
from mxtrain.types import METRIC_INFO, LossName, MetricName, Monitor


def in_batches(
    name: MetricName, loss: LossName, outputs: Any, targets: Any, size: int, shift: float = 0.0
) -> float | None:
    metric = build_metric(name, loss, shift)
    for low in range(0, len(targets), size):
        metric.add(outputs[low : low + size], targets[low : low + size])
    return metric.value()


def numbers(dtype: str = "float64", mean: float = 0.0) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    targets = rng.normal(mean, 3, 100)
    return (targets + rng.normal(size=100)).astype(dtype)[:, None], targets.astype(dtype)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_accuracy_is_the_fraction_of_correct_classes(size: int) -> None:
    outputs, targets = np.eye(4)[[0, 1, 2, 3, 0, 1, 2, 3]], np.array([0, 1, 2, 0, 0, 0, 0, 0])
    assert in_batches("accuracy", "softmax_cross_entropy", outputs, targets, size) == 4 / 8


@pytest.mark.parametrize("size", [1, 3])
def test_accuracy_of_two_classes_uses_the_sign_of_the_output(size: int) -> None:
    outputs, targets = np.array([[-1.0], [2.0], [3.0], [0.0]]), np.array([0.0, 1.0, 0.0, 0.0])
    assert in_batches("accuracy", "logistic", outputs, targets, size) == 3 / 4


@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_regression_metrics_equal_their_definitions(size: int, dtype: str) -> None:
    outputs, targets = numbers(dtype)
    error, spread = outputs[:, 0].astype(float) - targets, targets - targets.astype(float).mean()
    expected: dict[MetricName, float] = {
        "mae": np.abs(error).mean(),
        "loss": 0.5 * (error**2).mean(),
        "r2": 1 - (error**2).sum() / (spread**2).sum(),
    }
    for name, value in expected.items():
        assert in_batches(name, "squared_error", outputs, targets, size) == pytest.approx(value, rel=1e-6), name


@pytest.mark.parametrize("size", [1, 3])
def test_the_loss_is_the_mean_over_samples(size: int) -> None:
    outputs, targets = np.random.default_rng(0).normal(size=(7, 4)), np.arange(7) % 4
    total = LOSSES["softmax_cross_entropy"](np, outputs, targets, np.empty_like(outputs))
    assert in_batches("loss", "softmax_cross_entropy", outputs, targets, size) == pytest.approx(total / 7)


def test_r2_is_accurate_for_targets_with_a_large_mean() -> None:
    near, far = numbers(mean=0.0), numbers(mean=2.0**30)
    r2 = in_batches("r2", "squared_error", *near, size=7)
    assert in_batches("r2", "squared_error", *far, size=7, shift=2.0**30 + 5) == pytest.approx(r2, rel=1e-6)


@pytest.mark.parametrize("outputs", [[0.1, 0.1, 0.1], [0.1, 0.1, 0.2]])
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_r2_of_equal_targets_is_none(outputs: list[float], shift: float) -> None:
    assert in_batches("r2", "squared_error", np.array(outputs)[:, None], np.full(3, 0.1), 2, shift) is None


def test_r2_of_one_sample_is_none() -> None:
    assert in_batches("r2", "squared_error", np.array([[0.5]]), np.array([0.5]), 2, 0.0) is None


@pytest.mark.parametrize("name", ["accuracy", "loss", "mae", "r2"])
def test_metrics_without_samples_are_nan(name: MetricName) -> None:
    assert np.isnan(build_metric(name, "squared_error").value())


def test_the_predicted_class_is_the_most_probable() -> None:
    rng = np.random.default_rng(0)
    losses: list[tuple[LossName, int]] = [("softmax_cross_entropy", 5), ("logistic", 1)]
    for loss, columns in losses:
        outputs = 10 * rng.normal(size=(50, columns))
        likelihood = probabilities(np, loss, outputs)
        assert likelihood.sum(axis=1) == pytest.approx(np.ones(50))
        assert (predictions_from_outputs(np, loss, outputs) == likelihood.argmax(axis=1)).all()
        assert predictions_from_outputs(np, loss, outputs).dtype == np.int64


def test_probabilities_of_huge_outputs() -> None:
    assert probabilities(np, "softmax_cross_entropy", np.array([[1e4, -1e4]])).tolist() == [[1, 0]]
    assert probabilities(np, "logistic", np.array([[1e4]]))[0] == pytest.approx([0, 1])


def test_regression_has_no_probabilities() -> None:
    assert predictions_from_outputs(np, "squared_error", np.array([[1.5]])).tolist() == [1.5]
    with pytest.raises(ValueError, match="no probabilities; use predictions_from_outputs"):
        probabilities(np, "squared_error", np.array([[1.5]]))


def test_every_metric_has_its_info_and_monitors() -> None:
    assert list(METRIC_INFO) == list(get_args(MetricName))
    sums = [name for name, info in METRIC_INFO.items() if not info.is_collected]
    assert set(get_args(Monitor)) == {*sums, *(f"val_{name}" for name in METRIC_INFO if name != "coverage")}
