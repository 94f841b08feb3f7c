"""Weights that share memory are an error with both names, before any change, on every backend."""

from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.optim.backends.overlap import OverlapCheck, memory_layout, overlaps_itself

BACKENDS = ["numpy", "compiled", "auto"]
BASE = np.arange(24.0)


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape)


def whole() -> tuple[np.ndarray, np.ndarray]:
    memory = BASE.copy()
    return memory, memory


def shifted() -> tuple[np.ndarray, np.ndarray]:
    memory = BASE.copy()
    return memory[:23], memory[1:]


def foreign() -> tuple[np.ndarray, np.ndarray]:
    memory = bytearray(8 * 24)
    return np.frombuffer(memory), np.frombuffer(memory)


def crossing() -> tuple[np.ndarray, np.ndarray]:
    matrix = BASE.copy().reshape(4, 6)
    return matrix[:, ::2], matrix[1:3]


SHARED = {"one array": whole, "overlapping views": shifted, "one buffer": foreign, "a row and a column": crossing}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("make", SHARED.values(), ids=SHARED.keys())
def test_weights_that_share_memory(make: Any, backend: str) -> None:
    a, b = make()
    before = np.array(a), np.array(b)
    optimizer = mxtrain.build({"kind": "adam"}, backend=backend)
    with pytest.raises(mxtrain.ArrayError, match="^weights 'a' and 'b' share memory, .*; pass .* a copy$"):
        optimizer.step({"x": ones(3), "a": a, "b": b}, {"x": ones(3), "a": ones(*a.shape), "b": ones(*b.shape)})
    assert (a == before[0]).all()
    assert (b == before[1]).all()
    assert (optimizer.state.curr_iter, optimizer.state_dict()["parameters"]) == (0, {})


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("make", SHARED.values(), ids=SHARED.keys())
def test_a_gradient_that_shares_memory_with_another_weight(make: Any, backend: str) -> None:
    a, gradient = make()
    b, others = ones(*gradient.shape), ones(*a.shape)
    optimizer = mxtrain.build({"kind": "adam"}, backend=backend)
    for params, grads in (
        ({"a": a, "b": b}, {"a": others, "b": gradient}),
        ({"b": b, "a": a}, {"b": gradient, "a": others}),
    ):
        with pytest.raises(mxtrain.ArrayError, match="^the gradient of weight 'b' shares memory with weight 'a', "):
            optimizer.step(params, grads)
    assert (optimizer.state.curr_iter, b.min(), b.max()) == (0, 1, 1)


def windows(strides: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    return np.lib.stride_tricks.as_strided(BASE.copy(), shape, strides)


@pytest.mark.parametrize(
    ("weight", "overlaps"),
    [
        (windows((8, 8), (3, 4)), True),  # a sliding window
        (windows((0, 8), (3, 4)), True),
        (windows((16, 24), (4, 3)), True),  # 0, 3, 6 and 0, 2, 4, 6
        (windows((16, 24), (3, 2)), False),  # interleaved: 0, 2, 4 and 3, 5, 7
        (windows((4,), (3,)), True),  # half an element apart
        (windows((64, 16), (2, 4)), False),
        (windows((0, 8), (1, 4)), False),
    ],
)
@pytest.mark.parametrize("act", ["update", "updater", "step"])
def test_a_weight_that_shares_memory_with_itself(weight: np.ndarray, overlaps: bool, act: str) -> None:
    optimizer, gradient = mxtrain.build({"kind": "sgd"}), ones(*weight.shape)

    def run() -> None:
        match act:
            case "update":
                optimizer.update("w", gradient, weight)
            case "updater":
                mxtrain.get_updater(optimizer)("w", gradient, weight)
            case _:
                optimizer.step({"w": weight}, {"w": gradient})

    if overlaps:
        with pytest.raises(mxtrain.ArrayError, match="^weight 'w' is .*view whose elements share memory"):
            run()
    else:
        run()


@pytest.mark.parametrize("backend", BACKENDS)
def test_arrays_without_common_elements_are_accepted(backend: str) -> None:
    """Interleaved and neighbouring views of one array, a gradient for two weights, empty arrays under two names."""
    config = {"kind": "sgd", "η": 1, "λ": 0}
    memory, empty, gradient = np.zeros((6, 8)), np.zeros(0), ones(6, 4)
    params = {"even": memory[:, ::2], "odd": memory[:, 1::2], "none": empty, "nothing": empty}
    grads = {"even": gradient, "odd": gradient, "none": empty, "nothing": empty}
    optimizer = mxtrain.build(config, backend=backend)
    for _ in range(3):
        optimizer.step(params, grads)
    assert (memory == -3).all()
    columns = {f"{i}": memory[:, i] for i in range(8)}
    mxtrain.build(config, backend=backend).step(columns, {name: ones(6) for name in columns})
    assert (memory == -4).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_arrays_that_share_memory_after_a_step_are_refused(backend: str) -> None:
    memory = np.zeros(20)
    params = {"a": memory[:10], "b": memory[10:]}
    grads = {name: ones(10) for name in params}
    optimizer = mxtrain.build({"kind": "sgd"}, backend=backend)
    optimizer.step(params, grads)
    with pytest.raises(mxtrain.ArrayError, match="'a' and 'b'"):
        optimizer.step({"a": memory[:10], "b": memory[9:19]}, grads)
    with pytest.raises(mxtrain.ArrayError, match="gradient of weight 'b' .* weight 'a'"):
        optimizer.step(params, {"a": ones(10), "b": memory[5:15]})
    optimizer.step(params, grads)


@pytest.mark.parametrize("backend", BACKENDS)
def test_flat_parameters(backend: str) -> None:
    params = mxtrain.FlatParameters({"W": ones(2, 2), "b": ones(2), "c": ones(2).astype("float32")})
    grads = params.zeros_like()
    optimizer = mxtrain.build({"kind": "sgd"}, backend=backend)
    optimizer.step(params, grads)
    with pytest.raises(mxtrain.ArrayError, match="gradients share memory with the parameters"):
        optimizer.step(params, params)
    with pytest.raises(mxtrain.ArrayError, match="the gradient of weight 'b' shares memory with weight 'W'"):
        optimizer.step(params, {**grads, "b": params["W"].reshape(-1)[1:3]})
    with pytest.raises(mxtrain.ArrayError, match="weights 'W' and 'other' share memory"):
        optimizer.step({**params, "other": params["W"].T}, {**grads, "other": ones(2, 2)})
    assert optimizer.state.curr_iter == 1
    optimizer.step(dict(params), dict(grads))


def test_too_irregular_to_decide() -> None:
    """An exact answer is an integer program; if it takes too long, the arrays are refused with the reason."""
    generator = np.random.default_rng(0)
    memory = np.zeros(200_000)
    for _ in range(20):
        first, second = (generator.integers(1, 2000, 8) * 8 for _ in range(2))
        a = np.lib.stride_tricks.as_strided(memory, (3,) * 8, tuple(map(int, first)))
        b = np.lib.stride_tricks.as_strided(memory[1:], (3,) * 8, tuple(map(int, second)))
        with suppress(mxtrain.ArrayError):
            OverlapCheck().check([("a", np.zeros(a.shape), a), ("b", np.zeros(b.shape), b)])
        assert overlaps_itself(memory_layout(a)) == (len(np.unique(_offsets(a))) < a.size)


def _offsets(array: np.ndarray) -> Any:
    offsets = np.zeros(1, dtype=np.int64)
    for stride, n in zip(array.strides, array.shape, strict=True):
        offsets = np.add.outer(offsets, stride * np.arange(n)).reshape(-1)
    return offsets


def test_arrays_on_a_gpu_are_compared_by_their_pointers() -> None:
    """Only the pointer, shape, strides and element size of a CuPy array are used."""

    def on_gpu(pointer: int, length: int, stride: int = 8) -> Any:
        return SimpleNamespace(data=SimpleNamespace(ptr=pointer), shape=(length,), strides=(stride,), itemsize=8)

    def step(*weights: Any) -> None:
        gradients = [on_gpu(10**6 * (i + 1), 10) for i in range(len(weights))]
        OverlapCheck().check([(i, *pair) for i, pair in enumerate(zip(gradients, weights, strict=True))])

    step(on_gpu(0x7F0000000000, 10), on_gpu(0x7F0000000050, 10))
    step(on_gpu(0x7F0000000000, 10, 16), on_gpu(0x7F0000000008, 10, 16))
    for pointer in (0x7F0000000000, 0x7F0000000048):
        with pytest.raises(mxtrain.ArrayError, match="weights 0 and 1 share memory"):
            step(on_gpu(0x7F0000000000, 10), on_gpu(pointer, 10))
    with pytest.raises(mxtrain.ArrayError, match="the gradient of weight 0 shares memory with weight 1"):
        step(on_gpu(0x7F0000000000, 10), on_gpu(10**6 + 8, 10))


@pytest.mark.parametrize("backend", BACKENDS)
def test_memory_that_moves_between_steps(backend: str) -> None:
    """After `resize` and back, an array is the same object with other memory; its old memory is free."""
    weight, gradient = np.zeros(100), np.ones(100)
    optimizer = mxtrain.build({"kind": "sgd", "η": 1, "λ": 0}, backend=backend)
    optimizer.update(0, gradient, weight)
    others = []
    for _ in range(20):
        for array in (weight, gradient):
            array.resize(50_000, refcheck=False)
            others.append(np.full(100, 7.0))  # takes the memory that was freed
            array.resize(100, refcheck=False)
        before = weight.copy()
        optimizer.update(0, gradient, weight)
        assert (weight == before - gradient).all()
        assert all((each == 7).all() for each in others)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("backend", BACKENDS)
def test_attributes_of_an_array_that_are_set_between_steps(backend: str) -> None:
    config = {"kind": "sgd", "η": 1, "λ": 0}
    weight, gradient = np.zeros((2, 2)), np.arange(4.0).reshape(2, 2)
    optimizer = mxtrain.build(config, backend=backend)
    optimizer.update(0, gradient, weight)
    weight.strides = (8, 16)
    before = weight.copy()
    optimizer.update(0, gradient, weight)
    assert (weight == before - gradient).all()
    weight.flags.writeable = False
    with pytest.raises(mxtrain.ArrayError, match="read-only"):
        optimizer.update(0, gradient, weight)
