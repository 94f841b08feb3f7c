"""Muon, SOAP and Adafactor: rules of whole arrays."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

import mxtrain
from mxtrain.optim.ir import MatrixProgram
from mxtrain.optim.rules import ELEMENTWISE_RULES, RULES, MatrixRule
from tests.tables import as_bytes

RULE_CONFIGS = {
    "adafactor": {"kind": "adafactor", "η": 0.3},
    "adafactor, all fields": {"kind": "adafactor", "η": 0.3, "d": 1.5, "τ": 0.6, "ϵ1": 0.01, "λ": 0.1, "scale": 0.5},
    "muon": {"kind": "muon"},
    "muon, all fields": {"kind": "muon", "nesterov": False, "match_rms": True, "λ": 0.1, "scale": -0.5, "clip": 0.4},
    "muon with lion's neighbour": {"kind": "muon", "otherwise": {"kind": "sgd", "μ": 0.9}},
    "soap": {"kind": "soap", "every": 2},
    "soap, one side": {"kind": "soap", "largest": 9, "clip": 0.5, "corrected": False},
    "soap, otherwise": {"kind": "soap", "β_factors": 0.8, "otherwise": {"kind": "adam"}},
}
SHAPES = {
    "square": (8, 8),
    "tall": (13, 7),
    "wide": (7, 9),
    "row": (1, 5),
    "deep": (2, 3, 4, 5),
    "bias": (9,),
    "number": (),
}
ALL = pytest.mark.parametrize("config", RULE_CONFIGS.values(), ids=RULE_CONFIGS)
BACKENDS = pytest.mark.parametrize("backend", ["numpy", "compiled"])
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def arrays(dtype="float64", seed=0, shapes=None):
    generator = np.random.default_rng(seed)
    return {name: generator.standard_normal(shape).astype(dtype) for name, shape in (shapes or SHAPES).items()}


def train(optimizer, params, steps=5, first=1):
    for seed in range(first, first + steps):
        grads = arrays(
            next(iter(params.values())).dtype.name, seed, {name: each.shape for name, each in params.items()}
        )
        before = as_bytes(grads)
        if isinstance(params, mxtrain.FlatParameters):
            flat = params.zeros_like()
            for name, each in grads.items():
                flat[name][...] = each
            optimizer.step(params, flat)
            assert as_bytes(flat) == before
        else:
            optimizer.step(params, grads)
            assert as_bytes(grads) == before
    return params


def test_every_matrix_rule_is_tested():
    kinds = {rule().kind for rule in RULES if issubclass(rule, MatrixRule)}
    assert kinds == {config["kind"] for config in RULE_CONFIGS.values()}
    assert set(RULES) == set(ELEMENTWISE_RULES) | {
        rule for rule in RULES if isinstance(rule().program(), MatrixProgram)
    }


@ALL
@DTYPES
def test_backends_flat_and_loose_arrays_and_memory_orders_give_the_same_bits(config, dtype):
    results = []
    for backend in ("numpy", "compiled", "auto"):
        results.append(train(mxtrain.build(config, backend=backend), arrays(dtype)))
        results.append(train(mxtrain.build(config, backend=backend), mxtrain.FlatParameters(arrays(dtype))))
        results.append(
            train(mxtrain.build(config, backend=backend), {n: np.array(a, order="F") for n, a in arrays(dtype).items()})
        )
        strided = {name: np.stack([each, each], axis=-1)[..., 0] for name, each in arrays(dtype).items()}
        results.append(train(mxtrain.build(config, backend=backend), strided))
    assert all(as_bytes(each) == as_bytes(results[0]) for each in results)
    assert all(each.dtype == dtype for each in results[0].values())
    assert all(np.isfinite(each).all() for each in results[0].values())
    assert not any(
        (each == start).all() for each, start in zip(results[0].values(), arrays(dtype).values(), strict=True)
    )


@ALL
@BACKENDS
def test_a_saved_and_loaded_optimizer_continues_to_the_bit(config, backend, tmp_path):
    through = train(mxtrain.build(config, backend=backend), arrays(), steps=6)
    optimizer = mxtrain.build(config, backend=backend)
    params = train(optimizer, arrays(), steps=3)
    optimizer.save(tmp_path / "state")
    others = [mxtrain.build(config, backend=backend) for _ in range(2)]
    others[0].load_state_dict(optimizer.state_dict())
    others[1].load(tmp_path / "state")
    for other in (*others, copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        again = train(other, {name: each.copy() for name, each in params.items()}, steps=3, first=4)
        assert as_bytes(again) == as_bytes(through)
        assert as_bytes(dict(enumerate(other.slot_arrays()))).keys()


@ALL
def test_an_optimizer_of_flat_parameters_continues_with_loose_ones(config):
    through = train(mxtrain.build(config), arrays(), steps=4)
    optimizer = mxtrain.build(config)
    flat = train(optimizer, mxtrain.FlatParameters(arrays()), steps=2)
    loose = train(optimizer, {name: each.copy() for name, each in flat.items()}, steps=2, first=3)
    assert as_bytes(loose) == as_bytes(through)


def test_slots_of_another_shape_are_refused():
    for kind in ("adafactor", "muon", "soap"):
        optimizer = mxtrain.build({"kind": kind})
        optimizer.update("W", np.ones((3, 4)), np.ones((3, 4)))
        with pytest.raises(mxtrain.ArrayError, match="give another array another index"):
            optimizer.update("W", np.ones((3, 5)), np.ones((3, 5)))
    state = mxtrain.build({"kind": "soap"})
    state.update("W", np.ones((3, 4)), np.ones((3, 4)))
    saved = state.state_dict()
    saved["parameters"]["W"]["slots"]["QR"] = np.eye(3)
    other = mxtrain.build({"kind": "soap"})
    other.load_state_dict(saved)
    with pytest.raises(mxtrain.ArrayError, match="give another array another index"):
        other.update("W", np.ones((3, 4)), np.ones((3, 4)))


def test_empty_arrays_stay_empty():
    for config in RULE_CONFIGS.values():
        params = {"a": np.ones((0, 3)), "b": np.ones((3, 0)), "c": np.ones(0)}
        optimizer = mxtrain.build(config)
        train(optimizer, params, steps=2)
        assert {name: value.shape for name, value in params.items()} == {"a": (0, 3), "b": (3, 0), "c": (0,)}
        states = optimizer.state_dict()["parameters"]
        assert {name: state["updates"] for name, state in states.items()} == dict.fromkeys("abc", 2)
        assert all(np.isfinite(slot).all() for state in states.values() for slot in state["slots"].values())


@ALL
def test_settings_of_groups_apply_to_matrices_and_vectors(config):
    optimizer = mxtrain.build(config | {"groups": {"tall": {"η": 0}, "bias": {"η": 0}}})
    params = train(optimizer, arrays())
    for name, start in arrays().items():
        assert (params[name] == start).all() == (name in ("tall", "bias"))


def test_scale_and_clip_apply_to_matrices_and_vectors():
    for kind in ("adafactor", "muon", "soap"):
        clipped = train(mxtrain.build({"kind": kind, "scale": 2, "clip": 0.25}), arrays())
        params, optimizer = arrays(), mxtrain.build({"kind": kind})
        for seed in range(1, 6):
            grads = {name: np.array(np.clip(2 * each, -0.25, 0.25)) for name, each in arrays(seed=seed).items()}
            optimizer.step(params, grads)
        assert as_bytes(params) == as_bytes(clipped)


def test_vectors_get_the_rule_in_otherwise():
    for config in ({"kind": "muon"}, {"kind": "muon", "otherwise": {"kind": "sgd"}, "scale": 0.5, "clip": 0.1}):
        params = train(mxtrain.build(config), arrays())
        otherwise = mxtrain.build(config).rule.to_dict()["otherwise"]
        other = train(
            mxtrain.build(otherwise | {"scale": config.get("scale", 0), "clip": config.get("clip", 0)}), arrays()
        )
        assert params["bias"].tobytes() == other["bias"].tobytes()
        assert params["tall"].tobytes() != other["tall"].tobytes()


def test_otherwise_follows_the_schedule_of_the_outer_rule_unless_it_has_one():
    sched = {"kind": "exp", "γ": 0.5, "per": "iteration"}
    rule = mxtrain.Muon(η=1, η_sched=sched, otherwise={"kind": "sgd", "η": 8})
    time = mxtrain.optim.rules.Time(3, 3)
    assert (rule.learning_rate_at(time), rule.for_vectors().learning_rate_at(time)) == (0.25, 2)
    own = {"kind": "fixed"}
    assert (
        mxtrain.Muon(η_sched=sched, otherwise={"kind": "sgd", "η": 8, "η_sched": own}).for_vectors().η_sched.kind
        == "fixed"
    )
    run = {"kind": "cosine", "T": "run", "per": "epoch"}
    resolved = mxtrain.Muon(otherwise={"kind": "sgd", "η_sched": run}).for_run(epochs=7, batches=2)
    assert resolved.otherwise.η_sched.T == 7
    with pytest.raises(mxtrain.ConfigError, match=r"otherwise\.η_sched\.T"):
        mxtrain.build({"kind": "muon", "otherwise": {"kind": "sgd", "η_sched": run}})


def test_the_default_of_otherwise_is_written_into_the_config():
    assert mxtrain.Muon().to_dict()["otherwise"] == mxtrain.AdamW().to_dict()
    assert mxtrain.SOAP().to_dict()["otherwise"] is None
    assert mxtrain.build(mxtrain.Muon().to_dict()).rule == mxtrain.Muon()
    assert mxtrain.Muon(coefficients=(3, -3.2, 1.2)).to_dict()["coefficients"] == [3, -3.2, 1.2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"otherwise": {"kind": "muon"}}, "must be one of sgd"),
        ({"otherwise": {"kind": "sgd", "scale": 0.5}}, "otherwise.scale: cannot be set here"),
        ({"otherwise": {"kind": "sgd", "clip": 1}}, "otherwise.clip: cannot be set here"),
        ({"otherwise": {"kind": "sgd", "groups": {"b*": {"η": 1}}}}, "otherwise.groups: cannot be set here"),
        ({"otherwise": {"kind": "sgd", "lr": -1}}, "otherwise.lr: must be above 0, got -1"),
        ({"steps": 0}, "steps: must be a whole number at least 1 and at most 100, got 0"),
        ({"coefficients": [1, 2]}, "coefficients"),
        ({"coefficients": 3}, "coefficients"),
        ({"momentum": 1}, "momentum: must be at least 0 and below 1, got 1"),
        ({"nesterov": 1}, "nesterov"),
    ],
)
def test_bad_settings_of_muon(settings, message):
    with pytest.raises(mxtrain.ConfigError) as caught:
        mxtrain.build({"kind": "muon"} | settings)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "adafactor", "d": 0.5}, "d: must be at least 1, got 0.5"),
        ({"kind": "adafactor", "tau": 0}, "tau: must be above 0, got 0"),
        ({"kind": "adafactor", "eps1": 0}, "eps1: must be above 0, got 0"),
        ({"kind": "soap", "every": 0}, "every"),
        ({"kind": "soap", "beta_factors": 1}, "beta_factors"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(mxtrain.ConfigError) as caught:
        mxtrain.build(settings)
    assert message in str(caught.value)


def test_muon_moves_all_directions_alike():
    generator = np.random.default_rng(0)
    for shape in ((30, 20), (20, 30)):
        W = np.zeros(shape)
        mxtrain.build({"kind": "muon", "η": 1}).update("W", generator.standard_normal(shape), W)
        singular_values = np.linalg.svd(W, compute_uv=False) / np.sqrt(max(1, shape[1] / shape[0]))
        assert 0.6 < singular_values.min() < singular_values.max() < 1.3


def test_muon_takes_all_axes_but_the_last_as_rows():
    deep, flat = np.zeros((2, 3, 4)), np.zeros((6, 4))
    gradient = np.random.default_rng(0).standard_normal((2, 3, 4))
    for kind in ("muon", "soap"):
        optimizer = mxtrain.build({"kind": kind})
        for _ in range(3):
            optimizer.update("deep", gradient, deep)
            optimizer.update("flat", gradient.reshape(6, 4), flat)
        assert np.array_equal(deep.reshape(6, 4), flat)
        assert deep.any()


def test_adafactor_keeps_means_of_the_last_two_axes():
    optimizer = mxtrain.build({"kind": "adafactor"})
    optimizer.update("W", np.full((2, 3, 4), 2.0), np.ones((2, 3, 4)))
    slots = optimizer.state_dict()["parameters"]["W"]["slots"]
    assert {name: each.shape for name, each in slots.items()} == {"R": (2, 3), "C": (2, 4)}
    assert all((each == 4).all() for each in slots.values())


def test_adafactor_bounds_the_step_by_d():
    for d, step in ((1, 0.1), (4, 0.4)):
        optimizer, W = mxtrain.build({"kind": "adafactor", "η": 0.1, "d": d, "τ": 1e-9 + 5}), np.ones((2, 2))
        optimizer.update("W", np.full((2, 2), 1e-3), W)
        W[...] = 1
        optimizer.update("W", np.ones((2, 2)), W)  # √32 times the root mean square that R and C hold
        assert np.allclose(W, 1 - step)


def test_soap_does_not_move_at_first():
    for name, shape in SHAPES.items():
        W, optimizer = np.ones(shape), mxtrain.build({"kind": "soap"})
        optimizer.update(name, np.full(shape, 3.0), W)
        assert (W == 1).all()


def test_soap_without_rotated_sides_is_its_rule_of_vectors():
    config = {"kind": "soap", "largest": 1}
    generator = np.random.default_rng(0)
    W, b = np.ones((2, 3)), np.ones(6)
    optimizer = mxtrain.build(config)
    for _ in range(4):
        g = generator.standard_normal((2, 3))
        optimizer.step({"W": W, "b": b}, {"W": g, "b": g.reshape(6)})
    assert np.allclose(W.reshape(6), b, rtol=1e-13)
    assert all(slot.size in (0, 6) for slot in optimizer.slot_arrays())


@ALL
def test_a_gradient_that_is_not_finite_is_found_and_can_be_skipped(config):
    params = arrays()
    optimizer = mxtrain.build(config, on_nonfinite="skip")
    train(optimizer, params, steps=3)
    before, state = as_bytes(params), optimizer.state_dict()
    grads = arrays(seed=9)
    grads["tall"][0, 0] = np.nan
    with pytest.warns(RuntimeWarning, match="skipped: the update of weight 'tall'" if "clip" not in config else "tall"):
        optimizer.step(params, grads)
    assert as_bytes(params) == before
    assert optimizer.state_dict()["state"] == state["state"]
    flat = mxtrain.FlatParameters(params)
    flat_grads = flat.zeros_like()
    flat_grads["tall"][...] = np.nan
    with pytest.raises(mxtrain.NonFiniteError, match="weight 'tall'"):
        mxtrain.build(config, on_nonfinite="raise").step(flat, flat_grads)
    mxtrain.build(config, on_nonfinite="ignore").step(params, grads)
    assert np.isnan(params["tall"]).any() or config["kind"] == "soap"
    assert np.isfinite(params["wide"]).all()


PROGRAM = """
import sys
import numpy as np
import mxtrain
generator = np.random.default_rng(0)
params = {"W": generator.standard_normal((300, 520)).astype("float32"), "V": generator.standard_normal((530, 260))}
for config in ({"kind": "muon"}, {"kind": "adafactor"}, {"kind": "soap", "every": 1, "largest": 300}):
    optimizer = mxtrain.build(config, backend=sys.argv[1])
    for _ in range(3):
        optimizer.step(params, {name: generator.standard_normal(each.shape).astype(each.dtype) for name, each in params.items()})
import hashlib
print(*(hashlib.sha256(each.tobytes()).hexdigest() for each in params.values()))
"""


def test_any_number_of_threads_gives_the_same_bits(monkeypatch):
    results = set()
    for backend, threads, blas in (("compiled", 1, 2), ("compiled", 3, 1), ("numpy", 2, 2)):
        monkeypatch.setenv("MXTRAIN_THREADS", str(threads))
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", str(blas))
        done = subprocess.run([sys.executable, "-c", PROGRAM, backend], capture_output=True, text=True, check=True)
        results.add(done.stdout)
    assert len(results) == 1


@pytest.mark.parametrize("backend", ["numpy", "compiled"])
def test_an_unaligned_gradient_gives_the_same_bits(backend):
    weight, gradient = np.random.default_rng(0).standard_normal((2, 8, 129)).astype("float32")
    unaligned = np.zeros(gradient.nbytes + 1, "uint8")[1:].view("float32").reshape(gradient.shape)
    unaligned[...] = gradient
    results = []
    for each in (gradient, unaligned):
        optimizer, params = mxtrain.build({"kind": "soap"}, backend=backend), {"W": weight.copy()}
        for _ in range(3):
            optimizer.step(params, {"W": each})
        results.append(as_bytes(params) | as_bytes(optimizer.state_dict()["parameters"]["W"]["slots"]))
    assert results[0] == results[1]


def test_a_large_epsilon_of_adafactor_is_no_overflow():
    weight = np.ones((2, 2))
    mxtrain.build({"kind": "adafactor", "ϵ1": 1e300}).update(0, np.ones((2, 2)), weight)
    assert (weight == 1).all()


@ALL
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_subclasses_of_arrays_give_the_same_bits(config):
    results = []
    for kind in (np.array, np.matrix):
        params = {"W": kind(arrays()["square"])}
        optimizer = mxtrain.build(config)
        for seed in (1, 2):
            optimizer.step(params, {"W": kind(arrays(seed=seed)["square"])})
        results.append(as_bytes(params))
    assert results[0] == results[1]
