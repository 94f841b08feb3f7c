"""Flat parameters: named arrays as views on one buffer for each dtype."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from mxtrain.errors import ArrayError, ArrayTypeError, ReadOnlyError
from mxtrain.optim.backends import array_kind, zeros
from mxtrain.types import DTYPES, Array, describe


@dataclass(frozen=True, slots=True)
class BufferSlice:
    """Where a named array lies: elements `start` to `stop` of the buffer of its dtype, in this shape."""

    name: str
    dtype: str
    start: int
    stop: int
    shape: tuple[int, ...]

    def view(self, buffer: Array) -> Array:
        """The named array's view on a buffer."""
        return buffer[self.start : self.stop].reshape(self.shape)


class FlatParameters(Mapping[str, Array]):
    """Named arrays as views on one buffer for each dtype: an optimizer updates a whole model in one go.

    A mapping like any dict of arrays. The views are fixed: write into them (`flat["W"][...] = value`,
    `flat["W"] += value`); another array under a name is refused. Copies and pickles have buffers of their own, with
    their views on them. `Optimizer.step` recognizes two of these with one layout, and makes one call for each dtype.

    Args:
        arrays: arrays by name, of float32 or float64, all of NumPy or all of CuPy; they are copied.

    Attributes:
        buffers: the one-dimensional buffer of each dtype, by the dtype's name.
        layout: where each array lies.

    Raises:
        ArrayTypeError: something is no such array.

    Example:
        >>> params = FlatParameters({"W": np.ones((2, 2), dtype="float32"), "b": np.zeros(2, dtype="float32")})
        >>> grads = params.zeros_like()
        >>> grads["W"][...] = 0.5
        >>> params.buffers["float32"]
        array([1., 1., 1., 1., 0., 0.], dtype=float32)
        >>> grads.buffers["float32"]
        array([0.5, 0.5, 0.5, 0.5, 0. , 0. ], dtype=float32)
    """

    layout: tuple[BufferSlice, ...]
    buffers: dict[str, Array]
    _places: dict[str, tuple[BufferSlice, ...]]
    _views: dict[str, Array]

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._set_layout(_make_layout(arrays))
        sizes = {place.dtype: place.stop for place in self.layout}
        example = next(iter(arrays.values()), np.zeros(0))
        self._set_buffers({dtype: zeros(size, dtype, example) for dtype, size in sizes.items()})
        for name, array in arrays.items():
            self._views[name][...] = array

    def zeros_like(self) -> "FlatParameters":
        """The same names and shapes, filled with zeros: a place for gradients."""
        return _on_buffers(
            self.layout, {dtype: zeros(len(buffer), dtype, buffer) for dtype, buffer in self.buffers.items()}
        )

    def copy(self) -> "FlatParameters":
        """The same names, shapes and values in memory of their own."""
        return _on_buffers(self.layout, {dtype: buffer.copy() for dtype, buffer in self.buffers.items()})

    def places(self, dtype: str) -> tuple[BufferSlice, ...]:
        """Where the arrays of one dtype lie."""
        return self._places[dtype]

    def has_same_layout(self, other: "FlatParameters") -> bool:
        """Whether the other has the same names, shapes and dtypes in the same order; told at once the second time."""
        if self.layout is not other.layout and self.layout == other.layout:
            object.__setattr__(self, "layout", other.layout)
        return self.layout is other.layout

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__annotations__ and not (name in ("buffers", "layout") and hasattr(self, "_views")):
            object.__setattr__(self, name, value)
            return
        remedy = "the arrays and their buffers stay" if name in ("buffers", "layout") else "it has no such attribute"
        raise ReadOnlyError(
            f"FlatParameters.{name} cannot be set: {remedy}; to change an array, write flat[name][...] = value"
        )

    def _set_layout(self, layout: tuple[BufferSlice, ...]) -> None:
        self.layout = layout
        dtypes = dict.fromkeys(place.dtype for place in layout)
        self._places = {dtype: tuple(place for place in layout if place.dtype == dtype) for dtype in dtypes}

    def _set_buffers(self, buffers: dict[str, Array]) -> None:
        self.buffers = buffers
        self._views = {place.name: place.view(buffers[place.dtype]) for place in self.layout}

    def __copy__(self) -> "FlatParameters":
        return self.copy()

    def __reduce__(self) -> tuple[Callable[..., "FlatParameters"], tuple[Any, ...]]:
        return _on_buffers, (self.layout, self.buffers)  # the views are made anew, on the buffers that arrive

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __setitem__(self, name: str, value: Array) -> None:
        """Only what `flat[name] += value` ends with: the view that is there already."""
        if name not in self._views:
            raise ArrayTypeError(f"the names of flat parameters are fixed, and {name!r} is none of them")
        if value is not self._views[name]:
            raise ArrayTypeError(
                f"the arrays of flat parameters are views that stay; write flat[{name!r}][...] = value"
            )

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __repr__(self) -> str:
        return f"FlatParameters({', '.join(f'{place.name} {place.shape} {place.dtype}' for place in self.layout)})"


def _on_buffers(layout: tuple[BufferSlice, ...], buffers: dict[str, Array]) -> FlatParameters:
    flat = FlatParameters.__new__(FlatParameters)
    flat._set_layout(layout)
    flat._set_buffers(buffers)
    return flat


def _make_layout(arrays: Mapping[str, Array]) -> tuple[BufferSlice, ...]:
    if not isinstance(arrays, Mapping):
        raise ArrayTypeError(f"the parameters must be a mapping of names to arrays, got {describe(arrays)}")
    places: list[BufferSlice] = []
    ends: dict[str, int] = {}
    for name, array in arrays.items():
        if array_kind(array) is None:
            raise ArrayTypeError(f"{name!r} must be a NumPy or CuPy array, got {describe(array)}")
        dtype = str(array.dtype)
        if dtype not in DTYPES:
            raise ArrayTypeError(f"{name!r} must be float32 or float64, got dtype {dtype}")
        start = ends.get(dtype, 0)
        ends[dtype] = start + prod(array.shape)
        places.append(BufferSlice(name, dtype, start, ends[dtype], tuple(array.shape)))
    if len({array_kind(array) for array in arrays.values()}) > 1:
        raise ArrayError("some arrays are NumPy's and some CuPy's; bring them together with cupy.asarray(…)")
    return tuple(places)
