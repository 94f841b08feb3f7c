"""Flat parameters: named arrays as views on one buffer for each dtype."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from mxtrain.errors import ArrayError, ArrayTypeError, ReadOnlyError
from mxtrain.optim.backends import array_kind, zeros
from mxtrain.optim.inputs import any_array, flatten
from mxtrain.types import COMPLEX_DTYPES, DTYPES, HALF_DTYPES, Array


@dataclass(frozen=True, slots=True)
class BufferSlice:
    """Slice of a buffer that holds a named array: elements `start` to `stop`, in this shape."""

    name: str
    dtype: str
    start: int
    stop: int
    shape: tuple[int, ...]

    def view(self, buffer: Array) -> Array:
        """Return the array as a view of a buffer."""
        return buffer[self.start : self.stop].reshape(self.shape)


Place = BufferSlice  # the name in pickles of earlier versions


class FlatParameters(Mapping[str, Array]):
    """Named arrays as views of one buffer for each dtype, so that an optimizer updates a whole model at once.

    A mapping of names to arrays. The views are fixed: write into them (`flat["W"][...] = value`, `flat["W"] += value`);
    they cannot be replaced. Copying or pickling creates independent buffers and views. `Optimizer.step` makes one call
    for each dtype if parameters and gradients are flat and have the same layout.

    Args:
        arrays: arrays by name, of float32 or float64, all on the CPU or all on a GPU; they are copied. In nested dicts,
            lists, tuples, named tuples and dataclasses, the name of an array is its path, such as `layers.0.W`. None is
            no array.

    Attributes:
        buffers: the one-dimensional buffer of each dtype, by the name of the dtype.
        layout: the slice of each array.

    Raises:
        ArrayTypeError: a value is not an array of float32 or float64.

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

    def __init__(self, arrays: Any) -> None:
        arrays = _to_arrays(arrays)
        self._set_layout(_make_layout(arrays))
        sizes = {place.dtype: place.stop for place in self.layout}
        example = next(iter(arrays.values()), np.zeros(0))
        self._set_buffers({dtype: zeros(size, dtype, example) for dtype, size in sizes.items()})
        for name, array in arrays.items():
            self._views[name][...] = array

    def zeros_like(self) -> "FlatParameters":
        """Return zeros with the same names and shapes, as for gradients."""
        return _on_buffers(
            self.layout, {dtype: zeros(len(buffer), dtype, buffer) for dtype, buffer in self.buffers.items()}
        )

    def copy(self) -> "FlatParameters":
        """Return a copy with independent buffers."""
        return _on_buffers(self.layout, {dtype: buffer.copy() for dtype, buffer in self.buffers.items()})

    def places(self, dtype: str) -> tuple[BufferSlice, ...]:
        """Return the slices of the arrays of one dtype."""
        return self._places[dtype]

    def has_same_layout(self, other: "FlatParameters") -> bool:
        """Return whether the other has the same names, shapes and dtypes in the same order; a match is remembered."""
        if self.layout is not other.layout and self.layout == other.layout:
            object.__setattr__(self, "layout", other.layout)
        return self.layout is other.layout

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__annotations__ and not (name in ("buffers", "layout") and hasattr(self, "_views")):
            object.__setattr__(self, name, value)
            return
        reason = "it is read-only" if name in ("buffers", "layout") else "there is no such attribute"
        raise ReadOnlyError(
            f"FlatParameters.{name} cannot be set: {reason}; to change an array, write flat[name][...] = value"
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
        return _on_buffers, (self.layout, self.buffers)  # views are created again, on the unpickled buffers

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __setitem__(self, name: str, value: Array) -> None:
        """Accept the present view only, which `flat[name] += value` assigns."""
        if name not in self._views:
            raise ArrayTypeError(f"flat parameters have no array {name!r}, and none can be added")
        if value is not self._views[name]:
            raise ArrayTypeError(f"the arrays of flat parameters cannot be replaced; write flat[{name!r}][...] = value")

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


def _to_arrays(arrays: Any) -> dict[Any, Array]:
    """Return the arrays of nested containers by name, as NumPy or CuPy arrays; without those that are None."""
    flat = flatten("the parameters", arrays)
    named = zip(flat.names, flat.leaves, strict=True)
    return {name: any_array(repr(name), leaf) for name, leaf in named if leaf is not None}


def _make_layout(arrays: Mapping[str, Array]) -> tuple[BufferSlice, ...]:
    places: list[BufferSlice] = []
    ends: dict[str, int] = {}
    for name, array in arrays.items():
        dtype = str(array.dtype)
        if dtype not in DTYPES:
            remedy = "; pass it to step in a dict" if dtype in (*COMPLEX_DTYPES, *HALF_DTYPES) else ""
            raise ArrayTypeError(f"{name!r} must be float32 or float64 in flat parameters, got dtype {dtype}{remedy}")
        start = ends.get(dtype, 0)
        ends[dtype] = start + prod(array.shape)
        places.append(BufferSlice(name, dtype, start, ends[dtype], tuple(array.shape)))
    if len({array_kind(array) for array in arrays.values()}) > 1:
        raise ArrayError("some arrays are NumPy arrays and some CuPy arrays; convert them with cupy.asarray(…)")
    return tuple(places)
