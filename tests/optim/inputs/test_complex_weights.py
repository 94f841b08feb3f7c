"""Complex weights: equal to real views for every rule and wrapper, norms, groups, states, and inputs that are refused."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import mxtrain
from mxtrain.errors import ArrayError, StateError
from mxtrain.optim.backends.compiled.numba_backend import NumbaBackend
from mxtrain.optim.backends.numpy_backend import NumPyBackend
from mxtrain.optim.rules.matrix_rule import MatrixRule
from mxtrain.types import NonNegative, Positive
from tests.optim.rules.test_every_rule import ALL_CONFIGS, every_config, state_bytes
from tests.tables import MATRIX_CONFIGS

SHAPES: dict[str, tuple[int, ...]] = {"scalar": (), "empty": (0, 3), "matrix": (7, 11), "vector": (5,)}
WRAPPERS: dict[str, dict[str, Any]] = {
    "stage": {"scale": -0.5, "clip": 0.3, "λ": 0.01},
    "cautious": {"cautious": True},
    "lookahead": {"lookahead": {"period": 2}},
    "ema": {"ema": {"decay": 0.9}},
    "clip_norm": {"clip_norm": 1.5},
    "accumulate": {"accumulate": 2},
    "skip_nonfinite": {"skip_nonfinite": True},
}


def draw(generator: np.random.Generator, dtype: str = "complex64") -> dict[str, np.ndarray]:
    return {
        name: np.asarray(generator.standard_normal(shape) + 1j * generator.standard_normal(shape), dtype=dtype)
        for name, shape in SHAPES.items()
    }


def parts(arrays: dict[str, np.ndarray], is_flat: bool = False) -> dict[str, np.ndarray]:
    """Return copies of complex arrays as real ones."""
    real = {name: np.atleast_1d(array).view(array.real.dtype).copy() for name, array in arrays.items()}
    return {name: array.reshape(-1) for name, array in real.items()} if is_flat else real


def assert_equal_to_parts(config: dict[str, Any], backend: Any, dtype: str = "complex64") -> None:
    rule = mxtrain.build(config).rule
    generator = np.random.default_rng(5)
    is_flat = config["kind"] in {each["kind"] for each in MATRIX_CONFIGS.values()}  # vectors get another rule
    weights = draw(generator, dtype)
    real = parts(weights, is_flat)
    optimizer, reference = mxtrain.Optimizer(rule, backend), mxtrain.Optimizer(rule, backend)
    for _ in range(4):
        grads = draw(generator, dtype)
        optimizer.step(weights, grads)
        reference.step(real, parts(grads, is_flat))
    assert {name: array.tobytes() for name, array in weights.items()} == {
        name: array.tobytes() for name, array in real.items()
    }
    assert state_bytes(optimizer) == state_bytes(reference)
    assert {slot.dtype.name for slot in optimizer.slot_arrays()} <= {dtype}
    for name, array in optimizer.evaluation_params(weights).items():
        assert array.dtype == dtype
        assert array.tobytes() == reference.evaluation_params(real)[name].tobytes()


@pytest.mark.parametrize("backend", [NumPyBackend(), NumbaBackend()], ids=["numpy", "compiled"])
@every_config
def test_every_rule_acts_on_the_parts(config: dict[str, Any], backend: Any) -> None:
    assert_equal_to_parts(config, backend)


@pytest.mark.parametrize("wrapper", WRAPPERS.values(), ids=WRAPPERS.keys())
@pytest.mark.parametrize("kind", ["adam", "lamb", "soap"])
def test_every_wrapper_acts_on_the_parts(kind: str, wrapper: dict[str, Any]) -> None:
    assert_equal_to_parts(ALL_CONFIGS[kind] | wrapper, NumPyBackend(), "complex128")


VIEWS: dict[str, Any] = {
    "Fortran order": np.asfortranarray,
    "every other": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    "reversed": lambda array: array[::-1].copy()[::-1],
    "a subclass": lambda array: array.view(np.memmap),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
@pytest.mark.parametrize("backend", [NumPyBackend(), NumbaBackend()], ids=["numpy", "compiled"])
def test_strided_weights_are_updated_in_place(view: Any, backend: Any) -> None:
    rule = mxtrain.build({"kind": "lamb"}).rule
    generator = np.random.default_rng(0)
    plain = draw(generator)["matrix"]
    strided = view(plain.copy())
    one, other = mxtrain.Optimizer(rule, backend), mxtrain.Optimizer(rule, backend)
    for _ in range(3):
        gradient = draw(generator)["matrix"]
        one.step({"W": plain}, {"W": gradient})
        other.step({"W": strided}, {"W": view(gradient)})
    assert np.array_equal(plain, strided)


def test_norms_are_those_of_complex_numbers() -> None:
    optimizer = mxtrain.build({"kind": "sgd", "η": 1, "λ": 0, "clip_norm": 1})
    weight = np.zeros(1, dtype="complex128")
    optimizer.step({"z": weight}, {"z": np.array([3 + 4j])})
    np.testing.assert_allclose(weight, [-0.6 - 0.8j], rtol=1e-15)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_adaptive_clipping_uses_the_columns_of_the_complex_shape(accumulate: int) -> None:
    generator = np.random.default_rng(1)
    weights = {name: draw(generator)[name] for name in ("matrix", "vector", "scalar")}
    grads = {name: draw(generator)[name] for name in weights}
    before = {name: array.copy() for name, array in weights.items()}
    config = {"kind": "sgd", "η": 1, "λ": 0, "agc": {"clipping": 0.5}, "accumulate": accumulate}
    optimizer = mxtrain.build(config, backend="compiled")
    for _ in range(accumulate):
        optimizer.step(weights, grads)
    for name, g in grads.items():
        axis = 0 if name == "matrix" else None
        norm, bound = (np.sqrt((np.abs(each.astype(complex)) ** 2).sum(axis=axis)) for each in (g, before[name]))
        factor = np.where(norm >= 0.5 * bound, 0.5 * bound / norm, 1)
        assert (factor < 1).any()
        np.testing.assert_allclose(weights[name], before[name] - factor * g, rtol=1e-5)


def test_groups_and_explain_use_the_complex_shape() -> None:
    config = {"kind": "muon", "groups": {"ndim < 2": {"λ": 0}, "size > 70": {"kind": "sgd", "λ": 0}}}
    optimizer = mxtrain.build(config)
    params = {
        "v": np.ones(3, "complex64"), "M": np.ones((6, 6), "complex64"), "L": np.ones((9, 9), "complex64"),
        "R": np.ones((6, 6), "float32"),
    }  # fmt: skip
    explanation = optimizer.explain(params)
    assert {name: each.kind for name, each in explanation.items()} == {
        "v": "adamw",
        "M": "adamw",
        "L": "sgd",
        "R": "muon",
    }
    assert explanation["M"].decided_by == "the optimizer (otherwise)"
    assert explanation["M"].shape == (6, 6)
    optimizer.step(params, {name: np.ones_like(array) for name, array in params.items()})
    slots = {name: list(each["slots"]) for name, each in optimizer.state_dict()["parameters"].items()}
    assert slots == {"v": ["m", "v"], "M": ["m", "v"], "L": [], "R": ["m"]}


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_a_saved_state_continues_to_the_byte(dtype: str, tmp_path: Path) -> None:
    config = {"kind": "adam", "amsgrad": True, "ema": {"decay": 0.9}, "lookahead": {"period": 2}}
    generator = np.random.default_rng(2)
    weights, optimizer = draw(generator, dtype), mxtrain.build(config)
    for _ in range(3):
        optimizer.step(weights, draw(generator, dtype))
    optimizer.save(tmp_path / "state.safetensors")
    copies, continued, loaded = {name: array.copy() for name, array in weights.items()}, [], mxtrain.build(config)
    loaded.load(tmp_path / "state.safetensors")
    for each, params in ((optimizer, weights), (loaded, copies)):
        later = np.random.default_rng(3)
        for _ in range(3):
            each.step(params, draw(later, dtype))
        continued.append(({name: array.tobytes() for name, array in params.items()}, state_bytes(each)))
    assert continued[0] == continued[1]
    assert {slot.dtype.name for slot in loaded.slot_arrays()} == {dtype}


class Halving(MatrixRule):
    """Rule of a user's without a rule for other arrays."""

    kind: Literal["halved_matrix"] = "halved_matrix"
    η: Positive = 1.0
    λ: NonNegative = 0.0

    def coefficients(self, time: Any, scalars: Any) -> dict[str, float]:
        return {}

    @staticmethod
    def update_matrix(W: Any, g: Any, *, operations: Any) -> None:
        W *= 0.5


W = np.ones((2, 2), "complex64")
REFUSED: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "real gradient": (
        W, np.ones((2, 2), "float32"), {},
        "the gradient of weight 'W' has dtype float32, the weight complex64; pass gradient.astype('complex64')",
    ),
    "gradient of more bits": (
        W, np.ones((2, 2), "complex128"), {},
        "the gradient of weight 'W' has dtype complex128, the weight complex64; pass gradient.astype('complex64')",
    ),
    "complex gradient of a real weight": (
        np.ones((2, 2), "float32"), W, {},
        "the gradient of weight 'W' has dtype complex64, the weight float32; pass gradient.real.astype('float32')",
    ),
    "other shape": (W, np.ones((2, 3), "complex64"), {}, "the gradient of weight 'W' has shape (2, 3), the weight (2, 2)"),
    "integers": (
        W, np.ones((2, 2), "int64"), {},
        "the gradient of weight 'W' must be float32, float64, complex64, complex128, float16 or bfloat16 in the machine's byte order, got dtype int64",
    ),
    "byte order": (
        W.astype(">c8"), W, {},
        "weight 'W' must be float32, float64, complex64, complex128, float16 or bfloat16 in the machine's byte order, got dtype >c8",
    ),
    "broadcast view": (
        np.broadcast_to(np.ones((), "complex64"), (2, 2)), W, {},
        "weight 'W' is read-only and cannot be updated in place; pass a copy of it",
    ),
    "bounds": (
        W, W.copy(), {"bounds": [0, None]},
        "weight 'W' is complex64, and complex numbers have no order; set bounds: null in a group for it",
    ),
    "shared memory": (
        W, W, {},
        "the gradient of weight 'W' shares memory with the weight, which is about to change; pass a copy of the gradient",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_wrong_inputs_are_refused_in_one_line(case: Any) -> None:
    weight, gradient, config, message = case
    optimizer = mxtrain.build({"kind": "adam"} | config)
    optimizer.step({"V": np.ones(2)}, {"V": np.ones(2)})
    before, state = weight.tobytes(), state_bytes(optimizer)
    with pytest.raises(ArrayError) as caught:
        optimizer.step({"V": np.ones(2), "W": weight}, {"V": np.ones(2), "W": gradient})
    assert str(caught.value) == message
    assert (weight.tobytes(), state_bytes(optimizer), optimizer.state.curr_iter) == (before, state, 1)


def test_a_state_of_real_slots_is_refused() -> None:
    optimizer = mxtrain.build({"kind": "adam"})
    optimizer.step({"W": np.ones((2, 2))}, {"W": np.ones((2, 2))})
    with pytest.raises(ArrayError) as caught:
        optimizer.step({"W": np.ones((2, 2), complex)}, {"W": np.ones((2, 2), complex)})
    assert str(caught.value) == (
        "weight 'W' has shape (2, 2) and dtype complex128, but its slots have shape (2, 2) and dtype float64; "
        "give another array another index"
    )
    saved = optimizer.state_dict()
    saved["parameters"]["W"]["slots"]["v"] = np.ones((2, 2), complex)
    with pytest.raises(StateError, match="its slots have different shapes or dtypes"):
        mxtrain.build({"kind": "adam"}).load_state_dict(saved)


def test_flat_parameters_refuse_them_with_a_remedy() -> None:
    with pytest.raises(ArrayError) as caught:
        mxtrain.FlatParameters({"W": W})
    assert str(caught.value) == (
        "'W' must be float32 or float64 in flat parameters, got dtype complex64; pass it to step in a dict"
    )


def test_update_and_normgrad_take_them() -> None:
    optimizer = mxtrain.build({"kind": "sgd", "η": 0.5, "λ": 0.5, "scale": 2})
    weight, gradient = np.array([2 + 4j]), np.array([1 - 1j])
    assert mxtrain.normgrad(optimizer, weight, gradient) == [3 + 0j]
    optimizer.update("z", gradient, weight)
    assert weight == [0.5 + 4j]


def test_a_matrix_rule_of_a_user_is_refused() -> None:
    with pytest.raises(ArrayError) as caught:
        mxtrain.build(Halving()).step({"W": W}, {"W": W.copy()})
    assert str(caught.value) == (
        "weight 'W' is complex64, and halved_matrix computes products of real matrices; give it an elementwise rule with a group"
    )
