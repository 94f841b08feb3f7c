"""`check_gradient` accepts correct gradients, and finds wrong ones for each parameter."""

from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.nn import MLP
from tests.nn.models import LinearModel

GENERATOR = np.random.default_rng(0)
X, NUMBERS, CLASSES = GENERATOR.standard_normal((6, 3)), GENERATOR.standard_normal(6), np.array([0, 2, 1, 1, 0, 2])
CONFIG: dict[str, Any] = {
    "data": {"source": "in_memory"},
    "model": {"kind": "custom", "settings": {"slope": 1.0}},
    "loss": "squared_error",
    "optimizer": {"kind": "adam"},
}


class Line(LinearModel):
    """A linear model with a scalar bias, whose gradients can be changed after they are computed."""

    def __init__(self, features: int = 3, change: Any = lambda grads: None) -> None:
        super().__init__(features, bias_shape=())
        self.change = change

    def loss_and_grad(self, params: Any, inputs: Any, targets: Any, grads: Any) -> Any:
        returned = super().loss_and_grad(params, inputs, targets, grads)
        self.change(grads)
        return returned


@pytest.mark.parametrize(
    ("loss", "targets", "outputs"), [("softmax_cross_entropy", CLASSES, 3), ("squared_error", NUMBERS, 1)]
)
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu"])
def test_correct_gradients_pass(loss: Any, targets: Any, outputs: int, activation: Any) -> None:
    model = MLP((3, 5, outputs), activation, loss)
    errors = mxtrain.check_gradient(model, X, targets)
    assert errors.keys() == model.shapes().keys()
    assert max(errors.values()) < 1e-5


def test_large_and_tiny_losses_pass() -> None:
    for scale in (1e-12, 1e12):
        assert max(mxtrain.check_gradient(Line(), X, scale * NUMBERS).values()) < 1e-5


def doubled(grads: Any) -> None:
    grads["b"][...] *= 2


def one_wrong(grads: Any) -> None:
    grads["w"][1] = -grads["w"][1]


def zeros(grads: Any) -> None:
    grads["w"][...] = 0


def unwritten(grads: Any) -> None:
    grads["w"][2] = np.nan


@pytest.mark.parametrize(
    ("change", "wrong", "error"), [(doubled, "b", 0.5), (one_wrong, "w", 2), (zeros, "w", 1), (unwritten, "w", np.inf)]
)
def test_only_the_wrong_gradient_has_a_large_error(change: Any, wrong: str, error: float) -> None:
    errors = mxtrain.check_gradient(Line(change=change), X, NUMBERS)
    assert errors.pop(wrong) == pytest.approx(error, rel=1e-4)
    assert max(errors.values()) < 1e-5


def test_a_factory_gets_the_config_and_the_sizes() -> None:
    seen: list[Any] = []

    def make(config: mxtrain.RunConfig, n_features: int, n_outputs: int, xp: Any) -> mxtrain.Model:
        seen.append((config.model.settings, n_features, n_outputs, xp))
        return Line(n_features)

    assert max(mxtrain.check_gradient(make, X, NUMBERS, config=CONFIG).values()) < 1e-5
    mxtrain.check_gradient(make, X, CLASSES, config=CONFIG | {"loss": "softmax_cross_entropy"})
    assert seen == [({"slope": 1.0}, 3, 1, np), ({"slope": 1.0}, 3, 3, np)]

    class Subclass(Line):
        def __init__(self, config: mxtrain.RunConfig, n_features: int, n_outputs: int, xp: Any) -> None:
            super().__init__(n_features)

    assert max(mxtrain.check_gradient(Subclass, X, NUMBERS.round().astype("int8"), config=CONFIG).values()) < 1e-5
    with pytest.raises(mxtrain.ModelError, match="make makes a model from a config; pass one with config="):
        mxtrain.check_gradient(make, X, NUMBERS)


def test_arguments_are_unchanged_and_results_are_reproducible() -> None:
    inputs, targets, params = X.copy(), NUMBERS.copy(), {"w": np.ones((3, 1)), "b": np.float64(2)}
    first = mxtrain.check_gradient(Line(), inputs, targets, params=params)
    assert mxtrain.check_gradient(Line(), inputs, targets, params=params) == first
    np.testing.assert_array_equal(inputs, X)
    np.testing.assert_array_equal(targets, NUMBERS)
    np.testing.assert_array_equal(params["w"], 1)


def test_only_some_elements_of_a_large_parameter_are_checked() -> None:
    calls: list[int] = []
    model = Line(1000, change=lambda grads: calls.append(1))
    errors = mxtrain.check_gradient(model, GENERATOR.standard_normal((4, 1000)), NUMBERS[:4], elements=20)
    assert max(errors.values()) < 1e-5
    assert len(calls) == 1 + 2 * 20 + 2


def test_objects_that_are_not_models_are_reported() -> None:
    with pytest.raises(
        mxtrain.ModelError, match="builtins.object is not a model: it lacks shapes, init, loss_and_grad"
    ):
        mxtrain.check_gradient(object(), X, NUMBERS)  # type: ignore[arg-type]

    class Many(Line):
        def loss_and_grad(self, params: Any, inputs: Any, targets: Any, grads: Any) -> Any:
            return np.zeros(6), None

    with pytest.raises(mxtrain.ModelError, match=r"Many: loss_and_grad must return a scalar as the loss, got an array"):
        mxtrain.check_gradient(Many(), X, NUMBERS)


class Rebound(Line):
    """Replaces the gradient array, a natural mistake that training would not notice."""

    def loss_and_grad(self, params: Any, inputs: Any, targets: Any, grads: Any) -> Any:
        grads["w"] = inputs.T @ (self.predict(params, inputs) - targets[:, None])
        return super().loss_and_grad(params, inputs, targets, grads)


def test_a_gradient_that_is_not_written_in_place_is_reported() -> None:
    with pytest.raises(mxtrain.ArrayTypeError, match=r"write flat\['w'\]\[\.\.\.\] = value"):
        mxtrain.check_gradient(Rebound(), X, NUMBERS)


def test_targets_may_be_a_column() -> None:
    assert mxtrain.check_gradient(Line(), X, NUMBERS[:, None]) == mxtrain.check_gradient(Line(), X, NUMBERS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"inputs": X[:0], "targets": []},
            r"inputs: must hold a row of numbers for each sample, got the shape \(0, 3\)",
        ),
        ({"inputs": X[0]}, r"inputs: must hold a row .* got the shape \(3,\)$"),
        ({"inputs": X[..., None]}, r"inputs: .*\(6, 3, 1\); inputs.reshape\(len\(inputs\), -1\) makes rows"),
        ({"targets": NUMBERS[:1]}, r"targets: must hold 6 values, one for each sample, got the shape \(1,\)"),
        ({"elements": 0}, "elements: must be at least 1, got 0"),
        ({"params": {"w": np.ones((3, 1))}}, r"shapes \{'w': \(3, 1\), 'b': \(\)\}, but params has \{'w': \(3, 1\)\}"),
        ({"model": Line}, "Line is a class; pass an instance"),
    ],
)
def test_invalid_arguments_are_reported(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        mxtrain.check_gradient(**{"model": Line(), "inputs": X, "targets": NUMBERS} | arguments)
