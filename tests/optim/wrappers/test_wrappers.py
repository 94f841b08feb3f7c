"""Wrappers around rules: their definitions in NumPy, and equal bits on every backend and layout."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.optim.backends.compiled.numba_backend import NumbaBackend
from mxtrain.optim.backends.compiled.numba_matrices import NumbaMatrixOperations
from mxtrain.optim.backends.numpy_backend import NumPyBackend
from tests.optim.rules.test_every_rule import ALL_CONFIGS, every_config, make_arrays, state_bytes
from tests.optim.wrappers.references import RULES, Reference

WRAPPERS: dict[str, dict[str, Any]] = {
    "cautious": {"cautious": True},
    "agc": {"agc": {"clipping": 0.3}, "scale": 0.5},
    "lookahead": {"lookahead": {"period": 3, "slow_step": 0.7}},
    "ema": {"ema": {"decay": 0.9}},
    "ema from the weights": {"ema": {"decay": 0.9, "corrected": False}},
    "bounds": {"bounds": [-0.5, 0.6]},
    "lower bound": {"bounds": [0, None]},
    "clip_norm": {"clip_norm": 1.5, "scale": 0.5},
    "skip_nonfinite": {"skip_nonfinite": True},
    "accumulate": {"accumulate": 4},
    "corrected": {"corrected": True, "η_sched": {"kind": "exp", "γ": 0.9, "per": "iteration"}},
    "decoupled": {"decoupled": True, "η_sched": {"kind": "exp", "γ": 0.9, "per": "iteration"}},
}
ALL: dict[str, Any] = {
    "cautious": True,
    "agc": {"clipping": 0.3},
    "lookahead": {"period": 2},
    "ema": {"decay": 0.9},
    "bounds": [-0.5, 0.6],
    "clip_norm": 1.5,
    "scale": 0.5,
    "skip_nonfinite": True,
    "accumulate": 2,
}
WRAPPERS["all"] = ALL
COUPLED = {"sgd", "signum", "adam"}


@pytest.mark.parametrize("wrapper", WRAPPERS.values(), ids=WRAPPERS.keys())
@pytest.mark.parametrize("kind", RULES)
def test_each_wrapper_follows_its_definition(kind: str, wrapper: dict[str, Any]) -> None:
    if "decoupled" in wrapper and kind not in COUPLED:
        pytest.skip("the decay of the rule is decoupled without a wrapper")
    config = RULES[kind] | wrapper
    if "corrected" in wrapper and kind in COUPLED:
        config["decoupled"] = True
    generator = np.random.default_rng(3)
    params = {"W": generator.standard_normal((5, 4)), "b": generator.standard_normal(3)}
    wanted = {name: value.copy() for name, value in params.items()}
    optimizer, reference = mxtrain.build(config, backend="numpy"), Reference(config, wanted)
    for number in range(20 * config.get("accumulate", 1)):
        grads = {name: generator.standard_normal(value.shape) for name, value in params.items()}
        if "skip_nonfinite" in config and number % 5 == 3:
            grads["b"][1] = (np.nan, np.inf, -np.inf)[number % 3]
        optimizer.step(params, grads)
        reference.step(grads)
        evaluated = optimizer.evaluation_params(params), reference.evaluation() if reference.t else params
        for name in params:
            np.testing.assert_allclose(params[name], wanted[name], rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(evaluated[0][name], evaluated[1][name], rtol=1e-12, atol=1e-12)
    assert optimizer.state.skipped == reference.skipped
    assert optimizer.state.curr_iter == reference.t


def all_on(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config of a rule with every wrapper that it has."""
    rule = mxtrain.build(config).rule
    decay = {"decoupled": True} if "decoupled" in type(rule).model_fields else {}
    smaller = {"largest": 100} if config["kind"] == "soap" else {}  # eigenvectors of large factors take long
    return config | ALL | decay | smaller


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_config
def test_all_wrappers_give_equal_bits_loose_and_flat(config: dict[str, Any], dtype: str) -> None:
    groups = {"groups": {"odd": {"lookahead": {"period": 3}}, "vector": {"bounds": [-2, 2]}}}
    for more in ({}, {"agc": None}, {"agc": None, "cautious": False}, {"agc": None, "cautious": False} | groups):
        rule = mxtrain.build(all_on(config) | more).rule
        loose, flat = (outcome(mxtrain.Optimizer(rule, NumPyBackend()), dtype, is_flat) for is_flat in (False, True))
        assert loose == flat


COMPILED = ("sgd with momentum", "muon")
"""A rule of elements, which has sums with `cautious`, and a rule of matrices, with AdamW for vectors."""


def outcome(optimizer: mxtrain.Optimizer, dtype: str, is_flat: bool) -> Any:
    """Return the bytes of parameters, evaluated parameters and state after some updates."""
    params, gradients = make_arrays(dtype)
    if optimizer.rule.skip_nonfinite:
        gradients[2]["odd"][0, 0] = np.nan
    arrays: Any = mxtrain.FlatParameters(params) if is_flat else params
    for grads in gradients * 2:
        optimizer.step(arrays, mxtrain.FlatParameters(grads) if is_flat else grads)
    evaluated = optimizer.evaluation_params(arrays)
    return (
        {name: value.tobytes() for name, value in arrays.items()},
        {name: np.asarray(value).tobytes() for name, value in evaluated.items()},
        state_bytes(optimizer),
    )


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_code_gives_the_same_bits_on_any_number_of_threads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mxtrain.optim.backends.compiled.numba_tasks.MIN_PARALLEL_SIZE", 1000)
    rule = mxtrain.build(all_on(ALL_CONFIGS[name])).rule
    expected = outcome(mxtrain.Optimizer(rule, NumPyBackend()), "float32", is_flat=False)
    for threads, is_flat in product((1, 2), (False, True)):
        assert outcome(mxtrain.Optimizer(rule, NumbaBackend(threads)), "float32", is_flat) == expected


DECAYING = {"λ": 0.1, "η_sched": {"kind": "exp", "γ": 0.9, "per": "iteration"}}
GRADIENTS: dict[str, Any] = {
    "agc": {"clipping": 0.3}, "ema": {"decay": 0.9}, "clip_norm": 1.5, "skip_nonfinite": True, "scale": 0.5,
}  # fmt: skip
CORRECTED = GRADIENTS | DECAYING | {"corrected": True}
MASKED = GRADIENTS | {"cautious": True}
STORED: dict[str, Any] = {"bounds": [-0.5, 0.6], "lookahead": {"period": 2}, "accumulate": 2}
DECOUPLED = DECAYING | {"decoupled": True}
COMBINATIONS: list[tuple[str, dict[str, Any], str]] = [
    *((name, MASKED | CORRECTED, "float32") for name in ("adamw", "lion", "muon", "schedule_free_adamw")),
    *((name, MASKED | DECOUPLED, "float32") for name in ("sgd with momentum", "adagrad")),
    ("lamb", MASKED, "float32"),
    *((name, CORRECTED, "float64") for name in ("laprop", "ademamix")),
    *((name, STORED, "float64") for name in ("sgd with momentum", "adamw", "lion", "prodigy", "muon", "dog")),
    *((name, DECOUPLED, "float32") for name in ("adam", "nadam", "signum", "rmsprop")),
]
"""Rules of several families with wrappers; each wrapper is on for six rules or more. Each entry is compiled once."""


def test_each_wrapper_is_combined_with_six_rules() -> None:
    of_each = {
        field: {name for name, wrappers, _ in COMBINATIONS if field in wrappers} for wrappers in WRAPPERS.values()
        for field in wrappers
    }  # fmt: skip
    assert {field for field, names in of_each.items() if len(names) < 6} == set()


@pytest.mark.parametrize(
    ("name", "wrappers", "dtype"),
    COMBINATIONS,
    ids=[f"{name} with {', '.join(wrappers)}" for name, wrappers, _ in COMBINATIONS],
)
def test_compiled_code_gives_the_bits_of_numpy(
    name: str, wrappers: dict[str, Any], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mxtrain.optim.backends.compiled.numba_tasks.MIN_PARALLEL_SIZE", 1000)
    rule = mxtrain.build(ALL_CONFIGS[name] | wrappers).rule
    plain = outcome(mxtrain.Optimizer(mxtrain.build(ALL_CONFIGS[name]).rule, NumPyBackend()), dtype, is_flat=False)
    expected = outcome(mxtrain.Optimizer(rule, NumPyBackend()), dtype, is_flat=False)
    assert expected[0] != plain[0]
    for is_flat in (False, True):
        assert outcome(mxtrain.Optimizer(rule, NumbaBackend(2)), dtype, is_flat) == expected


FACTOR_CONFIGS: dict[str, dict[str, Any]] = {
    "wide": {"shape": (40, 5000)},
    "rows that do not fill the last piece": {"shape": (7000, 10)},
    "vector": {"shape": (70000,)},
    "three axes": {"shape": (30, 40, 60)},
    "mean": {"shape": (300, 250), "more": {"accumulate": 2}},
    "Fortran order": {"shape": (300, 250), "order": "F", "in_loop": False},
    "small": {"shape": (50, 20), "in_loop": False},
}


@pytest.mark.parametrize("case", FACTOR_CONFIGS.values(), ids=FACTOR_CONFIGS.keys())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loops_with_factors_of_columns_give_the_bits_of_scaled_gradients(
    case: dict[str, Any], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: list[bool] = []
    run = NumbaMatrixOperations.run_with_factors

    def recorded(*arguments: Any) -> bool:
        outcomes.append(run(*arguments))
        return outcomes[-1]

    monkeypatch.setattr(NumbaMatrixOperations, "run_with_factors", recorded)
    config = {"kind": "adamw", "η": 0.01, "agc": {"clipping": 0.8}, "scale": 0.5} | case.get("more", {})
    optimizers = [mxtrain.build(config, backend=name) for name in ("numpy", "compiled")]
    generator = np.random.default_rng(5)
    start = generator.standard_normal(case["shape"]).astype(dtype, order=case.get("order", "C"))
    weights = [start.copy(order="K") for _ in optimizers]
    norms = generator.uniform(0.5, 4, case["shape"][-1])  # some columns are clipped, and some are not
    for _ in range(4):
        gradient = (norms * generator.standard_normal(case["shape"])).astype(dtype, order=case.get("order", "C"))
        kept = gradient.copy()
        for optimizer, W in zip(optimizers, weights, strict=True):
            optimizer.step({"W": W}, {"W": gradient})
        assert gradient.tobytes() == kept.tobytes()
    assert weights[0].tobytes() == weights[1].tobytes()
    assert state_bytes(optimizers[0]) == state_bytes(optimizers[1])
    assert outcomes == [case.get("in_loop", True)] * (4 // config.get("accumulate", 1))


@every_config
def test_a_state_with_all_wrappers_continues_to_the_bit(config: dict[str, Any], tmp_path: Path) -> None:
    config = all_on(config)
    params, gradients = make_arrays("float32")
    gradients[2]["odd"][0, 0] = np.nan
    copies = {name: value.copy() for name, value in params.items()}
    first, at_once = mxtrain.build(config, backend="numpy"), mxtrain.build(config, backend="numpy")
    for grads in gradients * 2:
        at_once.step(copies, grads)
    for grads in gradients:
        first.step(params, grads)  # ends in the middle of a mean, after a skipped step
    first.save(tmp_path / "state.safetensors")
    resumed, copied = mxtrain.build(config, backend="numpy"), mxtrain.build(config, backend="numpy")
    resumed.load(tmp_path / "state.safetensors")
    copied.load_state_dict(first.state_dict())
    assert state_bytes(resumed) == state_bytes(copied) == state_bytes(first)
    assert resumed.state == first.state
    assert first.state.skipped == 1
    for grads in gradients:
        resumed.step(params, grads)
    assert state_bytes(resumed) == state_bytes(at_once)
    assert {name: value.tobytes() for name, value in params.items()} == {
        name: value.tobytes() for name, value in copies.items()
    }


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["adamw", "muon", "dog"])
def test_four_gradients_equal_one_update_with_their_mean(kind: str, dtype: str) -> None:
    params, gradients = make_arrays(dtype)
    expected = {name: value.copy() for name, value in params.items()}
    accumulating = mxtrain.build({"kind": kind, "accumulate": 4, "λ": 0.1}, backend="numpy")
    single = mxtrain.build({"kind": kind, "λ": 0.1}, backend="numpy")
    for grads in gradients * 2:
        accumulating.step(params, grads)
    for _ in range(2):
        mean = {
            name: np.asarray((((g + gradients[1][name]) + gradients[2][name]) + gradients[3][name]) / 4)
            for name, g in gradients[0].items()
        }
        single.step(expected, mean)
    assert accumulating.state.curr_iter == single.state.curr_iter == 2
    for name, value in params.items():
        assert value.tobytes() == expected[name].tobytes()


def test_a_thousand_random_boxes_are_never_left() -> None:
    generator = np.random.default_rng(0)
    kinds = ["sgd", "adam", "lion", "ftrl", "schedule_free_sgd", "lamb"]
    for number in range(1000):
        low, high = sorted(generator.standard_normal(2) * 10.0 ** generator.integers(-3, 3))
        bounds = [None if number % 7 == 0 else low, None if number % 7 == 1 else high]
        wrappers = {"lookahead": {"period": 2, "slow_step": 0.3}, "ema": {"decay": 0.7}} if number % 2 else {}
        config = {"kind": kinds[number % 6], "η": 0.3, "bounds": bounds, **wrappers}
        optimizer = mxtrain.build(config, backend="numpy", on_nonfinite="ignore")
        params = {"W": generator.standard_normal(40).astype(("float32", "float64")[number % 2])}
        for _ in range(4):
            optimizer.step(params, {"W": generator.standard_normal(40).astype(params["W"].dtype)})
            for W in (params["W"], optimizer.evaluation_params(params)["W"]):
                assert bounds[0] is None or float(W.min()) >= bounds[0]
                assert bounds[1] is None or float(W.max()) <= bounds[1]


def test_moments_do_not_grow_at_an_active_bound() -> None:
    W = np.zeros(2)
    optimizer = mxtrain.build({"kind": "adam", "λ": 0, "bounds": [0, None]}, backend="numpy")
    optimizer.update(0, np.array([1.0, -1.0]), W)
    assert optimizer.state_dict()["parameters"][0]["slots"]["m"][0] == 0
    assert W[0] == 0 < W[1]


@pytest.mark.parametrize("field", ["clip_norm", "skip_nonfinite"])
def test_a_wrapper_of_whole_steps_refuses_a_single_array(field: str) -> None:
    optimizer = mxtrain.build({"kind": "sgd", field: True if field == "skip_nonfinite" else 1})
    with pytest.raises(mxtrain.ArrayError, match=r"call optimizer\.step\(params, grads\) with all of them"):
        optimizer.update(0, np.ones(2), np.ones(2))


def test_the_norm_covers_groups_and_dtypes_and_does_not_overflow() -> None:
    config = {"kind": "sgd", "η": 1, "λ": 0, "clip_norm": 1, "groups": {"b": {"η": 0.5}}}
    params = {"W": np.zeros(2), "b": np.zeros(1), "zero": np.zeros(3, dtype="float32")}
    grads = {"W": np.array([3e200, 0]), "b": np.array([4e200]), "zero": np.zeros(3, dtype="float32")}
    mxtrain.build(config, backend="numpy").step(params, grads)
    np.testing.assert_allclose([*params["W"], *params["b"]], [-0.6, 0, -0.4], rtol=1e-15)


def test_parts_of_the_parameters_are_accumulated_by_themselves() -> None:
    params, ones = {"a": np.zeros(1), "b": np.zeros(1)}, np.ones(1)
    optimizer = mxtrain.build({"kind": "sgd", "η": 1, "λ": 0, "accumulate": 2}, backend="numpy")
    optimizer.step({"a": params["a"]}, {"a": ones})
    optimizer.step(params, {"a": 3 * ones, "b": ones})
    assert (params["a"][0], params["b"][0], optimizer.state.curr_iter) == (-2, 0, 1)


def test_a_sum_of_more_gradients_than_an_update_has_is_refused() -> None:
    optimizers = [mxtrain.build({"kind": "sgd", "accumulate": count}, backend="numpy") for count in (5, 2, 3)]
    for _ in range(2):
        optimizers[0].step({"W": np.ones(1)}, {"W": np.ones(1)})
    saved = optimizers[0].state_dict()
    message = "has the sum of 2 gradients, and with accumulate: 2 an update has the mean of fewer; build the optimizer"
    with pytest.raises(mxtrain.StateError, match=message):
        optimizers[1].load_state_dict(saved)
    optimizers[2].load_state_dict(saved)
    saved["parameters"]["W"]["scalars"]["accumulated"] = 0.5
    with pytest.raises(mxtrain.StateError, match="must be a whole number, at least 0, got 0.5"):
        optimizers[2].load_state_dict(saved)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"bounds": [1, 0]}, "bounds: the lower bound must be at most the upper one"),
        ({"bounds": [1e300, None]}, "bounds: must have float32 numbers between them, which end at 3.4e+38"),
        ({"bounds": [None, -4e38]}, "bounds: must have float32 numbers between them, which end at 3.4e+38"),
        ({"bounds": [None, None]}, "bounds: must have a lower or an upper bound"),
        ({"corrected": True}, "corrected: applies to decoupled decay"),
        ({"agc": {"clipping": 0}}, "agc.clipping: must be above 0, got 0"),
        ({"lookahead": {"slow_step": 2}}, "lookahead.slow_step: must be above 0 and at most 1, got 2"),
        ({"lookahead": {"periode": 2}}, "lookahead.periode: unknown field; did you mean period?"),
        ({"ema": {"decay": 1}}, "ema.decay: must be at least 0 and below 1, got 1"),
        ({"accumulate": 0}, "accumulate: must be a whole number at least 1, got 0"),
        ({"clip_norm": 0}, "clip_norm: must be above 0, got 0"),
    ],
)
def test_wrong_settings_are_errors(config: dict[str, Any], message: str) -> None:
    with pytest.raises(mxtrain.ConfigError) as caught:
        mxtrain.build({"kind": "sgd"} | config)
    assert message in str(caught.value)


@pytest.mark.parametrize("kind", ["adamw", "rprop", "ftrl"])
def test_decoupled_is_a_field_of_rules_with_coupled_decay_only(kind: str) -> None:
    with pytest.raises(mxtrain.ConfigError, match="decoupled: unknown field"):
        mxtrain.build({"kind": kind, "decoupled": True})


def test_a_scheduled_decay_of_an_average_is_corrected_by_its_product() -> None:
    schedule = {"ema.decay": {"kind": "exp", "γ": 0.5, "per": "iteration"}}
    optimizer = mxtrain.build({"kind": "sgd", "λ": 0, "ema": {"decay": 0.8}, "schedules": schedule}, backend="numpy")
    params = {"W": np.ones(1)}
    for _ in range(3):
        optimizer.step(params, {"W": np.zeros(1)})
    assert optimizer.evaluation_params(params)["W"] == pytest.approx(1, rel=1e-12)


def test_wrappers_that_are_off_change_no_program() -> None:
    plain = mxtrain.build({"kind": "adam"}).rule
    assert mxtrain.build({"kind": "adam", "skip_nonfinite": True}).rule.program() is plain.program()
    assert plain.to_dict().keys() >= {"kind", "η", "clip"}
    assert "cautious" not in plain.to_dict()
