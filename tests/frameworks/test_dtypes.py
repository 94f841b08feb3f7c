"""Tensors of half precision and of complex numbers, and the gradients of complex weights in each framework."""

from typing import Any

import jax
import ml_dtypes
import numpy as np
import pytest
import torch

import mxtrain


@pytest.mark.parametrize("master", [False, True])
@pytest.mark.parametrize("name", ["float16", "bfloat16", "complex64", "complex128"])
def test_torch_tensors_get_the_bits_of_numpy_arrays(name: str, master: bool) -> None:
    dtype: Any = ml_dtypes.bfloat16 if name == "bfloat16" else np.dtype(name)
    generator = np.random.default_rng(0)

    def draw() -> np.ndarray:
        parts = generator.standard_normal((2, 6, 5))
        return (parts[0] + 1j * parts[1]).astype(dtype) if "complex" in name else parts[0].astype(dtype)

    def tensor(array: np.ndarray) -> torch.Tensor:
        if name == "bfloat16":
            return torch.from_numpy(array.view("int16").copy()).view(torch.bfloat16)
        return torch.from_numpy(array.copy())

    config = {"kind": "adam", "master": master, "ema": {"decay": 0.9}}
    optimizers = mxtrain.build(config), mxtrain.build(config)
    weight = draw()
    moved = tensor(weight)
    address = moved.data_ptr()
    for _ in range(4):
        gradient = draw()
        optimizers[0].step({"W": weight}, {"W": gradient})
        optimizers[1].step({"W": moved}, {"W": tensor(gradient)})
    average = optimizers[1].evaluation_params({"W": moved})["W"]
    assert moved.data_ptr() == address
    assert moved.dtype == average.dtype == getattr(torch, name)
    assert torch.equal(moved, tensor(weight))
    assert torch.equal(average, tensor(optimizers[0].evaluation_params({"W": weight})["W"]))


def test_complex_gradients_of_torch_descend_and_those_of_jax_are_their_conjugates() -> None:
    start, target = np.array([1 - 2j, 3j], "complex64"), np.array([2 + 1j, -1 + 1j], "complex64")
    tensor = torch.from_numpy(start.copy()).requires_grad_()
    (tensor - torch.from_numpy(target)).abs().square().sum().backward()
    expected = 2 * (start - target)
    np.testing.assert_allclose(tensor.grad.numpy(), expected)
    of_jax = jax.grad(lambda z: (abs(z - target) ** 2).sum())(jax.numpy.asarray(start))
    np.testing.assert_allclose(np.conj(np.asarray(of_jax)), expected, rtol=1e-6)
    weight = start.copy()
    optimizer = mxtrain.build({"kind": "sgd", "η": 0.5, "λ": 0})
    optimizer.step({"z": weight}, {"z": np.conj(np.asarray(of_jax))})
    np.testing.assert_allclose(weight, target, rtol=1e-6)
