"""Values of columns as text."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from mxtrain.data.kinds.numbers import without_marks

if TYPE_CHECKING:
    import polars


def has_leading_zeros(texts: "polars.Series", marks: Collection[str]) -> bool:
    """Return True for codes such as postal codes: digits of one length, some of which begin with 0.

    Args:
        texts: the values of a column.
        marks: marks of missing values, in lower case.
    """
    present = texts.drop_nulls()
    zeros = present.filter(present.str.starts_with("0"))
    if not len(zeros) or not zeros.str.contains(r"^0\d").any():
        return False
    present = without_marks(present, marks)
    lengths = present.str.len_chars()
    return bool(present.str.contains(r"^\d+$").all()) and lengths.min() == lengths.max()


def has_unlike_integers(texts: "polars.Series", numbers: "polars.Series") -> bool:
    """Return True if texts are integers with so many digits that several of them are one float64, as identifiers are.

    >>> import polars as pl
    >>> [has_unlike_integers(texts, texts.cast(pl.Float64)) for texts in (
    ...     pl.Series(["12345678901234567890", "12345678901234567891"]), pl.Series(["1", "2", "1.0"]))]
    [True, False]
    """
    longest = texts.str.len_bytes().max()
    if not isinstance(longest, int) or longest <= 15:
        return False
    is_long = texts.str.contains(r"^[-+]?\d{16,}$").fill_null(value=False)
    return texts.filter(is_long).n_unique() > numbers.filter(is_long).n_unique()


def texts_of(values: "polars.Series") -> "polars.Series":
    """Return values as text; whole numbers without a fraction, and dates as ISO 8601."""
    import polars as pl

    if values.dtype == pl.String:
        texts = values
    elif values.dtype.is_float():
        distinct = values.drop_nulls().unique()
        texts = values.replace_strict(
            distinct, [as_text(value) for value in distinct.to_list()], default=None, return_dtype=pl.String
        )
    elif values.dtype in (pl.Datetime, pl.Duration, pl.Time, pl.Decimal):
        texts = pl.Series([None if value is None else as_text(value) for value in values.to_list()], dtype=pl.String)
    else:
        texts = values.cast(pl.String)
    return texts.set(texts == "", None)


def as_text(value: object) -> str | None:
    """Return a value of Python as text, so that equal values have equal texts; None for a missing one."""
    if value is None or value != value or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    if isinstance(value, float | np.floating) and float(value).is_integer() and abs(float(value)) < 1e15:
        return str(int(value))
    return str(value)
