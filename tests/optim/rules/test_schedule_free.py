"""Schedule-Free rules: the average of the weights, its weights, and the state."""

from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.errors import ArrayError

KINDS = ("schedule_free_sgd", "schedule_free_adamw")


def slots_after(config: dict[str, Any], weight: np.ndarray, gradients: list[np.ndarray]) -> dict[str, Any]:
    """Update a weight in place and return its saved entry."""
    optimizer = mxtrain.build(config)
    for gradient in gradients:
        optimizer.step({"W": weight}, {"W": gradient})
    return optimizer.state_dict()["parameters"]["W"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_average_is_the_first_step(kind: str, arrays: Any) -> None:
    weight, gradient = arrays(6, "float64")
    entry = slots_after({"kind": kind, "η": 0.1}, weight, [gradient])
    np.testing.assert_array_equal(entry["slots"]["x"], entry["slots"]["z"])
    np.testing.assert_allclose(weight, entry["slots"]["x"], rtol=1e-15)
    assert entry["scalars"] == {"ηmax": 0.1, "S": pytest.approx(0.01)}


def test_with_equal_weights_x_is_the_mean_of_z(arrays: Any) -> None:
    weight, *gradients = arrays(6, "float64", count=8)
    start = weight.copy()
    entry = slots_after({"kind": "schedule_free_sgd", "η": 0.1}, weight, gradients)
    path = start - 0.1 * np.cumsum(gradients, axis=0)
    np.testing.assert_allclose(entry["slots"]["z"], path[-1], rtol=1e-13)
    np.testing.assert_allclose(entry["slots"]["x"], path.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(weight, 0.9 * path.mean(axis=0) + 0.1 * path[-1], rtol=1e-13)


def test_r_and_power_weight_the_average(arrays: Any) -> None:
    weight, *gradients = arrays(6, "float64", count=8)
    start = weight.copy()
    schedule = {"kind": "fixed", "warmup": 3, "per": "iteration"}
    config = {"kind": "schedule_free_sgd", "η": 0.4, "r": 2, "power": 1, "η_sched": schedule}
    entry = slots_after(config, weight, gradients)
    rates = np.minimum(0.1 * np.arange(1, 8), 0.4)
    path = start - np.cumsum(rates[:, None] * np.array(gradients), axis=0)
    expected = np.average(path, axis=0, weights=np.arange(1, 8) ** 2 * rates)
    np.testing.assert_allclose(entry["slots"]["x"], expected, rtol=1e-13)
    assert entry["scalars"]["ηmax"] == 0.4


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_learning_rate_is_kept(kind: str, arrays: Any) -> None:
    weight, *gradients = arrays(6, "float64", count=4)
    falling = {"kind": "exp", "γ": 0.5, "per": "iteration"}
    entry = slots_after({"kind": kind, "η": 0.5, "η_sched": falling}, weight, gradients)
    assert entry["scalars"] == {"ηmax": 0.5, "S": 0.75}


@pytest.mark.parametrize("power", [0, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_group_keeps_its_bits(kind: str, power: float, arrays: Any) -> None:
    weight, *gradients = arrays(1000, count=4)
    before = weight.copy()
    optimizer = mxtrain.build({"kind": kind, "power": power, "groups": {"W": {"η": 0}}})
    for gradient in gradients:
        optimizer.step({"W": weight}, {"W": gradient})
    assert weight.tobytes() == before.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_extreme_values_give_finite_scalars(kind: str, arrays: Any) -> None:
    weight, *gradients = arrays(3, "float64", count=3)
    for η, power in ((1e200, 16), (1e-200, 16)):
        entry = slots_after({"kind": kind, "η": η, "r": 16, "power": power}, weight.copy(), gradients)
        assert np.isfinite(list(entry["scalars"].values())).all()


@pytest.mark.parametrize("kind", KINDS)
def test_x_converges_where_the_trained_weight_still_moves(kind: str) -> None:
    """Noisy gradients of a quadratic: the average is nearer to the optimum than z."""
    generator = np.random.default_rng(0)
    weight = np.zeros(100)
    optimizer = mxtrain.build({"kind": kind, "η": 0.1})
    for _ in range(1000):
        optimizer.step({"W": weight}, {"W": weight - 1 + generator.standard_normal(100)})
    slots = optimizer.state_dict()["parameters"]["W"]["slots"]
    assert np.abs(slots["x"] - 1).mean() < 0.5 * np.abs(slots["z"] - 1).mean()
    averaged = optimizer.evaluation_params({"W": weight})["W"]
    np.testing.assert_array_equal(averaged, slots["x"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"μ": 1}, "optimizer.μ: must be at least 0 and below 1, got 1"),
        ({"r": -1}, "optimizer.r: must be at least 0, got -1"),
        ({"power": 17}, "optimizer.power: must be at least 0 and at most 16, got 17"),
    ],
    ids=["momentum", "r", "power"],
)
def test_wrong_values_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(mxtrain.ConfigError) as caught:
        mxtrain.build({"kind": "schedule_free_sgd"} | values)
    assert str(caught.value) == message


@pytest.mark.parametrize("other", [np.ones((2, 2)), np.ones((3, 2), dtype="float32")])
def test_weights_to_evaluate_need_the_shape_and_dtype_of_the_updated_ones(other: np.ndarray) -> None:
    optimizer = mxtrain.build({"kind": "schedule_free_sgd"})
    optimizer.step({"W": np.ones((3, 2))}, {"W": np.ones((3, 2))})
    with pytest.raises(ArrayError, match="^weight 'W' has shape"):
        optimizer.evaluation_params({"W": other})
