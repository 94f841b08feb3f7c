"""Options of SGD and RMSProp: the defaults keep their programs and pickles; the forms differ as documented."""

import pickle
from typing import Any

import numpy as np
import pytest

import mxtrain

DEFAULT_PROGRAMS = {
    "sgd": ({"kind": "sgd", "λ": 0}, "t0 = s0 * g; t1 = W + t0; W ← t1"),
    "sgd with momentum": (
        {"kind": "sgd", "μ": 0.9},
        "t0 = s0 * v; t1 = s2 * W; t2 = g + t1; t3 = s1 * t2; t4 = t0 + t3; t5 = W + t4; W ← t5; v ← t4",
    ),
    "rmsprop": (
        {"kind": "rmsprop"},
        (
            "t0 = s1 * W; t1 = g + t0; t2 = s0 * t1; t3 = s2 * s; t4 = t1 * t1; t5 = s3 * t4; t6 = t3 + t5; "
            "t7 = t6 + s4; t8 = sqrt(t7); t9 = t2 / t8; t10 = W + t9; W ← t10; s ← t6"
        ),
    ),
}
"""Programs of the first versions."""


@pytest.mark.parametrize(("config", "instructions"), DEFAULT_PROGRAMS.values(), ids=DEFAULT_PROGRAMS.keys())
def test_the_programs_of_the_defaults_are_those_of_earlier_versions(config: Any, instructions: str) -> None:
    lines = str(mxtrain.build(config).rule.program()).splitlines()
    assert "; ".join(line.strip() for line in lines[1:] if "host" not in line) == instructions


@pytest.mark.parametrize("rule", [mxtrain.SGD(μ=0.5), mxtrain.RMSProp(η=0.01)], ids=["sgd", "rmsprop"])
def test_a_pickle_of_an_earlier_version_has_the_default_options(rule: Any) -> None:
    former = rule.model_copy()
    for option in ("nesterov", "form", "centered", "μ" if rule.kind == "rmsprop" else ""):
        former.__dict__.pop(option, None)
    assert former.__dict__.keys() < rule.__dict__.keys()
    again = pickle.loads(pickle.dumps(former))
    assert again == rule
    assert again.form == "mxnet"
    assert hash(again) == hash(rule)


def updated(config: dict[str, Any], weight: np.ndarray, gradients: list[np.ndarray]) -> np.ndarray:
    """Return a weight after updates."""
    optimizer, weight = mxtrain.build(config), weight.copy()
    for gradient in gradients:
        optimizer.step({"W": weight}, {"W": gradient})
    return weight


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_forms_of_sgd_agree_only_while_the_learning_rate_is_fixed(nesterov: bool, arrays: Any) -> None:
    weight, *gradients = arrays(20, "float64", count=9)
    config = {"kind": "sgd", "η": 0.1, "μ": 0.9, "nesterov": nesterov}
    falling = {"η_sched": {"kind": "exp", "γ": 0.5, "per": "iteration"}}
    fixed = [updated(config | {"form": form}, weight, gradients) for form in ("mxnet", "torch")]
    np.testing.assert_allclose(*fixed, rtol=1e-12)
    scheduled = [updated(config | falling | {"form": form}, weight, gradients) for form in ("mxnet", "torch")]
    assert np.abs(scheduled[0] - scheduled[1]).max() > 0.01


def test_nesterov_momentum_by_hand() -> None:
    weight, gradients = np.array([1.0]), [np.array([2.0]), np.array([1.0])]
    config = {"kind": "sgd", "η": 0.5, "μ": 0.5, "λ": 0, "nesterov": True}
    # v = -1, W = 1 - 0.5 - 1; then v = -0.5 - 0.5 = -1, W = -0.5 - 0.5 - 0.5.
    assert updated(config, weight, gradients[:1]) == [-0.5]
    assert updated(config, weight, gradients) == [-1.5]
    assert updated(config | {"form": "torch"}, weight, gradients) == [-1.5]


def test_nesterov_without_momentum_is_plain_sgd(arrays: Any) -> None:
    weight, *gradients = arrays(20, count=3)
    plain, nesterov = (updated({"kind": "sgd", "nesterov": flag}, weight, gradients) for flag in (False, True))
    assert plain.tobytes() == nesterov.tobytes()
    assert mxtrain.SGD(nesterov=True).active_slots() == ()


def test_slots_of_rmsprop_follow_its_options() -> None:
    for centered in (False, True):
        for μ in (0.0, 0.5):
            expected = ["s", *["a"] * centered, *["v"] * (μ > 0)]
            for form in ("mxnet", "torch"):
                optimizer = mxtrain.build({"kind": "rmsprop", "centered": centered, "μ": μ, "form": form})
                optimizer.step({"W": np.ones(2)}, {"W": np.ones(2)})
                assert list(optimizer.state_dict()["parameters"]["W"]["slots"]) == expected


@pytest.mark.parametrize("form", ["mxnet", "torch"])
def test_a_constant_gradient_does_not_make_the_variance_negative(form: str) -> None:
    """Rounding makes `s - a⊙a` negative; without the bound, float32 gives NaN after 133 updates."""
    weight = np.zeros(1000, dtype="float32")
    gradient = np.linspace(0.01, 1, 1000, dtype="float32")
    optimizer = mxtrain.build({"kind": "rmsprop", "η": 1e-3, "λ": 0, "centered": True, "form": form})
    went_below = False
    for _ in range(400):
        optimizer.update("W", gradient, weight)
        s, a = optimizer.slot_arrays()
        went_below |= bool((s < a * a).any())
    assert went_below
    assert np.isfinite(weight).all()


def test_the_forms_of_rmsprop_place_the_stability_term_differently() -> None:
    weight, gradient = np.zeros(1), np.array([1e-4])
    config = {"kind": "rmsprop", "η": 1.0, "λ": 0, "ρ": 0.75, "ϵ": 0.01}
    [inside] = updated(config, weight, [gradient])
    [outside] = updated(config | {"form": "torch"}, weight, [gradient])
    assert inside == pytest.approx(-1e-4 / np.sqrt(0.25e-8 + 0.01), rel=1e-12)
    assert outside == pytest.approx(-1e-4 / (0.5e-4 + 0.01), rel=1e-12)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "sgd", "form": "keras"}, "optimizer.form: must be one of mxnet, torch, got 'keras'"),
        ({"kind": "sgd", "nesterov": 1}, "optimizer.nesterov: must be true or false, got 1"),
        ({"kind": "rmsprop", "momentum": 1}, "optimizer.momentum: must be at least 0 and below 1, got 1"),
        ({"kind": "rmsprop", "centred": True}, "optimizer.centred: unknown field; did you mean centered?"),
    ],
    ids=["form", "nesterov", "momentum", "name"],
)
def test_wrong_options_are_refused(config: Any, message: str) -> None:
    with pytest.raises(mxtrain.ConfigError) as caught:
        mxtrain.build(config)
    assert str(caught.value) == message
