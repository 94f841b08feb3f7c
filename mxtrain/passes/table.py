"""Products in numbers: the tiles of each, as BLAS and compiled code are told of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.passes.blas import PLAIN, TURNED
from mxtrain.passes.product import Product
from mxtrain.passes.tiles import tiles

FIELDS = 13
"""A tile is so many numbers: what `Gemm.arguments` takes; how it ends; and the address of what that needs."""
SIZES, LEFT = slice(2, 5), 5
"""Of these: rows, columns and the inner size; the address of the left matrix."""
NOTHING, BIAS, BIAS_AND_RELU, RELU_SLOPE, TANH_SLOPE, SIGMOID_SLOPE = range(6)
"""How a tile may end. A slope needs the values at which it is taken, the others the bias."""

_SLOPES = {"relu": RELU_SLOPE, "tanh": TANH_SLOPE, "sigmoid": SIGMOID_SLOPE}


def ends_in_tiles(product: Product) -> bool:
    """Whether compiled code does all that follows on a product.

    A tanh and a sigmoid are NumPy's to compute, whose functions compiled code does not match to the bit.
    """
    return product.activation is None or _end(product) > BIAS


def table_of(product: Product) -> NDArray[np.int64]:
    """The tiles of a product, one in a row; for the inputs' address stands that of the tile's begin within them."""
    (m, n), size = product.out.shape, product.out.itemsize
    k = product.right.shape[1 if product.turn_right else 0]
    left, right, out = _address(product.left), _address(product.right), _address(product.out)
    bias, at = _address(product.bias), _address(product.at)
    rows = []
    for top, bottom, first, beyond in tiles(m, n, k):
        place = size * (top * n + first)
        rows.append((
            *(TURNED if product.turn_left else PLAIN, TURNED if product.turn_right else PLAIN),
            *(bottom - top, beyond - first, k),
            *(left + size * top * (1 if product.turn_left else k), m if product.turn_left else k),
            *(right + size * first * (k if product.turn_right else 1), k if product.turn_right else n),
            *(out + place, n),
            *(_end(product), at + place if product.at is not None else bias + size * first),
        ))  # fmt: skip
    return np.array(rows, dtype=np.int64).reshape(-1, FIELDS)


def _end(product: Product) -> int:
    if product.at is not None and product.activation is not None:
        return _SLOPES[product.activation.name]
    if product.bias is None:
        return NOTHING
    return BIAS_AND_RELU if product.activation is not None and product.activation.name == "relu" else BIAS


def _address(array: NDArray[Any] | None) -> int:
    return 0 if array is None else int(array.__array_interface__["data"][0])
