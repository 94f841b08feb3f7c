"""The MLP computes correct outputs, leaves its arguments unchanged, and has the same initial values everywhere."""

from typing import Any

import numpy as np
import pytest

from mxtrain.config.model_section import LinearConfig, MLPConfig
from mxtrain.nn import MLP
from mxtrain.training.model_factory import build_model
from mxtrain.types import ActivationName


def grads_like(params: dict[str, Any]) -> dict[str, Any]:
    return {name: np.empty_like(value) for name, value in params.items()}


def test_a_linear_model_computed_by_hand() -> None:
    model = build_model(LinearConfig(), "squared_error", n_features=2, n_outputs=1)
    params = {"W1": np.array([[2.0], [3.0]]), "b1": np.array([1.0])}
    inputs, targets, grads = np.array([[1.0, 1.0], [0.0, 2.0]]), np.array([5.0, 9.0]), grads_like(params)
    loss, outputs = model.loss_and_grad(params, inputs, targets, grads)
    assert outputs.tolist() == [[6], [7]]
    assert loss == 0.5 * (1 + 4)
    assert (grads["W1"].tolist(), grads["b1"].tolist()) == ([[1], [1 - 4]], [1 - 2])


@pytest.mark.parametrize(
    ("activation", "hidden"), [("relu", [0, 2]), ("tanh", np.tanh([-1, 2])), ("sigmoid", 1 / (1 + np.exp([1, -2])))]
)
def test_a_hidden_layer_computed_by_hand(activation: ActivationName, hidden: Any) -> None:
    model = build_model(MLPConfig(hidden=(2,), activation=activation), "squared_error", n_features=1, n_outputs=1)
    params = {
        "W1": np.array([[1.0, 2.0]]),
        "b1": np.array([-2.0, 0.0]),
        "W2": np.array([[1.0], [10.0]]),
        "b2": np.array([100.0]),
    }
    outputs = model.predict(params, np.array([[1.0]]))
    assert outputs.tolist() == [[pytest.approx(hidden[0] + 10 * hidden[1] + 100)]]


def test_shapes_are_named_layer_by_layer() -> None:
    assert build_model(MLPConfig(hidden=(5, 4)), "logistic", 3, 1).shapes() == {
        "W1": (3, 5),
        "b1": (5,),
        "W2": (5, 4),
        "b2": (4,),
        "W3": (4, 1),
        "b3": (1,),
    }
    assert build_model(LinearConfig(bias=False), "logistic", 3, 1).shapes() == {"W1": (3, 1)}
    assert build_model(MLPConfig(hidden=()), "logistic", 3, 1).shapes() == {"W1": (3, 1), "b1": (1,)}


def test_gradients_are_written_into_views_of_one_buffer() -> None:
    model = MLP((3, 4, 2), "relu", "softmax_cross_entropy")
    buffer, grads, start = np.full(26, np.nan, dtype=np.float32), {}, 0
    for name, shape in model.shapes().items():
        size = int(np.prod(shape))
        grads[name] = buffer[start : start + size].reshape(shape)
        start += size
    model.loss_and_grad(model.init(0, "float32"), np.ones((5, 3), "float32"), np.zeros(5, int), grads)
    assert np.isfinite(buffer).all()


def test_inputs_targets_and_parameters_are_not_modified() -> None:
    model = MLP((3, 4, 2), "tanh", "softmax_cross_entropy")
    params, inputs, targets = model.init(0, "float64"), np.ones((5, 3)), np.zeros(5, int)
    for array in (*params.values(), inputs, targets):
        array.flags.writeable = False
    _, outputs = model.loss_and_grad(params, inputs, targets, grads_like(params))
    assert (model.predict(params, inputs) == outputs).all()


def test_batches_of_different_sizes_may_follow_each_other() -> None:
    model = MLP((3, 4, 1), "relu", "squared_error")
    params = model.init(0, "float64")
    inputs, targets = np.random.default_rng(0).normal(size=(9, 3)), np.zeros(9)
    for n in (4, 1, 9, 4, 2):
        _, outputs = model.loss_and_grad(params, inputs[:n], targets[:n], grads_like(params))
        assert outputs == pytest.approx(model.predict(params, inputs[:n]))


def test_predictions_are_not_overwritten_by_the_next_call() -> None:
    model = MLP((2, 1), "relu", "squared_error")
    params = model.init(0, "float64")
    first = model.predict(params, np.ones((3, 2)))
    copy = first.copy()
    model.predict(params, np.zeros((3, 2)))
    assert (first == copy).all()


def test_initial_weights_are_frozen() -> None:
    params = MLP((2, 2, 1), "relu", "squared_error").init(0, "float32")
    assert params["W1"].tolist() == [[-0.5734429955482483, 1.124839186668396], [0.7868947386741638, 0.4422798156738281]]
    assert params["W2"].tolist() == [[0.05439873784780502], [0.08080490678548813]]
    assert params["b1"].tolist() == [0, 0]


def test_initial_weights_depend_only_on_seed_and_name() -> None:
    """An additional layer does not change the initial weights of the others."""
    small, large = MLP((3, 4, 2), "tanh", "squared_error"), MLP((3, 4, 2, 2), "tanh", "squared_error")
    assert (small.init(1, "float64")["W2"] == large.init(1, "float64")["W2"]).all()
    assert not (small.init(1, "float64")["W1"] == small.init(2, "float64")["W1"]).any()
    assert not np.isin(large.init(1, "float64")["W2"], large.init(1, "float64")["W3"]).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("activation", "first", "last"),
    [("relu", (6 / 200) ** 0.5, (6 / 110) ** 0.5), ("tanh", (6 / 300) ** 0.5, (6 / 110) ** 0.5)],
)
def test_initial_weights_are_uniform_within_their_limits(
    dtype: str, activation: ActivationName, first: float, last: float
) -> None:
    """He initialization before a relu, Glorot initialization elsewhere."""
    params = MLP((200, 100, 10), activation, "softmax_cross_entropy").init(0, dtype)
    for name, limit in (("W1", first), ("W2", last)):
        weights = params[name]
        assert weights.dtype == dtype
        assert 0.98 * limit < np.abs(weights).max() <= limit * (1 + 1e-6)
        assert weights.std() == pytest.approx(limit / 3**0.5, rel=0.05)


@pytest.mark.parametrize("z", [-1e4, -100.0, -1.0, 0.0, 1.0, 100.0, 1e4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_do_not_overflow(z: float, dtype: str) -> None:
    one = np.ones((1, 1), dtype=dtype)
    for activation in ("relu", "tanh", "sigmoid"):
        model = MLP((1, 1, 1), activation, "squared_error", bias=False)
        params = {"W1": one * z, "W2": one}
        loss, _ = model.loss_and_grad(params, one, one[0], grads_like(params))
        assert np.isfinite(loss)
