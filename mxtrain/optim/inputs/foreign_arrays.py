"""Arrays of other libraries as NumPy or CuPy arrays: torch, JAX, TensorFlow, and objects with `__dlpack__`.

Memory is shared wherever the library allows it. Source of the protocol: the array API standard, "Data interchange".
"""

from collections.abc import Callable, Hashable
from functools import lru_cache
from importlib import import_module
from typing import Any, Final

import numpy as np

from mxtrain.errors import ArrayError, ArrayTypeError, BackendError, MxtrainError
from mxtrain.optim.backends import array_kind, array_module, check_is_array
from mxtrain.types import Array, describe

_CPU, _CUDA = "numpy", "cupy"
_DEVICES: Final = {1: _CPU, 3: _CPU, 11: _CPU, 2: _CUDA, 13: _CUDA, 10: _CUDA}
"""The library for arrays on a device, by the number of its type in DLPack: CPU and pinned memory, CUDA and ROCm."""
_IMMUTABLE: Final = {"jax": "JAX", "jaxlib": "JAX", "tensorflow": "TensorFlow"}
"""Libraries whose arrays cannot be updated in place, by the module of their types."""
_MAX_REASON = 200
"""Largest number of characters of another library's error message."""


def library_of(value: object) -> str | None:
    """Return the library to whose arrays a value belongs, also as a subclass: torch, JAX or TensorFlow; None otherwise.

    >>> library_of(np.float32(1)) is None
    True
    """
    return _library(type(value))


def _library_of_type(kind: type) -> str | None:
    packages = {base.__module__.partition(".")[0] for base in kind.__mro__}
    if "torch" in packages:
        return "torch" if hasattr(kind, "detach") else None
    return next((_IMMUTABLE[package] for package in packages if package in _IMMUTABLE), None)


_library: Callable[[Any], str | None] = lru_cache(maxsize=1024)(_library_of_type)


def weight_array(name: Hashable, value: Any) -> Array:
    """Return a weight as a NumPy or CuPy array that shares its memory.

    Raises:
        ArrayTypeError: it is not an array, or its memory cannot be shared.
        BackendError: it is on a GPU, and CuPy is not installed.
    """
    label = f"weight {name!r}"
    library = library_of(value)
    if library == "torch":
        return _torch_array(label, value, is_written=True)
    if array_kind(value) is None and not isinstance(value, np.generic):
        if library is not None:
            raise ArrayTypeError(
                f"{label} is a {library} array, which is immutable; hold the weights in NumPy: "
                "pass np.array(array) and convert it where the function needs it"
            )
        if hasattr(value, "__dlpack__"):
            return _writable_array(label, value)
        if hasattr(value, "__array__"):
            raise ArrayTypeError(
                f"{label} is of type {_type_name(value)}, which has __array__ only, so the memory may be a copy; "
                "pass a NumPy array"
            )
    check_is_array(label, value)
    return value


def gradient_array(name: Hashable, value: Any, weight: Array) -> Array:
    """Return a gradient as an array of the library of its weight, without a copy where the memory allows it.

    Raises:
        ArrayTypeError: it is not an array, or is on another device than the weight.
        BackendError: it is on a GPU, and CuPy is not installed.
    """
    label = f"the gradient of weight {name!r}"
    try:
        array = any_array(label, value)
    except BackendError:
        if isinstance(weight, np.ndarray) and _is_on_gpu(label, value):
            raise _device_error(name, "CPU", "GPU") from None
        raise
    kinds = array_kind(weight), array_kind(array)
    if kinds[0] != kinds[1] and array is not value:
        raise _device_error(name, *("GPU" if kind == _CUDA else "CPU" for kind in kinds))
    return array


def _device_error(name: Hashable, of_weight: str, of_gradient: str) -> ArrayTypeError:
    return ArrayTypeError(
        f"weight {name!r} is on the {of_weight}, its gradient on the {of_gradient}; "
        "move one of them to the device of the other"
    )


def any_array(label: str, value: Any) -> Array:
    """Return an array of any library as a NumPy or CuPy array, on the same device; a view or a copy.

    Args:
        label: the name of the array in messages.
        value: the array.

    Raises:
        ArrayTypeError: it is not an array, or is on an unsupported device.
        BackendError: it is on a GPU, and CuPy is not installed.
    """
    if library_of(value) == "torch":
        return _torch_array(label, value, is_written=False)
    if array_kind(value) is None:
        if hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__"):
            return _from_dlpack(label, value, is_written=False)
        if hasattr(value, "__array__"):
            return _from_array_method(label, value)
    check_is_array(label, value)
    return value


def shape_of(name: Hashable, weight: Any) -> tuple[int, ...]:
    """Return the shape of a parameter of any library.

    Raises:
        ArrayTypeError: it has no shape.
    """
    shape = getattr(weight, "shape", None)
    if not isinstance(shape, tuple):
        raise ArrayTypeError(f"weight {name!r} must be a NumPy or CuPy array, got {describe(weight)}")
    return tuple(shape)


def copy_with(name: Hashable, weight: Any, value: Array) -> Any:
    """Return a copy of a weight with other values: a torch tensor for a tensor, else a NumPy or CuPy array."""
    if library_of(weight) != "torch":
        return value.copy()
    copy = weight.detach().clone()
    weight_array(name, copy)[...] = value
    return copy


def device_fence(on_gpu: list[Any]) -> Callable[[], None] | None:
    """Return a function to call after an update, so that torch sees its results on any stream; None if none is needed.

    CuPy waits for the stream of a tensor when it imports one. In the other direction, nothing orders the streams: if
    torch's current stream is another than CuPy's, the host waits for the update.

    Args:
        on_gpu: weights and gradients of other libraries on a GPU.
    """
    on_gpu = [each for each in on_gpu if library_of(each) == "torch"]
    if not on_gpu:
        return None

    def synchronize() -> None:
        torch, cupy = import_module("torch"), array_module("cupy")
        for number in {each.device.index for each in on_gpu}:
            with cupy.cuda.Device(number):
                stream = cupy.cuda.get_current_stream()
                if torch.cuda.current_stream(number).cuda_stream != stream.ptr:
                    stream.synchronize()

    return synchronize


def _torch_array(label: str, tensor: Any, *, is_written: bool) -> Array:
    """Return a view of a dense torch tensor, detached from its graph."""
    try:
        return tensor.detach().numpy()
    except (RuntimeError, TypeError):
        pass  # on a GPU, not dense, of a dtype that NumPy lacks, or a lazy view
    if str(tensor.layout) != "torch.strided":
        remedy = "pass tensor.to_dense()" if not is_written else "only dense tensors are updated"
        raise ArrayTypeError(f"{label} is a torch tensor with layout {tensor.layout}; {remedy}")
    tensor = tensor.detach()
    if tensor.is_conj() or tensor.is_neg():
        if is_written:
            raise ArrayTypeError(f"{label} is a lazy conjugate or negative view; pass tensor.resolve_conj()")
        tensor = tensor.resolve_conj().resolve_neg()
    device = tensor.device.type
    if device not in ("cpu", "cuda"):
        raise ArrayTypeError(f"{label} is on the torch device {device}; only the CPU and CUDA are supported")
    if str(tensor.dtype) == "torch.bfloat16":
        return _bfloat16_array(label, tensor)
    if device == "cuda":
        return _to_cupy(label, tensor)
    try:
        return tensor.numpy()
    except (RuntimeError, TypeError) as error:  # for example a quantized dtype
        raise _import_error(label, f"of dtype {tensor.dtype}", error) from None


def _bfloat16_array(label: str, tensor: Any) -> Array:
    """Return a view of the bits of a bfloat16 tensor, with the dtype of ml_dtypes."""
    try:
        dtype = import_module("ml_dtypes").bfloat16
    except ImportError:
        raise BackendError(f"{label} is bfloat16, which needs the package ml_dtypes; pip install ml_dtypes") from None
    bits = tensor.view(import_module("torch").int16)
    array = bits.numpy() if tensor.device.type == "cpu" else _to_cupy(label, bits)
    try:
        return array.view(dtype)
    except (TypeError, ValueError) as error:  # a CuPy without this dtype
        raise _import_error(label, "of dtype torch.bfloat16", error) from None


def _writable_array(label: str, value: Any) -> Array:
    array = _from_dlpack(label, value, is_written=True)
    if isinstance(array, np.ndarray) and not array.flags.writeable:
        raise ArrayError(
            f"{label}, of type {_type_name(value)}, exports its memory as read-only, so it cannot be updated in place; "
            "pass a NumPy array"
        )
    return array


def _from_dlpack(label: str, value: Any, *, is_written: bool) -> Array:
    """Import an array through DLPack, as a view; through `__array__` if that fails and the array is only read."""
    try:
        if _is_on_gpu(label, value):
            return _to_cupy(label, value)
        return np.from_dlpack(value)
    except MxtrainError:
        raise
    except Exception as error:  # noqa: BLE001 - a dtype that NumPy lacks, an array on several devices, ...
        if not is_written and hasattr(value, "__array__"):
            return _from_array_method(label, value)
        raise _import_error(label, f"of type {_type_name(value)}", error) from None


def _is_on_gpu(label: str, value: Any) -> bool:
    """Return whether an array is on a GPU, and not on the CPU.

    Raises:
        ArrayTypeError: it is on another device.
    """
    number = int(value.__dlpack_device__()[0]) if hasattr(value, "__dlpack_device__") else 1
    if number not in _DEVICES:
        raise ArrayTypeError(f"{label} is on a device of DLPack type {number}; only the CPU and CUDA are supported")
    return _DEVICES[number] == _CUDA


def _from_array_method(label: str, value: Any) -> Array:
    try:
        return np.asarray(value)
    except Exception as error:  # noqa: BLE001 - __array__ may raise anything
        raise _import_error(label, f"of type {_type_name(value)}", error) from None


def _to_cupy(label: str, value: Any) -> Array:
    try:
        cupy = array_module("cupy")
    except ImportError:
        raise BackendError(
            f"{label} is on a GPU, which needs CuPy; pip install 'mxtrain[cuda12]', or 'mxtrain[cuda13]' for CUDA 13"
        ) from None
    with cupy.cuda.Device(int(value.__dlpack_device__()[1])):
        return cupy.from_dlpack(value)


def _import_error(label: str, what: str, error: Exception) -> ArrayTypeError:
    """Return the error of an array that its library does not export."""
    if type(error).__name__.startswith("Tracer"):  # errors of JAX, which explain at length
        return ArrayTypeError(f"{label} is traced by JAX; call the optimizer outside of jax.jit and jax.grad")
    return ArrayTypeError(f"{label}, {what}, cannot be imported: {_one_line(error)}")


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _MAX_REASON else f"{text[: _MAX_REASON - 3]}..."


def _type_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
