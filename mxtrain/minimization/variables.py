"""Layout of an array, or of nested arrays, in one vector."""

import math
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from mxtrain.errors import ArrayError, ArrayTypeError
from mxtrain.optim.backends import array_kind, array_module
from mxtrain.optim.inputs.foreign_arrays import gradient_array
from mxtrain.optim.inputs.trees import FlatTree, flatten, is_container, map_leaves
from mxtrain.types import Array, describe_argument

_REAL = {"float32": "float32", "float64": "float64", "complex64": "float32", "complex128": "float64"}
"""Dtypes of x0, and those of their real and imaginary parts."""
_MAX_DIMENSIONS = 64
"""Largest number of dimensions of a NumPy array."""
ROOT = "x"
"""Name of the only array of x0."""


class Variables:
    """Layout of an array, or of nested arrays, in one vector.

    Complex arrays are stored as pairs of real and imaginary part, before the real arrays, so that their views are
    aligned.

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
        self.is_single = not is_container(type(x0)) or _is_list_of_numbers(x0)
        self._template = x0
        self._tree: FlatTree | None = None
        if self.is_single:
            leaves = {ROOT: _as_array("x0", _from_numbers(x0))}
        else:
            tree = flatten("x0", x0)
            self._tree = tree.without_leaves()
            leaves = {
                str(name): _as_array(f"x0 {name}", leaf) for name, leaf in zip(tree.names, tree.leaves, strict=True)
            }
            if len(leaves) < len(tree.names):
                raise ArrayError("two arrays of x0 have the same name; rename one of them")
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
        for name, leaf in sorted(leaves.items(), key=lambda item: item[1].dtype.kind != "c"):
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

    def views(self, vector: Array) -> dict[str, Array]:
        """Return views of a vector with the shapes and dtypes of the arrays of x0, by name."""
        return {name: self._view(name, vector) for name in self.names}

    def unflatten(self, vector: Array) -> Any:
        """Return views of a vector in the structure of x0."""
        if self._shape is not None:
            return vector.reshape(self._shape)
        views = iter(self.views(vector).values())
        return next(views) if self.is_single else map_leaves(self._template, views)

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
        if self._tree is None:
            return self._pack({ROOT: self._check_gradient(ROOT, gradient)})
        tree = flatten("the gradient", gradient, self._tree)
        found = dict(zip(map(str, tree.names), tree.leaves, strict=True))
        if found.keys() != self.dtypes.keys():
            raise _structure_error(found, self.dtypes)
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
        if isinstance(gradient, float | complex | np.number) or _is_list_of_numbers(gradient):
            gradient = np.asarray(gradient)
        if array_kind(gradient) is None:
            gradient = self._convert(label, gradient)
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

    def _convert(self, label: str, gradient: Any) -> Array:
        """Return an array of another library as one of NumPy or CuPy."""
        if not any(hasattr(gradient, name) for name in ("__dlpack__", "__array__")):
            raise ArrayTypeError(f"{label} must be an array, got {describe_argument(gradient)}")
        try:
            return gradient_array("x", gradient, self.initial)
        except ArrayError as error:
            raise type(error)(
                str(error).replace("the gradient of weight 'x'", label).replace("weight 'x'", "x")
            ) from None


def _is_list_of_numbers(value: Any, depth: int = 0) -> bool:
    """Return whether a value is a list of numbers, or of lists of numbers, which NumPy takes for an array."""
    if not isinstance(value, list | tuple) or not value or depth == _MAX_DIMENSIONS:
        return False
    return all(
        isinstance(each, int | float | complex | np.number) or _is_list_of_numbers(each, depth + 1) for each in value
    )


def _from_numbers(x0: Any) -> Any:
    """Return a number or a list of numbers as an array; other values unchanged."""
    if not isinstance(x0, list | tuple | int | float | complex | np.number):
        return x0
    try:
        return np.asarray(x0)
    except ValueError:
        raise ArrayError("x0 is a list of rows of different lengths") from None


def _structure_error(found: Mapping[str, Any], expected: Mapping[str, Any]) -> ArrayError:
    missing = next((name for name in expected if name not in found), None)
    if missing is not None:
        return ArrayError(f"the gradient must have the structure of x0: it has no {missing}")
    extra = next(name for name in found if name not in expected)
    return ArrayError(f"the gradient must have the structure of x0: it has {extra}, which x0 lacks")


def _as_array(label: str, leaf: Any) -> Array:
    """Return a leaf of x0 as an array; whole numbers become float64."""
    if array_kind(leaf) is None or isinstance(leaf, np.ma.MaskedArray):
        raise ArrayTypeError(f"{label} must be a NumPy or CuPy array, got {describe_argument(leaf)}{_remedy(leaf)}")
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


def euclidean_norm(xp: ModuleType, vector: Array) -> float:
    """Return the Euclidean norm of a vector."""
    return math.sqrt(float(xp.dot(vector, vector)))
