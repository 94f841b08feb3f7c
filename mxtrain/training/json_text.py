"""Reading JSON that mxtrain wrote, and that may have been damaged since."""

import json
import sys
from typing import Any


def parse(text: bytes | str) -> Any:
    """As `json.loads`, with one error for all that is wrong.

    Raises:
        ValueError: it is no JSON, or is nested too deeply.

    Example:
        >>> parse("[" * 100_000)
        Traceback (most recent call last):
        ValueError: nested too deeply
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def is_finite_number(value: object) -> bool:
    """Return whether a value from JSON is a number that float64 can hold, and not a bool.

    >>> [is_finite_number(value) for value in (1, 0.5, True, float("inf"), 10**400, "1", None)]
    [True, True, False, False, False, False, False]
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
