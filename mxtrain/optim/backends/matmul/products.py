"""Products of whole matrices in tiles, on all cores: the same bits for any number of threads.

A product is divided into tiles that depend only on its shape. They are larger than those of a `MatMulPlan`, because the
matrices of an optimizer are: BLAS spends less time on packing. Of a symmetric product only the tiles on and above the
diagonal are computed; the others are copies.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.optim.backends.arrays import thread_count
from mxtrain.optim.backends.matmul.blas import NOT_TRANSPOSED, TRANSPOSED, Gemm, gemm, single_threaded_blas
from mxtrain.optim.backends.matmul.plan import MIN_PARALLEL_MULTIPLICATIONS, load_compiled, seconds_saved
from mxtrain.optim.backends.matmul.tiled_matmul import COPY_TRANSPOSED, NO_EPILOGUE, TILE_FIELDS, Tile
from mxtrain.optim.backends.selection import is_worth_compiling

_SIDE, _LONG_SIDE = 256, 512
"""Rows and columns of a tile, and those of a tile of a product with long sides."""
_LONG = 3072
"""Length of a side from which tiles are of `_LONG_SIDE`."""
_A, _B, _OUT, _MIRROR = 5, 7, 9, 12
"""Positions in a tile of the addresses of a, b, the product, and of the transposed copy."""


def multiply(
    a: NDArray[Any], b: NDArray[Any], out: NDArray[Any], *, transpose_a: bool = False, transpose_b: bool = False,
    symmetric: bool = False,
) -> None:  # fmt: skip
    """Compute `out ← a·b` for NumPy matrices; see `MatrixOperations.multiply`.

    NumPy computes products of one tile and of matrices that are not C-contiguous, on one thread; all products if its
    BLAS cannot be called directly.

    Example:
        >>> x, out = np.arange(6.0).reshape(2, 3), np.empty((2, 2))
        >>> multiply(x, x, out, transpose_b=True, symmetric=True)
        >>> out
        array([[ 5., 14.],
               [14., 50.]])
    """
    is_square = a is b
    a = a if a.flags.aligned else a.copy()  # NumPy would not use BLAS, which gives other bits
    b = a if is_square else b if b.flags.aligned else b.copy()
    m, k = a.shape[::-1] if transpose_a else a.shape
    n = b.shape[0 if transpose_b else 1]
    is_regular = a.dtype is b.dtype is out.dtype and all(each.flags.c_contiguous for each in (a, b, out))
    function = gemm(a.dtype.name) if is_regular and max(m, n) > _SIDE and m * n * k else None
    if function is None:
        with single_threaded_blas:
            np.matmul(a.T if transpose_a else a, b.T if transpose_b else b, out=out)
        return
    tiles = _tile_table(m, n, k, transpose_a, transpose_b, symmetric, a.itemsize).copy()
    addresses = [each.__array_interface__["data"][0] for each in (a, b, out)]
    tiles[:, [_A, _B, _OUT]] += addresses
    tiles[:, _MIRROR] += addresses[2]
    with single_threaded_blas:
        _run(function, tiles, out, m * n * k)


def _run(function: Gemm, tiles: NDArray[np.int64], out: NDArray[Any], multiplications: int) -> None:
    is_parallel = multiplications >= MIN_PARALLEL_MULTIPLICATIONS and len(tiles) > 1
    saved = seconds_saved(len(tiles), multiplications if is_parallel else 0)
    compiled = load_compiled() if len(tiles) > 1 and is_worth_compiling(saved) else None
    if compiled:
        task = compiled.make_task(function.address, out.dtype.name, tiles)
        threads = min(len(tiles), thread_count()) if is_parallel else 1
        compiled.run_tiles(task, np.array([0, len(tiles)], dtype=np.int64), threads)
        return
    for tile in tiles.tolist():
        function.function(*function.arguments(tile))
        if tile[11] == COPY_TRANSPOSED:
            top, left = divmod((tile[_OUT] - out.__array_interface__["data"][0]) // out.itemsize, out.shape[1])
            rows, columns = slice(top, top + tile[2]), slice(left, left + tile[3])
            out[columns, rows] = out[rows, columns].T


@lru_cache(maxsize=256)
def _tile_table(
    m: int, n: int, k: int, transpose_a: bool, transpose_b: bool, symmetric: bool, itemsize: int
) -> NDArray[np.int64]:
    """Return the tiles of a product, of `TILE_FIELDS` numbers each, with addresses relative to their matrices."""
    lda, ldb = m if transpose_a else k, k if transpose_b else n
    rows = [
        (
            TRANSPOSED if transpose_a else NOT_TRANSPOSED,
            TRANSPOSED if transpose_b else NOT_TRANSPOSED,
            *(bottom - top, right - left, k),
            *(itemsize * top * (1 if transpose_a else k), lda),
            *(itemsize * left * (k if transpose_b else 1), ldb),
            *(itemsize * (top * n + left), n),
            COPY_TRANSPOSED if symmetric and left > top else NO_EPILOGUE,
            itemsize * (left * n + top),
        )
        for top, bottom, left, right in split_into_squares(m, n, symmetric)
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, TILE_FIELDS)


def split_into_squares(m: int, n: int, symmetric: bool = False) -> Iterator[Tile]:
    """Divide an (m, n) matrix into tiles of about the same size; of a symmetric one only those from the diagonal up.

    Example:
        >>> list(split_into_squares(300, 256))
        [Tile(top=0, bottom=160, left=0, right=256), Tile(top=160, bottom=300, left=0, right=256)]
    """
    columns = list(pairwise(_cuts(n)))
    for top, bottom in pairwise(_cuts(m)):
        for left, right in columns:
            if not symmetric or left >= top:
                yield Tile(top, bottom, left, right)


def _cuts(length: int) -> list[int]:
    """Return the first row of each tile, and the number of rows; tiles start at multiples of 16."""
    count = -(-length // (_LONG_SIDE if length >= _LONG else _SIDE))
    step = -(-length // (16 * count)) * 16
    return [*range(0, length, step), length]
