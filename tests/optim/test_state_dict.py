"""State dicts: content, validation, and counts of updates and epochs."""

import contextlib
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain


def after_one_step(config: dict[str, Any], dtype: str = "float32", shape: Any = 3) -> mxtrain.Optimizer:
    optimizer = mxtrain.build(config)
    optimizer.step({"W": np.ones(shape, dtype=dtype)}, {"W": np.ones(shape, dtype=dtype)})
    return optimizer


def test_a_state_dict_has_everything_by_name() -> None:
    saved = after_one_step({"kind": "nadam"}).state_dict()
    assert saved["rule"] == "nadam"
    assert saved["state"] == {"batch_size": 0, "curr_epoch": 1, "curr_batch": 1, "curr_iter": 1}
    assert saved["parameters"].keys() == {"W"}
    entry = saved["parameters"]["W"]
    assert entry["updates"] == 1
    assert entry["slots"].keys() == {"m", "n"}
    assert 0 < entry["scalars"]["Π"] < 1


def test_a_state_dict_shares_no_memory() -> None:
    optimizer = after_one_step({"kind": "adam"})
    saved = optimizer.state_dict()
    saved["parameters"]["W"]["slots"]["m"][:] = 99
    assert (optimizer.state_dict()["parameters"]["W"]["slots"]["m"] != 99).all()


GOOD = after_one_step({"kind": "adam"}).state_dict()
ENTRY = GOOD["parameters"]["W"]
REFUSED = {
    "another rule": (GOOD | {"rule": "sgd"}, "the state belongs to 'sgd', this optimizer is 'adam'"),
    "no mapping": ([], "the state must be a mapping with the keys rule, state, parameters, got a list"),
    "a part missing": (
        {"rule": "adam"},
        "the state must be a mapping with the keys rule, state, parameters, got rule",
    ),
    "nothing": ({}, "the state must be a mapping with the keys rule, state, parameters, got an empty mapping"),
    "a count below zero": (
        GOOD | {"state": GOOD["state"] | {"curr_iter": -1}},
        "state['curr_iter'] must be a whole number, at least 0, got -1",
    ),
    "a count that is no number": (
        GOOD | {"parameters": {"W": ENTRY | {"updates": True}}},
        "parameters['W']['updates'] must be a whole number, at least 0, got true",
    ),
    "an entry that lacks a part": (
        GOOD | {"parameters": {"W": {"slots": ENTRY["slots"], "scalars": {}}}},
        "parameters['W'] must be a mapping with the keys updates, slots, scalars, got slots, scalars",
    ),
    "an entry that is no mapping": (
        GOOD | {"parameters": {"W": 3}},
        "parameters['W'] must be a mapping with the keys updates, slots, scalars, got 3",
    ),
    "a slot missing": (
        GOOD | {"parameters": {"W": ENTRY | {"slots": {"m": np.ones(3)}}}},
        "parameters['W']['slots'] must be a mapping with the keys m, v, got m",
    ),
    "a slot that is no array": (
        GOOD | {"parameters": {"W": ENTRY | {"slots": {"m": [1], "v": [2]}}}},
        "parameters['W']['slots']['m'] must be an array of float32, float64, complex64 or complex128, got a list",
    ),
    "a count that float64 does not have": (
        GOOD | {"parameters": {"W": ENTRY | {"updates": 10**400}}},
        "parameters['W']['updates'] must be at most 9007199254740992, got an integer of more than 40 digits",
    ),
    "a rule that is no kind": (
        GOOD | {"parameters": {"W": ENTRY | {"rule": 3}}},
        "parameters['W']['rule'] must be the kind of a rule, got 3",
    ),
    "options that are no mapping": (
        GOOD | {"parameters": {"W": ENTRY | {"options": 3}}},
        "parameters['W']['options'] must be a mapping, got 3",
    ),
    "options of no rule": (
        GOOD | {"parameters": {"W": {name: ENTRY[name] for name in ("updates", "slots", "scalars")} | {"options": {}}}},
        "parameters['W'] has options, but no rule; it must have both, or none of the two",
    ),
    "another rule of a parameter": (
        GOOD | {"parameters": {"W": ENTRY | {"rule": "yogi"}}},
        "parameters['W'] was saved with the rule yogi, and this optimizer has adam; build it with the former",
    ),
    "a slot of a wrapper missing": (
        GOOD | {"parameters": {"W": ENTRY | {"slots": ENTRY["slots"] | {"ema": np.ones(3)}}}},
        "parameters['W']['slots'] must be a mapping with the keys m, v, got m, v, ema; the state was saved with ema: build the optimizer with ema",
    ),
    "slots of different shapes": (
        GOOD | {"parameters": {"W": ENTRY | {"slots": {"m": np.ones(3), "v": np.ones(4)}}}},
        "parameters['W']: its slots have different shapes or dtypes",
    ),
    "another shape": (
        after_one_step({"kind": "adam"}, shape=4).state_dict(),
        "parameters['W'] has slots of shape (4,) and dtype float32; the slots of this optimizer have shape (3,) and dtype float32",
    ),
    "another dtype": (
        after_one_step({"kind": "adam"}, dtype="float64").state_dict(),
        "parameters['W'] has slots of shape (3,) and dtype float64; the slots of this optimizer have shape (3,) and dtype float32",
    ),
}


@pytest.mark.parametrize(("saved", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_loading_an_invalid_state_is_an_error(saved: Any, message: str) -> None:
    optimizer = after_one_step({"kind": "adam"})
    before = optimizer.state_dict()
    with pytest.raises(mxtrain.StateError) as caught:
        optimizer.load_state_dict(saved)
    assert str(caught.value) == message
    after = optimizer.state_dict()
    assert after["state"] == before["state"]
    assert (after["parameters"]["W"]["slots"]["m"] == before["parameters"]["W"]["slots"]["m"]).all()


def entry_of(config: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the state of an optimizer after one step, with other scalar slots."""
    state = after_one_step(config).state_dict()
    state["parameters"]["W"]["scalars"] |= changes
    return state


@pytest.mark.parametrize(
    ("config", "name", "value", "expected"),
    [
        ({"kind": "sgd", "ema": {}}, "ema.start", 1.0, "at least 0 and below 1, got 1.0"),
        ({"kind": "sgd", "ema": {}}, "ema.start", -0.1, "at least 0 and below 1, got -0.1"),
        ({"kind": "nadam"}, "Π", 1.0, "at least 0 and below 1, got 1.0"),
        ({"kind": "nadam"}, "Π", float("nan"), "a finite number, got nan"),
        ({"kind": "prodigy"}, "d", 0.0, "above 0, got 0.0"),
        ({"kind": "prodigy"}, "d_max", -1.0, "above 0, got -1.0"),
        ({"kind": "prodigy"}, "β1_power", 2.0, "at least 0 and at most 1, got 2.0"),
        ({"kind": "prodigy"}, "β2_power", -1.0, "at least 0 and at most 1, got -1.0"),
        ({"kind": "dog"}, "d", -1.0, "at least 0, got -1.0"),
        ({"kind": "dog"}, "G", 0.0, "above 0, got 0.0"),
        ({"kind": "schedule_free_sgd"}, "S", -1.0, "at least 0, got -1.0"),
        ({"kind": "schedule_free_adamw"}, "ηmax", -1.0, "at least 0, got -1.0"),
        ({"kind": "schedule_free_adamw"}, "ηmax", float("inf"), "a finite number, got inf"),
    ],
)
def test_a_scalar_slot_out_of_its_bounds_is_refused(
    config: dict[str, Any], name: str, value: float, expected: str
) -> None:
    optimizer = after_one_step(config)
    optimizer.load_state_dict(entry_of(config))
    before = pickle.dumps(optimizer.state_dict())
    with pytest.raises(mxtrain.StateError) as caught:
        optimizer.load_state_dict(entry_of(config, **{name: value}))
    assert str(caught.value).startswith(f"parameters['W']['scalars'][{name!r}] must be {expected}")
    assert pickle.dumps(optimizer.state_dict()) == before


def test_every_scalar_slot_of_a_rule_keeps_its_bounds() -> None:
    for rule in mxtrain.optim.rules.RULES:
        assert rule.scalar_bounds.keys() <= dict(rule.scalar_slots).keys()
    optimizer = mxtrain.build(
        {"kind": "sgd", "ema": {}, "accumulate": 2}
    )  # no update yet: the start has its whole share
    optimizer.step({"W": np.ones(1)}, {"W": np.ones(1)})
    mxtrain.build({"kind": "sgd", "ema": {}, "accumulate": 2}).load_state_dict(optimizer.state_dict())


SGD, FORMULA = {"kind": "sgd", "μ": 0.9}, {"kind": "formula", "let": {"β": 0.9}, "slots": ["m"]}
UPDATE = "m = β*m + {part}; W = W - η*m"
SIGNS = FORMULA | {"update": UPDATE, "terms": {"part": "sign(g)"}}
ANOTHER_RULE: list[tuple[dict[str, Any], dict[str, Any], str | None]] = [
    # the config that saves, the one that loads, and the refusal
    (SGD | {"groups": {"b": {"form": "torch"}}}, SGD, "form: torch, and this optimizer has form: mxnet, with which"),
    (SGD | {"groups": {"b": {"form": "torch"}}}, SGD | {"groups": {"b*": {"form": "torch", "η": 1}}}, None),
    (SGD, SGD | {"groups": {"b": {"form": "torch"}}}, "form: mxnet, and this optimizer has form: torch, with which"),
    (SGD, {"kind": "sgd", "μ": 0.5}, None),
    (
        SGD | {"ema": {}},
        SGD | {"ema": {}, "groups": {"b": {"ema": {"corrected": False}}}},
        "ema.corrected: true, and this optimizer has ema.corrected: false, with which",
    ),
    (
        SGD | {"groups": {"b": {"kind": "adam"}}},
        SGD | {"groups": {"b": {"kind": "yogi"}}},
        "the rule adam, and this optimizer has yogi; build it with the former",
    ),
    (SGD | {"groups": {"b": {"kind": "adam"}}}, SGD | {"groups": {"b": {"kind": "adam", "β1": 0.5}}}, None),
    (
        SGD | {"groups": {"b": {"kind": "prodigy"}}},
        SGD | {"groups": {"b": {"kind": "prodigy", "safeguard": True}}},
        "safeguard: false, and this optimizer has safeguard: true, with which",
    ),
    (
        {"kind": "muon"},
        {"kind": "muon", "otherwise": {"kind": "yogi"}},
        "the rule adamw, and this optimizer has yogi; build it with the former",
    ),
    (SIGNS, FORMULA | {"update": "m=β * m+(sign(g))  # comment\nW = W - lr*m"}, None),
    (SIGNS, SIGNS | {"let": {"β": 0.5}}, None),
    (
        SIGNS,
        SIGNS | {"terms": {"part": "g"}},
        "update: m = β * m + ( sign ( g ) ), and this optimizer has update: m = β * m + ( g ), with which",
    ),
    (
        SIGNS,
        SIGNS | {"update": f"{UPDATE}; W = W - W*η"},
        "update: no further line, and this optimizer has update: W = W - W * η, with which its slots mean something else",
    ),
]


@pytest.mark.parametrize(("saving", "loading", "message"), ANOTHER_RULE)
def test_a_state_records_the_rule_of_each_parameter(
    saving: dict[str, Any], loading: dict[str, Any], message: str | None, tmp_path: Path
) -> None:
    arrays = {"W": np.ones((2, 3)), "b": np.ones(3)}
    optimizer, other = mxtrain.build(saving, backend="numpy"), mxtrain.build(loading, backend="numpy")
    optimizer.step(arrays, {name: np.ones_like(value) for name, value in arrays.items()})
    optimizer.save(tmp_path / "state")
    state = optimizer.state_dict()
    for load, value in ((other.load_state_dict, state), (other.load, tmp_path / "state")):
        if message is None:
            load(value)  # type: ignore[operator]
            assert {each["rule"] for each in other.state_dict()["parameters"].values()} == {
                each["rule"] for each in state["parameters"].values()
            }
        else:
            with pytest.raises(mxtrain.StateError) as caught:
                load(value)  # type: ignore[operator]
            assert message in str(caught.value)
            assert other.state_dict()["parameters"] == {}


def test_the_number_of_axes_decides_at_the_first_step_whose_slots_these_are() -> None:
    params = {"W": np.ones((2, 3))}
    for flat in (False, True):
        arrays: Any = mxtrain.FlatParameters(params) if flat else params
        optimizer = mxtrain.build(SGD | {"groups": {"ndim > 1": {"form": "torch"}}}, backend="numpy")
        optimizer.step(arrays, mxtrain.FlatParameters(params).zeros_like())
        other = mxtrain.build(SGD | {"groups": {"ndim > 2": {"form": "torch"}}, "groups_required": False})
        other.load_state_dict(optimizer.state_dict())
        with pytest.raises(mxtrain.ArrayError, match="^weight 'W' was saved with form: torch, and this optimizer has"):
            other._builder.build(other._store, [("W", params["W"].copy(), params["W"])])


def test_flat_parameters_keep_the_rule_of_each() -> None:
    params = mxtrain.FlatParameters({"W": np.ones(2), "b": np.ones(2)})
    optimizer = mxtrain.build(SGD | {"groups": {"b": {"form": "torch"}}}, backend="numpy")
    optimizer.step(params, params.zeros_like())
    entries = optimizer.state_dict()["parameters"]
    assert {name: entry["options"] for name, entry in entries.items()} == {
        "W": {"form": "mxnet"},
        "b": {"form": "torch"},
    }


def test_another_decay_of_an_average_keeps_its_bias_correction() -> None:
    params, grads = {"W": np.ones(1)}, {"W": np.zeros(1)}
    optimizer = mxtrain.build({"kind": "sgd", "λ": 0, "ema": {"decay": 0.9}})
    optimizer.step(params, grads)
    state = optimizer.state_dict()
    assert state["parameters"]["W"]["scalars"] == {"ema.start": 0.9}
    other = mxtrain.build({"kind": "sgd", "λ": 0, "ema": {"decay": 0.5}})
    other.load_state_dict(state)
    other.step(params, grads)
    assert other.state_dict()["parameters"]["W"]["scalars"] == {"ema.start": 0.45}
    assert other.evaluation_params(params)["W"] == pytest.approx(1, rel=1e-15)
    state["parameters"]["W"]["scalars"] = {}  # as earlier versions saved it
    old = mxtrain.build({"kind": "sgd", "λ": 0, "ema": {"decay": 0.9}})
    old.load_state_dict(state)
    assert old.evaluation_params(params)["W"] == pytest.approx(1, rel=1e-15)


def test_a_state_without_an_average_is_not_completed_for_another_rule_of_the_parameter() -> None:
    groups = {"ndim > 1": {"kind": "soap"}, "ndim < 2": {"ema": None}}
    optimizer = mxtrain.build({"kind": "adam", "ema": {}, "groups": groups}, backend="numpy")
    params = {"W": np.ones((2, 3)), "b": np.ones(3)}
    optimizer.step(params, {name: np.ones_like(value) for name, value in params.items()})
    state = optimizer.state_dict()
    assert {name: list(entry["scalars"]) for name, entry in state["parameters"].items()} == {
        "W": ["ema.start"],
        "b": [],
    }
    optimizer.load_state_dict(state)
    for entry in state["parameters"].values():
        entry["scalars"] = {}  # as earlier versions saved it
        del entry["rule"]
        entry.pop("options", None)
    optimizer.load_state_dict(state)
    assert list(optimizer.state_dict()["parameters"]["b"]["slots"]) == ["m", "v"]


def test_averages_of_groups_with_different_decays_have_their_own_correction() -> None:
    params = mxtrain.FlatParameters({"W": np.ones(2), "b": np.ones(2)})
    config = {"kind": "sgd", "λ": 0, "ema": {"decay": 0.9}, "groups": {"b": {"ema": {"decay": 0.5}}}}
    optimizer = mxtrain.build(config, backend="numpy")
    for _ in range(2):
        optimizer.step(params, params.zeros_like())
    averages = optimizer.evaluation_params(params)
    np.testing.assert_allclose([*averages["W"], *averages["b"]], 1, rtol=1e-15)


def test_a_loaded_state_of_another_shape_is_refused_by_the_first_update() -> None:
    optimizer = mxtrain.build({"kind": "adam"})
    optimizer.load_state_dict(GOOD)
    with pytest.raises(mxtrain.ArrayError, match=r"its slots have shape \(3,\)"):
        optimizer.step({"W": np.ones(4, dtype="float32")}, {"W": np.ones(4, dtype="float32")})


NUMBERS = {
    "NumPy's scalars": (np.int64, np.float64),
    "arrays of no dimensions, as in an npz file": (np.array, np.array),
    "narrow ones": (np.uint8, np.float32),
}


def test_other_slots_than_those_of_the_present_arrays_are_refused() -> None:
    params = {"b": np.ones(3, dtype="float32")}
    saving, loading = (mxtrain.build({"kind": "mars", "vectors": vectors}) for vectors in (True, False))
    for optimizer in (saving, loading):
        optimizer.step(params, {"b": np.ones(3, dtype="float32")})
    with pytest.raises(
        mxtrain.StateError, match=r"^parameters\['b'\] has the slots m, v, p; this .* slots m, v; build"
    ):
        loading.load_state_dict(saving.state_dict())


@pytest.mark.parametrize(("whole", "real"), NUMBERS.values(), ids=NUMBERS.keys())
def test_a_state_with_numpy_scalars_is_loaded(whole: Any, real: Any) -> None:
    saved = after_one_step({"kind": "nadam", "μ_sched": {"kind": "fixed", "μ": 0.5}}).state_dict()
    entry = saved["parameters"]["W"]
    through = {
        "rule": saved["rule"],
        "state": {name: whole(value) for name, value in saved["state"].items()},
        "parameters": {"W": entry | {"updates": whole(1), "scalars": {"Π": real(entry["scalars"]["Π"])}}},
    }
    optimizer = mxtrain.build({"kind": "nadam"})
    optimizer.load_state_dict(through)
    again = optimizer.state_dict()
    assert again["state"] == saved["state"]
    assert {name: type(value) for name, value in again["state"].items()} == dict.fromkeys(saved["state"], int)
    assert again["parameters"]["W"]["updates"] == 1
    assert again["parameters"]["W"]["scalars"] == {"Π": 0.5}


def test_a_rule_that_raises_leaves_everything_unchanged() -> None:
    class FailingRule(mxtrain.SGD):
        def coefficients(self, time: Any, scalars: Any) -> dict[str, float]:
            if time.iteration == 2:
                raise ZeroDivisionError
            return super().coefficients(time, scalars)

    for make in (dict, mxtrain.FlatParameters):
        optimizer = mxtrain.build(FailingRule(μ=0.5))
        params, grads = (make({"a": np.ones(3), "b": np.ones(2, "float32")}) for _ in range(2))
        optimizer.step(params, grads)
        before = pickle.dumps((dict(params), optimizer.state_dict()))
        both = [make({**each, "new": np.ones(4)}) for each in (params, grads)]
        for arguments in ((params, grads), both):
            with pytest.raises(ZeroDivisionError):
                optimizer.step(*arguments)
            assert pickle.dumps((dict(params), optimizer.state_dict())) == before


def test_the_caller_of_step_counts_the_epochs() -> None:
    optimizer = mxtrain.build({"kind": "sgd", "η": 1, "λ": 0, "η_sched": {"kind": "exp", "γ": 0.5}})
    weight, gradient = {"W": np.zeros(1)}, {"W": np.full(1, -1.0)}
    for _ in range(2):
        optimizer.state.begin_epoch()
        for _ in range(3):
            optimizer.step(weight, gradient)
    assert optimizer.state == mxtrain.OptimizationState(0, curr_epoch=2, curr_batch=3, curr_iter=6)
    assert weight["W"] == 3 * 1 + 3 * 0.5


def test_the_updater_counts_updates_per_index() -> None:
    optimizer = mxtrain.build({"kind": "sgd", "η": 1, "λ": 0, "η_sched": {"kind": "exp", "γ": 0.5, "per": "iteration"}})
    updater = mxtrain.get_updater(optimizer)
    a, b, gradient = np.zeros(1), np.zeros(1), np.full(1, -1.0)
    for _ in range(3):
        updater("a", gradient, a)
    updater("b", gradient, b)
    assert a == 1 + 0.5 + 0.25
    assert b == 1


def test_normgrad_changes_no_argument() -> None:
    optimizer = mxtrain.build({"kind": "adam", "scale": 0.5, "clip": 1, "λ": 0.25})
    weight, gradient = np.full(3, 4.0), np.array([1.0, 10.0, -10.0])
    result = mxtrain.normgrad(optimizer, weight, gradient)
    assert result.tolist() == [1.5, 2.0, 0.0]
    assert gradient.tolist() == [1.0, 10.0, -10.0]
    assert weight.tolist() == [4.0, 4.0, 4.0]
    assert optimizer.state_dict()["parameters"] == {}


def test_normgrad_validates_arrays_and_accepts_one_array_for_both() -> None:
    optimizer = mxtrain.build({"kind": "sgd", "scale": 0.5, "λ": 0})
    with pytest.raises(mxtrain.ArrayTypeError, match="weight 'W' must be a NumPy or CuPy array, got a list"):
        mxtrain.normgrad(optimizer, [1.0], np.ones(1))
    weight = np.ones(2)
    assert mxtrain.normgrad(optimizer, weight, weight).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("backend", ["numpy", "compiled"])
def test_without_scale_and_clip_the_gradient_is_unchanged(backend: str) -> None:
    gradient = np.array([1e30, -3.0])
    result = mxtrain.normgrad(mxtrain.build({"kind": "sgd", "λ": 0}, backend=backend), np.ones(2), gradient)
    assert result.tobytes() == gradient.tobytes()
    assert not np.shares_memory(result, gradient)


def test_a_link_is_followed_and_its_target_is_written(tmp_path: Path) -> None:
    optimizer = after_one_step({"kind": "adam"})
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "state")
    for _ in range(2):
        optimizer.save(tmp_path / "link")
        assert (tmp_path / "link").is_symlink()
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["state"]
    other = after_one_step({"kind": "adam"})
    other.load(tmp_path / "there" / "state")
    assert other.state == optimizer.state


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    optimizer = after_one_step({"kind": "adam"})
    with ThreadPoolExecutor() as pool:
        read = pool.submit((tmp_path / "pipe").read_bytes)
        optimizer.save(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()
    optimizer.save(tmp_path / "file")
    assert read.result() == (tmp_path / "file").read_bytes()


def test_flat_parameters_need_a_container() -> None:
    wrong: Any
    for wrong in (None, 5, "W", np.ones(3)):
        with pytest.raises(mxtrain.ArrayTypeError, match="^the parameters must be a mapping of arrays by name, or a "):
            mxtrain.FlatParameters(wrong)


class Interrupted:
    """A backend whose every third run raises KeyboardInterrupt after its work, as a compiled call does."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.runs = inner, 0
        self.name, self.kinds = inner.name, inner.kinds

    def run(self, program: Any, groups: Any, scalars: Any) -> None:
        self.inner.run(program, groups, scalars)
        self.runs += 1
        if self.runs % 3 == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("flat", [False, True], ids=["loose", "flat"])
@pytest.mark.parametrize("kind", ["adam", "nadam"])
def test_an_update_that_finished_before_ctrl_c_is_counted(kind: str, flat: bool) -> None:
    rule = mxtrain.build({"kind": kind}).rule
    backend = mxtrain.build(rule, backend="numpy").backend
    weights = []
    for each in (backend, Interrupted(backend)):
        optimizer = mxtrain.Optimizer(rule, each)
        params: Any = {"W": np.ones(3, dtype="float32")}
        params = mxtrain.FlatParameters(params) if flat else params
        grads = params.zeros_like() if flat else {"W": np.zeros(3, dtype="float32")}
        grads["W"][:] = 0.5
        for _ in range(10):
            with contextlib.suppress(KeyboardInterrupt):
                optimizer.step(params, grads)
        weights.append(params["W"].tobytes())
        assert optimizer.state_dict()["parameters"]["W"]["updates"] == optimizer.state.curr_iter == 10
    assert weights[0] == weights[1]
