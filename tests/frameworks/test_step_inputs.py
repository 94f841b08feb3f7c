"""`mxtrain.Optimizer.step` on tensors of PyTorch and gradients of JAX, without copies."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import mxtrain
from mxtrain.errors import ArrayTypeError


def build() -> Any:
    return mxtrain.build({"kind": "adam", "η": 0.1})


def test_tensors_are_updated_in_place_with_the_bits_of_arrays() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    params = {"nested": dict(layer.named_parameters()), "columns": [torch.randn(4, 6)[:, ::2].requires_grad_()]}
    grads: Any = {
        "nested": {n: torch.randn(p.shape) for n, p in layer.named_parameters()},
        "columns": [torch.randn(3, 4).T],
    }
    names = ["nested.weight", "nested.bias", "columns.0"]
    tensors = [layer.weight, layer.bias, params["columns"][0]]
    weights = {n: p.detach().clone().numpy() for n, p in zip(names, tensors, strict=True)}
    flat = dict(zip(names, [*(g.numpy() for g in grads["nested"].values()), grads["columns"][0].numpy()], strict=True))
    addresses = [p.data_ptr() for p in tensors]
    optimizer, reference = build(), build()
    for _ in range(3):
        optimizer.step(params, grads)
        reference.step(weights, flat)
    assert [p.data_ptr() for p in tensors] == addresses
    assert all(p.requires_grad and p.is_leaf for p in tensors)
    assert all(np.array_equal(p.detach().numpy(), weights[n]) for n, p in zip(names, tensors, strict=True))


def test_gradients_of_jax_are_read_where_they_are() -> None:
    weights = {"W": np.ones((3, 2), dtype="float32")}
    gradient = jax.grad(lambda params: (params["W"] ** 2).sum())
    grads = gradient(weights)
    assert np.asarray(grads["W"]).ctypes.data == grads["W"].unsafe_buffer_pointer()  # no copy
    expected = weights["W"].copy()
    build().step(weights, grads)
    build().update("W", np.asarray(grads["W"]), expected)
    assert weights["W"].tobytes() == expected.tobytes()
    tensor = torch.ones(3, 2)
    build().step({"W": tensor}, grads)
    assert tensor.numpy().tobytes() == expected.tobytes()


def test_parameters_without_a_gradient_are_left_out() -> None:
    params = {"a": torch.ones(2), "b": torch.ones(2)}
    build().step(params, {"a": torch.ones(2), "b": None})
    assert params["b"].tolist() == [1.0, 1.0]
    assert params["a"].tolist() != [1.0, 1.0]


@pytest.mark.parametrize(
    ("weight", "gradient", "message"),
    [
        (jnp.ones(2), np.ones(2, dtype="float32"), "is a JAX array, which is immutable; hold the weights in NumPy"),
        (torch.ones(2).to_sparse(), torch.ones(2), "only dense tensors are updated"),
        (torch.ones(2), torch.ones(2).to_sparse(), "to_dense"),
        (torch.ones(2, device="meta"), torch.ones(2), "meta"),
        (torch.ones(2), torch.ones(2, dtype=torch.float64), "float64"),
    ],
    ids=["jax weight", "sparse weight", "sparse gradient", "meta", "dtype"],
)
def test_mistakes_are_one_line(weight: Any, gradient: Any, message: str) -> None:
    with pytest.raises(ArrayTypeError, match=message) as caught:
        build().step({"W": weight}, {"W": gradient})
    assert len(str(caught.value).splitlines()) == 1
