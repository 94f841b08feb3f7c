"""Every loss equals a reference of scikit-learn or NumPy, has the gradient of its value, and multiplies by weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, log_softmax, xlogy  # type: ignore[import-untyped]
from sklearn.metrics import (
    mean_absolute_error,
    mean_gamma_deviance,
    mean_pinball_loss,
    mean_poisson_deviance,
    mean_squared_error,
    mean_tweedie_deviance,
)

from mxtrain.loss_config import (
    FocalConfig,
    HuberConfig,
    LogisticConfig,
    LossSpec,
    QuantileConfig,
    SoftmaxCrossEntropyConfig,
    TweedieConfig,
    describe_loss,
    loss_family,
)
from mxtrain.nn import MLP, build_loss, check_gradient, predictions_from_outputs
from mxtrain.nn.losses import LOSSES

RNG = np.random.default_rng(3)
N, K = 40, 4
NUMBERS = RNG.normal(size=N)
SEVERAL = RNG.normal(size=(N, K))
COUNTS = RNG.poisson(2.0, size=N).astype(np.float64)
POSITIVE = RNG.gamma(2.0, size=N)
CLASSES = RNG.integers(0, K, size=N)
BINARY = RNG.integers(0, 2, size=N).astype(np.float64)
LABELS = RNG.integers(0, 2, size=(N, K)).astype(np.float64)
WEIGHTS = RNG.uniform(0, 3, size=N)
Reference = Callable[[Any, Any], Any]


def one_hot(y: Any) -> Any:
    return np.eye(K)[y]


def focal(γ: float) -> Reference:
    def value(z: Any, y: Any) -> Any:
        log_p = log_softmax(z, axis=1)[np.arange(N), y]
        return -((1 - np.exp(log_p)) ** γ) * log_p

    return value


def smoothed_softmax(s: float) -> Reference:
    return lambda z, y: -((one_hot(y) * (1 - s) + s / K) * log_softmax(z, axis=1)).sum(axis=1)


def smoothed_logistic(s: float) -> Reference:
    def value(z: Any, y: Any) -> Any:
        target = y.reshape(N, -1) * (1 - s) + s / 2
        return -(xlogy(target, expit(z)) + xlogy(1 - target, expit(-z))).sum(axis=1)

    return value


def huber(δ: float) -> Reference:
    def value(z: Any, y: Any) -> Any:
        size = np.abs(z - y.reshape(N, -1))
        return np.where(size <= δ, size**2 / 2, δ * (size - δ / 2)).sum(axis=1)

    return value


def by_sample(metric: Callable[..., float], factor: float = 1.0) -> Reference:
    """Return the loss of each sample by a metric of scikit-learn, called on one target at a time."""

    def value(z: Any, y: Any) -> Any:
        columns = y.reshape(N, -1)
        pairs = [[(columns[i, j], z[i, j]) for j in range(z.shape[1])] for i in range(N)]
        return np.array([factor * sum(metric([a], [b]) for a, b in row) for row in pairs])

    return value


def deviance(metric: Callable[..., float], constant: Callable[[Any], Any], **settings: Any) -> Reference:
    """Return half a deviance of scikit-learn, without the terms that depend on the target only."""

    def value(z: Any, y: Any) -> Any:
        half = [metric([a], [np.exp(b)], **settings) / 2 for a, b in zip(y, z[:, 0], strict=True)]
        return np.array(half) - constant(y)

    return value


def pinball(levels: tuple[float, ...]) -> Reference:
    def value(z: Any, y: Any) -> Any:
        rows = zip(y, z, strict=True)
        return np.array(
            [sum(mean_pinball_loss([a], [b], alpha=q) for q, b in zip(levels, row, strict=True)) for a, row in rows]
        )

    return value


def tweedie_constant(p: float) -> Callable[[Any], Any]:
    return lambda y: y ** (2 - p) / ((1 - p) * (2 - p))


CASES: list[tuple[LossSpec, Any, int, Reference]] = [
    ("softmax_cross_entropy", CLASSES, K, smoothed_softmax(0.0)),
    (SoftmaxCrossEntropyConfig(label_smoothing=0.1), CLASSES, K, smoothed_softmax(0.1)),
    (FocalConfig(γ=2.0), CLASSES, K, focal(2.0)),
    (FocalConfig(γ=0.5), CLASSES, K, focal(0.5)),
    (FocalConfig(γ=0.0), CLASSES, K, smoothed_softmax(0.0)),
    ("logistic", BINARY, 1, smoothed_logistic(0.0)),
    (LogisticConfig(label_smoothing=0.2), BINARY, 1, smoothed_logistic(0.2)),
    ("logistic", LABELS, K, smoothed_logistic(0.0)),
    (LogisticConfig(label_smoothing=0.2), LABELS, K, smoothed_logistic(0.2)),
    ("squared_error", NUMBERS, 1, by_sample(mean_squared_error, 0.5)),
    ("squared_error", SEVERAL, K, by_sample(mean_squared_error, 0.5)),
    ("absolute", NUMBERS, 1, by_sample(mean_absolute_error)),
    ("absolute", SEVERAL, K, by_sample(mean_absolute_error)),
    (HuberConfig(δ=0.7), NUMBERS, 1, huber(0.7)),
    (HuberConfig(δ=0.7), SEVERAL, K, huber(0.7)),
    (QuantileConfig(q=0.8), NUMBERS, 1, pinball((0.8,))),
    (QuantileConfig(q=(0.1, 0.4, 0.5, 0.9)), NUMBERS, K, pinball((0.1, 0.4, 0.5, 0.9))),
    (QuantileConfig(q=0.3), SEVERAL, K, by_sample(lambda a, b: mean_pinball_loss(a, b, alpha=0.3))),
    ("poisson", COUNTS, 1, deviance(mean_poisson_deviance, lambda y: xlogy(y, y) - y)),
    ("gamma", POSITIVE, 1, deviance(mean_gamma_deviance, lambda y: -np.log(y) - 1)),
    (TweedieConfig(power=1.5), COUNTS, 1, deviance(mean_tweedie_deviance, tweedie_constant(1.5), power=1.5)),
    (TweedieConfig(power=3.0), POSITIVE, 1, deviance(mean_tweedie_deviance, tweedie_constant(3.0), power=3.0)),
    (TweedieConfig(power=1.0), COUNTS, 1, deviance(mean_poisson_deviance, lambda y: xlogy(y, y) - y)),
    (TweedieConfig(power=2.0), POSITIVE, 1, deviance(mean_gamma_deviance, lambda y: -np.log(y) - 1)),
]
NAMES = [f"{describe_loss(spec)} {columns}" for spec, _, columns, _ in CASES]


@pytest.mark.parametrize(("spec", "targets", "columns", "reference"), CASES, ids=NAMES)
def test_values_and_gradients_equal_references(
    spec: LossSpec, targets: Any, columns: int, reference: Reference
) -> None:
    outputs = RNG.normal(size=(N, columns))
    loss, gradient = build_loss(spec), np.full((N, columns), np.nan)
    before = outputs.copy()
    expected = reference(outputs, targets)
    assert float(loss(np, outputs, targets, gradient)) == pytest.approx(expected.sum(), rel=1e-12, abs=1e-12)
    weighted = np.full_like(gradient, np.nan)
    assert float(loss(np, outputs, targets, weighted, WEIGHTS)) == pytest.approx(WEIGHTS @ expected, rel=1e-12)
    assert weighted == pytest.approx(gradient * WEIGHTS[:, None], rel=1e-12, abs=1e-15)
    assert (outputs == before).all()
    for i, j in [(0, 0), (7, columns - 1), (N - 1, columns // 2)]:  # the central difference of the reference
        step = np.zeros_like(outputs)
        step[i, j] = 1e-6
        slope = (reference(outputs + step, targets)[i] - reference(outputs - step, targets)[i]) / 2e-6
        assert gradient[i, j] == pytest.approx(slope, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(("spec", "targets", "columns", "_"), CASES, ids=NAMES)
def test_gradients_of_a_network(spec: LossSpec, targets: Any, columns: int, _: Reference) -> None:
    model = MLP((3, 5, columns), "tanh", spec)
    errors = check_gradient(model, RNG.normal(size=(N, 3)), targets, elements=12)
    assert max(errors.values()) < 1e-5


@pytest.mark.parametrize(("spec", "targets", "columns", "_"), CASES, ids=NAMES)
def test_float32_stays_float32(spec: LossSpec, targets: Any, columns: int, _: Reference) -> None:
    outputs = RNG.normal(size=(N, columns)).astype(np.float32)
    given = targets if loss_family(spec) == "softmax_cross_entropy" else targets.astype(np.float32)
    gradient = np.empty_like(outputs)
    for weights in (None, WEIGHTS.astype(np.float32)):
        value = build_loss(spec)(np, outputs, given, gradient, weights)
        exact = np.empty(outputs.shape)
        wide = None if weights is None else weights.astype(np.float64)
        expected = build_loss(spec)(np, outputs.astype(np.float64), given, exact, wide)
        assert value.dtype == np.float32
        assert float(value) == pytest.approx(float(expected), rel=1e-5)
        assert gradient == pytest.approx(exact, rel=2e-5, abs=2e-6)


@pytest.mark.parametrize("spec", list(LOSSES))
def test_losses_without_weights_keep_their_bits(spec: Any) -> None:
    columns, targets = {"softmax_cross_entropy": (K, CLASSES), "logistic": (1, BINARY)}.get(spec, (1, NUMBERS))
    outputs = RNG.normal(size=(N, columns))
    one, other = np.empty_like(outputs), np.empty_like(outputs)
    assert build_loss(spec)(np, outputs, targets, one) == LOSSES[spec](np, outputs, targets, other)
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize(
    ("spec", "outputs", "target", "value", "gradient"),
    [
        (FocalConfig(γ=0.5), [1e4, -1e4], 0, 0, [0, 0]),
        (FocalConfig(γ=2.0), [1e4, -1e4], 1, 2e4, [1, -1]),
        (SoftmaxCrossEntropyConfig(label_smoothing=0.5), [1e4, -1e4], 0, 5e3, [0.25, -0.25]),
        (LogisticConfig(label_smoothing=0.5), [1e4], 1, 2.5e3, [0.25]),
        ("absolute", [3.0], 3.0, 0, [0]),
        (QuantileConfig(q=0.9), [3.0], 3.0, 0, [0]),
        (HuberConfig(δ=1.0), [1e4], -1e4, 2e4 - 0.5, [1]),
    ],
)
def test_extreme_and_equal_values(spec: LossSpec, outputs: Any, target: Any, value: float, gradient: Any) -> None:
    found = np.empty((1, len(outputs)))
    targets = np.array([target])
    assert float(build_loss(spec)(np, np.array([outputs]), targets, found)) == pytest.approx(value)
    assert found.tolist() == [pytest.approx(gradient)]


@pytest.mark.parametrize("loss", ["poisson", "gamma", TweedieConfig(power=1.5)])
def test_predictions_are_exponentials_of_outputs(loss: LossSpec) -> None:
    outputs = RNG.normal(size=(N, 1))
    assert (predictions_from_outputs(np, loss, outputs) == np.exp(outputs[:, 0])).all()
