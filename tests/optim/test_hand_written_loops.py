"""Optimizers in loops without `fit`: current η and μ, warnings for NaN, and states of rules with options."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain

PARAMS = {"W": (2, 2), "b": (2,)}


def arrays(value: float = 1.0) -> dict[str, Any]:
    return {name: np.full(shape, value) for name, shape in PARAMS.items()}


def test_current_values_are_those_of_the_next_step() -> None:
    sched = {"kind": "exp", "γ": 0.5, "per": "iteration"}
    momentum = {"kind": "nadam"}
    optimizer = mxtrain.build({"kind": "sgd", "η": 0.5, "λ": 0, "μ": 0.9, "η_sched": sched, "μ_sched": momentum})
    params = arrays(0.0)
    for count in range(3):
        η, μ = optimizer.η, optimizer.μ
        assert (η, μ) == (0.5 * 0.5**count, optimizer.rule.momentum_at(count + 1))
        assert (optimizer.lr, optimizer.learning_rate, optimizer.momentum) == (η, η, μ)  # type: ignore[attr-defined]
        slots = optimizer.state_dict()["parameters"]
        before = slots["W"]["slots"]["v"][0, 0] if slots else 0.0
        optimizer.step(params, arrays())
        assert optimizer.state_dict()["parameters"]["W"]["slots"]["v"][0, 0] == μ * before - η


def test_schedules_per_epoch_follow_begin_epoch() -> None:
    optimizer = mxtrain.build({"kind": "adam", "η": 1, "η_sched": {"kind": "exp", "γ": 0.5}})
    assert (optimizer.η, optimizer.μ) == (1.0, None)
    for epoch in range(3):
        optimizer.state.begin_epoch()
        assert optimizer.η == 0.5**epoch


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("β1", "optimizer has no attribute β1; its rule has, read optimizer.rule.β1"),
        ("beta1", "optimizer has no attribute beta1; its rule has, read optimizer.rule.β1"),
        ("foo", "'Optimizer' object has no attribute 'foo'"),
    ],
)
def test_missing_attributes(name: str, message: str) -> None:
    with pytest.raises(AttributeError, match=f"^{re.escape(message)}$"):
        getattr(mxtrain.build({"kind": "adam"}), name)


def take_steps(optimizer: mxtrain.Optimizer, params: dict[str, Any]) -> None:
    for _ in range(8):
        optimizer.step(params, arrays())


def test_a_nan_weight_is_reported_once() -> None:
    for config in ({"kind": "sgd"}, {"kind": "signum", "μ": 0}):
        params = arrays() | {"b": np.array([1.0, np.nan])}
        with pytest.warns(RuntimeWarning, match="^weight 'b' is NaN or infinite, and stays so; start again ") as seen:
            take_steps(mxtrain.build(config), params)
        assert len(seen) == 1
    optimizer = mxtrain.build({"kind": "adamw"})
    with pytest.warns(RuntimeWarning, match="^weight 'W' is NaN or infinite"):
        optimizer.update("W", np.ones(2), np.array([np.inf, 1.0]))


def test_finite_weights_are_not_reported() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        optimizer = mxtrain.build({"kind": "sgd", "μ": 0.9})
        params = arrays()
        for _ in range(8):
            optimizer.step(params, arrays())
    assert not seen
    assert optimizer.state.curr_iter == 8


def test_evaluation_params_need_a_mapping() -> None:
    for config in ({"kind": "adam"}, {"kind": "adam", "ema": {}}):
        with pytest.raises(
            mxtrain.ArrayTypeError,
            match="^params must be a mapping of arrays by name, or a list, tuple or dataclass, got None$",
        ):
            mxtrain.build(config).evaluation_params(None)  # type: ignore[arg-type]


OPTIONS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"kind": "sgd", "μ": 0.9}, {"form": "torch"}, "form: mxnet, and this optimizer has form: torch"),
    ({"kind": "rmsprop", "μ": 0.9}, {"form": "torch"}, "form: mxnet, and this optimizer has form: torch"),
    ({"kind": "lars"}, {"vectors": True}, "vectors: false, and this optimizer has vectors: true"),
    ({"kind": "lamb"}, {"vectors": True}, "vectors: false, and this optimizer has vectors: true"),
    ({"kind": "prodigy"}, {"corrected": True}, "corrected: false, and this optimizer has corrected: true"),
    ({"kind": "prodigy"}, {"safeguard": True}, "safeguard: false, and this optimizer has safeguard: true"),
    (
        {"kind": "adam", "ema": {"corrected": True}},
        {"ema": {"corrected": False}},
        "ema.corrected: true, and this optimizer has ema.corrected: false",
    ),
]


@pytest.mark.parametrize(
    ("config", "other", "message"), OPTIONS, ids=lambda value: value.get("kind") if isinstance(value, dict) else None
)
def test_a_state_is_refused_by_another_option(
    config: dict[str, Any], other: dict[str, Any], message: str, tmp_path: Path
) -> None:
    optimizer = mxtrain.build(config)
    optimizer.step(arrays(), arrays())
    state = optimizer.state_dict()
    optimizer.save(tmp_path / "state.safetensors")
    mxtrain.build(config).load(tmp_path / "state.safetensors")
    changed = mxtrain.build(config | other)
    for load, value in ((changed.load_state_dict, state), (changed.load, tmp_path / "state.safetensors")):
        with pytest.raises(
            mxtrain.StateError, match=rf"^parameters\['\w+'\] was saved with {message}, with which its slots mean "
        ):
            load(value)  # type: ignore[operator]
    kept = ("updates", "slots", "scalars")  # states of earlier versions record options of the optimizer, or none
    entries = {name: {key: entry[key] for key in kept} for name, entry in state["parameters"].items()}
    with pytest.raises(mxtrain.StateError, match=f"^the state was saved with {message}, with which its slots mean "):
        changed.load_state_dict(state | {"parameters": entries})
    entries = {name: entry | {"scalars": without_start(entry["scalars"])} for name, entry in entries.items()}
    old = {"rule": state["rule"], "state": state["state"], "parameters": entries}
    changed.load_state_dict(old)
    assert changed.state_dict()["parameters"].keys() == PARAMS.keys()


def without_start(scalars: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in scalars.items() if name != "ema.start"}


def test_options_without_a_slot_do_not_matter() -> None:
    for config, other in (({"kind": "sgd"}, {"form": "torch"}), ({"kind": "rmsprop"}, {"form": "torch"})):
        optimizer = mxtrain.build(config)
        optimizer.step(arrays(), arrays())
        mxtrain.build(config | other).load_state_dict(optimizer.state_dict())
    with pytest.raises(mxtrain.StateError, match="^options must be a mapping, got 3$"):
        optimizer.load_state_dict(optimizer.state_dict() | {"options": 3})
