"""Checks of quotes in a block of a text table that Polars read."""

from typing import TYPE_CHECKING

import numpy as np

from mxtrain.data.readers.dialect import Dialect

if TYPE_CHECKING:
    import polars


def quotes_inside(frame: "polars.DataFrame", quote: str) -> int | None:
    """Return the number of quotes in the values; None if a value begins with one, as values that are not closed do."""
    import polars as pl

    if frame.select(pl.any_horizontal(pl.all().str.starts_with(quote).any())).item():
        return None
    return int(frame.select(pl.sum_horizontal(pl.all().str.count_matches(quote, literal=True).sum())).item() or 0)


def has_separators_inside(frame: "polars.DataFrame", dialect: Dialect) -> bool:
    """Return True if a value has a separator or a newline, so that it was quoted."""
    import polars as pl

    return bool(frame.select(pl.any_horizontal(pl.all().str.contains_any([dialect.separator, "\n"]).any())).item())


def are_quotes_regular(block: bytes, dialect: Dialect) -> bool:
    r"""Return True if quotes alternate between beginnings and ends of values, a doubled one being both.

    A quote after a backslash is an irregular end; Polars would join the rows up to the next one.
    """
    data = np.frombuffer(b"\n" + block + b"\n", dtype=np.uint8)
    places = np.flatnonzero(data == ord(dialect.quote))
    borders = np.array([ord(dialect.separator), ord("\n"), ord(dialect.quote)], dtype=np.uint8)
    begins, ends = data[places[::2] - 1], data[places[1::2] + 1]
    return bool(np.isin(begins, borders).all() and np.isin(ends, borders).all())
