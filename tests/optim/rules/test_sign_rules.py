"""Signum, Lion and Rprop: steps that depend on signs."""

from typing import Any

import numpy as np
import pytest

import mxtrain


@pytest.mark.parametrize("config", [{"kind": "signum"}, {"kind": "signum", "μ": 0}, {"kind": "lion"}], ids=str)
def test_a_zero_gradient_moves_nothing(config: dict[str, Any]) -> None:
    weight = np.array([1.0, -2.0, 0.5])
    optimizer = mxtrain.build(config | {"η": 0.25})
    optimizer.update("W", np.array([0.0, -0.0, 3.0]), weight)
    assert weight.tolist() == [1.0, -2.0, 0.25]


def test_sign_sgd_needs_no_slot() -> None:
    assert mxtrain.Signum(μ=0).active_slots() == ()
    assert mxtrain.Signum().active_slots() == ("m",)


def test_lion_uses_the_momentum_before_it_is_updated() -> None:
    weight = np.zeros(1)
    optimizer = mxtrain.build({"kind": "lion", "η": 1, "β1": 0.5, "β2": 0.75})
    optimizer.update("W", np.array([8.0]), weight)
    assert weight == [-1]
    # The old m is 2, and 0.5·2 - 0.5·1.5 is positive; the new m is 1.125, with which it would be negative.
    optimizer.update("W", np.array([-1.5]), weight)
    assert weight == [-2]
    assert optimizer.state_dict()["parameters"]["W"]["slots"]["m"] == [1.125]


def test_the_decay_of_lion_is_decoupled_and_that_of_signum_is_not() -> None:
    lion, signum = np.array([10.0]), np.array([10.0])
    mxtrain.build({"kind": "lion", "η": 0.5, "λ": 0.1}).update(0, np.array([-1e-3]), lion)
    mxtrain.build({"kind": "signum", "η": 0.5, "λ": 0.1}).update(0, np.array([-1e-3]), signum)
    assert lion == [10 - 0.5 * 0.1 * 10 + 0.5]
    assert signum == [10 - 0.5]


def test_lion_with_equal_decays_is_signum(arrays: Any) -> None:
    weight, *gradients = arrays(50, "float64", count=8)
    other = weight.copy()
    lion = mxtrain.build({"kind": "lion", "η": 0.01, "β1": 0.8, "β2": 0.8})
    signum = mxtrain.build({"kind": "signum", "η": 0.01, "μ": 0.8})
    for gradient in gradients:
        lion.update(0, gradient, weight)
        signum.update(0, gradient, other)
    assert weight.tobytes() == other.tobytes()


def test_rprop_adapts_each_step_size() -> None:
    weight = np.zeros(2)
    optimizer = mxtrain.build({"kind": "rprop", "η": 0.5, "grow": 2, "shrink": 0.25, "step_max": 1.5})
    positions = []
    for gradient in ([1.0, 1.0], [7.0, -1.0], [0.1, -1.0], [0.1, 0.0]):
        optimizer.update("W", np.array(gradient), weight)
        positions.append(weight.tolist())
    # First weight: 0.5, 1, min(2, 1.5), 1.5. Second: 0.5; the sign changed, no move; 0.125 back; a zero gradient.
    assert positions == [[-0.5, -0.5], [-1.5, -0.5], [-3.0, -0.375], [-4.5, -0.375]]


def test_a_schedule_of_rprop_has_no_effect(arrays: Any) -> None:
    weight, *gradients = arrays(50, count=6)
    other = weight.copy()
    config = {"kind": "rprop", "η": 0.1}
    fixed, falling = (mxtrain.build(config | extra) for extra in ({}, {"η_sched": {"kind": "exp", "per": "iteration"}}))
    for gradient in gradients:
        fixed.step({"W": weight}, {"W": gradient})
        falling.step({"W": other}, {"W": gradient})
    assert weight.tobytes() == other.tobytes()


REMEDY = "rprop has no weight decay, because it uses only the signs of gradients; omit it, or choose another rule"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weight_decay": 0.1}, f"optimizer.weight_decay: must be 0, got 0.1; {REMEDY}"),
        ({"λ": -1}, f"optimizer.λ: must be 0, got -1; {REMEDY}"),
        ({"groups": {"b*": {"λ": 0.5}}}, f"optimizer.groups.b*.λ: must be 0, got 0.5; {REMEDY}"),
        ({"shrink": 1}, "optimizer.shrink: must be above 0 and below 1, got 1"),
        ({"grow": 1}, "optimizer.grow: must be above 1, got 1"),
        ({"step_min": 0}, "optimizer.step_min: must be above 0, got 0"),
        ({"step_min": 3, "step_max": 2}, "optimizer.step_min: must be at most step_max, 2.0, got 3.0"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_wrong_values_of_rprop_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(mxtrain.ConfigError) as caught:
        mxtrain.build({"kind": "rprop"} | values)
    assert str(caught.value) == message


def test_rprop_accepts_a_decay_of_zero() -> None:
    assert mxtrain.Rprop(λ=0, groups={"b*": {"λ": 0, "η": 0.1}}).λ == 0
