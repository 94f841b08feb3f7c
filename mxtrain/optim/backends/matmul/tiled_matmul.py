"""Matrix product with bias and activation, and its division into tiles.

The tiles depend only on the shape. BLAS rounds a tile differently from the same elements of the whole product, so the
tiles are the same for any number of threads, and so are the bits.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mxtrain.optim.backends.matmul.blas import NOT_TRANSPOSED, TRANSPOSED
from mxtrain.types import Array


class Activation(Protocol):
    """An elementwise function h(z) that a product applies in place; `mxtrain.nn.activations` has three.

    Compiled code has epilogues of its own for the names `relu`, `tanh` and `sigmoid`.
    """

    @property
    def name(self) -> str:
        """The name of the function."""

    @property
    def forward(self) -> Callable[[ModuleType, Array], None]:
        """`forward(xp, z)` replaces z by h(z)."""

    @property
    def backward(self) -> Callable[[ModuleType, Array, Array], None]:
        """`backward(xp, h, gradient)` replaces the gradient with respect to h by that with respect to z."""


@dataclass(frozen=True, slots=True, eq=False)
class MatMul:
    """A matrix product `out ← a·b`, optionally followed by a bias and an activation or its gradient.

    All arrays are C-contiguous and of the same dtype. `out` must not share memory with the other arrays.

    Attributes:
        a: (m, k), or (k, m) with `transpose_a`; None for the inputs of the plan.
        b: (k, n), or (n, k) with `transpose_b`.
        out: (m, n), overwritten.
        transpose_a: use the transpose of `a`.
        transpose_b: use the transpose of `b`.
        bias: (n,), added to each row.
        activation: replaces `out` by `h(out)`, or with `activation_output` by `out·h'`.
        activation_output: (m, n), the values h(z) at which the gradient of the activation is evaluated.

    Example:
        >>> import numpy as np
        >>> out = np.empty((1, 2))
        >>> MatMul(None, np.eye(2), out, bias=np.array([1.0, -5.0])).compute(np, np.array([[1.0, 2.0]]))
        >>> out
        array([[ 2., -3.]])
    """

    a: Array | None
    b: Array
    out: Array
    transpose_a: bool = False
    transpose_b: bool = False
    bias: Array | None = None
    activation: Activation | None = None
    activation_output: Array | None = None

    def is_regular(self, inputs_shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
        """Return whether all arrays have the required shapes, dtype and memory order, so that addresses describe them.

        Args:
            inputs_shape: the shape of the plan's inputs.
            dtype: the dtype of all arrays.
        """
        m, k = (self.a.shape if self.a is not None else inputs_shape)[:: -1 if self.transpose_a else 1]
        n = self.b.shape[0 if self.transpose_b else 1]
        shapes = {
            "a": (k, m) if self.transpose_a else (m, k),
            "b": (n, k) if self.transpose_b else (k, n),
            "out": (m, n),
            "bias": (n,),
            "activation_output": (m, n),
        }
        arrays = {name: array for name in shapes if (array := getattr(self, name)) is not None}
        return self.out.flags.writeable and all(
            array.shape == shapes[name] and array.dtype == dtype and array.flags.c_contiguous
            for name, array in arrays.items()
        )

    def compute(self, xp: ModuleType, inputs: Array) -> None:
        """Compute the product, bias and activation with the functions of an array library."""
        a = inputs if self.a is None else self.a
        xp.dot(a.T if self.transpose_a else a, self.b.T if self.transpose_b else self.b, out=self.out)
        self.apply_epilogue(xp)

    def apply_epilogue(self, xp: ModuleType) -> None:
        """Add the bias and apply the activation."""
        if self.bias is not None:
            xp.add(self.out, self.bias, out=self.out)
        self.apply_activation(xp)

    def apply_activation(self, xp: ModuleType) -> None:
        """Apply the activation or its gradient."""
        if self.activation is None:
            return
        if self.activation_output is None:
            self.activation.forward(xp, self.out)
        else:
            self.activation.backward(xp, self.activation_output, self.out)


_MAX_MULTIPLICATIONS = 1 << 22
"""Largest number of multiplications in a tile, unless it is too small to split; they take about 0.1 ms on one core."""
_MIN_ELEMENTS = 1 << 13
"""Elements of a tile below which BLAS spends too much time on packing both matrices."""
_LARGE_MULTIPLICATIONS, _MIN_ELEMENTS_LARGE = 1 << 26, 1 << 11
"""Multiplications above which tiles are split down to fewer elements, because they would take a core milliseconds."""
_STEP = 16
"""Tiles start at multiples of this number, because BLAS computes blocks of so many rows and columns."""


class Tile(NamedTuple):
    """The rows `top` to `bottom - 1` and the columns `left` to `right - 1` of a product."""

    top: int
    bottom: int
    left: int
    right: int


def split_into_tiles(m: int, n: int, k: int) -> list[Tile]:
    """Divide a product (m, k)·(k, n) into tiles, halving the longer side repeatedly.

    Example:
        >>> split_into_tiles(32, 64, 64)
        [Tile(top=0, bottom=32, left=0, right=64)]
        >>> split_into_tiles(128, 128, 512)
        [Tile(top=0, bottom=64, left=0, right=128), Tile(top=64, bottom=128, left=0, right=128)]
    """
    return list(_split(Tile(0, m, 0, n), k))


def _split(tile: Tile, k: int) -> Iterator[Tile]:
    top, bottom, left, right = tile
    area = (bottom - top) * (right - left)
    work = area * k
    if work < _MAX_MULTIPLICATIONS or area <= (_MIN_ELEMENTS if work < _LARGE_MULTIPLICATIONS else _MIN_ELEMENTS_LARGE):
        yield tile
    elif bottom - top >= right - left:
        middle = _middle(top, bottom)
        yield from _split(Tile(top, middle, left, right), k)
        yield from _split(Tile(middle, bottom, left, right), k)
    else:
        middle = _middle(left, right)
        yield from _split(Tile(top, bottom, left, middle), k)
        yield from _split(Tile(top, bottom, middle, right), k)


def _middle(low: int, high: int) -> int:
    return low + -(-(high - low) // (2 * _STEP)) * _STEP


TILE_FIELDS = 13
"""Numbers per tile: the arguments of `Gemm.arguments`, the epilogue, and the address that the epilogue reads from."""
SIZES, A_ADDRESS = slice(2, 5), 5
"""Positions in a tile of the sizes m, n and k, and of the address of `a`."""
NO_EPILOGUE, BIAS, BIAS_AND_RELU, RELU_BACKWARD, TANH_BACKWARD, SIGMOID_BACKWARD, COPY_TRANSPOSED = range(7)
"""Epilogues of a tile. The backward ones read the output of the activation, those with a bias the bias;
`COPY_TRANSPOSED` writes the transpose of the tile to the address."""

_BACKWARD_EPILOGUES = {"relu": RELU_BACKWARD, "tanh": TANH_BACKWARD, "sigmoid": SIGMOID_BACKWARD}


def is_fully_compiled(product: MatMul) -> bool:
    """Return whether compiled code applies the whole epilogue of a product.

    NumPy applies tanh and sigmoid, because compiled code does not reproduce the bits of its functions.
    """
    return product.activation is None or _epilogue(product) > BIAS


def tile_table(product: MatMul) -> NDArray[np.int64]:
    """Return the tiles of a product as rows of `TILE_FIELDS` numbers; the address of the plan's inputs counts as 0."""
    (m, n), size = product.out.shape, product.out.itemsize
    k = product.b.shape[1 if product.transpose_b else 0]
    a, b, out = _address(product.a), _address(product.b), _address(product.out)
    bias, activation_output = _address(product.bias), _address(product.activation_output)
    rows = []
    for top, bottom, left, right in split_into_tiles(m, n, k):
        offset = size * (top * n + left)
        rows.append((
            TRANSPOSED if product.transpose_a else NOT_TRANSPOSED,
            TRANSPOSED if product.transpose_b else NOT_TRANSPOSED,
            *(bottom - top, right - left, k),
            *(a + size * top * (1 if product.transpose_a else k), m if product.transpose_a else k),
            *(b + size * left * (k if product.transpose_b else 1), k if product.transpose_b else n),
            *(out + offset, n),
            _epilogue(product),
            activation_output + offset if product.activation_output is not None else bias + size * left,
        ))  # fmt: skip
    return np.array(rows, dtype=np.int64).reshape(-1, TILE_FIELDS)


def _epilogue(product: MatMul) -> int:
    if product.activation_output is not None and product.activation is not None:
        return _BACKWARD_EPILOGUES[product.activation.name]
    if product.bias is None:
        return NO_EPILOGUE
    return BIAS_AND_RELU if product.activation is not None and product.activation.name == "relu" else BIAS


def _address(array: NDArray[Any] | None) -> int:
    return 0 if array is None else int(array.__array_interface__["data"][0])
