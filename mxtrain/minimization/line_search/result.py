"""Function that a line search sees, and its result."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import TypeAlias

Phi: TypeAlias = Callable[[float], tuple[float, float]]
"""Function from a step length to the value there and its derivative along the direction."""

SHRINK_FACTOR = 0.1
"""Factor of a step that led to a value or gradient that is not finite."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Result of a line search.

    Attributes:
        step: the step length; 0 if none decreases the value. Otherwise it is the last one that was evaluated.
        f: the value there.
        slope: the derivative there.
        is_finite: False if the search failed because values or gradients were NaN or infinite.
    """

    step: float
    f: float
    slope: float
    is_finite: bool = True


def is_usable(f: float, slope: float) -> bool:
    """Return whether a value and a derivative are finite.

    >>> is_usable(1.0, 2.0), is_usable(1.0, float("nan"))
    (True, False)
    """
    return isfinite(f) and isfinite(slope)
