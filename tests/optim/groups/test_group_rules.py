"""Groups with rules of their own: equal to separate optimizers, checked in every step, saved and explained."""

import copy
import pickle
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

import mxtrain
from mxtrain import FlatParameters
from mxtrain.optim.groups import group as group_module
from mxtrain.optim.rules import Rule, Time
from mxtrain.types import NonNegative, Positive
from tests.tables import as_bytes

SHAPES = {"W1": (6, 4), "b1": (4,), "E": (9, 2), "W2": (4, 3), "b2": (3,), "H": (3, 5), "s": (1,)}
SHARED = {"clip": 1.5, "scale": 0.5, "η_sched": {"kind": "exp", "γ": 0.5, "per": "iteration"}}
MIXED: dict[str, Any] = {
    "kind": "adamw",
    **SHARED,
    "λ": 0.1,
    "groups": {
        "W1": {"kind": "muon", "η": 0.05},
        "size > 16": {"kind": "lamb", "η": 0.03, "cautious": True},
        "s": {"η": 0},
        "ndim < 2": {"λ": 0, "β2": 0.9},
        "H": {"kind": "lion", "clip": 0, "bounds": [-0.5, 0.5]},
    },
}
SEPARATE: dict[str, dict[str, Any]] = {
    "W1": {"kind": "muon", "η": 0.05, **SHARED},
    "E": {"kind": "lamb", "η": 0.03, "cautious": True, **SHARED},
    "b1 b2": {"kind": "adamw", "λ": 0, "β2": 0.9, **SHARED},
    "W2": {"kind": "adamw", "λ": 0.1, **SHARED},
    "H": {"kind": "lion", **SHARED, "clip": 0, "bounds": [-0.5, 0.5]},
}
"""A separate optimizer for each group of `MIXED`; `s` is frozen."""


def arrays(seed: int, *names: str, dtype: str = "float32") -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    whole = {name: generator.standard_normal(shape).astype(dtype) for name, shape in SHAPES.items()}
    return {name: whole[name] for name in names or SHAPES}


def train(config: Any, *names: str, kind: Any = dict, backend: str = "numpy", steps: int = 4) -> Any:
    optimizer = mxtrain.build(config, backend=backend)
    params = kind(arrays(0, *names))
    for seed in range(1, steps + 1):
        optimizer.step(params, kind(arrays(seed, *names)))
    return as_bytes(params)


@pytest.mark.parametrize("kind", [dict, FlatParameters])
@pytest.mark.parametrize("backend", ["numpy", "compiled"])
def test_groups_are_equal_to_separate_optimizers(backend: str, kind: Any) -> None:
    expected = as_bytes(arrays(0, "s"))
    for names, config in SEPARATE.items():
        expected |= train(config, *names.split())
    assert train(MIXED, kind=kind, backend=backend) == {name: expected[name] for name in SHAPES}


@pytest.mark.parametrize("other", ["adamw", "lamb", "muon", "dog", "prodigy"])
@pytest.mark.parametrize("own", [{"kind": "prodigy", "d0": 0.1}, {"kind": "dog", "relative": 0.1}])
def test_sums_over_all_parameters_cover_those_of_the_rule(own: dict[str, Any], other: str) -> None:
    """Prodigy and DoG in a group are separate optimizers too, beside others of their kind."""
    params = ("W1", "W2", "b1")
    whole = train({"kind": other, "groups": {"W*": own}}, *params)
    assert whole == train(own, "W1", "W2") | train({"kind": other}, "b1")


@pytest.mark.parametrize("backend", ["numpy", "compiled"])
def test_groups_without_a_kind_share_the_sums_of_the_optimizer(backend: str) -> None:
    config = {"kind": "prodigy", "d0": 0.1}
    changed = config | {"groups": {"b*": {"λ": 0.1, "cautious": True, "clip": 0.3}}}
    params = ("W1", "W2", "b1", "b2")
    found = train(changed, *params, backend=backend)
    assert found == train(changed, *params, kind=FlatParameters)
    alone = train(config, "W1", "W2")
    assert all(found[name] != alone[name] for name in alone)


def test_the_norm_of_clip_norm_covers_all_groups() -> None:
    config = {"kind": "sgd", "η": 1, "λ": 0, "groups": {"b1": {"kind": "adam"}, "W2": {"η": 0}, "E": {"kind": "muon"}}}
    params, grads = arrays(0, "W1", "b1", "W2", "E"), arrays(1, "W1", "b1", "W2", "E")
    before = params["W1"].copy()
    mxtrain.build(config | {"clip_norm": 0.5}).step(params, grads)
    norm = np.sqrt(sum((each.astype("float64") ** 2).sum() for each in grads.values()))
    assert np.allclose(before - params["W1"], grads["W1"] * (0.5 / norm), rtol=1e-5)


def test_a_nested_mapping_is_merged_and_another_kind_replaces_it() -> None:
    schedule = {"kind": "cosine", "T": 9, "α": 0.5, "η": 0.3}
    rule = mxtrain.Muon(
        η_sched=schedule,
        otherwise={"kind": "adam", "η": 0.2, "β1": 0.5},
        groups={
            "a": {"η_sched": {"T": 3}},
            "b": {"η_sched": {"kind": "exp"}, "otherwise": {"η": 0.4}},
            "c": {"η": 2, "otherwise": {"kind": "lion"}},
            "d": {"kind": "sgd", "η": 3},
            "e": {"η_sched": None, "η": 0},
        },
    )
    rules = {name: rule.with_settings(group) for name, group in rule.groups.items()}
    assert rules["a"].η_sched.to_dict().items() >= (schedule | {"T": 3}).items()
    assert rules["b"].η_sched.kind == "exp"
    assert (rules["b"].otherwise.η, rules["b"].otherwise.β1) == (0.4, 0.5)
    assert (rules["c"].η, rules["c"].otherwise.kind, rules["c"].otherwise.η) == (2, "lion", 2)
    assert (rules["d"].kind, rules["d"].η, rules["d"].η_sched.T, rules["d"].η_sched.η) == ("sgd", 3, 9, None)
    assert (rules["e"].η, rules["e"].otherwise.η, rules["e"].η_sched) == (0, 0, None)


def test_schedules_of_numbers_reach_groups_that_have_the_number() -> None:
    rule = mxtrain.Adam(
        λ=0.1,
        schedules={"β2": {"kind": "exp"}, "λ": {"kind": "exp"}},
        groups={
            "a": {"λ": 0},
            "b": {"kind": "lion", "λ": 0.3},
            "c": {"kind": "sgd"},
            "d": {"schedules": {"β2": {"γ": 0.5}}},
        },
    )
    found = {name: rule.with_settings(group).schedules for name, group in rule.groups.items()}
    assert {name: list(each) for name, each in found.items()} == {
        "a": ["β2"], "b": ["β2", "λ"], "c": ["λ"], "d": ["β2", "λ"],
    }  # fmt: skip
    assert found["d"]["β2"].γ == 0.5


def test_a_step_refuses_groups_without_parameters_before_anything_changes() -> None:
    optimizer = mxtrain.build({"kind": "sgd", "groups": {"b*": {"λ": 0}, "weights": {}, "b1": {}}})
    params = arrays(0, "W1", "b1")
    with pytest.raises(mxtrain.ConfigError) as caught:
        optimizer.step(params, arrays(1, "W1", "b1"))
    assert [str(problem) for problem in caught.value.problems] == [
        "optimizer.groups.weights: matches no parameter; the parameters are W1, b1",
        "optimizer.groups.b1: never applies, as earlier groups take b1; move it before them",
    ]
    assert as_bytes(params) == as_bytes(arrays(0, "W1", "b1"))
    assert (optimizer.state.curr_iter, optimizer.state_dict()["parameters"]) == (0, {})


@pytest.mark.parametrize("kind", [dict, FlatParameters])
def test_groups_are_checked_once_for_each_set_of_names(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    original = group_module.unused_groups

    def count(rule: Rule, params: Any) -> Any:
        calls.append(list(params))
        return original(rule, params)

    monkeypatch.setattr("mxtrain.optim.param_groups.unused_groups", count)
    optimizer = mxtrain.build({"kind": "sgd", "groups": {"b*": {"λ": 0}, "ndim >= 2": {}}})
    for names in (("W1", "b1"), ("W1", "b1"), ("W1",), ("W1",), ("b1", "s")):  # later steps may leave some out
        params = kind(arrays(0, *names))
        for seed in (1, 2):
            optimizer.step(params, kind(arrays(seed, *names)))
    assert len(calls) == (3 if kind is dict else 5)


def test_groups_required_refuses_a_parameter_that_no_group_takes() -> None:
    optimizer = mxtrain.build({"kind": "sgd", "groups": {"W*": {}}, "groups_required": True})
    message = r"optimizer.groups_required: no group takes b1; add a group for them, such as '\*': \{\}, or remove groups_required"
    for call in (
        lambda: optimizer.step(arrays(0, "W1", "b1"), arrays(1, "W1", "b1")),
        lambda: optimizer.update("b1", arrays(1)["b1"], arrays(0)["b1"]),
        lambda: optimizer.explain(arrays(0, "b1")),
    ):
        with pytest.raises(mxtrain.ConfigError, match=message):
            call()
    optimizer.update("W1", arrays(1)["W1"], arrays(0)["W1"])


@pytest.mark.parametrize("way", ["state", "file", "pickle", "copy"])
@pytest.mark.parametrize("kind", [dict, FlatParameters])
def test_a_state_continues_exactly(kind: Any, way: str, tmp_path: Path) -> None:
    config = MIXED | {"groups": MIXED["groups"] | {"W2": {"kind": "prodigy"}, "b1": {"kind": "nadam"}}}
    config["groups"] = {"W2": config["groups"].pop("W2"), "b1": config["groups"].pop("b1"), **config["groups"]}
    whole = train(config, kind=kind)
    optimizer, params = mxtrain.build(config), kind(arrays(0))
    for seed in (1, 2):
        optimizer.step(params, kind(arrays(seed)))
    match way:
        case "state" | "file":
            other = mxtrain.build(config)
            if way == "state":
                other.load_state_dict(optimizer.state_dict())
            else:
                optimizer.save(tmp_path / "state")
                other.load(tmp_path / "state")
        case "pickle":
            other = pickle.loads(pickle.dumps(optimizer))
        case _:
            other = copy.deepcopy(optimizer)
    for seed in (3, 4):
        other.step(params, kind(arrays(seed)))
    assert as_bytes(params) == whole


def test_explain_tells_the_rule_the_values_and_the_line_of_each_parameter(tmp_path: Path) -> None:
    file = tmp_path / "optimizer.yaml"
    file.write_text(
        "kind: adamw\nclip: 2\ngroups:\n  W*: {kind: muon, η: 0.02}\n  'ndim < 2': {λ: 0}\n  b9: {λ: 1}\n",
        encoding="utf-8",
    )
    optimizer = mxtrain.build(file)
    params = {"W1": np.ones((3, 2)), "W2": np.ones(2), "b1": np.ones(2), "E": np.ones((5, 2))}
    found = optimizer.explain(params)
    assert repr(found).replace(str(tmp_path), "").splitlines() == [
        "parameter  shape   rule   values                   decided by",
        "W1         (3, 2)  muon   η=0.02 λ=0.0 clip=2.0    W*  /optimizer.yaml:4:3",
        "W2         (2,)    adamw  η=0.001 λ=0.01 clip=2.0  W* (otherwise)  /optimizer.yaml:4:3",
        "b1         (2,)    adamw  η=0.001 λ=0.0 clip=2.0   ndim < 2  /optimizer.yaml:5:3",
        "E          (5, 2)  adamw  η=0.001 λ=0.01 clip=2.0  the optimizer  /optimizer.yaml:1:1",
        "groups.b9: matches no parameter; the parameters are W1, W2, b1, E",
    ]
    assert (found["b1"].kind, found["b1"].selector, found["b1"].values["λ"], found["b1"].shape) == (
        "adamw",
        "ndim < 2",
        0.0,
        (2,),
    )
    assert found["E"].selector is None
    assert found["E"].changed == {"η": 0.001, "λ": 0.01, "clip": 2.0}
    assert list(found.unused) == ["b9"]
    with pytest.raises(mxtrain.ConfigError, match=r"optimizer.yaml:6:3: optimizer.groups.b9: matches no parameter"):
        optimizer.step(params, {name: np.ones_like(value) for name, value in params.items()})
    assert repr(mxtrain.build({"kind": "sgd"}).explain({"W": np.ones(2)})).splitlines()[1].endswith("the optimizer")
    steps = mxtrain.build({"kind": "sgd", "clip_norm": 2, "skip_nonfinite": True, "accumulate": 4}).explain(params)
    assert repr(steps).splitlines()[-1] == "the whole step: clip_norm=2.0 skip_nonfinite=true accumulate=4"
    assert steps.whole_step == {"clip_norm": 2.0, "skip_nonfinite": True, "accumulate": 4}
    formula = {"kind": "formula", "update": "u = 2*g\nW = W - η*u"}
    assert "update=u = 2*g; W = W - η*u" in repr(mxtrain.build(formula).explain({"W": np.ones(2)}))


def test_a_group_holds_its_settings() -> None:
    rule = mxtrain.Adam(groups={"a": {"lr": 0.5, "weight_decay": None}, "b": {"kind": "sgd", "momentum": 0.9}})
    a, b = rule.groups["a"], rule.groups["b"]
    assert (a.η, a.learning_rate, a.λ, a.kind, dict(a.values)) == (0.5, 0.5, None, None, {"η": 0.5})
    assert (b.kind, b.momentum, b.λ, b.to_dict()["μ"]) == ("sgd", 0.9, 1e-4, 0.9)
    assert (repr(a), repr(b)) == ("Group(η=0.5)", "Group(kind='sgd', μ=0.9)")
    again = mxtrain.Adam(**rule.to_dict())
    assert again == rule
    assert hash(again) == hash(rule)
    assert rule != mxtrain.Adam(groups={"a": {"lr": 0.5}, "b": {"kind": "sgd", "momentum": 0.8}})
    for wrong in (lambda: a.no_such, lambda: setattr(a, "η", 1), lambda: delattr(a, "η")):
        with pytest.raises(mxtrain.ReadOnlyError):
            wrong()


class Halving(Rule):
    """Rule of a user, for groups."""

    decoupled: ClassVar = True
    kind: Literal["halved_gradient"] = "halved_gradient"
    η: Positive = 1.0
    λ: NonNegative = 0.0
    share: Positive = 0.5

    def coefficients(self, time: Time, scalars: Any) -> dict[str, float]:
        """Return the factor of the weight."""
        return {"factor": -self.learning_rate_at(time) * self.share}

    @staticmethod
    def update(W: Any, g: Any, *, factor: Any) -> tuple[Any, ...]:
        """One update."""
        return (W + factor * W,)


@pytest.mark.parametrize("own", [Halving(share=0.25), {"kind": "halved_gradient", "share": 0.25}])
def test_a_group_may_have_a_rule_of_a_user(own: Any) -> None:
    rule = mxtrain.SGD(groups={"W1": own})
    params = arrays(0, "W1", "b1")
    before = params["W1"].copy()
    mxtrain.build(rule).step(params, arrays(1, "W1", "b1"))
    assert np.array_equal(params["W1"], before * np.float32(0.75))
    with pytest.raises(mxtrain.ConfigError, match="groups.W1.clip_norm: holds for all parameters of a step"):
        mxtrain.SGD(groups={"W1": Halving(clip_norm=1.0)})
