"""How a product is cut into parts that several threads can compute.

The cut follows from the shape alone. BLAS rounds a part otherwise than it rounds the same elements of the whole, so
it is the same cut on one thread as on many, and the same bits.
"""

from collections.abc import Iterator
from typing import NamedTuple

_WORK = 1 << 22
"""Multiplications of a tile, at most, unless it is too small: more than that takes a core about 0.1 milliseconds."""
_AREA = 1 << 13
"""Elements of the result, below which BLAS spends too much time on bringing both matrices into its own order."""
_MUCH, _LEAST_AREA = 1 << 26, 1 << 11
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
    return list(_halves(Tile(0, rows, 0, columns), inner))


def _halves(tile: Tile, inner: int) -> Iterator[Tile]:
    top, bottom, left, right = tile
    area = (bottom - top) * (right - left)
    work = area * inner
    if work < _WORK or area <= (_AREA if work < _MUCH else _LEAST_AREA):
        yield tile
    elif bottom - top >= right - left:
        middle = _middle(top, bottom)
        yield from _halves(Tile(top, middle, left, right), inner)
        yield from _halves(Tile(middle, bottom, left, right), inner)
    else:
        middle = _middle(left, right)
        yield from _halves(Tile(top, bottom, left, middle), inner)
        yield from _halves(Tile(top, bottom, middle, right), inner)


def _middle(low: int, high: int) -> int:
    return low + -(-(high - low) // (2 * _STEP)) * _STEP
