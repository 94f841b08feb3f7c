"""Loaded slots are moved to the device of their weights at the next step; a fake CuPy stands in for the GPU."""

import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.optim.backends import selection
from mxtrain.optim.backends.numpy_backend import NumPyBackend


class Device:
    """A GPU, by its number."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.number == self.number

    def __hash__(self) -> int:
        return self.number

    def __enter__(self) -> None:
        current[0] = self.number

    def __exit__(self, *_: object) -> None:
        current[0] = 0


current = [0]


class ndarray:  # noqa: N801 - CuPy's own name
    """Wraps host memory; only `get` and `asarray` convert between devices, as in CuPy."""

    def __init__(self, host: np.ndarray) -> None:
        self.host, self.device = host, Device(current[0])
        self.shape, self.dtype, self.strides = host.shape, host.dtype, host.strides
        self.itemsize, self.size, self.flags = host.itemsize, host.size, host.flags
        self.data = SimpleNamespace(ptr=host.__array_interface__["data"][0])

    def get(self) -> np.ndarray:
        return self.host.copy()

    def copy(self) -> "ndarray":
        with self.device:
            return ndarray(self.host.copy())

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")


ndarray.__module__ = "cupy"


class Backend(NumPyBackend):
    """Runs on the wrapped host memory."""

    kinds = ("cupy",)

    def run(self, program: Any, groups: Any, scalars: Any) -> None:
        assert len({array.device for arrays in groups for array in arrays}) == 1
        super().run(program, [[array.host for array in arrays] for arrays in groups], scalars)


@pytest.fixture(autouse=True)
def cupy(monkeypatch: pytest.MonkeyPatch) -> Any:
    module: Any = ModuleType("cupy")
    module.ndarray = ndarray
    module.isfinite = lambda array: np.isfinite(array.host)
    module.asarray = lambda array: array if isinstance(array, ndarray) else ndarray(np.array(array))
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(np, "zeros_like", _zeros_like(np.zeros_like))
    monkeypatch.setattr(selection.AutoBackend, "_gpu_backend", lambda self: Backend())
    return module


def _zeros_like(of_numpy: Any) -> Any:
    def zeros_like(array: Any, **options: Any) -> Any:
        if not isinstance(array, ndarray):
            return of_numpy(array, **options)
        with array.device:
            return ndarray(of_numpy(array.host))

    return zeros_like


def stepped(move: Any, steps: int) -> tuple[mxtrain.Optimizer, Any]:
    optimizer, weight = mxtrain.build({"kind": "adam", "η": 0.1}), move(np.ones(3))
    for _ in range(steps):
        optimizer.step({"w": weight}, {"w": move(np.full(3, 0.5))})
    return optimizer, weight


WAYS: dict[str, Any] = {"a file": None, "a state": None}


@pytest.mark.parametrize("seen", [False, True], ids=["a new optimizer", "an optimizer with slots"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("source", "target"), [("cpu", 0), (0, "cpu"), (0, 0), (0, 1), ("cpu", 1)])
def test_loaded_slots_are_moved(source: Any, target: Any, way: str, seen: bool, tmp_path: Path) -> None:
    def mover(place: Any) -> Any:
        def move(array: np.ndarray) -> Any:
            with Device(place) if place != "cpu" else nullcontext():
                return array if place == "cpu" else ndarray(array)

        return move

    host = lambda array: array if isinstance(array, np.ndarray) else array.get()  # noqa: E731
    _, expected = stepped(np.array, 3)
    saved, weight = stepped(mover(source), 2)
    optimizer, _ = stepped(mover(target), 1) if seen else (mxtrain.build({"kind": "adam", "η": 0.1}), None)
    if way == "a file":
        saved.save(tmp_path / "state")
        optimizer.load(tmp_path / "state")
    else:
        optimizer.load_state_dict(saved.state_dict())
    moved = mover(target)(host(weight).copy())
    optimizer.step({"w": moved}, {"w": mover(target)(np.full(3, 0.5))})
    assert host(moved).tobytes() == expected.tobytes()
    slots = optimizer.state_dict()["parameters"]["w"]["slots"].values()
    assert {"cpu" if isinstance(slot, np.ndarray) else slot.device.number for slot in slots} == {target}
