"""How arrays of any layout become the one-dimensional pieces that programs run on."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Flat = NDArray[np.floating]

BLOCK = 65_536
"""Elements in a block: blocks of Adam's four arrays and its scratch fit in two megabytes of cache, and a call for each
operation on a block is soon paid for."""


def flat_views(arrays: Sequence[Flat]) -> list[Flat] | None:
    """One-dimensional views, all in the same order of elements; None where some layout does not allow it.

    >>> w = np.zeros((2, 3), dtype="float32")
    >>> [view.shape for view in flat_views([w, w + 1])]
    [(6,), (6,)]
    >>> flat_views([w, np.zeros((3, 2), dtype="float32").T]) is None
    True
    """
    views = []
    for array in arrays:  # the usual case in one pass: this runs for every array at every step
        if type(array) is not np.ndarray:
            array = array.view(np.ndarray)  # a matrix keeps two dimensions, and a memmap is slow to slice
        flags = array.flags
        if not (flags.c_contiguous and flags.aligned):
            break
        views.append(array if array.ndim == 1 else array.reshape(-1))
    else:
        return views
    if all(array.flags.f_contiguous and array.flags.aligned for array in arrays):
        return [array.T.reshape(-1) for array in arrays]
    return None


def gathered_blocks(arrays: Sequence[Flat], written: Sequence[int]) -> Iterator[list[Flat]]:
    """Arrays that have no common flat order, block by block; NumPy copies each block to buffers, and back.

    Args:
        arrays: of one shape.
        written: which of them are put back.
    """
    flags = ["external_loop", "buffered", "zerosize_ok"]
    kinds = [["readwrite" if number in written else "readonly", "contig", "aligned"] for number in range(len(arrays))]
    with np.nditer(arrays, flags, kinds, order="K", buffersize=BLOCK) as blocks:  # type: ignore[call-overload]
        for each in blocks:
            yield list(each)
