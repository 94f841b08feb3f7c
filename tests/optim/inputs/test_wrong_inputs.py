"""Inputs of `step` that are refused: one line each, with the weights and the state unchanged."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import mxtrain
from mxtrain.optim.inputs import flatten
from tests.optim.inputs.fake_arrays import (
    Exported,
    JaxArray,
    Module,
    Tensor,
    TensorFlowArray,
    Traced,
    Unreadable,
    WithArrayMethod,
)


def w(*shape: int, dtype: str = "float32") -> Any:
    return np.ones(shape or (2,), dtype=dtype)


def read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


def endless() -> Any:
    tree: dict[str, Any] = {"a": w()}
    tree["b"] = tree
    return tree


def endless_list() -> Any:
    tree: list[Any] = []
    tree.append(tree)
    return tree


SHARED = w()
CONTAINER = "must be a mapping of arrays by name, or a list, tuple or dataclass, got"

WRONG: dict[str, tuple[Callable[[], Any], Callable[[], Any], str]] = {
    "None": (lambda: None, dict, f"params {CONTAINER} None"),
    "a string": (lambda: "W", lambda: "W", f"params {CONTAINER} 'W'"),
    "a number": (lambda: {"W": w()}, lambda: 1.5, f"grads {CONTAINER} 1.5"),
    "an array": (
        w,
        w,
        f"params {CONTAINER} numpy.ndarray; pass it under a name, as in {{'W': params}}, or call optimizer.update",
    ),
    "a set": (lambda: {1, 2}, lambda: {1, 2}, f"params {CONTAINER} set, which has no order; pass a list or a dict"),
    "a generator": (
        lambda: (each for each in [w()]),
        lambda: [w()],
        f"params {CONTAINER} generator; pass list(params) or dict(params)",
    ),
    "a torch module": (Module, Module, f"params {CONTAINER} torch.nn.Module; pass dict(params.named_parameters())"),
    "a container in itself": (
        endless,
        dict,
        "params['b']['b']['b']['b']['b']['b']['b'... has more than 100 levels; does a container contain itself?",
    ),
    "a list in itself": (
        endless_list,
        list,
        "params[0][0][0][0][0][0][0][0][0][0][0][... has more than 100 levels; does a container contain itself?",
    ),
    "two parameters of one name": (
        lambda: {"a": {"b": w()}, "a.b": w()},
        dict,
        "params['a']['b'] and params['a.b'] have one name, 'a.b'; rename one of them",
    ),
    "a path of another type": (
        lambda: {"a": {1.5: w()}},
        dict,
        "the names in params['a'] must be strings or whole numbers, got 1.5",
    ),
    "a missing gradient": (
        lambda: {"a": [w(), w()]},
        lambda: {"a": [w()]},
        "params and grads must have the same names: no gradient for 'a.1'",
    ),
    "an additional gradient": (
        lambda: [w()],
        lambda: [w(), w()],
        "params and grads must have the same names: no parameter '1'",
    ),
    "no gradients": (
        lambda: [w() for _ in range(5)],
        list,
        "params and grads must have the same names: no gradient for '0', '1', '2' and 2 more",
    ),
    "a gradient of a parameter that is None": (
        lambda: {"W": w(), "b": None},
        lambda: {"W": w(), "b": w()},
        "params and grads must have the same names: no parameter 'b'",
    ),
    "an array for a container": (
        lambda: {"a": {"W": w()}},
        lambda: {"a": w()},
        "'a' is a container in params and an array in grads; pass trees with the same names",
    ),
    "a container for an array": (
        lambda: {"a": w()},
        lambda: {"a": [w()]},
        "'a' is a container in grads and an array in params; pass trees with the same names",
    ),
    "numbers in a list": (
        lambda: {"a": [1.0, 2.0]},
        lambda: {"a": w()},
        "weight 'a' must be a NumPy or CuPy array, got a list",
    ),
    "numbers in a list for a gradient": (
        lambda: {"a": w()},
        lambda: {"a": [[1.0, 2.0]]},
        "the gradient of weight 'a' must be a NumPy or CuPy array, got a list",
    ),
    "a string among the weights": (
        lambda: [w(), "W"],
        lambda: [w(), w()],
        "weight '1' must be a NumPy or CuPy array, got str",
    ),
    "a number among the gradients": (
        lambda: [w(), w()],
        lambda: [w(), 1.0],
        "the gradient of weight '1' must be a NumPy or CuPy array, got 1.0",
    ),
    "another shape": (
        lambda: [[w(2, 3)]],
        lambda: [[Exported(w(3, 2))]],
        "the gradient of weight '0.0' has shape (3, 2), the weight (2, 3)",
    ),
    "a weight of another shape than before": (
        lambda: {"known": [w(3)]},
        lambda: {"known": [w(3)]},
        (
            "weight 'known.0' has shape (3,) and dtype float32, but its slots have shape (2,) and dtype float32; "
            "give another array another index"
        ),
    ),
    "a weight of another dtype than before": (
        lambda: {"known": [w(dtype="float64")]},
        lambda: {"known": [w(dtype="float64")]},
        (
            "weight 'known.0' has shape (2,) and dtype float64, but its slots have shape (2,) and dtype float32; "
            "give another array another index"
        ),
    ),
    "another dtype": (
        lambda: [Tensor(w())],
        lambda: [Tensor(w(dtype="float64"))],
        "the gradient of weight '0' has dtype float64, the weight float32; pass gradient.astype('float32')",
    ),
    "integers for a gradient": (
        lambda: [w()],
        lambda: [Exported(w(dtype="int32"))],
        "the gradient of weight '0' must be float32, float64, complex64, complex128, float16 or bfloat16 in the machine's byte order, got dtype int32",
    ),
    "booleans for a weight": (
        lambda: [w(dtype="bool")],
        lambda: [w(dtype="bool")],
        "weight '0' must be float32, float64, complex64, complex128, float16 or bfloat16 in the machine's byte order, got dtype bool",
    ),
    "objects for a gradient": (
        lambda: [w()],
        lambda: [WithArrayMethod(np.array([1.0, None]))],
        "the gradient of weight '0' must be float32, float64, complex64, complex128, float16 or bfloat16 in the machine's byte order, got dtype object",
    ),
    "a masked gradient": (
        lambda: [w()],
        lambda: [np.ma.masked_array(w())],
        "the gradient of weight '0' must be a NumPy or CuPy array, got numpy.ma.MaskedArray",
    ),
    "a sparse matrix of SciPy": (
        lambda: [w(2, 2)],
        lambda: [scipy.sparse.csr_array(w(2, 2))],
        "the gradient of weight '0' must be a NumPy or CuPy array, got scipy.sparse._csr.csr_array; pass array.toarray()",
    ),
    "a sparse tensor": (
        lambda: [w()],
        lambda: [Tensor(w(), layout="torch.sparse_coo")],
        "the gradient of weight '0' is a torch tensor with layout torch.sparse_coo; pass tensor.to_dense()",
    ),
    "a sparse tensor for a weight": (
        lambda: [Tensor(w(), layout="torch.sparse_csr")],
        lambda: [w()],
        "weight '0' is a torch tensor with layout torch.sparse_csr; only dense tensors are updated",
    ),
    "a tensor on another device": (
        lambda: [Tensor(w(), "mps")],
        lambda: [w()],
        "weight '0' is on the torch device mps; only the CPU and CUDA are supported",
    ),
    "an array on another device": (
        lambda: [w()],
        lambda: [Exported(w(), device=15)],
        "the gradient of weight '0' is on a device of DLPack type 15; only the CPU and CUDA are supported",
    ),
    "a lazy view for a weight": (
        lambda: [Tensor(w(), is_lazy=True)],
        lambda: [w()],
        "weight '0' is a lazy conjugate or negative view; pass tensor.resolve_conj()",
    ),
    "a JAX array for a weight": (
        lambda: {"W": JaxArray(w())},
        lambda: {"W": JaxArray(w())},
        (
            "weight 'W' is a JAX array, which is immutable; hold the weights in NumPy: pass np.array(array) and convert it "
            "where the function needs it"
        ),
    ),
    "a TensorFlow array for a weight": (
        lambda: [TensorFlowArray(w())],
        lambda: [w()],
        (
            "weight '0' is a TensorFlow array, which is immutable; hold the weights in NumPy: pass np.array(array) and "
            "convert it where the function needs it"
        ),
    ),
    "a module for a weight": (
        lambda: [Module()],
        lambda: [w()],
        "weight '0' must be a NumPy or CuPy array, got torch.nn.Module",
    ),
    "an array with a method only": (
        lambda: {"W": WithArrayMethod(w())},
        lambda: {"W": w()},
        (
            "weight 'W' is of type tests.optim.inputs.fake_arrays.WithArrayMethod, which has __array__ only, so the memory may "
            "be a copy; pass a NumPy array"
        ),
    ),
    "an export that is read-only": (
        lambda: {"W": Exported(read_only(w()))},
        lambda: {"W": w()},
        (
            "weight 'W', of type tests.optim.inputs.fake_arrays.Exported, exports its memory as read-only, so it cannot be "
            "updated in place; pass a NumPy array"
        ),
    ),
    "an array that cannot be read": (
        lambda: {"W": w()},
        lambda: {"W": Unreadable(w())},
        (
            "the gradient of weight 'W', of type tests.optim.inputs.fake_arrays.Unreadable, cannot be imported: "
            f"{('the array was deleted, ' + 'and so on, ' * 30)[:197]}..."
        ),
    ),
    "a JAX array that is traced": (
        lambda: {"W": w()},
        lambda: {"W": Traced(w())},
        "the gradient of weight 'W' is traced by JAX; call the optimizer outside of jax.jit and jax.grad",
    ),
    "one array under two names": (
        lambda: {"a": [SHARED], "b": [SHARED]},
        lambda: {"a": [w()], "b": [w()]},
        "weights 'a.0' and 'b.0' share memory, which would be updated twice; pass that memory under one name, or a copy",
    ),
    "a weight as its own gradient": (
        lambda: [Tensor(SHARED)],
        lambda: [Tensor(SHARED)],
        "the gradient of weight '0' shares memory with the weight, which is about to change; pass a copy of the gradient",
    ),
    "a weight as the gradient of another": (
        lambda: [w(), Exported(SHARED)],
        lambda: [SHARED, w()],
        "the gradient of weight '0' shares memory with weight '1', which is about to change; pass a copy of the gradient",
    ),
}


@pytest.fixture(scope="module")
def optimizer() -> mxtrain.Optimizer:
    """Return an optimizer with a state, which no wrong input changes."""
    optimizer = mxtrain.build({"kind": "adam"}, backend="numpy")
    optimizer.step({"known": [w()]}, {"known": [w()]})
    return optimizer


@pytest.mark.parametrize("is_first", [True, False], ids=["after a conversion", "after plain arrays"])
@pytest.mark.parametrize(("params", "grads", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_input(params: Any, grads: Any, message: str, is_first: bool, optimizer: mxtrain.Optimizer) -> None:
    optimizer._builder._converter.is_active = is_first
    given = params()
    state = repr(optimizer.state_dict())
    with pytest.raises(mxtrain.ArrayError) as caught:
        optimizer.step(given, grads())
    assert str(caught.value) == message
    assert repr(optimizer.state_dict()) == state
    assert (SHARED == 1).all()
    if not message.startswith(("params", "the names")):
        for leaf in flatten("params", given).leaves:
            array = getattr(leaf, "array", leaf)
            assert not isinstance(array, np.ndarray) or (array == 1).all()
