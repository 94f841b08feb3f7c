"""Conversion of text columns whose values are all numbers in plain notation."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars

_PLAIN = re.compile(r"-?(0|[1-9]\d*)?(\.\d*)?([eE][-+]?\d+)?")
_FEW_ROWS = 500
"""Number of rows up to which a column is converted in Python."""
_MAX_DIGITS = 18
"""Largest number of characters of whole numbers, which are identifiers beyond it."""


def as_numbers(text: "polars.Series") -> "polars.Series":
    """Return a column as integers or floats if every value is null or a number in plain notation; else unchanged.

    A leading zero or plus, digits that float64 does not hold, and exponents in a column without decimal points mark
    text, such as postal codes and identifiers.

    Example:
        >>> import polars as pl
        >>> [as_numbers(pl.Series(values)).dtype for values in (["1", None], ["1.5", "2"], ["01", "2"], ["1", "NA"])]
        [Int64, Float64, String, String]
    """
    import polars as pl

    if len(text) <= _FEW_ROWS:
        return _few_as_numbers(text)
    sample = text.drop_nulls().head(100)
    if not len(sample) or not all(map(_PLAIN.fullmatch, sample)):
        return text
    numbers = _cast(text, "." in "".join(sample))
    if numbers is None:
        return text
    zeros = text.str.starts_with("0") | text.str.starts_with("-0") | text.str.starts_with("+")
    if zeros.any() and text.filter(zeros).str.contains(r"^(-?0[0-9]|\+)").any():
        return text
    if numbers.dtype == pl.Float64 and (not numbers.is_finite().all() or _has_long_integers(text)):
        return text
    return numbers


def _few_as_numbers(text: "polars.Series") -> "polars.Series":
    """Do the same in Python, which takes less time for short columns."""
    import polars as pl

    values = [value for value in text.to_list() if value is not None]
    if not values or not all(map(_PLAIN.fullmatch, values)):
        return text
    is_float = [any(mark in value for mark in ".eE") for value in values]
    if any(len(value) > _MAX_DIGITS and not is_one for value, is_one in zip(values, is_float, strict=True)):
        return text
    numbers = text.cast(pl.Float64 if any(is_float) else pl.Int64, strict=False)
    is_whole = numbers.null_count() == text.null_count() and (numbers.dtype == pl.Int64 or numbers.is_finite().all())
    return numbers if is_whole else text


def _cast(text: "polars.Series", has_points: bool) -> "polars.Series | None":
    import polars as pl

    for dtype in (pl.Float64,) if has_points else (pl.Int64, pl.Float64):
        numbers = text.cast(dtype, strict=False)
        if numbers.null_count() == text.null_count():
            return numbers
    return None


def _has_long_integers(text: "polars.Series") -> bool:
    import polars as pl

    lengths = text.str.len_bytes()
    longest = lengths.max()
    if longest is None or not isinstance(longest, int) or longest <= _MAX_DIGITS:
        return False
    long_values = text.filter(lengths > _MAX_DIGITS)
    return bool((~long_values.str.contains_any([".", "e", "E"]) if len(long_values) else pl.Series([False])).any())
