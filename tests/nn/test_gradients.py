"""Gradients of each loss, activation and depth equal central differences."""

from typing import Any

import numpy as np
import pytest

from mxtrain.nn import MLP
from mxtrain.types import ActivationName, LossName

LOSSES: list[LossName] = ["softmax_cross_entropy", "logistic", "squared_error"]
ACTIVATIONS: list[ActivationName] = ["relu", "tanh", "sigmoid"]
DEPTHS = [(), (5,), (6, 4), (3, 3, 3)]
FEATURES = 4


def sample(loss: LossName, samples: int = 7) -> tuple[Any, Any, int]:
    """Return inputs, targets and the number of outputs for a loss."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(samples, FEATURES))
    if loss == "softmax_cross_entropy":
        return inputs, rng.integers(0, 3, samples), 3
    return inputs, rng.integers(0, 2, samples).astype(float) if loss == "logistic" else rng.normal(size=samples), 1


def random_params(model: MLP) -> dict[str, Any]:
    """Return random parameters without zeros, so that no relu is at its kink."""
    rng = np.random.default_rng(1)
    return {name: rng.normal(size=shape) for name, shape in model.shapes().items()}


def gradient(model: MLP, params: dict[str, Any], inputs: Any, targets: Any) -> dict[str, Any]:
    grads = {name: np.full_like(value, np.nan) for name, value in params.items()}
    model.loss_and_grad(params, inputs, targets, grads)
    return grads


def slopes(model: MLP, params: dict[str, Any], inputs: Any, targets: Any, name: str, step: float = 1e-6) -> Any:
    found = np.empty(params[name].size)
    scratch = {key: np.empty_like(value) for key, value in params.items()}
    flat = params[name].reshape(-1)
    for i, value in enumerate(flat.tolist()):
        losses = []
        for moved in (value + step, value - step):
            flat[i] = moved
            losses.append(model.loss_and_grad(params, inputs, targets, scratch)[0])
        flat[i] = value
        found[i] = (losses[0] - losses[1]) / (2 * step)
    return found.reshape(params[name].shape)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", DEPTHS)
@pytest.mark.parametrize("bias", [True, False])
def test_gradients_equal_central_differences(
    loss: LossName, activation: ActivationName, hidden: tuple[int, ...], bias: bool
) -> None:
    inputs, targets, outputs = sample(loss)
    model = MLP((FEATURES, *hidden, outputs), activation, loss, bias)
    params = random_params(model)
    grads = gradient(model, params, inputs, targets)
    for name in params:
        assert grads[name] == pytest.approx(slopes(model, params, inputs, targets, name), rel=1e-5, abs=1e-7), name


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_loss_and_gradient_of_a_batch_are_sums_over_its_samples(loss: LossName, activation: ActivationName) -> None:
    """The loss of an epoch is then the sum over its batches, whatever their sizes."""
    inputs, targets, outputs = sample(loss)
    model = MLP((FEATURES, 5, outputs), activation, loss)
    params = random_params(model)
    grads = gradient(model, params, inputs, targets)
    each = [gradient(model, params, inputs[i : i + 1], targets[i : i + 1]) for i in range(len(inputs))]
    for name in params:
        assert grads[name] == pytest.approx(sum(one[name] for one in each), rel=1e-12, abs=1e-12), name
    total = sum(
        model.loss_and_grad(params, inputs[i : i + 1], targets[i : i + 1], each[i])[0] for i in range(len(inputs))
    )
    assert model.loss_and_grad(params, inputs, targets, grads)[0] == pytest.approx(total)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("hidden", DEPTHS)
def test_float32_agrees_with_float64(loss: LossName, hidden: tuple[int, ...]) -> None:
    inputs, targets, outputs = sample(loss)
    model = MLP((FEATURES, *hidden, outputs), "tanh", loss)
    params = random_params(model)
    exact = gradient(model, params, inputs, targets)
    narrow = {name: value.astype(np.float32) for name, value in params.items()}
    narrow_targets = targets if loss == "softmax_cross_entropy" else targets.astype(np.float32)
    grads = gradient(model, narrow, inputs.astype(np.float32), narrow_targets)
    value, computed = model.loss_and_grad(narrow, inputs.astype(np.float32), narrow_targets, grads)
    assert value.dtype == computed.dtype == np.float32
    for name in params:
        assert grads[name] == pytest.approx(exact[name], rel=1e-3, abs=1e-4), name
