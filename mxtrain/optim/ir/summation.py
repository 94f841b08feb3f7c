"""Order of summation: one order for every backend, number of threads and memory layout, so that sums have equal bits.

1. The elements of one parameter, in C order, are cut into blocks of 4,096, which are 32 rows of 128 lanes; the last
   block is padded with zeros.
2. Each lane adds its 32 elements in order, in float64; products of two arrays are formed in float64.
3. The 128 lanes of a block are added in halves: lane j and lane j + 64, then j + 32, and so on.
4. The sums of the blocks are padded with zeros to a power of two and added in halves in the same way, and so are the
   sums of parameters, in the order of their names in a step.

The largest absolute value follows the same path, with the maximum in place of the sum; no order matters for it.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

ROWS: Final = 32
LANES: Final = 128
SUM_BLOCK: Final = ROWS * LANES
"""Elements in a block."""


def block_count(size: int) -> int:
    """Return the number of blocks of a parameter.

    >>> block_count(0), block_count(4096), block_count(4097)
    (0, 1, 2)
    """
    return -(-size // SUM_BLOCK)


def reduce_blocks(operation: str, *operands: NDArray[Any]) -> NDArray[np.float64]:
    """Reduce each block of one-dimensional arrays: steps 1 to 3.

    Args:
        operation: `sum`, `dot` or `max_abs`.
        operands: one array, or the two arrays of `dot`.
    """
    size = operands[0].size
    values = np.zeros(block_count(size) * SUM_BLOCK)
    np.copyto(values[:size], operands[0])
    if operation == "dot":
        values[:size] *= operands[1]
    lanes = values.reshape(-1, ROWS, LANES)
    if operation == "max_abs":
        return np.asarray(np.abs(lanes).max(axis=(1, 2), initial=0.0))
    sums = np.add.reduce(lanes, axis=1, initial=0.0)
    return np.asarray(_join_halves(sums, np.add))


def combine(operation: str, values: Any) -> Any:
    """Reduce the last axis of the results of blocks, or of parameters: step 4.

    >>> float(combine("sum", np.array([1.0, 2.0, 4.0]))), float(combine("max_abs", np.zeros(0)))
    (7.0, 0.0)
    """
    xp: Any = np
    if not isinstance(values, np.ndarray):
        import cupy

        xp = cupy
    count = values.shape[-1]
    width = 1 << max(count - 1, 0).bit_length()
    padded = xp.zeros((*values.shape[:-1], width))
    padded[..., :count] = values
    return _join_halves(padded, xp.maximum if operation == "max_abs" else xp.add)


def _join_halves(values: Any, join: Callable[[Any, Any], Any]) -> Any:
    while (half := values.shape[-1] // 2) > 0:
        values = join(values[..., :half], values[..., half:])
    return values[..., 0]


def reduce_array(operation: str, *operands: Any) -> np.float64:
    """Reduce whole arrays in the order of this module; NaN and infinity are valid results.

    >>> reduce_array("dot", np.ones((3, 2)), np.full((3, 2), 2.0))
    np.float64(12.0)
    """
    with np.errstate(all="ignore"):
        return np.float64(combine(operation, reduce_blocks(operation, *(np.ravel(each) for each in operands))))
