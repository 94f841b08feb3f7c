"""Nested parameters: names by path, gradients of the same names, and everything that uses names."""

import copy
import gc
import weakref
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest

import mxtrain
from mxtrain.optim.inputs import flatten, map_leaves
from tests.optim.inputs.fake_arrays import Tensor, WithArrayMethod

PLAIN = {"kind": "sgd", "η": 0.5, "λ": 0}


class Layer(NamedTuple):
    W: Any
    b: Any = None


@dataclass(frozen=True)
class Model:
    layers: Any
    scale: Any = None
    steps: dict[str, Any] = field(default_factory=dict)


def one(*shape: int) -> np.ndarray:
    return np.ones(shape or (2,), dtype="float32")


def model() -> Model:
    return Model([Layer(one(3, 2), one(2)), Layer(one(2, 1))], one(1), {"x": (one(1), one(2))})


NAMES = ("layers.0.W", "layers.0.b", "layers.1.W", "scale", "steps.x.0", "steps.x.1")


def leaves(tree: Any) -> list[np.ndarray]:
    return [leaf for leaf in flatten("params", tree).leaves if leaf is not None]


def test_names_are_paths() -> None:
    flat = flatten("params", model())
    assert [name for name, leaf in zip(flat.names, flat.leaves, strict=True) if leaf is not None] == list(NAMES)


def test_keys_of_the_outermost_mapping_are_names_as_they_are() -> None:
    params = {0: one(), ("a", 1): one(), "b": {1: one()}, np.int64(7): [one()]}
    assert flatten("params", params).names == (0, ("a", 1), "b.1", "7.0")
    optimizer = mxtrain.build(PLAIN)
    optimizer.step(params, params and {0: one(), ("a", 1): one(), "b": {1: one()}, 7: [one()]})
    assert [*optimizer.state_dict()["parameters"]] == [0, ("a", 1), "b.1", "7.0"]


def test_an_object_that_is_an_array_is_no_container() -> None:
    @dataclass
    class Array(WithArrayMethod):
        array: Any

        def __post_init__(self) -> None:
            self.shape = self.array.shape

    weight = one()
    mxtrain.build(PLAIN).step({"W": weight}, {"W": Array(one())})
    assert (weight == 0.5).all()


def test_static_fields_hold_no_parameters() -> None:
    @dataclass
    class Linear:
        W: Any
        size: int = field(default=3, metadata={"static": True})
        name: str = field(default="linear", metadata={"pytree_node": False})

    optimizer, layer = mxtrain.build({"kind": "sgd", "ema": {}}), Linear(one())
    optimizer.step([layer], [Linear(one(), 4, "gradient")])
    assert [*optimizer.state_dict()["parameters"]] == ["0.W"]
    (average,) = optimizer.evaluation_params([layer])
    assert (average.size, average.name) == (3, "linear")


CONTAINERS: dict[str, tuple[Any, Any]] = {
    "dicts": ({"a": {"b": one()}}, {"a": {"b": one()}}),
    "lists": ([one(), [one()]], [one(), [one()]]),
    "tuples": ((one(), (one(),)), (one(), (one(),))),
    "a named tuple": (Layer(one(), one()), Layer(one(), one())),
    "a dataclass": (model(), model()),
    "an OrderedDict": (OrderedDict(a=[one()]), OrderedDict(a=[one()])),
    "a mapping that is no dict": (MappingProxyType({"a": [one()]}), {"a": [one()]}),
    "a list of gradients for a tuple": ((one(), one()), [one(), one()]),
    "a dict of gradients for a dataclass": (Layer(one(), one()), {"b": one(), "W": one()}),
    "gradients by path": (model(), {name: one(*leaf.shape) for name, leaf in zip(NAMES, leaves(model()), strict=True)}),
    "parameters by path": ({"a.b": one()}, {"a": {"b": one()}}),
    "an empty container": ({"a": one(), "b": []}, {"a": one(), "b": {}}),
}


@pytest.mark.parametrize(("params", "grads"), CONTAINERS.values(), ids=CONTAINERS.keys())
def test_every_container_is_updated(params: Any, grads: Any) -> None:
    optimizer = mxtrain.build(PLAIN)
    for count in (1, 2):
        optimizer.step(params, grads)
        assert {float(array.min()) for array in leaves(params)} == {1 - 0.5 * count}
    assert {float(array.min()) for array in leaves(grads)} == {1.0}


def test_nested_and_flat_parameters_have_the_same_bits_and_states(arrays: Any) -> None:
    values = arrays((5,), count=8)
    nested = {"a": [values[0].copy(), {"b": values[1].copy()}], "c": values[2].copy()}
    flat = {"a.0": values[0].copy(), "a.1.b": values[1].copy(), "c": values[2].copy()}
    first, second = (mxtrain.build({"kind": "lamb", "clip_norm": 0.5}, backend="numpy") for _ in range(2))
    for g in (values[3:6], values[5:8]):
        first.step(nested, {"a": [g[0], {"b": g[1]}], "c": g[2]})
        second.step(flat, dict(zip(flat, g, strict=True)))
    assert [each.tobytes() for each in leaves(nested)] == [each.tobytes() for each in flat.values()]
    assert repr(first.state_dict()) == repr(second.state_dict())


def test_a_saved_state_continues_with_flat_or_nested_parameters(tmp_path: Path) -> None:
    optimizer = mxtrain.build({"kind": "adam"})
    params = {"a": [one(), one()]}
    optimizer.step(params, {"a": [one(), one()]})
    optimizer.save(tmp_path / "state")
    results = []
    for each in ({"a": [a.copy() for a in params["a"]]}, {"a.0": params["a"][0].copy(), "a.1": params["a"][1].copy()}):
        other = mxtrain.build({"kind": "adam"})
        other.load(tmp_path / "state")
        other.step(each, {"a": [one(), one()]})
        results.append([array.tobytes() for array in leaves(each)])
    assert results[0] == results[1]


def test_groups_select_by_path() -> None:
    groups = {"layers.*.b": {"η": 0}, "layers.1.*": {"η": 0.25}}
    optimizer = mxtrain.build(PLAIN | {"groups": groups})
    params = model()
    assert [str(each.selector) for each in optimizer.explain(params).values()] == [
        "None",
        "layers.*.b",
        "layers.1.*",
        "None",
        "None",
        "None",
    ]
    optimizer.step(params, model())
    assert [float(array.min()) for array in leaves(params)] == [0.5, 1.0, 0.75, 0.5, 0.5, 0.5]
    with pytest.raises(mxtrain.ConfigError, match="groups.layers.9"):
        mxtrain.build(PLAIN | {"groups": {"layers.9.*": {"η": 1}}}).step(params, model())


def test_explain_names_shapes_and_skips_none() -> None:
    explanation = mxtrain.build({"kind": "adam"}).explain(model())
    assert {name: each.shape for name, each in explanation.items()} == {
        name: leaf.shape for name, leaf in zip(NAMES, leaves(model()), strict=True)
    }


@pytest.mark.parametrize("make", [model, lambda: [one(), (one(),)], lambda: {"a": OrderedDict(b=one())}])
def test_evaluation_params_have_the_same_containers(make: Any) -> None:
    optimizer, params = mxtrain.build({"kind": "sgd", "ema": {"decay": 0.5}}), make()
    optimizer.step(params, make())
    before = [array.copy() for array in leaves(params)]
    averages = optimizer.evaluation_params(params)
    assert type(averages) is type(params)
    assert flatten("params", averages)[:2] == flatten("params", params)[:2]
    for average, weight, old in zip(leaves(averages), leaves(params), before, strict=True):
        assert average.shape == weight.shape
        assert not np.shares_memory(average, weight)
        assert (weight == old).all()
    optimizer.step(params, make())
    assert any((a != w).any() for a, w in zip(leaves(optimizer.evaluation_params(params)), leaves(params), strict=True))


def test_evaluation_params_without_averages_are_the_parameters() -> None:
    params = model()
    assert mxtrain.build({"kind": "sgd"}).evaluation_params(params) is params


def test_evaluation_params_of_tensors_are_tensors() -> None:
    optimizer, params = mxtrain.build({"kind": "sgd", "ema": {"decay": 0.5}}), [Tensor(one())]
    optimizer.step(params, [Tensor(one())])
    (average,) = optimizer.evaluation_params(params)
    assert isinstance(average, Tensor)
    assert (average.array == params[0].array).all()
    assert not np.shares_memory(average.array, params[0].array)


def test_map_leaves_keeps_containers() -> None:
    tree = Model((Layer(1, [2]), None), 3, OrderedDict(x=4))
    mapped = map_leaves(tree, [10, 20, None, 30, 40])
    assert mapped == Model((Layer(10, [20]), None), 30, OrderedDict(x=40))
    assert type(mapped.steps) is OrderedDict
    assert tree.scale == 3


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_a_gradient_of_none_leaves_the_parameter_unchanged(kind: str) -> None:
    optimizer, params = mxtrain.build({"kind": kind, "λ": 0.1}), {"a": one(), "b": one()}
    optimizer.step(params, {"a": one(), "b": None})
    assert (params["a"] != 1).all()
    assert (params["b"] == 1).all()
    assert [*optimizer.state_dict()["parameters"]] == ["a"]
    optimizer.step(params, {"a": one(), "b": one()})
    counts = {name: each["updates"] for name, each in optimizer.state_dict()["parameters"].items()}
    assert counts == {"a": 2, "b": 1}


def test_none_in_place_of_a_container_leaves_its_parameters_unchanged() -> None:
    params = {"encoder": {"W": one(), "inner": [one()]}, "head": one()}
    mxtrain.build(PLAIN).step(params, {"encoder": None, "head": one()})
    assert [float(array.min()) for array in leaves(params)] == [1.0, 1.0, 0.5]


def test_a_step_without_any_gradient_counts_an_iteration() -> None:
    optimizer, params = mxtrain.build(PLAIN), [one()]
    optimizer.step(params, [None])
    assert (params[0] == 1).all()
    assert optimizer.state.curr_iter == 1


def test_a_group_of_parameters_without_gradients_is_in_use() -> None:
    optimizer, params = mxtrain.build(PLAIN | {"groups": {"b": {"η": 1}}}), {"a": one(), "b": one()}
    optimizer.step(params, {"a": one(), "b": None})
    assert (params["a"] != one()).all()
    assert (params["b"] == one()).all()


def test_norms_cover_the_parameters_with_gradients() -> None:
    params = {"a": one(4), "b": one(4)}
    mxtrain.build({"kind": "sgd", "η": 1.0, "λ": 0, "clip_norm": 1.0}).step(params, {"a": one(4), "b": None})
    assert (params["a"] == 0.5).all()


def test_the_structure_may_change_between_steps() -> None:
    optimizer = mxtrain.build({"kind": "adam"})
    trees: list[Any] = [
        {"a": [one()]},
        {"a": (one(),)},
        {"a": {"0": one(), "x": one()}},
        {"a.0": one()},
        {"a": [one(), 0]},
    ]
    for tree in trees[:4]:
        optimizer.step(tree, map_leaves(tree, [one() for _ in leaves(tree)]))
    counts = {name: each["updates"] for name, each in optimizer.state_dict()["parameters"].items()}
    assert counts == {"a.0": 4, "a.x": 1}
    with pytest.raises(mxtrain.ArrayTypeError, match=r"^weight 'a\.1' must be a NumPy or CuPy array, got 0$"):
        optimizer.step(trees[4], {"a": [one(), one()]})


def test_the_optimizer_keeps_no_array_of_a_step_alive() -> None:
    optimizer = mxtrain.build(PLAIN, backend="numpy")  # the compiled one keeps the arrays of its last call
    params, grads = [one()], [one()]
    references = [weakref.ref(params[0]), weakref.ref(grads[0])]
    optimizer.step(params, grads)
    del params, grads
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_nonfinite_slots_and_weights_are_named_by_path() -> None:
    optimizer, params = mxtrain.build({"kind": "adam"}), {"a": [one()]}
    with pytest.warns(RuntimeWarning, match=r"weight 'a\.0': its slot v is NaN or infinite"):
        optimizer.step(params, {"a": [np.full(2, 2e19, dtype="float32")]})
    assert optimizer.first_nonfinite_slot() == ("a.0", "v")
    careful = mxtrain.build({"kind": "adam"}, on_nonfinite="raise")
    with pytest.raises(mxtrain.NonFiniteError, match=r"the update of weight 'a\.0' would make its slot v"):
        careful.step(params, {"a": [np.full(2, 2e19, dtype="float32")]})


def test_a_copy_of_the_optimizer_continues() -> None:
    optimizer, params = mxtrain.build({"kind": "adam"}), {"a": [one()]}
    optimizer.step(params, {"a": [one()]})
    copied, others = copy.deepcopy(optimizer), copy.deepcopy(params)
    for each, weights in ((optimizer, params), (copied, others)):
        each.step(weights, {"a": [one()]})
    assert params["a"][0].tobytes() == others["a"][0].tobytes()


def test_flat_parameters_of_nested_arrays() -> None:
    params = mxtrain.FlatParameters(model())
    assert tuple(params) == NAMES
    optimizer, nested = mxtrain.build({"kind": "adam"}), model()
    other = mxtrain.build({"kind": "adam"})
    optimizer.step(params, {name: one(*array.shape) for name, array in params.items()})
    other.step(nested, model())
    assert [array.tobytes() for array in params.values()] == [array.tobytes() for array in leaves(nested)]
