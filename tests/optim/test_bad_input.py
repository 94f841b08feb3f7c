"""Invalid input raises one clear error, and nothing changes."""

from typing import Any

import numpy as np
import pytest

import mxtrain

W = np.arange(6, dtype="float32").reshape(2, 3)
READ_ONLY = W.copy()
READ_ONLY.flags.writeable = False


class Tensor:
    """Stand-in for a tensor of another framework."""


BAD = {
    "a list for a weight": ([1.0], W, "weight 0 must be a NumPy or CuPy array, got a list"),
    "a list for a gradient": (W, [1.0], "the gradient of weight 0 must be a NumPy or CuPy array, got a list"),
    "None for a gradient": (W, None, "the gradient of weight 0 must be a NumPy or CuPy array, got NoneType"),
    "integers": (
        W.astype(int),
        W,
        "weight 0 must be float32, float64, complex64, complex128, float16 or bfloat16 in the machine's byte order, got dtype int64",
    ),
    "extended precision": (
        W.astype("longdouble"),
        W,
        "weight 0 must be float32, float64, complex64, complex128, float16 or bfloat16 in the machine's byte order, got dtype float128",
    ),
    "foreign byte order": (
        W.astype(">f4"),
        W,
        "weight 0 must be float32, float64, complex64, complex128, float16 or bfloat16 in the machine's byte order, got dtype >f4",
    ),
    "a masked array": (
        np.ma.masked_array(W),
        W,
        "weight 0 must be a NumPy or CuPy array, got numpy.ma.MaskedArray",
    ),
    "read-only memory": (
        READ_ONLY,
        W,
        "weight 0 is read-only and cannot be updated in place; pass a copy of it",
    ),
    "elements in the same place": (
        np.lib.stride_tricks.as_strided(W, (2, 3), (0, 4)),
        W.copy(),
        "weight 0 is a broadcast view whose elements share memory; pass a copy of it",
    ),
    "another shape": (W, W.reshape(3, 2), "the gradient of weight 0 has shape (3, 2), the weight (2, 3)"),
    "another dtype": (
        W,
        W.astype("float64"),
        "the gradient of weight 0 has dtype float64, the weight float32; pass gradient.astype('float32')",
    ),
    "the weight as its own gradient": (
        W,
        W[:, ::-1],
        "the gradient of weight 0 shares memory with the weight, which is about to change; pass a copy of the gradient",
    ),
}


@pytest.mark.parametrize(("weight", "gradient", "message"), BAD.values(), ids=BAD.keys())
def test_update_with_an_invalid_array(weight: Any, gradient: Any, message: str) -> None:
    optimizer = mxtrain.build({"kind": "adam"})
    before = W.copy()
    with pytest.raises(mxtrain.ArrayError) as caught:
        optimizer.update(0, gradient, weight)
    assert str(caught.value) == message
    assert optimizer.state_dict()["parameters"] == {}
    assert (before == W).all()


def test_bad_types_are_type_errors_and_bad_shapes_value_errors() -> None:
    optimizer = mxtrain.build({"kind": "adam"})
    with pytest.raises(TypeError, match="^the gradient of weight 0 must be a NumPy or CuPy array, got a list$"):
        optimizer.update(0, [1.0], W)
    with pytest.raises(ValueError, match="has shape"):
        optimizer.update(0, W.T.copy(), W)


def test_a_step_with_one_invalid_array_changes_nothing() -> None:
    optimizer = mxtrain.build({"kind": "adam"})
    params = {"a": np.ones(3, dtype="float32"), "b": np.ones(2, dtype="float32")}
    with pytest.raises(mxtrain.ArrayError, match="weight 'b' has shape"):
        optimizer.step(params, {"a": np.ones(3, dtype="float32"), "b": np.ones(3, dtype="float32")})
    assert (params["a"] == 1).all()
    assert optimizer.state == mxtrain.OptimizationState()


@pytest.mark.parametrize(
    ("params", "grads", "message"),
    [
        ({"a": W}, {}, "params and grads must have the same names: no gradient for 'a'"),
        ({}, {"b": W}, "params and grads must have the same names: no parameter 'b'"),
        ({"a": W}, [W], "params and grads must have the same names: no gradient for 'a'; no parameter '0'"),
    ],
)
def test_step_with_different_names(params: Any, grads: Any, message: str) -> None:
    with pytest.raises(mxtrain.ArrayError) as caught:
        mxtrain.build({"kind": "sgd"}).step(params, grads)
    assert str(caught.value) == message


def test_an_index_belongs_to_one_array() -> None:
    optimizer = mxtrain.build({"kind": "adam"})
    optimizer.update(0, np.ones(3, dtype="float32"), np.ones(3, dtype="float32"))
    with pytest.raises(mxtrain.ArrayError, match="give another array another index"):
        optimizer.update(0, np.ones(4, dtype="float32"), np.ones(4, dtype="float32"))


def test_an_unknown_backend() -> None:
    with pytest.raises(mxtrain.BackendError, match="got 'cuda'"):
        mxtrain.build({"kind": "sgd"}, backend="cuda")


def test_a_clip_that_float32_rounds_to_zero_is_refused() -> None:
    with pytest.raises(mxtrain.ConfigError, match="clip: must be 0 or at least 1.2e-38, .* got 1e-46"):
        mxtrain.build({"kind": "sgd", "clip": 1e-46})


@pytest.mark.parametrize("kind", ["adadelta", "adagrad", "adam", "adamax", "adamw", "nadam", "rmsprop"])
def test_a_stability_term_that_float32_rounds_to_zero_is_refused(kind: str) -> None:
    with pytest.raises(mxtrain.ConfigError, match="ϵ: must be above 0 and at least 1.2e-38, got 1e-46"):
        mxtrain.build({"kind": kind, "ϵ": 1e-46})
    weight = np.ones(2, dtype="float32")
    mxtrain.build({"kind": kind, "ϵ": 1.2e-38, "λ": 0}).update(0, np.zeros(2, dtype="float32"), weight)
    assert (weight == 1).all(), "a gradient of 0 divides 0 by a positive number"


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("backend", ["numpy", "compiled"])
def test_a_matrix_is_an_array(backend: str) -> None:
    weight = np.asmatrix(np.ones((3, 2)))
    mxtrain.build({"kind": "sgd", "η": 0.5, "λ": 0}, backend=backend).update(0, np.asmatrix(np.ones((3, 2))), weight)
    assert (weight == 0.5).all()


@pytest.mark.parametrize("method", ["explain", "evaluation_params"])
@pytest.mark.parametrize(
    ("params", "message"),
    [({"W": 3}, "weight 'W' must be a NumPy or CuPy array, got 3"), (None, "params must be a mapping")],
)
def test_parameters_that_are_no_arrays_are_refused(method: str, params: Any, message: str) -> None:
    optimizer = mxtrain.build({"kind": "adam", "ema": {}}, backend="numpy")
    with pytest.raises(mxtrain.ArrayTypeError, match=message):
        getattr(optimizer, method)(params)
