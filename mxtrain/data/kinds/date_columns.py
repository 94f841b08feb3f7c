"""Columns of dates from text, with the format found or known."""

from typing import TYPE_CHECKING

import numpy as np

from mxtrain.data.kinds.cell_problems import yaml_text
from mxtrain.data.kinds.dates import find_date_format, order_of, parse_dates, parse_known_dates
from mxtrain.data.readers.columns import DateColumn
from mxtrain.types import describe

if TYPE_CHECKING:
    import polars

_DATE_SHARE, _FEWEST_VALUES = 0.9, 10
"""Share of dates, and the smallest number of different values, from which other words among them are errors."""


def find_dates(texts: "polars.Series", present: "polars.Series", day_first: bool) -> DateColumn | None:
    """Return a column of which all values are dates; None if one is not.

    Args:
        texts: the values of the column.
        present: its different values that are not missing.
        day_first: as for `find_date_format`.
    """
    found = find_date_format(present, day_first) if len(present) else None
    if found is None:
        return None
    return _date_column(parse_dates(texts, found.text, found.has_time), found.has_time, found.text, found.other)


def find_most_dates(
    texts: "polars.Series", present: "polars.Series", day_first: bool
) -> tuple[DateColumn, "polars.Series"] | None:
    """Return a column of dates with a few other words, and these words; None if it holds no dates."""
    if len(present) < _FEWEST_VALUES:
        return None
    for row in range(_FEWEST_VALUES):
        found = find_date_format(present[row : row + 1], day_first)
        for date_format in () if found is None else filter(None, (found.text, found.other)):
            has_time = found is not None and found.has_time
            parsed = parse_dates(present, date_format, has_time)
            if len(parsed) - parsed.null_count() >= _DATE_SHARE * len(present):
                column = _date_column(parse_dates(texts, date_format, has_time), has_time, date_format)
                return column, present.filter(parsed.is_null())
    return None


def known_dates(
    texts: "polars.Series", present: "polars.Series", date_format: str
) -> tuple[DateColumn, "polars.Series"]:
    """Return a column of dates of a known format, and the words that are no dates."""
    parsed, has_time = parse_known_dates(present, date_format)
    days = texts.replace_strict(present, parsed, default=None, return_dtype=parsed.dtype)
    return _date_column(days, has_time, date_format), present.filter(parsed.is_null())


def unknown_order_message(present: "polars.Series") -> str:
    """Return the message for dates of a model that does not know the order of day and month."""
    return (
        f"may have the day or the month first, as {describe(present[0])}, and the training data do not show which; "
        "write dates as 2020-12-31"
    )


def order_note(name: str, column: DateColumn) -> str | None:
    """Return a message about an order of day and month that was assumed; None if there was no need to.

    >>> order_note("planted", DateColumn(np.zeros(1), format="%m/%d/%Y", other_format="%d/%m/%Y"))
    "column 'planted': the month is taken to be first, as no value shows the order; otherwise set data.date_format: \
{planted: '%d/%m/%Y'}"
    """
    if column.format is None or column.other_format is None:
        return None
    remedy = f"otherwise set data.date_format: {{{yaml_text(name)}: '{column.other_format}'}}"
    return f"column {name!r}: the {order_of(column.format)} is taken to be first, as no value shows the order; {remedy}"


def _date_column(days: "polars.Series", has_time: bool, date_format: str, other: str | None = None) -> DateColumn:
    values = days.fill_null(float("nan")).to_numpy().astype(np.float64)
    return DateColumn(values, has_time, date_format, other)
