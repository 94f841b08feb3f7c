"""Matrix product with bias and activation, and its division into tiles.

The tiles depend only on the shape. BLAS rounds a tile differently from the same elements of the whole product, so the
tiles are the same for any number of threads, and so are the bits."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mxtrain.nn.activations import Activation
from mxtrain.nn.matmul.blas import NOT_TRANSPOSED, TRANSPOSED
from mxtrain.types import Array


@dataclass(frozen=True, slots=True, eq=False)
class MatMul:
    """`out ← left·right`, to which a bias and an activation, or the slope of one, may follow.

    All arrays are C-contiguous and of one dtype. Nothing that is read may share memory with `out`.

    Attributes:
        left: (m, k), or (k, m) where it is turned; None for the inputs of the pass.
        right: (k, n), or (n, k) where it is turned.
        out: (m, n), written.
        transpose_a: whether the transpose of `left` is meant.
        transpose_b: whether the transpose of `right` is meant.
        bias: (n,), added to each row.
        activation: `out` becomes `h(out)`; or, where `at` is given, `out·h'`.
        at: (m, n), the values h(z) at which the slope is taken.

    Example:
        >>> import numpy as np
        >>> from mxtrain.nn.activations import ACTIVATIONS
        >>> out = np.empty((1, 2))
        >>> bias, relu = np.array([1.0, -5.0]), ACTIVATIONS["relu"]
        >>> MatMul(None, np.eye(2), out, bias=bias, activation=relu).compute(np, np.array([[1.0, 2.0]]))
        >>> out
        array([[2., 0.]])
    """

    left: Array | None
    right: Array
    out: Array
    transpose_a: bool = False
    transpose_b: bool = False
    bias: Array | None = None
    activation: Activation | None = None
    at: Array | None = None

    def is_regular(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
        """Whether the arrays are as they must be, so that they can be found by their addresses.

        Args:
            shape: of the inputs.
            dtype: of all.
        """
        rows, inner = (self.left.shape if self.left is not None else shape)[:: -1 if self.transpose_a else 1]
        columns = self.right.shape[0 if self.transpose_b else 1]
        wanted = {
            "left": (inner, rows) if self.transpose_a else (rows, inner),
            "right": (columns, inner) if self.transpose_b else (inner, columns),
            "out": (rows, columns),
            "bias": (columns,),
            "at": (rows, columns),
        }
        arrays = {name: array for name in wanted if (array := getattr(self, name)) is not None}
        return self.out.flags.writeable and all(
            array.shape == wanted[name] and array.dtype == dtype and array.flags.c_contiguous
            for name, array in arrays.items()
        )

    def compute(self, xp: ModuleType, inputs: Array) -> None:
        """All of it, with the functions of an array module."""
        left = inputs if self.left is None else self.left
        xp.dot(left.T if self.transpose_a else left, self.right.T if self.transpose_b else self.right, out=self.out)
        self.finish(xp)

    def finish(self, xp: ModuleType) -> None:
        """What follows on the product itself."""
        if self.bias is not None:
            xp.add(self.out, self.bias, out=self.out)
        self.activate(xp)

    def activate(self, xp: ModuleType) -> None:
        """What follows on the bias."""
        if self.activation is None:
            return
        if self.at is None:
            self.activation.forward(xp, self.out)
        else:
            self.activation.backward(xp, self.at, self.out)


_MAX_MULTIPLICATIONS = 1 << 22
"""Multiplications of a tile, at most, unless it is too small: more than that takes a core about 0.1 milliseconds."""
_MIN_ELEMENTS = 1 << 13
"""Elements of the result, below which BLAS spends too much time on bringing both matrices into its own order."""
_LARGE_MULTIPLICATIONS, _MIN_ELEMENTS_LARGE = 1 << 26, 1 << 11
"""More multiplications than these are cut down to so few elements: one core would take milliseconds for them."""
_STEP = 16
"""Cuts fall on multiples of this, as BLAS computes so many elements of a row or column together."""


class Tile(NamedTuple):
    """The elements of a result in the rows `top` to `bottom` and the columns `left` to `right`."""

    top: int
    bottom: int
    left: int
    right: int


def tiles(rows: int, columns: int, inner: int) -> list[Tile]:
    """The parts of a product (rows, inner)·(inner, columns): halves of halves, across the longer side.

    Example:
        >>> tiles(32, 64, 64)
        [Tile(top=0, bottom=32, left=0, right=64)]
        >>> tiles(128, 128, 512)
        [Tile(top=0, bottom=64, left=0, right=128), Tile(top=64, bottom=128, left=0, right=128)]
    """
    return list(_split(Tile(0, rows, 0, columns), inner))


def _split(tile: Tile, inner: int) -> Iterator[Tile]:
    top, bottom, left, right = tile
    area = (bottom - top) * (right - left)
    work = area * inner
    if work < _MAX_MULTIPLICATIONS or area <= (_MIN_ELEMENTS if work < _LARGE_MULTIPLICATIONS else _MIN_ELEMENTS_LARGE):
        yield tile
    elif bottom - top >= right - left:
        middle = _middle(top, bottom)
        yield from _split(Tile(top, middle, left, right), inner)
        yield from _split(Tile(middle, bottom, left, right), inner)
    else:
        middle = _middle(left, right)
        yield from _split(Tile(top, bottom, left, middle), inner)
        yield from _split(Tile(top, bottom, middle, right), inner)


def _middle(low: int, high: int) -> int:
    return low + -(-(high - low) // (2 * _STEP)) * _STEP


TILE_FIELDS = 13
"""A tile is so many numbers: what `Gemm.arguments` takes; how it ends; and the address of what that needs."""
SIZES, LEFT = slice(2, 5), 5
"""Of these: rows, columns and the inner size; the address of the left matrix."""
NO_EPILOGUE, BIAS, BIAS_AND_RELU, RELU_BACKWARD, TANH_BACKWARD, SIGMOID_BACKWARD = range(6)
"""How a tile may end. A slope needs the values at which it is taken, the others the bias."""

_BACKWARD_EPILOGUES = {"relu": RELU_BACKWARD, "tanh": TANH_BACKWARD, "sigmoid": SIGMOID_BACKWARD}


def is_fully_compiled(product: MatMul) -> bool:
    """Whether compiled code does all that follows on a product.

    A tanh and a sigmoid are NumPy's to compute, whose functions compiled code does not match to the bit.
    """
    return product.activation is None or _epilogue(product) > BIAS


def tile_table(product: MatMul) -> NDArray[np.int64]:
    """The tiles of a product, one in a row; for the inputs' address stands that of the tile's begin within them."""
    (m, n), size = product.out.shape, product.out.itemsize
    k = product.right.shape[1 if product.transpose_b else 0]
    left, right, out = _address(product.left), _address(product.right), _address(product.out)
    bias, at = _address(product.bias), _address(product.at)
    rows = []
    for top, bottom, first, beyond in tiles(m, n, k):
        place = size * (top * n + first)
        rows.append((
            *(TRANSPOSED if product.transpose_a else NOT_TRANSPOSED, TRANSPOSED if product.transpose_b else
            NOT_TRANSPOSED),
            *(bottom - top, beyond - first, k),
            *(left + size * top * (1 if product.transpose_a else k), m if product.transpose_a else k),
            *(right + size * first * (k if product.transpose_b else 1), k if product.transpose_b else n),
            *(out + place, n),
            *(_epilogue(product), at + place if product.at is not None else bias + size * first),
        ))  # fmt: skip
    return np.array(rows, dtype=np.int64).reshape(-1, TILE_FIELDS)


def _epilogue(product: MatMul) -> int:
    if product.at is not None and product.activation is not None:
        return _BACKWARD_EPILOGUES[product.activation.name]
    if product.bias is None:
        return NO_EPILOGUE
    return BIAS_AND_RELU if product.activation is not None and product.activation.name == "relu" else BIAS


def _address(array: NDArray[Any] | None) -> int:
    return 0 if array is None else int(array.__array_interface__["data"][0])
