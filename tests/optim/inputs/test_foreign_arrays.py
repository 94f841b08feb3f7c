"""Arrays of other libraries: views where possible, updates in place, and devices; fakes stand in for the libraries."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import mxtrain
from mxtrain.optim.backends.numpy_backend import NumPyBackend
from mxtrain.optim.inputs import any_array, gradient_array, weight_array
from tests.optim.inputs.fake_arrays import BothMethods, Exported, JaxArray, Tensor, WithArrayMethod, fake_cupy

PLAIN = {"kind": "sgd", "η": 0.5, "λ": 0}


def one(*shape: int) -> np.ndarray:
    return np.ones(shape or (3,), dtype="float32")


@pytest.mark.parametrize("kind", [Exported, Tensor, JaxArray, WithArrayMethod, BothMethods])
def test_gradients_are_not_copied(kind: Any) -> None:
    memory = one(2, 3)
    assert np.shares_memory(gradient_array("W", kind(memory), one(2, 3)), memory)


def test_an_export_of_an_older_version_is_a_gradient() -> None:
    memory = one()
    assert np.shares_memory(any_array("g", Exported(memory, is_versioned=False)), memory)


@pytest.mark.parametrize("kind", [Exported, Tensor])
@pytest.mark.parametrize(
    "view", [lambda a: a, lambda a: a.T, lambda a: a[:, ::2]], ids=["whole", "transposed", "strided"]
)
def test_weights_are_updated_in_place(kind: Any, view: Any) -> None:
    memory = np.ones((4, 6))
    weight = kind(view(memory))
    assert np.shares_memory(weight_array("W", weight), memory)
    optimizer = mxtrain.build({"kind": "adam"})
    expected, other = view(np.ones((4, 6))), mxtrain.build({"kind": "adam"})
    for _ in range(3):
        optimizer.step({"W": weight}, {"W": kind(np.ones(weight.shape))})
        other.step({"W": expected}, {"W": np.ones(weight.shape)})
    assert (view(memory) == expected).all()
    assert memory.min() < 1
    assert memory.max() == (1 if view(memory).size < memory.size else memory.min())


def test_update_normgrad_and_the_updater_take_them() -> None:
    memory, gradient = one(), Exported(one())
    optimizer = mxtrain.build(PLAIN)
    optimizer.update(0, gradient, Tensor(memory))
    mxtrain.get_updater(optimizer)(0, gradient, Exported(memory))
    assert (memory == 0).all()
    assert (mxtrain.normgrad(mxtrain.build({"kind": "sgd", "scale": 2, "λ": 1}), Tensor(one()), gradient) == 3).all()
    assert (gradient.array == 1).all()


def test_numpy_scalars_are_gradients_of_weights_without_axes() -> None:
    weight = np.array(1.0)
    mxtrain.build(PLAIN).step({"x": weight}, {"x": np.float64(1)})
    assert weight == 0.5


def test_plain_and_foreign_arrays_may_be_mixed_and_alternate() -> None:
    optimizer = mxtrain.build({"kind": "adam"})
    reference = mxtrain.build({"kind": "adam"})
    W, b, expected = one(), one(), {"W": one(), "b": one()}
    steps: list[tuple[Any, Any]] = [
        ({"W": W, "b": b}, {"W": one(), "b": one()}),
        ({"W": Tensor(W), "b": b}, {"W": one(), "b": Exported(one())}),
        ({"W": W, "b": b}, {"W": one(), "b": one()}),
        ({"W": W, "b": b}, {"W": one(), "b": one()}),
    ]
    for params, grads in steps:
        optimizer.step(params, grads)
        reference.step(expected, {"W": one(), "b": one()})
    assert W.tobytes() + b.tobytes() == expected["W"].tobytes() + expected["b"].tobytes()


def test_flat_parameters_take_foreign_arrays_and_gradients() -> None:
    params = mxtrain.FlatParameters({"W": Tensor(one()), "b": JaxArray(one())})
    mxtrain.build(PLAIN).step(params, {"W": Exported(one()), "b": WithArrayMethod(one())})
    assert (params.buffers["float32"] == 0.5).all()


def test_subclasses_of_tensors_are_tensors() -> None:
    class Parameter(Tensor):
        pass

    memory = one()
    mxtrain.build(PLAIN).step([Parameter(memory)], [Parameter(one())])
    assert (memory == 0.5).all()


def test_a_lazy_view_is_a_gradient() -> None:
    memory = one()
    mxtrain.build(PLAIN).step({"W": memory}, {"W": Tensor(one(), is_lazy=True)})
    assert (memory == 0.5).all()


class CuPyBackend(NumPyBackend):
    """Runs on the host memory of fake CuPy arrays."""

    kinds = ("cupy",)

    def run(self, program: Any, groups: Any, scalars: Any) -> None:
        super().run(program, [[array.host for array in arrays] for arrays in groups], scalars)


@pytest.mark.parametrize(("torch_stream", "synchronized"), [(0, 0), (7, 1)])
def test_tensors_on_a_gpu(torch_stream: int, synchronized: int, monkeypatch: pytest.MonkeyPatch) -> None:
    cupy, torch = fake_cupy(), ModuleType("torch")
    torch.cuda = SimpleNamespace(current_stream=lambda _: SimpleNamespace(cuda_stream=torch_stream))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "torch", torch)
    rule = mxtrain.build(PLAIN).rule
    optimizer, memory = mxtrain.Optimizer(rule, CuPyBackend(), on_nonfinite="ignore"), one()
    optimizer.step([Tensor(memory, "cuda")], [Tensor(one(), "cuda")])
    assert (memory == 0.5).all()
    assert cupy.stream.synchronized == synchronized


def test_arrays_on_different_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy())
    optimizer, memory = mxtrain.build(PLAIN), one()
    with pytest.raises(mxtrain.ArrayTypeError) as caught:
        optimizer.step({"W": memory}, {"W": Exported(one(), device=2)})
    assert str(caught.value) == (
        "weight 'W' is on the CPU, its gradient on the GPU; move one of them to the device of the other"
    )
    with pytest.raises(mxtrain.ArrayTypeError) as caught:
        optimizer.step({"W": Tensor(memory, "cuda")}, {"W": Exported(one())})
    assert str(caught.value) == (
        "weight 'W' is on the GPU, its gradient on the CPU; move one of them to the device of the other"
    )
    assert (memory == 1).all()


def test_arrays_on_different_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = fake_cupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    optimizer = mxtrain.Optimizer(mxtrain.build(PLAIN).rule, CuPyBackend(), on_nonfinite="ignore")
    with pytest.raises(mxtrain.ArrayTypeError) as caught:
        optimizer.step({"W": cupy.ndarray(one(), 0)}, {"W": cupy.ndarray(one(), 1)})
    assert str(caught.value) == (
        "weight 'W' is on GPU 0, its gradient on GPU 1; move one of them to the device of the other"
    )


@pytest.mark.parametrize("gradient", [Exported(one(), device=2), Tensor(one(), "cuda")], ids=["an array", "a tensor"])
def test_a_gradient_on_a_gpu_without_cupy(gradient: Any, hide_packages: Any) -> None:
    hide_packages("cupy")
    with pytest.raises(mxtrain.ArrayTypeError, match="^weight 'W' is on the CPU, its gradient on the GPU; move one"):
        mxtrain.build(PLAIN).step({"W": one()}, {"W": gradient})


def test_an_array_on_several_devices_is_read_through_its_method() -> None:
    class Sharded(BothMethods):
        def __dlpack_device__(self) -> Any:
            raise ValueError("the array is on several devices")

    memory = one()
    assert np.shares_memory(any_array("g", Sharded(memory)), memory)


def test_tensors_on_a_gpu_need_cupy(hide_packages: Any) -> None:
    hide_packages("cupy")
    optimizer = mxtrain.build(PLAIN)
    with pytest.raises(mxtrain.BackendError) as caught:
        optimizer.step([Tensor(one(), "cuda")], [Tensor(one(), "cuda")])
    assert str(caught.value) == (
        "weight '0' is on a GPU, which needs CuPy; pip install 'mxtrain[cuda12]', or 'mxtrain[cuda13]' for CUDA 13"
    )
    assert optimizer.state_dict()["parameters"] == {}
