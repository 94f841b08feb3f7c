"""Every rule on every backend, dtype and shape: bits, gradients, dtypes, saved states and compiled programs."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.optim.backends.compiled.numba_backend import NumbaBackend
from mxtrain.optim.backends.numpy_backend import NumPyBackend
from mxtrain.optim.rules import RULES
from tests.tables import CONFIGS, MATRIX_CONFIGS

DTYPES = ("float32", "float64")
SHAPES: dict[str, tuple[int, ...]] = {
    "scalar": (), "empty": (0, 3), "odd": (7, 11), "vector": (5,), "blocks": (3, 1500),
}  # fmt: skip
VIEWS: dict[str, Any] = {
    "contiguous": lambda array: array,
    "Fortran order": np.asfortranarray,
    "every other": lambda array: np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array,
}
UPDATES = 4

ALL_CONFIGS = CONFIGS | MATRIX_CONFIGS
every_config = pytest.mark.parametrize("config", ALL_CONFIGS.values(), ids=ALL_CONFIGS.keys())
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def test_every_rule_is_in_the_table() -> None:
    assert {config["kind"] for config in ALL_CONFIGS.values()} == {rule.model_fields["kind"].default for rule in RULES}


def make_arrays(dtype: str, seed: int = 0) -> tuple[dict[str, np.ndarray], list[dict[str, np.ndarray]]]:
    """Return parameters of every shape, and the gradients of some updates."""
    generator = np.random.default_rng(seed)

    def draw() -> dict[str, np.ndarray]:
        return {name: np.asarray(generator.standard_normal(shape), dtype=dtype) for name, shape in SHAPES.items()}

    return draw(), [draw() for _ in range(UPDATES)]


def state_bytes(optimizer: mxtrain.Optimizer) -> dict[Any, Any]:
    """Return the state of each parameter, with its slots as bytes."""
    return {
        index: (entry["updates"], entry["scalars"], {name: slot.tobytes() for name, slot in entry["slots"].items()})
        for index, entry in optimizer.state_dict()["parameters"].items()
    }


def train(
    optimizer: mxtrain.Optimizer, params: Any, gradients: list[dict[str, np.ndarray]], is_flat: bool = False
) -> tuple[dict[str, bytes], dict[Any, Any]]:
    """Run updates; return the bytes of the parameters and of the state."""
    for grads in gradients:
        optimizer.step(params, mxtrain.FlatParameters(grads) if is_flat else grads)
    return {name: np.ascontiguousarray(value).tobytes() for name, value in params.items()}, state_bytes(optimizer)


@every_dtype
@every_config
def test_backends_threads_and_flat_parameters_give_equal_bits(
    config: Any, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mxtrain.optim.backends.compiled.numba_tasks.MIN_PARALLEL_SIZE", 1000)
    rule = mxtrain.build(config).rule
    results = []
    for backend, is_flat in product((NumPyBackend(), NumbaBackend(1), NumbaBackend(2)), (False, True)):
        params, gradients = make_arrays(dtype)
        arrays: Any = mxtrain.FlatParameters(params) if is_flat else params
        results.append(train(mxtrain.Optimizer(rule, backend), arrays, gradients, is_flat))
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
@every_config
def test_memory_layouts_give_equal_bits(config: Any, view: Any) -> None:
    rule = mxtrain.build(config).rule
    results = []
    for backend, layout in product((NumPyBackend(), NumbaBackend()), (lambda array: array, view)):
        params, gradients = make_arrays("float32")
        viewed = {name: layout(value) for name, value in params.items()}
        weights, state = train(
            mxtrain.Optimizer(rule, backend),
            viewed,
            [{name: layout(value) for name, value in grads.items()} for grads in gradients],
        )
        # Slots may have the memory order of their weight; their values are compared by the weights they give.
        results.append((weights, {name: entry[:2] for name, entry in state.items()}))
    assert all(result == results[0] for result in results)


@every_dtype
@every_config
def test_gradients_are_untouched_and_dtypes_kept(config: Any, dtype: str) -> None:
    params, gradients = make_arrays(dtype)
    before = [{name: value.tobytes() for name, value in grads.items()} for grads in gradients]
    optimizer = mxtrain.build(config | {"scale": 0.5, "clip": 0.7})
    for grads in gradients:
        optimizer.step(params, grads)
    assert [{name: value.tobytes() for name, value in grads.items()} for grads in gradients] == before
    assert {value.dtype.name for value in params.values()} == {dtype}
    assert {slot.dtype.name for slot in optimizer.slot_arrays()} <= {dtype}
    assert all(np.isfinite(value).all() for value in params.values())


@every_config
def test_a_state_that_is_saved_and_loaded_continues_to_the_bit(config: Any, tmp_path: Path) -> None:
    params, gradients = make_arrays("float32")
    at_once, _ = train(mxtrain.build(config), {name: value.copy() for name, value in params.items()}, gradients)
    first = mxtrain.build(config)
    train(first, params, gradients[:2])
    first.save(tmp_path / "state.safetensors")
    for resumed, source in ((mxtrain.build(config), "dict"), (mxtrain.build(config), "file")):
        if source == "dict":
            resumed.load_state_dict(first.state_dict())
        else:
            resumed.load(tmp_path / "state.safetensors")
        assert state_bytes(resumed) == state_bytes(first)
        continued, _ = train(resumed, {name: value.copy() for name, value in params.items()}, gradients[2:])
        assert continued == at_once


@every_config
def test_groups_change_only_their_parameters(config: Any) -> None:
    params, gradients = make_arrays("float64")
    optimizer = mxtrain.build(config | {"groups": {"odd": {"η": 0}, "vector": {"η": 0.01}}})
    frozen = params["odd"].copy()
    moved = params["vector"].copy()
    train(optimizer, params, gradients)
    assert (params["odd"] == frozen).all()
    assert (params["vector"] != moved).any()


@every_config
def test_a_changed_coefficient_compiles_nothing(config: Any) -> None:
    rule = mxtrain.build(config).rule
    assert rule.model_copy(update={"η": rule.η / 3}).program() is rule.program()


@every_config
def test_a_schedule_is_followed(config: Any) -> None:
    schedule = {"η_sched": {"kind": "exp", "γ": 0.5, "per": "iteration"}}
    results = []
    for each in (config, config | schedule):
        params, gradients = make_arrays("float64")
        results.append(train(mxtrain.build(each), params, gradients)[0])
    ignores_rate = config["kind"] == "rprop"
    assert (results[0] == results[1]) is ignores_rate


@every_config
def test_a_run_that_is_resumed_equals_one_that_was_not_interrupted(config: Any) -> None:
    run = mxtrain.RunConfig(
        data={"source": "digits", "validation": 0.2, "batch_size": 256},
        model={"kind": "mlp", "hidden": [8]},
        loss="softmax_cross_entropy",
        optimizer=config,
        fit={"epochs": 2},
    )
    at_once = mxtrain.advance(run, None, 4)
    first = mxtrain.advance(run, None, 2)
    assert mxtrain.advance(run, first, 4).differences(at_once) == []
