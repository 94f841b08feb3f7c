"""Weights of half precision: the rounded float32 update for every rule, master copies, states, and refused inputs."""

from itertools import product
from pathlib import Path
from typing import Any

import ml_dtypes
import numba
import numpy as np
import pytest

import mxtrain
from mxtrain.errors import ArrayError, NonFiniteError, StateError
from mxtrain.optim.backends.compiled import numba_half
from mxtrain.optim.backends.compiled.numba_backend import NumbaBackend
from mxtrain.optim.backends.half_conversion import decode, encode
from mxtrain.optim.backends.numpy_backend import NumPyBackend
from tests.optim.rules.test_every_rule import ALL_CONFIGS, every_config, state_bytes

F16, BF16 = np.dtype("float16"), np.dtype(ml_dtypes.bfloat16)
BACKENDS = [NumPyBackend(), NumbaBackend()]
SHAPES: dict[str, tuple[int, ...]] = {"scalar": (), "empty": (0, 3), "matrix": (7, 11), "vector": (5,)}
WRAPPERS: dict[str, dict[str, Any]] = {
    "stage": {"scale": -0.5, "clip": 0.3, "λ": 0.01},
    "cautious": {"cautious": True},
    "agc": {"agc": {"clipping": 0.3}},
    "lookahead": {"lookahead": {"period": 2}},
    "ema": {"ema": {"decay": 0.9}},
    "clip_norm": {"clip_norm": 1.5},
    "accumulate": {"accumulate": 2},
    "skip_nonfinite": {"skip_nonfinite": True},
}
every_half = pytest.mark.parametrize("dtype", [F16, BF16], ids=["float16", "bfloat16"])
every_backend = pytest.mark.parametrize("backend", BACKENDS, ids=["numpy", "compiled"])


def draw(generator: np.random.Generator, dtype: Any) -> dict[str, np.ndarray]:
    return {
        name: np.asarray(generator.standard_normal(shape), "float32").astype(dtype) for name, shape in SHAPES.items()
    }


def bits(arrays: Any) -> dict[str, bytes]:
    return {name: np.asarray(array).tobytes() for name, array in arrays.items()}


def assert_rounded(config: dict[str, Any], backend: Any, dtype: Any, gradient_dtype: Any) -> None:
    """Compare updates with those of float32 weights that are rounded by NumPy after each update."""
    rule = mxtrain.build(config).rule
    generator = np.random.default_rng(7)
    weights = draw(generator, dtype)
    exact = {name: array.astype("float32") for name, array in weights.items()}
    optimizer, reference = mxtrain.Optimizer(rule, backend), mxtrain.Optimizer(rule, backend)
    for _ in range(4):
        grads = draw(generator, gradient_dtype)
        optimizer.step(weights, grads)
        reference.step(exact, {name: array.astype("float32") for name, array in grads.items()})
        if not rule.master:
            for array in exact.values():
                array[...] = array.astype(dtype)
        assert bits(weights) == {name: array.astype(dtype).tobytes() for name, array in exact.items()}
    assert {name: array.dtype for name, array in weights.items()} == dict.fromkeys(SHAPES, dtype)
    saved, wanted = state_bytes(optimizer), state_bytes(reference)
    masters = {name: saved[name][2].pop("master", None) for name in SHAPES}
    assert saved == wanted
    assert masters == (
        {name: array.tobytes() for name, array in exact.items()} if rule.master else dict.fromkeys(SHAPES)
    )
    for name, array in reference.evaluation_params(exact).items():
        assert optimizer.evaluation_params(weights)[name].tobytes() == array.astype(dtype).tobytes()


every_pair = pytest.mark.parametrize(
    ("dtype", "master"), [(F16, False), (BF16, True)], ids=["float16", "bfloat16 with master"]
)


@every_pair
@every_config
def test_every_rule_gives_the_rounded_float32_update(config: Any, dtype: Any, master: bool) -> None:
    assert_rounded(config | {"master": master}, NumPyBackend(), dtype, dtype)


@every_pair
@pytest.mark.parametrize("kind", ["sgd with momentum", "adam", "rprop", "lamb", "dog", "muon", "adafactor"])
def test_compiled_loops_give_the_rounded_float32_update(kind: str, dtype: Any, master: bool) -> None:
    config = ALL_CONFIGS[kind] | {"master": master}
    assert_rounded(config, NumbaBackend(), dtype, dtype)
    assert_rounded(config | {"skip_nonfinite": True}, NumbaBackend(), dtype, "float32")


@pytest.mark.parametrize("master", [False, True])
def test_compiled_loops_of_every_combination(master: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mxtrain.optim.backends.compiled.numba_tasks.MIN_PARALLEL_SIZE", 10)
    for dtype, is_half in product((F16, BF16), (False, True)):
        config = {"kind": "adam", "master": master}
        assert_rounded(config, NumbaBackend(), dtype, dtype if is_half else "float32")


@pytest.mark.parametrize("wrapper", WRAPPERS.values(), ids=WRAPPERS.keys())
@pytest.mark.parametrize("kind", ["adam", "lamb", "muon"])
def test_every_wrapper_gives_the_rounded_float32_update(kind: str, wrapper: dict[str, Any]) -> None:
    backend = NumbaBackend() if wrapper.keys() & {"agc", "ema", "lookahead"} and kind != "lamb" else NumPyBackend()
    for dtype, master, gradient_dtype in ((BF16, False, "float32"), (F16, True, F16)):
        assert_rounded(ALL_CONFIGS[kind] | wrapper | {"master": master}, backend, dtype, gradient_dtype)


@every_backend
@every_half
def test_weights_stay_within_bounds(dtype: Any, backend: Any) -> None:
    low, high = -0.3, 0.1  # rounded to nearest, both have a neighbour on the wrong side in one of the dtypes
    rule = mxtrain.build({"kind": "sgd", "η": 0.5, "bounds": [low, high], "ema": {"decay": 0.5}}).rule
    optimizer, generator = mxtrain.Optimizer(rule, backend), np.random.default_rng(0)
    weight = np.zeros(200, dtype)
    for _ in range(5):
        optimizer.step({"W": weight}, {"W": generator.standard_normal(200).astype(dtype)})
        for each in (weight, optimizer.evaluation_params({"W": weight})["W"]):
            assert low <= each.astype(float).min() < low + 2e-3
            assert high - 1e-3 < each.astype(float).max() <= high


@pytest.mark.parametrize("has_instructions", [True, False], ids=["", "without instructions for float16"])
@every_half
def test_conversion_of_every_number(dtype: Any, has_instructions: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_instructions:
        for direction, convert in (("decode", "_float16_to_float32"), ("encode", "_float32_to_float16")):
            make, _ = numba_half._FUNCTIONS[direction, "float16"]
            software = make, numba.extending.intrinsic(getattr(numba_half, convert))
            monkeypatch.setitem(numba_half._FUNCTIONS, (direction, "float16"), software)
    numba_half._compile_loop.cache_clear()
    monkeypatch.setattr("mxtrain.optim.backends.compiled.numba_tasks.MIN_PARALLEL_SIZE", 1000)
    half = np.arange(1 << 16, dtype="uint16").view(dtype)
    exact = half.astype("float32")
    finite = np.unique(exact[np.isfinite(exact)]).astype(float)
    middles = ((finite[:-1] + finite[1:]) / 2).astype("float32")
    above, below = (np.nextafter(middles, np.float32(side)) for side in (np.inf, -np.inf))
    special = np.array([65519.996, 65520, 65536, 3.39e38, 3.4e38, np.inf, 2.0**-25, 1e-45, 0], "float32")
    numbers = np.concatenate([exact, middles, above, below, special, -special])
    with np.errstate(all="ignore"):
        wanted = numbers.astype(dtype)
    is_nan = np.isnan(numbers)
    for backend in BACKENDS:
        decoded, encoded = np.empty_like(exact), np.empty(numbers.size, dtype)
        decode(backend, [(half, decoded)])
        encode(backend, [(encoded, numbers)])
        is_number = ~np.isnan(exact)
        assert np.array_equal(decoded.view("uint32")[is_number], exact.view("uint32")[is_number])
        assert np.isnan(decoded[~is_number]).all()
        assert np.array_equal(encoded.view("uint16")[~is_nan], wanted.view("uint16")[~is_nan])
        assert np.isnan(encoded.astype("float32")[is_nan]).all()
    numba_half._compile_loop.cache_clear()


@pytest.mark.parametrize("master", [False, True])
@every_half
def test_views_subclasses_and_backends_give_equal_bits(dtype: Any, master: bool) -> None:
    views: list[Any] = [
        lambda array: array, np.asfortranarray, lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
        lambda array: array.view(np.memmap),
    ]  # fmt: skip
    rule, results = mxtrain.build({"kind": "lamb", "master": master}).rule, []
    for backend, view in product((*BACKENDS, mxtrain.build({"kind": "adam"}).backend), views):
        optimizer, generator = mxtrain.Optimizer(rule, backend), np.random.default_rng(0)
        weight = view(draw(generator, dtype)["matrix"])
        for _ in range(3):
            optimizer.step({"W": weight}, {"W": view(draw(generator, dtype)["matrix"])})
        results.append(np.ascontiguousarray(weight).tobytes())
    assert len(set(results)) == 1


@pytest.mark.parametrize(
    "config", [{"kind": "adam"}, {"kind": "muon"}, {"kind": "sgd", "μ": 0}], ids=["adam", "muon", "sgd"]
)
@every_half
def test_a_saved_state_continues_to_the_byte(config: dict[str, Any], dtype: Any, tmp_path: Path) -> None:
    config = {**config, "master": True, "ema": {"decay": 0.9}, "accumulate": 2}
    generator = np.random.default_rng(2)
    weights, optimizer = draw(generator, dtype), mxtrain.build(config)
    for _ in range(5):
        optimizer.step(weights, draw(generator, dtype))
    optimizer.save(tmp_path / "state.safetensors")
    copies, loaded = {name: array.copy() for name, array in weights.items()}, mxtrain.build(config)
    loaded.load(tmp_path / "state.safetensors")
    assert {slot.dtype.name for slot in loaded.slot_arrays()} == {"float32"}
    continued = []
    for each, params in ((optimizer, weights), (loaded, copies)):
        later = np.random.default_rng(3)
        for _ in range(3):
            each.step(params, draw(later, dtype))
        continued.append((bits(params), state_bytes(each)))
    assert continued[0] == continued[1]


@every_backend
@every_half
def test_weights_that_were_set_are_taken_over_where_they_differ(dtype: Any, backend: Any) -> None:
    rule = mxtrain.build({"kind": "sgd", "η": 2.0**-12, "λ": 0, "master": True}).rule
    optimizer = mxtrain.Optimizer(rule, backend)
    weight, ones = np.ones(3, dtype), np.ones(3, dtype)
    optimizer.step({"W": weight}, {"W": ones})
    assert weight.tolist() == [1.0] * 3
    weight[1] = 2
    optimizer.step({"W": weight}, {"W": ones})
    master = optimizer.state_dict()["parameters"]["W"]["slots"]["master"]
    assert master.tolist() == [1 - 2.0**-11, 2 - 2.0**-12, 1 - 2.0**-11]
    weight[0] = 5
    with pytest.raises(ArrayError):  # a refused step takes nothing over
        optimizer.step({"W": weight}, {"W": np.ones(2, dtype)})
    assert np.array_equal(optimizer.state_dict()["parameters"]["W"]["slots"]["master"], master)


@every_half
def test_small_steps_are_lost_without_master(dtype: Any) -> None:
    weights = []
    for master in (False, True):
        optimizer = mxtrain.build({"kind": "sgd", "η": 1e-4, "λ": 0, "master": master})
        weight = np.ones(4, dtype)
        for _ in range(1000):
            optimizer.step({"W": weight}, {"W": np.ones(4, dtype)})
        weights.append(float(weight[0]))
    assert weights[0] == 1.0
    assert abs(weights[1] - 0.9) < 4e-3


def test_master_in_a_group_and_without_half_weights() -> None:
    optimizer = mxtrain.build({"kind": "adam", "groups": {"E*": {"master": True}}})
    params = {"E": np.ones(2, F16), "E32": np.ones(2, "float32"), "W": np.ones(2, F16)}
    optimizer.step(params, {name: np.ones_like(array) for name, array in params.items()})
    saved = optimizer.state_dict()["parameters"]
    assert [name for name in params if "master" in saved[name]["slots"]] == ["E"]
    plain = mxtrain.build({"kind": "adam", "master": True})
    assert "master" in repr(plain.rule)
    assert "master" not in repr(mxtrain.build({"kind": "adam"}).rule)
    flat = mxtrain.FlatParameters({"W": np.ones(2)})
    plain.step(flat, flat.zeros_like())
    assert list(plain.state_dict()["parameters"]["W"]["slots"]) == ["m", "v"]


def test_a_state_from_before_master_starts_the_copy_at_the_weight() -> None:
    weight, gradient = np.ones(2, F16), np.full(2, 0.5, F16)
    before = mxtrain.build({"kind": "adam"})
    before.step({"W": weight}, {"W": gradient})
    after = mxtrain.build({"kind": "adam", "master": True})
    after.load_state_dict(before.state_dict())
    after.step({"W": weight}, {"W": gradient})
    slots = after.state_dict()["parameters"]["W"]["slots"]
    assert np.array_equal(slots["master"].astype(F16), weight)
    with pytest.raises(StateError) as caught:
        before.load_state_dict(after.state_dict())
    assert str(caught.value) == ("parameters['W']['slots'] must be a mapping with the keys m, v, got m, v, master")


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_overflow_of_float16_follows_on_nonfinite(kind: str) -> None:
    config = {"kind": kind, "η": 1e4, "λ": 0}
    params, grads = {"W": np.array([60000, 1], F16)}, {"W": np.array([-9, -9], F16)}
    message = "the update of weight 'W' would make it NaN or infinite; nothing has changed; clip or scale the gradient, or use bfloat16"
    optimizer = mxtrain.build(config, on_nonfinite="raise")
    with pytest.raises(NonFiniteError) as caught:
        optimizer.step(params, grads)
    assert str(caught.value) == message
    assert (params["W"].tolist(), optimizer.state.curr_iter, optimizer.state_dict()["parameters"]) == (
        [60000, 1],
        0,
        {},
    )
    with pytest.warns(RuntimeWarning, match=f"skipped: {message}"):
        mxtrain.build(config, on_nonfinite="skip").step(params, grads)
    assert params["W"].tolist() == [60000, 1]
    mxtrain.build(config, on_nonfinite="ignore").step(params, grads)
    assert params["W"][0] == np.inf
    warned = mxtrain.build({"kind": "sgd"})
    warned.step(params, grads)
    with pytest.warns(RuntimeWarning, match="weight 'W' is NaN or infinite, and stays so"):
        warned.step(params, grads)
    assert not np.isfinite(params["W"]).all()


W = np.ones((2, 2), F16)
READ_ONLY = W.copy()
READ_ONLY.flags.writeable = False
REFUSED: dict[str, tuple[Any, Any, str]] = {
    "float64 gradient": (
        W, np.ones((2, 2)),
        "the gradient of weight 'W' has dtype float64, the weight float16; pass gradient.astype('float32')",
    ),
    "gradient of the other half dtype": (
        W, W.astype(BF16),
        "the gradient of weight 'W' has dtype bfloat16, the weight float16; pass gradient.astype('float32')",
    ),
    "half gradient of a float32 weight": (
        np.ones((2, 2), "float32"), W,
        "the gradient of weight 'W' has dtype float16, the weight float32; pass gradient.astype('float32')",
    ),
    "other shape": (W, np.ones((2, 3), F16), "the gradient of weight 'W' has shape (2, 3), the weight (2, 2)"),
    "read-only": (READ_ONLY, W, "weight 'W' is read-only and cannot be updated in place; pass a copy of it"),
    "byte order": (
        W.astype(">f2"), W,
        "weight 'W' must be float32, float64, complex64, complex128, float16 or bfloat16 in the machine's byte order, got dtype >f2",
    ),
    "another 16-bit dtype": (
        W.astype("int16"), W,
        "weight 'W' must be float32, float64, complex64, complex128, float16 or bfloat16 in the machine's byte order, got dtype int16",
    ),
    "shared memory": (
        W, W,
        "the gradient of weight 'W' shares memory with the weight, which is about to change; pass a copy of the gradient",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_wrong_inputs_are_refused_in_one_line(case: Any) -> None:
    weight, gradient, message = case
    optimizer = mxtrain.build({"kind": "adam", "master": True})
    first = np.ones(2, BF16)
    optimizer.step({"V": first}, {"V": np.ones(2, BF16)})
    before, state = (weight.tobytes(), first.tobytes()), state_bytes(optimizer)
    with pytest.raises(ArrayError) as caught:
        optimizer.step({"V": first, "W": weight}, {"V": np.ones(2, BF16), "W": gradient})
    assert str(caught.value) == message
    assert ((weight.tobytes(), first.tobytes()), state_bytes(optimizer), optimizer.state.curr_iter) == (
        before,
        state,
        1,
    )


def test_wrong_states_are_refused_in_one_line() -> None:
    optimizer = mxtrain.build({"kind": "adam", "master": True})
    optimizer.step({"W": W.copy()}, {"W": W})
    for value, message in (
        (
            np.ones((2, 2), F16),
            (
                "parameters['W']['slots']['master'] must be an array of float32, float64, complex64 or complex128, got dtype "
                "float16; slots of half-precision weights are float32"
            ),
        ),
        (
            np.ones(3, "float32"),
            "parameters['W']: master must be a float32 copy of the weight, like its slots, got shape (3,) and dtype float32",
        ),
    ):
        saved = optimizer.state_dict()
        saved["parameters"]["W"]["slots"]["master"] = value
        with pytest.raises(StateError) as caught:
            mxtrain.build({"kind": "adam", "master": True}).load_state_dict(saved)
        assert str(caught.value) == message
    for other in (np.ones((2, 2), "float32"), np.ones(3, F16)):
        with pytest.raises(ArrayError) as refused:
            optimizer.step({"W": other}, {"W": np.ones_like(other)})
        assert str(refused.value) == (
            f"weight 'W' has shape {other.shape} and dtype {other.dtype}, but its state has the float32 copy of a "
            "half-precision weight of shape (2, 2); give another array another index"
        )


def test_update_and_normgrad_take_them() -> None:
    optimizer = mxtrain.build({"kind": "sgd", "η": 0.5, "λ": 0.5, "scale": 2})
    weight, gradient = np.array([2], BF16), np.array([1], BF16)
    assert mxtrain.normgrad(optimizer, weight, gradient) == np.array([3], "float32")
    optimizer.update("z", gradient, weight)
    assert weight == [0.5]
