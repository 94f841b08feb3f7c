"""Code generation for Numba: a pass that counts elements, in whole numbers.

Sums of ones and zeros are exact in any order, so a count needs no lanes. Bounds of floating-point numbers are checked
by comparing their bits as unsigned whole numbers, which have the order of magnitudes: a negative number and NaN are
larger than any positive number. The largest and the smallest of these are found by vector instructions, for which
floating-point numbers would need rules about NaN.
"""

from typing import Any

import numpy as np

from mxtrain.optim.backends.compiled.codegen_values import indent, value_lines
from mxtrain.optim.ir.counting import (
    LARGEST_DIVISOR,
    LARGEST_SQUARE,
    LARGEST_SUMMAND,
    SMALLEST_DIVIDEND,
    Count,
    without_quotients,
)
from mxtrain.optim.ir.summation import SUM_BLOCK


def count_imports(dtype: str) -> str:
    """Return the statement that imports the types of whole numbers with the size of a dtype."""
    bits = 8 * np.dtype(dtype).itemsize
    return f"from numpy import int{bits} as I, uint{bits} as U"


def count_lines(count: Count, dtype: str) -> list[str]:
    """Return the loop over the blocks of a row: it counts without quotients, and again with them if that was wrong.

    Args:
        count: the count.
        dtype: the dtype of the arrays.
    """
    fast = without_quotients(count)
    results = range(len(count.conditions))
    lines = _count(fast, dtype)
    if not fast.is_exact:
        in_bounds = _conditions(fast, dtype)
        lines += [f"if not ({' and '.join(in_bounds)}):", *indent(_count(count, dtype), 1)]
    return [
        "        for block in range(first, beyond):",
        f"            end = min({SUM_BLOCK} * (block + 1), size)",
        *indent(lines, 3),
        f"            result = partials + {len(results)} * (starts[row] + block)",
        *(f"            s[result + {number}] = F(c{number})" for number in results),
    ]


def _count(count: Count, dtype: str) -> list[str]:
    """Return the statements that count the elements of a block, and find the extremes of the values with bounds."""
    bits = 8 * np.dtype(dtype).itemsize
    starts, updates = [], []
    for number, condition in enumerate(count.conditions):
        starts.append(f"c{number} = I(0)")
        updates.append(f"c{number} = I(c{number} + I({condition}))")
    for number, value in enumerate(count.dividends):
        starts.append(f"n{number} = U({2**bits - 1})")
        updates.append(f"b = U((T({value}).view(U) & U({2 ** (bits - 1) - 1})) - U(1))")  # 0 becomes the largest
        updates.append(f"n{number} = b if b < n{number} else n{number}")
    for number, value in enumerate(count.divisors):
        starts.append(f"v{number} = U(0)")
        updates.append(f"b = U(T({value}).view(U) - U(1))")
        updates.append(f"v{number} = b if b > v{number} else v{number}")
    for number, value in enumerate(count.squares):
        starts.append(f"q{number} = U(0)")
        updates.append(f"b = U(T({value}).view(U))")
        updates.append(f"q{number} = b if b > q{number} else q{number}")
    return [*starts, f"for i in range({SUM_BLOCK} * block, end):", *indent([*value_lines(count.program), *updates], 1)]


def _conditions(count: Count, dtype: str) -> list[str]:
    """Return the conditions under which a block was counted right."""
    smallest, divisor, square = (_bits(each, dtype) for each in (SMALLEST_DIVIDEND, LARGEST_DIVISOR, LARGEST_SQUARE))
    return [
        *(f"n{number} >= U({smallest - 1})" for number in range(len(count.dividends))),
        *(f"v{number} <= U({divisor - 1})" for number in range(len(count.divisors))),
        *(f"q{number} <= U({square})" for number in range(len(count.squares))),
        *(f"0.0 < {each} <= {LARGEST_SUMMAND}" for each in count.summands),
    ]


def _bits(value: float, dtype: str) -> int:
    number: Any = np.dtype(dtype).type(value)
    return int(number.view(f"uint{8 * number.itemsize}"))
