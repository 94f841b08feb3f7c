"""Tensors of PyTorch as NumPy and CuPy arrays that share their memory, and the reverse."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from mxtrain.errors import ArrayTypeError
from mxtrain.optim.backends import array_kind, array_module
from mxtrain.optim.inputs import foreign_arrays
from mxtrain.types import Array

_PLAIN = frozenset({torch.float32, torch.float64})


def weight_array(name: str, tensor: Any) -> Array:
    """Return a parameter as an array that shares its memory: of NumPy on the CPU, of CuPy on a CUDA device.

    Raises:
        ArrayTypeError: the tensor is on another device, or is not dense.
        BackendError: a package is missing that its device or its dtype needs.
    """
    if tensor.is_cpu and tensor.dtype in _PLAIN and tensor.layout is torch.strided and not tensor.is_neg():
        return tensor.detach().numpy()
    return foreign_arrays.weight_array(name, tensor)


def gradient_array(name: str, gradient: Any, weight: Array) -> Array:
    """Return a gradient as an array that shares its memory.

    Raises:
        ArrayTypeError, BackendError: as in `weight_array`; a sparse gradient is refused.
    """
    if gradient.layout is not torch.strided:
        raise ArrayTypeError(
            f"the gradient of weight {name!r} is sparse ({gradient.layout}); build its layer with sparse=False, or "
            "assign p.grad = p.grad.to_dense() before the step"
        )
    if gradient.is_cpu and gradient.dtype in _PLAIN and not gradient.is_neg():
        return gradient.detach().numpy()
    return foreign_arrays.gradient_array(name, gradient, weight)


def as_tensor(array: Array) -> Any:
    """Return an array as a tensor that shares its memory."""
    if array_kind(array) == "cupy":
        return torch.from_dlpack(array)
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view("int16")).view(torch.bfloat16)
    return torch.from_numpy(array)


def slot_array(tensor: Any) -> Array:
    """Return a slot of a state dict as a NumPy array."""
    return foreign_arrays.weight_array("of a state dict", tensor.cpu())


@contextmanager
def stream_of(tensors: Sequence[Any]) -> Iterator[None]:
    """Let CuPy work in the current stream of PyTorch if tensors are on a CUDA device, so that neither must wait."""
    on_gpu = next((each for each in tensors if each.is_cuda), None)
    if on_gpu is None:
        yield
        return
    device = on_gpu.device.index
    cupy = array_module("cupy")
    with cupy.cuda.Device(device), cupy.cuda.ExternalStream(torch.cuda.current_stream(device).cuda_stream, device):
        yield
