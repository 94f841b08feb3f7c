"""Optimizers can be printed, copied, pickled and saved, and continue with the same bits."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from tests.tables import CONFIGS, as_bytes


def stepped(config: dict[str, Any], make: Any = dict, backend: str = "auto") -> tuple[mxtrain.Optimizer, Any, Any]:
    """Return an optimizer after two steps, its parameters, and gradients."""
    params, grads = (make({"W": np.full((2, 2), x, "float32"), "b": np.full(3, x)}) for x in (1.0, 0.3))
    optimizer = mxtrain.build(config, backend=backend)
    for _ in range(2):
        optimizer.step(params, grads)
    return optimizer, params, grads


def on_disk(optimizer: mxtrain.Optimizer, folder: Path) -> mxtrain.Optimizer:
    optimizer.save(folder / "state.safetensors")
    other = mxtrain.build(optimizer.rule)
    other.load(folder / "state.safetensors")
    return other


WAYS = {
    "deepcopy": lambda optimizer, _: copy.deepcopy(optimizer),
    "copy": lambda optimizer, _: copy.copy(optimizer),
    "pickle": lambda optimizer, _: pickle.loads(pickle.dumps(optimizer)),
    "a file": on_disk,
}


@pytest.mark.parametrize("make", [dict, mxtrain.FlatParameters], ids=["loose", "flat"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_copy_continues_exactly_and_does_not_change_the_original(
    config: Any, way: Any, make: Any, tmp_path: Path
) -> None:
    config = config | {"η_sched": {"kind": "exp", "per": "iteration"}}
    optimizer, params, grads = stepped(config, make)
    before = {name: value.copy() for name, value in params.items()}
    other = way(optimizer, tmp_path)
    optimizer.step(params, grads)
    other.step(before, grads)
    assert as_bytes(before) == as_bytes(params)
    assert other.state == optimizer.state
    assert other.rule == optimizer.rule


@pytest.mark.parametrize("backend", ["auto", "numpy", "compiled"])
def test_a_copy_keeps_its_backend(backend: str) -> None:
    optimizer, params, grads = stepped({"kind": "adam"}, backend=backend)
    other = pickle.loads(pickle.dumps(optimizer))
    assert other.backend.name == backend
    other.step(params, grads)


def test_the_rule_and_the_backend_of_an_optimizer_are_read_only() -> None:
    optimizer = mxtrain.build({"kind": "adam"})
    with pytest.raises(mxtrain.ReadOnlyError, match=r"^optimizer\.rule is read-only; build another optimizer"):
        optimizer.rule = mxtrain.SGD()  # type: ignore[misc, assignment]
    with pytest.raises(mxtrain.ReadOnlyError, match=r"^optimizer\.backend is read-only; build another optimizer"):
        optimizer.backend = None  # type: ignore[misc, assignment]


def test_the_repr_of_an_optimizer_has_its_rule_backend_and_progress() -> None:
    optimizer, _, _ = stepped({"kind": "adam"}, backend="numpy")
    assert repr(optimizer) == (
        "Optimizer(Adam(kind='adam', η=0.001, λ=1e-05, clip=0.0, scale=0.0, η_sched=None, groups={}, "
        "β1=0.9, β2=0.999, ϵ=1e-08, amsgrad=False), backend='numpy', OptimizationState(batch_size=0, curr_epoch=1, curr_batch=2, curr_iter=2))"
    )


def test_the_repr_of_a_rule_is_an_expression() -> None:
    rule = mxtrain.Adam(ϵ=1e-3, η_sched=mxtrain.learning_rate.Exp(γ=0.5))
    assert eval(repr(rule), {"Adam": mxtrain.Adam, "Exp": mxtrain.learning_rate.Exp}) == rule


def test_a_file_distinguishes_integer_and_string_indices(tmp_path: Path) -> None:
    optimizer = mxtrain.build({"kind": "adam"})
    for index in (0, "0"):
        optimizer.update(index, np.full(2, 0.5), np.ones(2))
    optimizer.save(tmp_path / "state")
    optimizer.load(tmp_path / "state")
    assert list(optimizer.state_dict()["parameters"]) == [0, "0"]


def test_numpy_integers_and_tuples_are_loaded_as_python_indices(tmp_path: Path) -> None:
    optimizer = mxtrain.build({"kind": "adam"})
    for index in (np.int64(3), "3", ("layer", np.int32(1), ("W",)), np.str_("b")):
        optimizer.update(index, np.full(2, 0.5), np.ones(2))
        optimizer.update(index, np.full(2, 0.5), np.ones(2))
    optimizer.save(tmp_path / "state")
    other = mxtrain.build({"kind": "adam"})
    other.load(tmp_path / "state")
    found = other.state_dict()["parameters"]
    assert list(found) == [3, "3", ("layer", 1, ("W",)), "b"]
    assert list(map(type, found)) == [int, str, tuple, str]
    assert {entry["updates"] for entry in found.values()} == {2}
    other.update(np.int64(3), np.full(2, 0.5), np.ones(2))
    assert other.state_dict()["parameters"][3]["updates"] == 3


@pytest.mark.parametrize("index", [True, np.True_, None, 1.5, ("layer", True), frozenset({1})], ids=repr)
def test_an_index_that_cannot_be_saved_is_refused_by_the_first_update(index: Any) -> None:
    optimizer, weight = mxtrain.build({"kind": "adam"}), np.zeros(2)
    for act in (
        lambda: optimizer.update(index, np.ones(2), weight),
        lambda: mxtrain.get_updater(optimizer)(index, np.ones(2), weight),
        lambda: optimizer.step({index: weight}, {index: np.ones(2)}),
    ):
        with pytest.raises(mxtrain.ArrayError, match="must be a string, a whole number or a tuple of these, got"):
            act()
    assert (weight.max(), optimizer.state.curr_iter, optimizer.state_dict()["parameters"]) == (0, 0, {})


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b"kind: adam\n", lambda b: b[:-1], lambda b: b[:40]])
def test_the_error_for_another_file_names_it(damage: Any, tmp_path: Path) -> None:
    optimizer, _, _ = stepped({"kind": "adam"})
    path = tmp_path / "state"
    optimizer.save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(mxtrain.StateError, match="state is not an optimizer state file"):
        optimizer.load(path)
    assert optimizer.state.curr_iter == 2


def test_a_safetensors_file_of_weights_is_not_an_optimizer_state(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"W": np.ones(2)}, tmp_path / "weights")
    with pytest.raises(mxtrain.StateError, match="is not an optimizer state file"):
        mxtrain.build({"kind": "adam"}).load(tmp_path / "weights")


def test_the_state_of_another_rule_is_refused(tmp_path: Path) -> None:
    optimizer, _, _ = stepped({"kind": "adam"})
    optimizer.save(tmp_path / "state")
    with pytest.raises(mxtrain.StateError, match="the state belongs to 'adam', this optimizer is 'sgd'"):
        mxtrain.build({"kind": "sgd"}).load(tmp_path / "state")
