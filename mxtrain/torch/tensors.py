"""Tensors of PyTorch as NumPy and CuPy arrays that share their memory."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from mxtrain.errors import ArrayTypeError, BackendError
from mxtrain.optim.backends import array_module
from mxtrain.types import Array

_NUMPY_TYPES = frozenset({torch.float32, torch.float64, torch.float16, torch.complex64, torch.complex128})


def weight_array(name: str, tensor: Any) -> Array:
    """Return a parameter as an array that shares its memory: of NumPy on the CPU, of CuPy on a CUDA device.

    Raises:
        ArrayTypeError: the tensor is on another device, or is not a dense tensor of floating-point or complex numbers.
        BackendError: a package is missing that its device or its dtype needs.
    """
    return _array(f"parameter {name!r}", tensor.detach())


def gradient_array(name: str, gradient: Any) -> Array:
    """Return a gradient as an array, which shares its memory unless it is a lazy conjugate or negative.

    Raises:
        ArrayTypeError, BackendError: as in `weight_array`; a sparse gradient is refused.
    """
    if gradient.layout is not torch.strided:
        raise ArrayTypeError(
            f"the gradient of parameter {name!r} is sparse ({gradient.layout}); "
            "build its layer with sparse=False, or assign p.grad = p.grad.to_dense() before the step"
        )
    return _array(f"the gradient of parameter {name!r}", gradient.detach().resolve_conj().resolve_neg())


def _array(label: str, tensor: Any) -> Array:
    if tensor.device.type == "cuda":
        return _cupy().from_dlpack(tensor)
    if tensor.device.type != "cpu" or tensor.layout is not torch.strided:
        raise ArrayTypeError(
            f"{label} is a {tensor.layout} tensor on {tensor.device.type}; mxtrain updates dense tensors on cpu and "
            "cuda"
        )
    if tensor.dtype in _NUMPY_TYPES:
        return tensor.numpy()
    if tensor.dtype is torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(_bfloat16())
    raise ArrayTypeError(f"{label} has dtype {tensor.dtype}; mxtrain updates floating-point and complex tensors")


def as_tensor(array: Array) -> Any:
    """Return an array as a tensor that shares its memory."""
    if type(array).__module__.partition(".")[0] == "cupy":
        return torch.from_dlpack(array)
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view("int16")).view(torch.bfloat16)
    return torch.from_numpy(array)


def as_array(value: Any) -> Array:
    """Return a tensor of a state dict as an array of NumPy, wherever it is."""
    return _array("a slot", value.detach().cpu())


@contextmanager
def stream_of(tensors: list[Any]) -> Iterator[None]:
    """Run the work of CuPy in the current stream of PyTorch if tensors are on a CUDA device."""
    device = next((each.device for each in tensors if each.device.type == "cuda"), None)
    stream = nullcontext()
    if device is not None:
        stream = _cupy().cuda.ExternalStream(torch.cuda.current_stream(device).cuda_stream, device.index)
    with stream:
        yield


def _cupy() -> Any:
    try:
        return array_module("cupy")
    except ImportError as error:
        raise BackendError(
            "parameters on a CUDA device need CuPy; pip install 'mxtrain[cuda12]' or 'mxtrain[cuda13]'"
        ) from error


def _bfloat16() -> Any:
    try:
        from ml_dtypes import bfloat16
    except ImportError as error:
        raise BackendError("parameters of torch.bfloat16 need ml_dtypes; pip install ml_dtypes") from error
    return bfloat16
