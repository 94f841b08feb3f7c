"""Transformations of JAX: every rule and wrapper beside `mxtrain.Optimizer`, jit, vmap, scan, Optax and mistakes."""

import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest

import mxtrain
from mxtrain.errors import ArrayError, ArrayTypeError, ConfigError
from mxtrain.jax import evaluation_params, transformation
from tests.tables import CONFIGS, MATRIX_CONFIGS

RNG = np.random.default_rng(0)
PARAMS: Any = {
    "layers": [{"W": RNG.standard_normal((6, 5), dtype="float32"), "b": RNG.standard_normal(5, dtype="float32")}]
}
GRADS = [
    jax.tree.map(lambda W: np.float32(0.3) * RNG.standard_normal(W.shape, dtype="float32"), PARAMS) for _ in range(5)
]
NAMES = ("layers.0.W", "layers.0.b")
ALL = {**CONFIGS, **MATRIX_CONFIGS}
ROUNDED = (
    "ftrl",
    "mars",
    "mars for vectors",
    "muon",
    "muon with sgd for vectors",
    "nadam",
    "schedule_free",
    "soap",
    "soap with one side rotated",
)
"""Rules that do not end with `W + …`, or, for Muon, whose products XLA computes."""
WRAPPERS: dict[str, dict[str, Any]] = {
    "cautious": {"cautious": True, "η_sched": {"kind": "exp", "γ": 0.9, "per": "iteration", "warmup": 2}},
    "agc": {"agc": {"clipping": 0.05}},
    "lookahead and ema": {"lookahead": {"period": 2}, "ema": {}},
    "clip_norm and bounds": {"clip_norm": 0.5, "bounds": [-0.5, None]},
    "accumulate and clip_norm": {"accumulate": 2, "clip_norm": 0.7, "skip_nonfinite": True},
    "accumulate, agc and a scheduled ema": {
        "accumulate": 2,
        "agc": {"clipping": 0.05},
        "ema": {"decay": 0.9},
        "schedules": {"ema.decay": {"kind": "linear", "T": 10, "per": "iteration", "end": 0.5}},
    },
    "groups": {"groups": {"*.b": {"η": 0}, "layers.0.W": {"kind": "sgd", "η": 0.1}}, "skip_nonfinite": True},
}  # fmt: skip


def by_name(tree: Any) -> dict[str, Any]:
    return {"layers.0.W": tree["layers"][0]["W"], "layers.0.b": tree["layers"][0]["b"]}


def reference(config: Any, grads: Any = GRADS) -> tuple[dict[str, np.ndarray], Any]:
    """Return the weights after the same updates by `mxtrain.Optimizer`, and the weights to evaluate."""
    optimizer = mxtrain.build(config, backend="numpy")
    weights = {name: W.copy() for name, W in by_name(PARAMS).items()}
    for each in grads:
        optimizer.step(weights, by_name(each))
    return weights, optimizer.evaluation_params(weights)


def train(config: Any, grads: Any = GRADS, wrap: Any = lambda f: f, params: Any = PARAMS) -> tuple[Any, Any]:
    made = transformation(config)
    update = wrap(made.update)
    params = jax.tree.map(jnp.asarray, params)
    state = made.init(params)
    for each in grads:
        updates, state = update(jax.tree.map(jnp.asarray, each), state, params)
        params = jax.tree.map(jnp.add, params, updates)
    return params, state


def error(tree: Any, weights: dict[str, np.ndarray]) -> float:
    return max(
        float(np.abs(np.asarray(a) - weights[name]).max() / np.abs(weights[name]).max())
        for name, a in by_name(tree).items()
    )


@pytest.mark.parametrize("name", ALL)
def test_every_rule_with_jit(name: str) -> None:
    weights, _ = reference(ALL[name])
    assert error(train(ALL[name], wrap=jax.jit)[0], weights) < 1e-6


@pytest.mark.parametrize("name", ALL)
def test_every_rule_without_jit_has_the_same_bits(name: str) -> None:
    weights, _ = reference(ALL[name], GRADS[:3])
    params, _ = train(ALL[name], GRADS[:3])
    if name.startswith(ROUNDED):
        assert error(params, weights) < 1e-6
    else:
        assert all(np.asarray(a).tobytes() == weights[key].tobytes() for key, a in by_name(params).items())


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("adamw", name) for name in WRAPPERS),
        *(("prodigy", name) for name in ("lookahead and ema", "groups", "accumulate and clip_norm")),
        *(("muon", name) for name in ("cautious", "agc", "accumulate, agc and a scheduled ema")),
    ],
)
def test_wrappers_with_jit(kind: str, name: str) -> None:
    config = {"kind": kind} | WRAPPERS[name]
    weights, averages = reference(config)
    params, state = train(config, wrap=jax.jit)
    assert error(params, weights) < 1e-6
    assert error(evaluation_params(config, params, state), averages) < 1e-6


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_steps_with_nan_are_skipped_and_counted(wrap: Any) -> None:
    config = {"kind": "adamw", "skip_nonfinite": True}
    broken = jax.tree.map(lambda g: g * np.float32("nan"), GRADS[0])
    params, state = train(config, [GRADS[0], broken, GRADS[1]], wrap)
    expected, _ = train(config, GRADS[:2], wrap)
    assert int(state.skipped) == 1
    assert int(state.steps) == 2
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), params, expected))


def test_vmap_over_an_ensemble_and_scan_over_steps() -> None:
    config = {"kind": "nadam", "clip_norm": 1.0, "lookahead": {"period": 2}}
    made = transformation(config)
    stacked = jax.tree.map(lambda *grads: jnp.stack(grads), *GRADS)

    def run(params: Any, scale: Any) -> Any:
        def step(carry: Any, grads: Any) -> Any:
            params, state = carry
            updates, state = made.update(jax.tree.map(lambda g: scale * g, grads), state, params)
            return (optax.apply_updates(params, updates), state), state.steps

        return jax.lax.scan(step, (params, made.init(params)), stacked)

    ensemble = jax.tree.map(lambda W: jnp.stack([W, 2 * W]), PARAMS)
    (params, _), steps = jax.jit(jax.vmap(run))(ensemble, jnp.array([1.0, 0.5]))
    assert steps.tolist() == [[1, 2, 3, 4, 5]] * 2
    weights, _ = reference(config)
    assert error(jax.tree.map(lambda W: W[0], params), weights) < 1e-6
    half = [jax.tree.map(lambda g: np.float32(0.5) * g, each) for each in GRADS]
    doubled = jax.tree.map(lambda W: 2 * W, PARAMS)
    second, _ = train(config, half, params=doubled)
    assert error(jax.tree.map(lambda W: W[1], params), by_name(jax.tree.map(np.asarray, second))) < 1e-6


def test_it_chains_with_optax_and_buffers_can_be_donated() -> None:
    config = {"kind": "adamw", "λ": 0.1}
    made = optax.chain(optax.clip(0.2), transformation(config))
    assert isinstance(transformation(config), optax.GradientTransformation)
    params = jax.tree.map(jnp.asarray, PARAMS)
    state = made.init(params)

    def step(params: Any, state: Any, grads: Any) -> Any:
        updates, state = made.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    jitted = jax.jit(step, donate_argnums=(0, 1))
    for each in GRADS:
        params, state = jitted(params, state, each)
    clipped = [jax.tree.map(lambda g: np.clip(g, -np.float32(0.2), np.float32(0.2)), each) for each in GRADS]
    assert error(params, reference(config, clipped)[0]) < 1e-6


def test_large_arrays_of_host_rules_do_not_block() -> None:
    params = {"W": jnp.ones((700, 600)) + jnp.arange(600) / 600}
    made = transformation({"kind": "adafactor"})
    updates, _ = jax.jit(made.update)(params, made.init(params), params)
    assert np.isfinite(np.asarray(updates["W"])).all()


@pytest.mark.parametrize(
    "length", [{"steps_per_epoch": 2}, {"run": (3, 2)}, {"run": (3, 2), "steps_per_epoch": 2}], ids=str
)
def test_schedules_per_epoch_need_the_number_of_steps(length: Any) -> None:
    config = {"kind": "sgd", "η": 0.5, "λ": 0, "η_sched": {"kind": "exp", "γ": 0.5}}
    with pytest.raises(ConfigError, match="η_sched: counts epochs, .* set per: iteration, or pass steps_per_epoch"):
        transformation(config)
    made = transformation(config, **length)
    params, one = {"W": jnp.zeros(1)}, {"W": jnp.ones(1)}
    state, rates = made.init(params), []
    for _ in range(5):
        updates, state = made.update(one, state, params)
        rates.append(-float(updates["W"][0]))
    assert rates == [0.5, 0.5, 0.25, 0.25, 0.125]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_updated_in_float32_and_rounded_once(dtype: str) -> None:
    W = RNG.standard_normal(100).astype(np.dtype(getattr(ml_dtypes, dtype, dtype)))
    g = RNG.standard_normal(100).astype("float32")
    made = transformation({"kind": "adam", "η": 0.1})
    params = {"W": jnp.asarray(W)}
    updates, state = made.update({"W": jnp.asarray(g)}, made.init(params), params)
    assert {updates["W"].dtype.name, state.slots["W"]["m"].dtype.name} == {"float32"}
    whole = W.astype("float32")
    mxtrain.build({"kind": "adam", "η": 0.1}).update("W", g, whole)
    new = optax.apply_updates(params, updates)["W"]
    assert np.asarray(new).tobytes() == whole.astype(W.dtype).tobytes()


def test_float64_has_the_bits_of_the_core() -> None:
    with jax.enable_x64(True):
        params = {"W": jnp.asarray(RNG.standard_normal((4, 3)))}
        grads = {"W": jnp.asarray(RNG.standard_normal((4, 3)))}
        made = transformation({"kind": "adamw"})
        updates, _ = made.update(grads, made.init(params), params)
        new = np.asarray(params["W"] + updates["W"])
    weight = np.array(params["W"])
    mxtrain.build({"kind": "adamw"}).update("W", np.asarray(grads["W"]), weight)
    assert new.tobytes() == weight.tobytes()


def test_formulas_work() -> None:
    formula = {"kind": "formula", "let": {"β": 0.9}, "slots": ["m"], "update": "m = β*m + (1 - β)*g\nW = W - η*sign(m)"}
    assert error(train(formula, wrap=jax.jit)[0], reference(formula)[0]) < 1e-6


def test_mistakes_are_one_line() -> None:
    made, adam = transformation({"kind": "sgd", "groups": {"W": {"η": 1}}}), transformation({"kind": "adam"})
    params = {"W": jnp.ones(2), "b": jnp.ones(3)}
    state = made.init(params)
    cases: list[tuple[Any, Any, str]] = [
        (lambda: made.update(params, state), ArrayError, "the parameters are needed too"),
        (lambda: made.update({"W": jnp.ones(2)}, state, params), ArrayError, "the same pytree"),
        (lambda: made.update({"W": jnp.ones(3), "b": jnp.ones(3)}, state, params), ArrayError, "shape"),
        (lambda: made.update({"X": jnp.ones(3)}, state, {"X": jnp.ones(3)}), ArrayError, "no slots of weight 'X'"),
        (lambda: made.update(params, None, params), ArrayError, "the state must be that of init or of the last update, got None"),
        (lambda: made.update(params, adam.init(params), params), ArrayError, r"^the state has slots m \(2,\), v \(2,\) of weight 'W', which needs \(none\); call init with these parameters"),
        (lambda: adam.update({"W": jnp.ones(3)}, adam.init({"W": jnp.ones(2)}), {"W": jnp.ones(3)}), ArrayError, r"m \(2,\), v \(2,\) of weight 'W', which needs m \(3,\), v \(3,\); call"),
        (lambda: made.update({"W": jnp.ones(2) * 1j, "b": jnp.ones(3)}, state, params), ArrayTypeError, "the gradient of weight 'W' is complex, the weight is real"),
        (lambda: made.init({"b": jnp.ones(3)}), ConfigError, "matches no parameter"),
        (lambda: made.init({"W": jnp.ones(3, dtype=jnp.int32)}), ArrayTypeError, "got int32"),
        (lambda: made.init({"W": jnp.ones(3, dtype=jnp.complex64)}), ArrayTypeError, "got complex64"),
        (lambda: made.init({"W": jnp.ones(2), "a.b": jnp.ones(2), "a": {"b": jnp.ones(2)}}), ArrayError, "two parameters"),
        (lambda: transformation({"kind": "adam", "master": True}).init({"W": jnp.ones(2, dtype=jnp.bfloat16)}), ConfigError, "optimizer.master: .* hold float32"),
        (lambda: transformation({"kind": "adam", "β1": 2}), ConfigError, "β1"),
        (lambda: transformation({"kind": "adam"}, steps_per_epoch=0), ConfigError, "steps_per_epoch: must be a whole"),
        (lambda: transformation({"kind": "adam"}, run=(3, 2), steps_per_epoch=4), ConfigError, "steps_per_epoch: must be the batches in an epoch of run, 2, got 4; remove one of the two$"),
    ]  # fmt: skip
    for call, kind, message in cases:
        with pytest.raises(kind, match=message) as caught:
            call()
        assert len(str(caught.value).splitlines()) == 1


def test_optax_is_not_needed() -> None:
    code = (
        "import sys; sys.modules['optax'] = None\n"
        "import jax.numpy as jnp, mxtrain.jax\n"
        "made = mxtrain.jax.transformation({'kind': 'adam'})\n"
        "init, update = made\n"
        "updates, state = update({'W': jnp.ones(2)}, made.init({'W': jnp.ones(2)}), {'W': jnp.ones(2)})\n"
        "print(type(made).__module__, updates['W'].shape)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["mxtrain.jax.transformation", "(2,)"]
