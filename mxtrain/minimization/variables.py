"""Layout of an array, or of nested arrays, in one vector."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Any

import numpy as np

from mxtrain.errors import ArrayError, ArrayTypeError
from mxtrain.optim.backends import array_kind, array_module
from mxtrain.types import Array, describe

_REAL = {"float32": "float32", "float64": "float64", "complex64": "float32", "complex128": "float64"}
"""Dtypes of x0, and those of their real and imaginary parts."""
ROOT = "x"
"""Name of the only array of x0."""


class Variables:
    """Layout of an array, or of nested arrays, in one vector.

    Complex arrays are stored as pairs of real and imaginary part.

    Args:
        x0: an array, a list of numbers, or nested dicts, lists, tuples, named tuples and dataclasses of arrays.

    Raises:
        ArrayTypeError: a leaf is not an array of float32, float64, complex64 or complex128, or leaves differ in dtype
            or device.
        ArrayError: an array has no elements.

    Attributes:
        names: the name of each array, by its path, such as `layers.0.W`.
        size: the number of elements of the vector.
        dtype: its dtype, float32 or float64.
        xp: the array module, NumPy or CuPy.
        is_single: True if x0 is an array itself.
    """

    def __init__(self, x0: Any) -> None:
        self.is_single = _is_leaf(x0)
        self._template = x0
        leaves = {name: _as_array(name, leaf) for name, leaf in _leaves(x0, "")}
        if not leaves:
            raise ArrayError("x0 holds no array")
        self.names = tuple(leaves)
        self.shapes = {name: leaf.shape for name, leaf in leaves.items()}
        self.dtypes = {name: leaf.dtype for name, leaf in leaves.items()}
        first = next(iter(leaves.values()))
        self.kind = array_kind(first)
        self.xp: ModuleType = array_module(self.kind or "numpy")
        self.dtype = np.dtype(_REAL[str(first.dtype)])
        for name, leaf in leaves.items():
            self._check_leaf(name, leaf)
        self._slices: dict[str, slice] = {}
        start = 0
        for name, leaf in leaves.items():
            length = leaf.size * (2 if leaf.dtype.kind == "c" else 1)
            self._slices[name] = slice(start, start + length)
            start += length
        self.size = start
        self.initial: Array = self._pack(leaves)
        shape = self.shapes[self.names[0]]
        self._shape = shape if self.is_single and first.dtype.kind != "c" else None

    @property
    def is_complex(self) -> bool:
        """True if an array is complex."""
        return any(dtype.kind == "c" for dtype in self.dtypes.values())

    def slice_of(self, name: str) -> slice:
        """Return the part of the vector that holds an array."""
        return self._slices[name]

    def real_views(self, vector: Array) -> dict[str, Array]:
        """Return real views of a vector, by name; a complex array has a last axis of its real and imaginary part."""
        pairs = {name: (*shape, 2) if self.dtypes[name].kind == "c" else shape for name, shape in self.shapes.items()}
        return {name: vector[self._slices[name]].reshape(shape) for name, shape in pairs.items()}

    def unflatten(self, vector: Array) -> Any:
        """Return views of a vector in the structure of x0."""
        if self._shape is not None:
            return vector.reshape(self._shape)
        return _rebuild(self._template, "", lambda name: self._view(name, vector))

    def flatten_gradient(self, gradient: Any) -> Array:
        """Return a gradient in the structure of x0 as one vector, without a copy if it is one contiguous array.

        Raises:
            ArrayTypeError: a leaf is not an array, or has another dtype or device than that of x0.
            ArrayError: the structure or a shape differs from that of x0.
        """
        if self._shape is not None:
            if type(gradient) is np.ndarray and gradient.dtype == self.dtype and gradient.shape == self._shape:
                return gradient if gradient.ndim == 1 and gradient.flags.c_contiguous else gradient.reshape(-1)
            return self._check_gradient(ROOT, gradient).reshape(-1)
        found: dict[str, Array] = {}
        _collect(self._template, gradient, "", found)
        return self._pack({name: self._check_gradient(name, found[name]) for name in self.names})

    def _view(self, name: str, vector: Array) -> Array:
        part = vector[self._slices[name]]
        if self.dtypes[name].kind == "c":
            part = part.view(self.dtypes[name])
        return part.reshape(self.shapes[name])

    def _pack(self, leaves: Mapping[str, Array]) -> Array:
        vector = self.xp.empty(self.size, self.dtype)
        for name, leaf in leaves.items():
            self._view(name, vector)[...] = leaf
        return vector

    def _check_leaf(self, name: str, leaf: Array) -> None:
        if array_kind(leaf) != self.kind:
            raise ArrayTypeError(
                f"x0 mixes NumPy and CuPy arrays ({self.names[0]} and {name}); move them to one device"
            )
        if _REAL[str(leaf.dtype)] != self.dtype:
            raise ArrayTypeError(
                f"x0 mixes {self.dtypes[self.names[0]]} ({self.names[0]}) and {leaf.dtype} ({name}); "
                f"pass {name}.astype({str(self.dtypes[self.names[0]])!r})"
            )

    def _check_gradient(self, name: str, gradient: Any) -> Array:
        label = "the gradient" if self.is_single else f"the gradient of {name}"
        gradient = _foreign_to_array(label, gradient)
        if array_kind(gradient) is None:
            raise ArrayTypeError(f"{label} must be an array, got {describe(gradient)}")
        if array_kind(gradient) != self.kind:
            place = {"numpy": "a NumPy array", "cupy": "a CuPy array"}
            raise ArrayTypeError(f"{label} is {place[array_kind(gradient) or '']}, x0 is {place[self.kind or '']}")
        if gradient.shape != self.shapes[name]:
            raise ArrayError(f"{label} has shape {gradient.shape}, x has shape {self.shapes[name]}")
        if gradient.dtype != self.dtypes[name]:
            dtype = str(self.dtypes[name])
            raise ArrayTypeError(
                f"{label} has dtype {gradient.dtype}, x has dtype {dtype}; return gradient.astype({dtype!r})"
            )
        return gradient


def _is_leaf(value: Any) -> bool:
    """Return whether a value is an array, a number or a list of numbers, and not a structure of arrays."""
    if isinstance(value, list):
        return all(isinstance(each, int | float | complex | np.number) or _is_number_list(each) for each in value)
    return not _is_container(value)


def _is_number_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and _is_leaf(value)


def _children(tree: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(tree, Mapping):
        yield from tree.items()
    elif isinstance(tree, list | tuple):
        names = getattr(tree, "_fields", range(len(tree)))
        yield from zip(names, tree, strict=True)
    else:
        yield from ((each.name, getattr(tree, each.name)) for each in fields(tree))


def _leaves(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    if _is_leaf(tree):
        yield path or ROOT, tree
        return
    for name, child in _children(tree):
        yield from _leaves(child, f"{path}.{name}" if path else str(name))


def _rebuild(tree: Any, path: str, leaf: Callable[[str], Any]) -> Any:
    if _is_leaf(tree):
        return leaf(path or ROOT)
    children = {name: _rebuild(child, f"{path}.{name}" if path else str(name), leaf) for name, child in _children(tree)}
    if isinstance(tree, Mapping):
        return children
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(**children)
    if isinstance(tree, list | tuple):
        return type(tree)(children.values())
    return type(tree)(**children)


def _collect(template: Any, tree: Any, path: str, found: dict[str, Any]) -> None:
    """Collect the leaves of a gradient by the names of x0."""
    if _is_leaf(template):
        found[path or ROOT] = tree
        return
    if not _is_container(tree) or isinstance(template, Mapping) != isinstance(tree, Mapping):
        raise ArrayError(f"{_place(path)} must have the structure of x0, {_form(template)}, got {_form(tree)}")
    expected, got = dict(_children(template)), dict(_children(tree))
    if expected.keys() != got.keys():
        missing, extra = [k for k in expected if k not in got], [k for k in got if k not in expected]
        what = f"lacks {missing[0]!r}" if missing else f"has {extra[0]!r}, which x0 lacks"
        raise ArrayError(f"{_place(path)} {what}")
    for name, child in expected.items():
        _collect(child, got[name], f"{path}.{name}" if path else str(name), found)


def _is_container(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple) or (is_dataclass(value) and not isinstance(value, type))


def _place(path: str) -> str:
    return f"the gradient of {path}" if path else "the gradient"


def _form(tree: Any) -> str:
    return describe(tree) if isinstance(tree, Mapping | list | tuple) else f"an object of type {type(tree).__name__}"


def _as_array(name: str, leaf: Any) -> Array:
    """Return a leaf of x0 as an array; whole numbers and lists become float64."""
    label = "x0" if name == ROOT else f"x0[{name}]"
    if isinstance(leaf, list | int | float | complex | np.number) and not isinstance(leaf, bool):
        try:
            leaf = np.asarray(leaf, dtype=None)
        except ValueError:
            raise ArrayError(f"{label} is a list of rows of different lengths") from None
    if array_kind(leaf) is None or isinstance(leaf, np.ma.MaskedArray):
        raise ArrayTypeError(f"{label} must be a NumPy or CuPy array, got {describe(leaf)}{_remedy(leaf)}")
    if leaf.dtype.kind in "iu":
        leaf = leaf.astype("float64")
    if str(leaf.dtype) not in _REAL:
        raise ArrayTypeError(f"{label} must be float32, float64, complex64 or complex128, got dtype {leaf.dtype}")
    if leaf.size == 0:
        raise ArrayError(f"{label} has no elements, its shape is {leaf.shape}")
    return leaf


def _remedy(leaf: Any) -> str:
    library = type(leaf).__module__.partition(".")[0]
    remedies = {"torch": "; pass tensor.detach().cpu().numpy()", "jaxlib": "; pass numpy.asarray(array)"}
    return remedies.get(library, "")


def _foreign_to_array(label: str, value: Any) -> Any:
    """Return an array of another library as a NumPy or CuPy array that shares its memory, and lists as arrays."""
    if isinstance(value, np.number) or _is_number_list(value):
        return np.asarray(value)
    if array_kind(value) is not None or not hasattr(value, "__dlpack__"):
        return value
    if getattr(value, "requires_grad", False):
        value = value.detach()
    try:
        on_host = value.__dlpack_device__()[0] in (1, 3)  # kDLCPU, kDLCUDAHost
        return array_module("numpy" if on_host else "cupy").from_dlpack(value)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise ArrayTypeError(f"{label} cannot be read as an array: {error}") from None


def euclidean_norm(xp: ModuleType, vector: Array) -> float:
    """Return the Euclidean norm of a vector."""
    return math.sqrt(float(xp.dot(vector, vector)))
