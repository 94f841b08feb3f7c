"""Rules with norms of an array: MARS, StableAdamW, LAMB and LARS."""

from typing import Any

import numpy as np
import pytest

import mxtrain

KINDS = ["mars", "lamb", "lars"]


def run(rule: Any, gradients: list[np.ndarray], weight: np.ndarray) -> np.ndarray:
    """Return a weight after an update with each gradient."""
    optimizer, weight = mxtrain.build(rule), weight.copy()
    for gradient in gradients:
        optimizer.update("W", gradient, weight)
    return weight


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_treated_as_matrices_only_on_request(kind: str, arrays: Any) -> None:
    weight, *gradients = arrays(12, "float64", count=4)
    config = {"kind": kind, "η": 0.1, "λ": 0.1}
    matrix = run(config, [each.reshape(3, 4) for each in gradients], weight.reshape(3, 4))
    assert (run(config | {"vectors": True}, gradients, weight) == matrix.ravel()).all()
    assert not (run(config, gradients, weight) == matrix.ravel()).any()


def test_vectors_get_adamw_from_mars(arrays: Any) -> None:
    weight, *gradients = arrays(12, "float32", count=4)
    mars = mxtrain.MARS(η=0.1, λ=0.1, clip=0.5, scale=2.0, η_sched=mxtrain.learning_rate.Exp(per="iteration"))
    adamw = mxtrain.AdamW(
        **{name: value for name, value in mars.to_dict().items() if name not in ("kind", "γ", "vectors")}
    )
    assert (run(mars, gradients, weight) == run(adamw, gradients, weight)).all()
    optimizer = mxtrain.build(mars)
    params = {"W": np.ones((2, 2)), "b": np.ones(2)}
    optimizer.step(params, {name: np.ones_like(value) for name, value in params.items()})
    parameters = optimizer.state_dict()["parameters"]
    assert {name: list(parameters[name]["slots"]) for name in parameters} == {"W": ["m", "v", "p"], "b": ["m", "v"]}


def test_mars_corrects_the_first_gradient_too() -> None:
    """The gradient before the first is 0; timm leaves the first gradient as it is."""
    optimizer = mxtrain.build(mxtrain.MARS(γ=1, β1=0.5))
    optimizer.update("W", np.full((1, 1), 0.25), np.zeros((1, 1)))
    slots = optimizer.state_dict()["parameters"]["W"]["slots"]
    assert slots["m"] == 0.5 * (0.25 + 1 * 0.25)
    assert slots["p"] == 0.25


def test_mars_limits_the_norm_of_the_corrected_gradient() -> None:
    optimizer = mxtrain.build(mxtrain.MARS(γ=0, β1=0))
    optimizer.update("W", np.array([[30.0, 40.0]]), np.zeros((1, 2)))
    slots = optimizer.state_dict()["parameters"]["W"]["slots"]
    np.testing.assert_allclose(slots["m"], [[0.6, 0.8]], rtol=1e-15)
    assert (slots["p"] == [[30, 40]]).all()


def test_a_jump_of_the_gradients_shortens_the_step_and_the_decay_of_stable_adamw() -> None:
    rule = mxtrain.StableAdamW(η=0.1, λ=0.5, β1=0, β2=0.5)
    optimizer = mxtrain.build(rule)
    weight = np.array([[10.0, 10.0]])
    optimizer.update("W", np.array([[1.0, 0.0]]), weight)
    np.testing.assert_allclose(weight, [[10 - 0.5 - 0.1 / (1 + 1e-6), 10 - 0.5]], rtol=1e-15)
    before = weight.copy()
    optimizer.update("W", np.array([[1000.0, 0.0]]), weight)
    v = (0.5 - 0.25) / 0.75 * 1 + 0.5 / 0.75 * 1e6
    shorter = 0.1 / max(1, np.sqrt(1e6 / v / 2))
    assert shorter == 0.1, "the mean includes the element that does not jump"
    np.testing.assert_allclose(
        weight, before - shorter * (0.5 * before + [[1000 / (np.sqrt(v) + 1e-6), 0]]), rtol=1e-14
    )
    alone = np.array([[10.0]])
    optimizer.update("alone", np.ones((1, 1)), alone)
    before = alone.copy()
    optimizer.update("alone", np.full((1, 1), 1000.0), alone)
    shorter = 0.1 / np.sqrt(1e6 / v)
    assert shorter < 0.09
    np.testing.assert_allclose(alone, before - shorter * (0.5 * before + 1000 / (np.sqrt(v) + 1e-6)), rtol=1e-14)


def test_a_tiny_stability_term_of_stable_adamw_does_not_divide_zero_by_zero() -> None:
    weight = np.ones((2, 2), dtype="float32")
    mxtrain.build(mxtrain.StableAdamW(ϵ=1e-30, λ=0)).update("W", np.zeros((2, 2), dtype="float32"), weight)
    assert (weight == 1).all()


def test_a_step_of_lamb_has_the_norm_of_the_weight_times_the_learning_rate(arrays: Any) -> None:
    weight, gradient = arrays((5, 3), "float64", count=2)
    moved = run(mxtrain.LAMB(η=0.125, λ=0.3), [gradient], weight)
    assert np.linalg.norm(moved - weight) == pytest.approx(0.125 * np.linalg.norm(weight), rel=1e-14)


@pytest.mark.parametrize(("kind", "expected"), [("lamb", -0.1), ("lars", -0.1)])
def test_the_ratio_is_1_where_the_weight_is_0(kind: str, expected: float) -> None:
    moved = run({"kind": kind, "η": 0.1}, [np.ones((2, 2))], np.zeros((2, 2)))
    np.testing.assert_allclose(moved, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["lamb", "lars"])
def test_the_ratio_is_1_where_the_gradient_is_0(kind: str) -> None:
    weight = np.full((2, 2), 3.0)
    assert (run({"kind": kind, "η": 0.1}, [np.zeros((2, 2))] * 2, weight) == weight).all()


def test_the_ratio_of_lars_divides_by_the_sum_of_two_norms() -> None:
    """`optax.lars` divides by the norm of the sum, which is 0 here."""
    weight, gradient = np.array([[3.0, 4.0]]), np.array([[-1.5, -2.0]])
    moved = run(mxtrain.LARS(η=0.5, trust=0.1, λ=0.5, ϵ=1, μ=0), [gradient * 2], weight)
    ratio = 0.1 * 5 / (5 + 0.5 * 5 + 1)
    np.testing.assert_allclose(moved, weight - 0.5 * ratio * (2 * gradient + 0.5 * weight), rtol=1e-15)


def test_nesterov_looks_ahead_along_the_velocity() -> None:
    plain, ahead = (
        run(mxtrain.LARS(η=0.1, μ=0.5, nesterov=value), [np.ones(1)], np.zeros(1)) for value in (False, True)
    )
    assert plain == pytest.approx(-0.1)
    assert ahead == pytest.approx(-0.15)


def test_lars_without_momentum_has_no_slot() -> None:
    assert mxtrain.LARS(μ=0).active_slots() == ()
    assert mxtrain.LARS().active_slots() == ("v",)
    assert mxtrain.LARS(μ=0.3).momentum(7) == 0.3


@pytest.mark.parametrize("backend", ["numpy", "compiled"])
@pytest.mark.parametrize("kind", [*KINDS, "stable_adamw"])
def test_groups_and_flat_parameters_have_the_bits_of_separate_arrays(kind: str, backend: str, arrays: Any) -> None:
    shapes = {"W1": (3, 5), "b1": (5,), "W2": (5, 2), "b2": (2,)}
    config, own = {"kind": kind, "η": 0.1, "λ": 0.01}, {"η": 0.02, "λ": 0}
    expected = {name: arrays(shape)[0] for name, shape in shapes.items()}
    flat = mxtrain.FlatParameters({name: value.copy() for name, value in expected.items()})
    together = mxtrain.build(config | {"groups": {"*2": own}}, backend=backend)
    separate = {name: mxtrain.build(config | (own if "2" in name else {}), backend="numpy") for name in shapes}
    for _ in range(3):
        gradients = {name: value * np.float32(0.5) + 1 for name, value in expected.items()}
        together.step(flat, mxtrain.FlatParameters(gradients))
        for name, weight in expected.items():
            separate[name].step({name: weight}, {name: gradients[name]})
    for name, weight in expected.items():
        assert flat[name].tobytes() == weight.tobytes()
