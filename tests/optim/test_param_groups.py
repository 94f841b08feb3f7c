"""Parameter groups: settings that apply only to parameters whose names match a pattern."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain import FlatParameters
from mxtrain.config import read_run
from tests.nn.test_custom_model import CONFIG as CUSTOM
from tests.nn.test_custom_model import line
from tests.tables import CONFIGS, WITH_TOTALS, WITHOUT_DECAY, as_bytes, with_stage

SHAPES = {"W1": (3, 5), "b1": (5,), "W2": (5, 2), "b2": (2,), "B": (4,), "W3": (2, 2)}
GROUPS = {"b2": {"η": 0.3}, "b*": {"λ": 0, "η": 0.03}, "W3": {"λ": 0.5}}
OWN = {"b1": GROUPS["b*"], "b2": GROUPS["b2"], "W3": GROUPS["W3"]}
"""The settings of each parameter: those of the first group that fits."""


def arrays(seed: int, double: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {
        name: generator.standard_normal(shape).astype("float64" if name in double else "float32")
        for name, shape in SHAPES.items()
    }


def groups_of(config: dict[str, Any]) -> dict[str, Any]:
    """Return `GROUPS`, without λ for a rule that has none."""
    without = ("λ",) if config["kind"] in WITHOUT_DECAY else ()
    return {pattern: {name: own[name] for name in own if name not in without} for pattern, own in GROUPS.items()}


def one_by_one(config: dict[str, Any], double: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Update each parameter by a separate optimizer with its settings."""
    params = arrays(0, double)
    for name in params:
        optimizer = mxtrain.build(with_stage(config, OWN.get(name, {})))
        for seed in (1, 2, 3):
            optimizer.step({name: params[name]}, {name: arrays(seed, double)[name]})
    return as_bytes(params)


@pytest.mark.parametrize("backend", ["numpy", "compiled"])
@pytest.mark.parametrize("name", [name for name, config in CONFIGS.items() if config["kind"] not in WITH_TOTALS])
def test_each_parameter_is_updated_as_by_a_separate_rule(name: str, backend: str) -> None:
    config = with_stage(CONFIGS[name], {"λ": 0.01})
    for double in ((), ("b1", "W2")):
        expected = one_by_one(config, double)
        loose, flat = arrays(0, double), FlatParameters(arrays(0, double))
        for params, kind in ((loose, dict), (flat, FlatParameters)):
            optimizer = mxtrain.build(config | {"groups": groups_of(config)}, backend=backend)
            for seed in (1, 2, 3):
                optimizer.step(params, kind(arrays(seed, double)))
            assert as_bytes(params) == expected


def test_a_learning_rate_of_0_leaves_the_parameters_unchanged() -> None:
    for config in CONFIGS.values():
        params = arrays(0)
        optimizer = mxtrain.build(with_stage(config, {"λ": 0.1, "groups": {"W[12]": {"η": 0}}}))
        for seed in (1, 2):
            optimizer.step(params, arrays(seed))
        assert {name for name in params if (params[name] == arrays(0)[name]).all()} == {"W1", "W2"}


@pytest.mark.parametrize("own", [None, 0.5])
def test_a_schedule_starts_from_the_learning_rate_of_the_group(own: float | None) -> None:
    schedule = {"kind": "exp", "γ": 0.5, "per": "iteration", "η": own}
    params = {name: np.zeros(1) for name in "ab"}
    optimizer = mxtrain.build({"kind": "sgd", "η": 0.25, "λ": 0, "η_sched": schedule, "groups": {"b": {"η": 4}}})
    for _ in range(2):
        optimizer.step(params, {name: np.ones(1) for name in "ab"})
    assert params == {"a": [-1.5 * (own or 0.25)], "b": [-6]}


def test_patterns_match_the_text_of_an_index() -> None:
    optimizer = mxtrain.build({"kind": "sgd", "η": 1, "λ": 0, "groups": {"1": {"η": 0.5}}})
    first, second, third = (np.zeros(1) for _ in range(3))
    optimizer.update(0, np.ones(1), first)
    optimizer.update(1, np.ones(1), second)
    mxtrain.get_updater(optimizer)("1", np.ones(1), third)
    assert (first, second, third) == (-1, -0.5, -0.5)


def test_a_state_does_not_depend_on_the_groups() -> None:
    without, with_groups = (mxtrain.build({"kind": "nadam", "groups": groups}) for groups in ({}, GROUPS))
    params = arrays(0)
    without.step(params, arrays(1))
    with_groups.load_state_dict(without.state_dict())
    with_groups.step(FlatParameters(params), FlatParameters(arrays(2)))
    assert {entry["updates"] for entry in with_groups.state_dict()["parameters"].values()} == {2}


@pytest.mark.parametrize("kind", ["schedule_free_sgd", "schedule_free_adamw", "prodigy", "nadam"])
def test_scalar_slots_of_groups_are_apart_in_flat_parameters(kind: str) -> None:
    results = []
    for kind_of_params in (dict, FlatParameters):
        optimizer = mxtrain.build({"kind": kind, "groups": {"b*": {"η": 0.01}, "W3": {"η": 0}}})
        params = kind_of_params(arrays(0))
        for seed in range(1, 5):
            optimizer.step(params, kind_of_params(arrays(seed)))
        scalars = {name: entry["scalars"] for name, entry in optimizer.state_dict()["parameters"].items()}
        results.append((as_bytes(params), scalars))
    assert results[0] == results[1]


def run(**optimizer: Any) -> dict[str, Any]:
    return {
        "data": {"source": "digits"},
        "model": {"kind": "mlp", "hidden": [8]},
        "loss": "softmax_cross_entropy",
        "optimizer": {"kind": "adamw", "λ": 0.1} | optimizer,
        "fit": {"epochs": 2},
    }


def test_a_run_with_groups_trains_and_resumes_to_the_byte(tmp_path: Path) -> None:
    config = run(groups={"b1": {"η": 0}, "b2": {"λ": 0}})
    whole = mxtrain.fit(config, run_dir=tmp_path / "whole")
    assert not whole.parameters["b1"].any()
    assert whole.parameters["b2"].any()
    mxtrain.fit(config | {"fit": {"epochs": 1}}, run_dir=tmp_path / "cut")
    cut = mxtrain.resume(tmp_path / "cut", overrides=["fit.epochs=2"])
    assert as_bytes(cut.parameters) == as_bytes(whole.parameters)


def test_a_value_of_a_group_is_overridden_and_searched(tmp_path: Path) -> None:
    config = run(groups={"b*": {"λ": 0.5}})
    file = tmp_path / "run.yaml"
    file.write_text(json.dumps(config), encoding="utf-8")
    overridden = mxtrain.fit(file, run_dir=tmp_path / "one", overrides=["optimizer.groups.b*.λ=0.25"])
    assert mxtrain.load_run(overridden.run_dir).config.optimizer.groups["b*"].λ == 0.25
    sweep = {
        "search": {"optimizer.groups.b*.λ": {"choice": [0.0, 0.1]}},
        "objective": {"minimize": "val_loss"},
        "sampler": {"kind": "grid"},
    }
    rows = mxtrain.sweep(config | {"sweep": sweep}, run_dir=tmp_path / "sweep")
    assert sorted(row["params"]["optimizer.groups.b*.λ"] for row in rows) == [0.0, 0.1]
    assert len({row["value"] for row in rows}) == 2


def test_a_pattern_that_matches_no_parameter_is_an_error() -> None:
    with pytest.raises(
        mxtrain.ConfigError, match="optimizer.groups.bias: matches no parameter; the parameters are W1, b1, W2, b2"
    ):
        mxtrain.fit(run(groups={"b?": {}, "bias": {"λ": 0}}))
    wrong = CUSTOM | {"optimizer": {"kind": "sgd", "groups": {"w1": {}}}}
    with pytest.raises(mxtrain.ConfigError, match="optimizer.groups.w1: matches no parameter; the parameters are w, b"):
        mxtrain.fit(wrong, model=line)


def test_a_parameter_may_have_the_name_of_a_hyperparameter(tmp_path: Path) -> None:
    """`beta1` is a name of `β1` and `gamma` one of `γ`, but patterns are not translated."""
    config = {"kind": "sgd", "η": 1, "λ": 0, "groups": {"gamma": {"η": 0.5}, "lr": {"lr": 0.25}}}
    file = tmp_path / "sgd.yaml"
    file.write_text(json.dumps(config), encoding="utf-8")
    for config_or_file in (config, file, mxtrain.SGD(**config)):
        params = {name: np.zeros(1) for name in ("gamma", "γ", "lr", "η")}
        mxtrain.build(config_or_file).step(params, {name: np.ones(1) for name in params})
        assert params == {"gamma": [-0.5], "γ": [-1], "lr": [-0.25], "η": [-1]}
    run_file = tmp_path / "run.yaml"
    run_file.write_text(json.dumps(CUSTOM | {"optimizer": config}), encoding="utf-8")
    overridden = read_run(run_file, ["optimizer.groups.gamma.eta=0.125", "optimizer.groups.mu.λ=3"])
    assert list(overridden.optimizer.groups) == ["gamma", "lr", "mu"]
    assert overridden.optimizer.groups["gamma"].η == 0.125


def test_a_pattern_that_never_applies_is_an_error() -> None:
    message = r"optimizer.groups.b1: never applies, as earlier groups take b1; move it before them"
    with pytest.raises(mxtrain.ConfigError, match=message):
        mxtrain.fit(run(groups={"b*": {"λ": 0}, "b1": {"λ": 1}}))
    with pytest.raises(
        mxtrain.ConfigError, match=r"optimizer.groups.\?: never applies, .* take w, b; move it before them"
    ):
        mxtrain.fit(CUSTOM | {"optimizer": {"kind": "sgd", "groups": {"[ab]": {}, "w": {}, "?": {}}}}, model=line)


def test_a_message_names_only_some_of_many_parameters() -> None:
    rule = mxtrain.SGD(groups={"b*": {"λ": 0}})
    assert list(rule.unused_groups([f"W{i}" for i in range(10_000)])) == [
        ("b*", "matches no parameter; the parameters are W0, W1, W2, W3, W4, W5, W6, W7, ...")
    ]


def test_the_order_of_groups_is_part_of_the_run(tmp_path: Path) -> None:
    mxtrain.fit(run(groups={"b*": {"λ": 0}, "?2": {"λ": 1}}), run_dir=tmp_path)
    file = tmp_path / "config.yaml"
    first, second = ('    "b*":\n      λ: 0.0\n', '    "?2":\n      λ: 1.0\n')
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(first + second, second + first), encoding="utf-8")
    message = (
        r"optimizer.groups: was in the order b\*, \?2 when the run started, and cannot become in the order \?2, b\*"
    )
    with pytest.raises(mxtrain.ConfigError, match=message):
        mxtrain.resume(tmp_path, overrides=["fit.epochs=3"])
    file.write_text(text, encoding="utf-8")
    assert mxtrain.resume(tmp_path, overrides=["fit.epochs=3"]).state.curr_epoch == 3


def test_rules_with_different_groups_differ_in_sets() -> None:
    same = [mxtrain.Adam(groups={"b*": {"λ": number}}) for number in (0, 0.0)]
    assert len({*same, mxtrain.Adam(), mxtrain.Adam(groups={"b*": {"λ": 1}})}) == 3


def test_parameter_names_of_a_model_are_known_before_it_is_built() -> None:
    from mxtrain.config import LinearConfig, MLPConfig
    from mxtrain.training.model_factory import build_model

    for config in (LinearConfig(), LinearConfig(bias=False), MLPConfig(hidden=()), MLPConfig(hidden=(3, 2))):
        shapes, known = build_model(config, "squared_error", 4, 1).shapes(), config.parameters
        assert list(known) == list(shapes)
        for name, shape in shapes.items():
            assert [each or length for each, length in zip(known[name], shape, strict=True)] == list(shape)
