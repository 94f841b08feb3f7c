"""Small stand-ins for arrays of other libraries, which are not installed with the tests."""

from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np


class Exported:
    """An array with `__dlpack__`, whose memory is that of a NumPy array."""

    def __init__(self, array: Any, device: int = 1, *, is_versioned: bool = True) -> None:
        self.array, self.shape, self.dtype = np.asarray(array), np.shape(array), np.asarray(array).dtype
        self._device, self._is_versioned = device, is_versioned

    def __dlpack__(self, *, stream: Any = None, **options: Any) -> Any:
        if not self._is_versioned and options:
            raise TypeError("__dlpack__() got an unexpected keyword argument")
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._device, 0


class WithArrayMethod:
    """An array with `__array__` only."""

    def __init__(self, array: Any) -> None:
        self.array = np.asarray(array)
        self.shape = self.array.shape

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.array


class Unreadable(WithArrayMethod):
    """An array that cannot be converted."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("the array\n was deleted, " + "and so on, " * 30)


class TracerArrayConversionError(TypeError):
    """The error of JAX for an array without values."""


class Traced(WithArrayMethod):
    """A JAX array while a function is traced."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TracerArrayConversionError("a long explanation")


class BothMethods(Exported, WithArrayMethod):
    """An array whose `__dlpack__` fails, as that of a JAX array of bfloat16, so that `__array__` is used."""

    def __dlpack__(self, **_: Any) -> Any:
        raise BufferError("unsupported dtype")


class Tensor(Exported):
    """The part of a torch tensor that is used."""

    def __init__(self, array: Any, place: str = "cpu", layout: str = "torch.strided", *, is_lazy: bool = False) -> None:
        super().__init__(array, device={"cpu": 1, "cuda": 2}.get(place, 8))
        self.device, self.layout, self.is_lazy = SimpleNamespace(type=place, index=0), layout, is_lazy
        self.requires_grad = True

    def detach(self) -> "Tensor":
        detached = Tensor(self.array, self.device.type, self.layout, is_lazy=self.is_lazy)
        detached.requires_grad = False
        return detached

    def clone(self) -> "Tensor":
        return Tensor(self.array.copy(), self.device.type)

    def numpy(self) -> Any:
        if self.requires_grad or self.is_lazy or self.device.type != "cpu" or self.layout != "torch.strided":
            raise RuntimeError("Can't call numpy() on this tensor")
        return self.array

    def is_conj(self) -> bool:
        return self.is_lazy

    def is_neg(self) -> bool:
        return False

    def resolve_conj(self) -> "Tensor":
        return Tensor(self.array.conj(), self.device.type).detach()

    def resolve_neg(self) -> "Tensor":
        return self


Tensor.__module__ = "torch"


class JaxArray(Exported):
    """An immutable array, as those of JAX."""


class TensorFlowArray(Exported):
    """An immutable array, as those of TensorFlow."""


JaxArray.__module__, TensorFlowArray.__module__ = "jaxlib._jax", "tensorflow.python.framework.ops"


class Module:
    """A model, as `torch.nn.Module`."""

    def named_parameters(self) -> Any:
        yield "W", Tensor(np.ones(2))


Module.__module__, Module.__qualname__ = "torch.nn", "Module"


def fake_cupy(current_stream: int = 0) -> Any:
    """Return a module with the functions of CuPy that import arrays; its arrays wrap those of NumPy."""

    class Device:
        def __init__(self, number: int = 0) -> None:
            self.id = number

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Device) and other.id == self.id

        def __hash__(self) -> int:
            return self.id

        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            pass

    class ndarray:  # noqa: N801 - CuPy's own name
        def __init__(self, host: Any, device: int = 0) -> None:
            self.host, self.device = host, Device(device)
            self.shape, self.dtype, self.strides = host.shape, host.dtype, host.strides
            self.itemsize, self.size, self.ndim, self.flags = host.itemsize, host.size, host.ndim, host.flags
            self.data = SimpleNamespace(ptr=host.__array_interface__["data"][0])

        def __setitem__(self, key: Any, value: Any) -> None:
            self.host[key] = value.host if isinstance(value, ndarray) else value

        def copy(self) -> "ndarray":
            return ndarray(self.host.copy(), self.device.id)

        def get(self) -> Any:
            return self.host.copy()

    ndarray.__module__ = "cupy"
    module: Any = ModuleType("cupy")
    stream = SimpleNamespace(ptr=current_stream, synchronized=0)

    def synchronize() -> None:
        stream.synchronized += 1

    stream.synchronize = synchronize
    module.ndarray = ndarray
    module.from_dlpack = lambda value: ndarray(np.from_dlpack(Exported(value.array)))
    module.isfinite = lambda array: np.isfinite(array.host)
    module.cuda = SimpleNamespace(Device=Device, get_current_stream=lambda: stream)
    module.stream = stream
    return module
