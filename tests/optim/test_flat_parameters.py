"""Flat parameters give the same bits as separate arrays, in one call for each dtype."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain import FlatParameters
from tests.tables import as_bytes

SHAPES = {"W1": (3, 5), "b1": (5,), "scalar": (), "empty": (0, 4), "W2": (5, 2)}


def loose(seed: int, double: bool = False) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    dtypes = {"b1": "float64"} if double else {}
    return {
        name: generator.standard_normal(shape).astype(dtypes.get(name, "float32")).reshape(shape)
        for name, shape in SHAPES.items()
    }


@pytest.mark.parametrize("double", [False, True], ids=["one dtype", "two dtypes"])
@pytest.mark.parametrize("kind", ["sgd", "adam", "nadam"])
def test_flat_and_separate_arrays_give_the_same_bits(kind: str, double: bool) -> None:
    params, flat = loose(0, double), FlatParameters(loose(0, double))
    one, other = mxtrain.build({"kind": kind}), mxtrain.build({"kind": kind})
    for seed in (1, 2, 3):
        one.step(params, loose(seed, double))
        other.step(flat, FlatParameters(loose(seed, double)))
    assert as_bytes(flat) == as_bytes(params)
    assert other.state_dict()["parameters"].keys() == one.state_dict()["parameters"].keys()
    for name, entry in one.state_dict()["parameters"].items():
        again = other.state_dict()["parameters"][name]
        assert again["updates"] == entry["updates"]
        assert again["scalars"] == entry["scalars"]
        assert as_bytes(again["slots"]) == as_bytes(entry["slots"])


def test_a_state_is_shared_by_flat_and_separate_arrays() -> None:
    params, flat = loose(0), FlatParameters(loose(0))
    whole, first, second = (mxtrain.build({"kind": "nadam"}) for _ in range(3))
    for seed in (1, 2, 3, 4):
        whole.step(params, loose(seed))
    first.step(flat, FlatParameters(loose(1)))
    first.step(dict(flat), loose(2))  # separate arrays, which are the views of the flat ones
    second.load_state_dict(first.state_dict())
    second.step(flat, FlatParameters(loose(3)))
    second.step(flat, FlatParameters(loose(4)))
    assert as_bytes(flat) == as_bytes(params)


def test_parameters_with_different_update_counts_are_updated_one_by_one() -> None:
    params, flat = loose(0), FlatParameters(loose(0))
    one, other = mxtrain.build({"kind": "adam"}), mxtrain.build({"kind": "adam"})
    one.update("W1", loose(1)["W1"], params["W1"])
    other.update("W1", loose(1)["W1"], flat["W1"])
    for seed in (2, 3):
        one.step(params, loose(seed))
        other.step(flat, FlatParameters(loose(seed)))
    assert as_bytes(flat) == as_bytes(params)


def test_views_and_buffers_share_memory() -> None:
    flat = FlatParameters(loose(0))
    flat["W1"][...] = 7
    assert (flat.buffers["float32"][:15] == 7).all()
    assert list(flat) == list(SHAPES)


COPIES = {
    "copy()": lambda flat: flat.copy(),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "pickle": lambda flat: pickle.loads(pickle.dumps(flat)),
}


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES.keys())
def test_a_copy_has_its_own_views_and_buffers(duplicate: Any) -> None:
    flat = FlatParameters(loose(0, double=True))
    other = duplicate(flat)
    assert as_bytes(other) == as_bytes(flat)
    before = as_bytes(flat)
    mxtrain.build({"kind": "sgd"}).step(other, FlatParameters(loose(1, double=True)))
    assert as_bytes(flat) == before
    expected = loose(0, double=True)
    mxtrain.build({"kind": "sgd"}).step(expected, loose(1, double=True))
    assert as_bytes(other) == as_bytes(expected)


def test_arithmetic_in_place_changes_the_buffer() -> None:
    flat = FlatParameters(loose(0))
    flat["W1"] += 1
    flat["scalar"] *= 2
    expected = loose(0)
    expected["W1"] += 1
    expected["scalar"] *= 2
    assert as_bytes(flat) == as_bytes(expected)
    assert flat.buffers["float32"][:15].tobytes() == expected["W1"].tobytes()


def test_replacing_an_array_is_an_error_with_a_remedy() -> None:
    flat = FlatParameters(loose(0))
    with pytest.raises(TypeError, match=r"write flat\['W1'\]\[\.\.\.\] = value"):
        flat["W1"] = np.zeros((3, 5), dtype="float32")
    with pytest.raises(TypeError, match=r"flat parameters have no array 'V', and none can be added"):
        flat["V"] = np.zeros((3, 5), dtype="float32")
    assert as_bytes(flat) == as_bytes(loose(0))


def test_gradients_must_have_their_own_memory_and_may_have_another_layout() -> None:
    flat = FlatParameters(loose(0))
    with pytest.raises(mxtrain.ArrayError, match="the gradients share memory with the parameters"):
        mxtrain.build({"kind": "sgd"}).step(flat, flat)
    shuffled = FlatParameters(dict(reversed(loose(1).items())))
    expected = loose(0)
    mxtrain.build({"kind": "sgd"}).step(flat, shuffled)
    mxtrain.build({"kind": "sgd"}).step(expected, loose(1))
    assert as_bytes(flat) == as_bytes(expected)


@pytest.mark.parametrize("bad", [[1.0], np.zeros(2, dtype=int), 1.0])
def test_only_floating_arrays_can_be_flat(bad: Any) -> None:
    with pytest.raises(mxtrain.ArrayTypeError, match="'W'"):
        FlatParameters({"W": bad})
