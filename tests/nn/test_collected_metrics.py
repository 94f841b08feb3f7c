"""Metrics equal scikit-learn's, with and without weights, in batches, for several classes and several targets."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from mxtrain.loss_config import QuantileConfig
from mxtrain.nn import build_metric, probabilities

RNG = np.random.default_rng(5)
N, K = 60, 7
WEIGHTS = RNG.uniform(0.1, 2, size=N)
BINARY, BINARY_OUTPUTS = RNG.integers(0, 2, size=N), RNG.normal(size=(N, 1))
CLASSES, CLASS_OUTPUTS = RNG.integers(0, K, size=N), RNG.normal(size=(N, K))
NUMBERS, OUTPUTS = RNG.normal(size=N), RNG.normal(size=(N, 1))
SEVERAL, SEVERAL_OUTPUTS = RNG.normal(size=(N, 3)), RNG.normal(size=(N, 3))
UNIT, ORIGIN = 2.5, 10.0


def measure(name: Any, loss: Any, outputs: Any, targets: Any, weights: Any, **settings: Any) -> float | None:
    metric = build_metric(name, loss, **settings)
    for low in range(0, N, 17):
        rows = slice(low, low + 17)
        metric.add(outputs[rows], targets[rows], None if weights is None else weights[rows])
    return metric.value()


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
def test_metrics_of_two_classes(weights: Any) -> None:
    p = probabilities(np, "logistic", BINARY_OUTPUTS)[:, 1]
    decided, given = (p > 0.5).astype(int), {"sample_weight": weights}
    expected = {
        "accuracy": reference.accuracy_score(BINARY, decided, **given),
        "balanced_accuracy": reference.balanced_accuracy_score(BINARY, decided, **given),
        "f1": reference.f1_score(BINARY, decided, **given),
        "precision": reference.precision_score(BINARY, decided, **given),
        "recall": reference.recall_score(BINARY, decided, **given),
        "roc_auc": reference.roc_auc_score(BINARY, p, **given),
        "average_precision": reference.average_precision_score(BINARY, p, **given),
        "log_loss": reference.log_loss(BINARY, p, **given),
        "brier": reference.brier_score_loss(BINARY, p, **given),
        "top_k": reference.accuracy_score(BINARY, decided, **given),
    }
    for name, value in expected.items():
        found = measure(name, "logistic", BINARY_OUTPUTS, BINARY.astype(float), weights)
        assert found == pytest.approx(value, rel=1e-12), name


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
def test_metrics_of_several_classes(weights: Any) -> None:
    p = probabilities(np, "softmax_cross_entropy", CLASS_OUTPUTS)
    decided, given = p.argmax(axis=1), {"sample_weight": weights}
    expected = {
        "accuracy": reference.accuracy_score(CLASSES, decided, **given),
        "balanced_accuracy": reference.balanced_accuracy_score(CLASSES, decided, **given),
        "f1": reference.f1_score(CLASSES, decided, average="macro", **given),
        "precision": reference.precision_score(CLASSES, decided, average="macro", zero_division=0, **given),
        "recall": reference.recall_score(CLASSES, decided, average="macro", **given),
        "roc_auc": reference.roc_auc_score(np.eye(K)[CLASSES], p, **given),
        "average_precision": reference.average_precision_score(np.eye(K)[CLASSES], p, **given),
        "log_loss": reference.log_loss(CLASSES, p, **given),
        "brier": float(np.average(((p - np.eye(K)[CLASSES]) ** 2).sum(axis=1), weights=weights)),
        "top_k": reference.top_k_accuracy_score(CLASSES, p, k=5, **given),
    }
    for name, value in expected.items():
        found = measure(name, "softmax_cross_entropy", CLASS_OUTPUTS, CLASSES, weights)
        assert found == pytest.approx(value, rel=1e-12), name


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
@pytest.mark.parametrize(
    ("outputs", "targets"), [(OUTPUTS, NUMBERS), (SEVERAL_OUTPUTS, SEVERAL)], ids=["one", "several"]
)
def test_metrics_of_numbers(outputs: Any, targets: Any, weights: Any) -> None:
    truth, predicted = targets * UNIT + ORIGIN, outputs.reshape(targets.shape) * UNIT + ORIGIN
    functions = {
        "mae": reference.mean_absolute_error,
        "r2": reference.r2_score,
        "rmse": reference.root_mean_squared_error,
        "mape": reference.mean_absolute_percentage_error,
        "median_absolute_error": reference.median_absolute_error,
        "pinball": reference.mean_pinball_loss,
    }
    for name, function in functions.items():
        found = measure(name, "squared_error", outputs, targets, weights, unit=UNIT, origin=ORIGIN)
        assert found == pytest.approx(function(truth, predicted, sample_weight=weights), rel=1e-12), name


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
def test_metrics_of_quantiles(weights: Any) -> None:
    outputs, levels = np.sort(SEVERAL_OUTPUTS, axis=1), (0.1, 0.5, 0.9)
    loss = QuantileConfig(q=levels)
    inside = (outputs[:, 0] <= NUMBERS) & (outputs[:, 2] >= NUMBERS)
    losses = [
        reference.mean_pinball_loss(NUMBERS, each, alpha=q, sample_weight=weights)
        for q, each in zip(levels, outputs.T, strict=True)
    ]
    expected = {
        "coverage": np.average(inside, weights=weights),
        "pinball": np.mean(losses),
        "mae": reference.mean_absolute_error(NUMBERS, outputs[:, 1], sample_weight=weights),
    }
    for name, value in expected.items():
        assert measure(name, loss, outputs, NUMBERS, weights) == pytest.approx(value, rel=1e-12), name


def test_boolean_targets_are_averaged() -> None:
    labels = RNG.integers(0, 2, size=(N, 3))
    decided = (SEVERAL_OUTPUTS > 0).astype(int)
    found = measure("f1", "logistic", SEVERAL_OUTPUTS, labels.astype(float), None)
    assert found == pytest.approx(reference.f1_score(labels, decided, average="macro"), rel=1e-12)
    subset = measure("accuracy", "logistic", SEVERAL_OUTPUTS, labels.astype(float), None)
    assert subset == reference.accuracy_score(labels, decided)


def test_a_metric_of_one_class_is_none_and_a_missing_class_is_left_out() -> None:
    assert measure("roc_auc", "logistic", BINARY_OUTPUTS, np.ones(N), None) is None
    some = CLASSES % (K - 1)
    p = probabilities(np, "softmax_cross_entropy", CLASS_OUTPUTS)
    scores = [reference.roc_auc_score(some == c, p[:, c]) for c in range(K - 1)]
    found = measure("roc_auc", "softmax_cross_entropy", CLASS_OUTPUTS, some, None)
    assert found == pytest.approx(np.mean(scores), rel=1e-12)
