"""Many loose arrays in one compiled call, compared with NumPy one array at a time."""

from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.optim.backends import overlap
from tests.tables import CONFIGS, STAGES, WITH_TOTALS, special_arrays, with_stage

SIZES = [0, 1, 7, 4095, 0, 4096, 4097, 131_000, 1, 70_001]
"""Large enough in total for several threads; chunks start and end within arrays."""


def loose(dtype: str, seed: int) -> dict[str, np.ndarray]:
    return {f"w{i}": special_arrays(size, dtype, count=1, seed=seed + i)[0] for i, size in enumerate(SIZES)}


def assert_same(weights: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for name, one in weights.items():
        np.testing.assert_array_equal(one, expected[name], err_msg=name)  # treats NaN as equal
        unequal = one.view(f"u{one.itemsize}") != expected[name].view(f"u{one.itemsize}")
        assert np.isnan(one[unequal]).all(), name  # zeros have the same sign


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stage", ["plain", "all"])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_bits_equal_those_of_numpy(config: Any, stage: str, dtype: str) -> None:
    together, each = (
        mxtrain.build(with_stage(config, STAGES[stage]), backend=name, on_nonfinite="ignore")
        for name in ("compiled", "numpy")
    )
    weights = loose(dtype, 0)
    expected = {name: weight.copy() for name, weight in weights.items()}
    for seed in (100, 200):
        gradients = loose(dtype, seed)
        together.step(weights, gradients)
        if config["kind"] in WITH_TOTALS:
            each.step(expected, gradients)
            continue
        for name, weight in expected.items():
            each.update(name, gradients[name], weight)
    assert_same(weights, expected)


def arrays_of_all_layouts(draw: Any) -> dict[str, np.ndarray]:
    """Return arrays of every memory layout, filled by `draw(shape)`."""
    memory = bytearray(4 * 60 + 1)
    unaligned = np.frombuffer(memory, dtype="float32", count=60, offset=1).reshape(6, 10)
    unaligned[:] = draw((6, 10))
    return {
        "plain": draw((6, 10)),
        "columns": np.asfortranarray(draw((6, 10))),
        "strided": draw((12, 10))[::2],
        "reversed": draw((6, 10))[::-1],
        "unaligned": unaligned,
        "scalar": draw(()),
        "empty": draw((0, 3)),
        "deep": draw((2, 3, 4, 5)),
    }


@pytest.mark.parametrize("contiguous_gradients", [False, True], ids=["same layouts", "other layouts of the gradients"])
def test_arrays_of_all_layouts(contiguous_gradients: bool) -> None:
    generator = np.random.default_rng(0)

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        return np.asarray(generator.standard_normal(shape), dtype="float32")

    weights, gradients = arrays_of_all_layouts(draw), arrays_of_all_layouts(draw)
    if contiguous_gradients:
        gradients = {name: np.asarray(gradient, order="C").copy() for name, gradient in gradients.items()}
    expected = {name: np.array(weight) for name, weight in weights.items()}
    together, each = (
        mxtrain.build({"kind": "adam"}, backend=name, on_nonfinite="ignore") for name in ("compiled", "numpy")
    )
    for _ in range(2):
        together.step(weights, gradients)
        each.step(expected, {name: np.array(gradient) for name, gradient in gradients.items()})
    for name, one in weights.items():
        assert one.tobytes() == expected[name].tobytes(), name


def test_a_memory_map_is_an_array(tmp_path: Any) -> None:
    weights = {"w": np.memmap(tmp_path / "w", dtype="float32", mode="w+", shape=(5, 7)), "b": np.ones(3, "float32")}
    weights["w"][:] = 1
    expected = {name: np.array(weight) for name, weight in weights.items()}
    gradients = {name: np.full_like(weight, 0.5) for name, weight in expected.items()}
    for backend, params in (("compiled", weights), ("numpy", expected)):
        mxtrain.build({"kind": "adam"}, backend=backend).step(params, gradients)
    assert weights["w"].tobytes() == expected["w"].tobytes()


def test_changes_of_arrays_between_steps_are_noticed() -> None:
    """Address, shape and the writeable flag of an array are checked at every step."""
    optimizer = mxtrain.build({"kind": "sgd", "η": 1, "λ": 0}, backend="compiled")
    weight, gradient = np.zeros(4, "float32"), np.ones(4, "float32")
    optimizer.step({"w": weight}, {"w": gradient})
    weight.resize(100_000, refcheck=False)  # moves to another address, and grows
    with pytest.raises(mxtrain.ArrayError, match="has shape"):
        optimizer.step({"w": weight}, {"w": gradient})
    gradient.resize(100_000, refcheck=False)  # NumPy adds zeros
    optimizer.step({"w": weight}, {"w": gradient})
    assert weight[:5].tolist() == [-2, -2, -2, -2, 0]
    weight.flags.writeable = False
    with pytest.raises(mxtrain.ArrayError, match="read-only"):
        optimizer.step({"w": weight}, {"w": gradient})


def test_compiled_code_reads_the_memory_layouts_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The overlap check finds the scheduler by the name of its module; under another name it would be slow."""
    optimizer = mxtrain.build({"kind": "sgd"}, backend="compiled")
    from mxtrain.optim.backends.compiled import scheduler

    calls: list[int] = []
    read_layouts = scheduler.read_layouts

    def count(records: np.ndarray, layouts: np.ndarray) -> Any:
        calls.append(len(records))
        return read_layouts(records, layouts)

    monkeypatch.setattr(scheduler, "read_layouts", count)
    memory = np.zeros((7, 6), "float32")
    weights = {"a": memory[:3].T, "b": memory[3:]}
    optimizer.step(weights, {name: np.ones_like(weight) for name, weight in weights.items()})
    assert calls == [4]
    table = overlap._layout_table([*weights.values()])
    assert table.tolist() == [
        [weights["a"].ctypes.data, 4, 2, 6, 4, 3, 24, 0, 0, 0, 0],
        [weights["b"].ctypes.data, 4, 2, 4, 24, 6, 4, 0, 0, 0, 0],
    ]
