"""Formatting of numbers, durations and metrics for people."""

import json
import sys
from typing import Any


def format_number(value: float | None) -> str:
    """Format a metric or a rate with four decimals or four significant digits; None as a dash.

    >>> format_number(0.97213), format_number(1), format_number(2901.34), format_number(0.00005), format_number(None)
    ('0.9721', '1.0000', '2901', '5e-05', '–')
    """
    if value is None:
        return "–"
    return f"{value:.4f}" if value == 0 or 0.001 <= abs(value) < 1000 else f"{value:.4g}"


def format_duration(seconds: float) -> str:
    """A time.

    >>> format_duration(1.234), format_duration(75), format_duration(3700)
    ('1.2 s', '1 min 15 s', '1 h 01 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def count(number: int, noun: str, plural: str = "") -> str:
    """So many of something.

    >>> count(1, "epoch"), count(1200, "epoch"), count(2, "batch", "batches")
    ('1 epoch', '1,200 epochs', '2 batches')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


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
