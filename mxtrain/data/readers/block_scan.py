"""Properties of a block of a text table that decide how it is read, found in one pass over its bytes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_PART = 2**18
"""Number of bytes that are examined at a time; they fit in the cache."""
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class BlockScan:
    r"""Counts of a block, whose rows end with LF.

    Attributes:
        separators: the number of separators, also of those in quotes.
        newlines: the number of newlines, also of those in quotes.
        codes: the columns in which values begin with a zero and another digit, as postal codes do, or with a plus sign,
            if every row has `width` values and no separator is in quotes.
        is_padded: True if a value may begin or end with whitespace.

    Example:
        >>> BlockScan.of(b"1,2\n3,04\n", b",", width=2)
        BlockScan(separators=2, newlines=2, codes=frozenset({1}), is_padded=False)
    """

    separators: int
    newlines: int
    codes: frozenset[int]
    is_padded: bool

    @classmethod
    def of(cls, block: bytes, separator: bytes, width: int) -> "BlockScan":
        """Scan a block; a separator of several bytes, or of whitespace, is not counted."""
        if len(separator) != 1:
            return cls(0, block.count(b"\n"), frozenset(range(width)), is_padded=True)
        data = np.frombuffer(block, dtype=np.uint8)
        blanks = [mark for mark in b" \t" if mark != separator[0] and bytes([mark]) in block]
        has_plus = b"+" in block
        separators = newlines = 0
        codes = {0} if block[:1] == b"+" or (block[:1] == b"0" and block[1:2].isdigit()) else set()
        is_padded = block[:1] in (b" ", b"\t") or not block.isascii()  # a no-break space is whitespace too
        for part in _parts(data):
            here, following = part[:-2], part[1:-1]
            ends = here == separator[0]
            is_newline = here == ord("\n")
            before = separators + newlines
            separators += int(np.count_nonzero(ends))
            newlines += int(np.count_nonzero(is_newline))
            ends |= is_newline
            begins = _begin_codes(ends, following, part[2:], has_plus=has_plus)
            if len(codes) < width and begins.any():
                codes |= set(np.unique((before + 1 + np.flatnonzero(begins[ends])) % width).tolist())
            is_padded = is_padded or any(_is_beside(ends, part, mark) for mark in blanks)
        return cls(separators, newlines, frozenset(codes), is_padded)


def _parts(data: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Yield parts with the two bytes that follow them; newlines follow the end."""
    for start in range(0, len(data), _PART):
        part = data[start : start + _PART + 2]
        if missing := max(0, start + min(_PART, len(data) - start) + 2 - len(data)):
            part = np.append(part, np.full(missing, ord("\n"), dtype=np.uint8))
        yield part


def _begin_codes(
    ends: NDArray[np.bool_], following: NDArray[np.uint8], second: NDArray[np.uint8], *, has_plus: bool
) -> NDArray[np.bool_]:
    """Return True at the ends of values after which a code begins."""
    begins: NDArray[np.bool_] = ends & (following == ord("0"))
    begins &= (second - np.uint8(ord("0"))) < 10
    if has_plus:
        begins |= ends & (following == ord("+"))
    return begins


def _is_beside(ends: NDArray[np.bool_], part: NDArray[np.uint8], mark: int) -> bool:
    """Return True if a blank is before or after the end of a value."""
    is_blank = part == mark
    return bool((ends & is_blank[1:-1]).any()) or bool((is_blank[:-3] & ends[1:]).any())


def prefetched(items: Iterator[_Item]) -> Iterator[_Item]:
    """Yield items, each of which is computed in a thread while the caller uses the one before it.

    Example:
        >>> list(prefetched(iter("abc")))
        ['a', 'b', 'c']
    """
    end = object()
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(next, items, end)
        while (item := pending.result()) is not end:
            pending = pool.submit(next, items, end)
            yield item  # type: ignore[misc]
