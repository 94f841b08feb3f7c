"""Dates as people write them: one format for a whole column."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mxtrain.data.kinds.iso_dates import fixed_width_days

if TYPE_CHECKING:
    import polars

_DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y"),
    *("%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%d. %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y"),
    *("%Y-%b-%d", "%b-%d-%Y", "%a, %d %b %Y", "%A, %B %d, %Y"),
    *("%d.%m.%y", "%m/%d/%y", "%d/%m/%y", "%d-%b-%y"),
)
"""Formats of dates; of two that fit all values, the first is taken, so that 3/4/2024 is the fourth of March."""
_MONTHS = (
    *("%Y-%m", "%b %Y", "%B %Y", "%b-%Y", "%B-%Y", "%Y-%b", "%Y-%B", "%Y %b", "%Y %B", "%b-%y", "%Y/%m", "%m/%Y"),
)
"""Formats of months, which begin on the first day."""
_QUARTERS = ("%YQ%q", "%Y-Q%q", "%Y Q%q", "Q%q %Y", "Q%q-%Y", "Q%q/%Y")
"""Formats of quarters of a year, which begin on the first day of their first month."""
_WEEKS = ("%G-W%V", "%GW%V")
"""Formats of the weeks of ISO 8601, which begin on Monday."""
_COMPACT = "%Y%m%d"
_OTHER_ORDER = {"%m/%d/%Y": "%d/%m/%Y", "%m-%d-%Y": "%d-%m-%Y", "%m/%d/%y": "%d/%m/%y"}
_OTHER_ORDER |= {day_first: month_first for month_first, day_first in _OTHER_ORDER.items()}
"""For each format in which days and months could be exchanged, the one with the other order."""
_AMBIGUOUS = {*_OTHER_ORDER, "%d.%m.%Y", "%d.%m.%y", "%d-%b-%y", "%b-%y"}
"""Formats in which a value of another format could be read as another day."""
_UNAMBIGUOUS = tuple(each for each in (*_DAYS, _COMPACT, *_MONTHS, *_QUARTERS, *_WEEKS) if each not in _AMBIGUOUS)
"""Formats that are read besides the format of a column."""
_TIMES = ("%H:%M:%S%.f", "%H:%M", "%I:%M %p", "%I:%M:%S %p", "%I:%M%p")
_MONTH_DIRECTIVE, _DAY_DIRECTIVE = re.compile(r"%-?[mbBhjV]"), re.compile(r"%-?[dejuV]")
_TIME_DIRECTIVE = re.compile(r"%-?[HIMSTRpXc]")
_ZONE = r"(?i)\s*(Z|UTC|GMT|[+-]\d\d:?\d\d)$"
_COMPACT_TEXT = r"^(1[5-9]|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$"
_SAMPLE = 64
"""Number of values for which all formats are tried."""
_FIRST_YEAR, _LAST_YEAR = 1000, 2999


@dataclass(frozen=True, slots=True)
class DateFormat:
    """The format of a column of dates.

    Attributes:
        text: the format of the date, as `strptime` takes it; `%q` is a quarter of a year.
        has_time: True if values have a time of day.
        other: the format with days and months exchanged, if it fits all values as well.
    """

    text: str
    has_time: bool = False
    other: str | None = None


def find_date_format(texts: "polars.Series", day_first: bool = False) -> DateFormat | None:
    """Return the format of a column of dates; None if it holds no dates.

    Args:
        texts: the different values that are not missing.
        day_first: True to take 3/4/2024 for the third of April, unless another value shows the order.

    Example:
        >>> import polars as pl
        >>> find_date_format(pl.Series(["25/12/2023", "3/4/2024"])), find_date_format(pl.Series(["a", "3/4/2024"]))
        (DateFormat(text='%d/%m/%Y', has_time=False, other=None), None)
        >>> find_date_format(pl.Series(["3/4/2024"])).other
        '%d/%m/%Y'
    """
    sample = texts.head(_SAMPLE)
    choices = (False, True) if sample.str.contains(":", literal=True).any() else (False,)
    for text in _candidates(sample, day_first):
        for has_time in choices:
            if _fits(sample, text, has_time) and _fits(texts, text, has_time):
                return DateFormat(text, has_time, _other_order(texts, text, has_time))
    return None


def order_of(date_format: str) -> str | None:
    """Return `day` or `month`, whichever a format of numbers has first; None if no other format could be meant.

    >>> order_of("%d/%m/%Y"), order_of("%Y-%m-%d")
    ('day', None)
    """
    return None if date_format not in _OTHER_ORDER else "day" if date_format.startswith("%d") else "month"


def parse_dates(texts: "polars.Series", date_format: str, has_time: bool) -> "polars.Series":
    """Return the days since 1970-01-01 as float64, with the time of day as a fraction; null where a text is no date.

    Times with a zone are converted to UTC.

    Args:
        texts: the texts.
        date_format: the format of the date, or of the date with a time.
        has_time: True to read times after the date.

    Example:
        >>> import polars as pl
        >>> parse_dates(pl.Series(["1970-01-02 06:00", "1970-01-03", None]), "%Y-%m-%d", True).to_list()
        [1.25, 2.0, None]
        >>> parse_dates(pl.Series(["1970Q2", "1971Q1"]), "%YQ%q", False).to_list()
        [90.0, 365.0]
    """
    import polars as pl

    fixed = fixed_width_days(texts, date_format, has_time, (_FIRST_YEAR, _LAST_YEAR))
    if fixed is None:
        return _parse(texts, date_format, has_time)
    rows, found = fixed
    if len(rows) == len(texts):
        return pl.Series(found)
    days = np.full(len(texts), np.nan)
    days[rows] = found
    is_other = texts.is_not_null().to_numpy().copy()
    is_other[rows] = False
    others = np.flatnonzero(is_other)
    if len(others):
        days[others] = _parse(texts.gather(others), date_format, has_time).to_numpy()
    return pl.Series(days).fill_nan(None)


def _parse(texts: "polars.Series", date_format: str, has_time: bool) -> "polars.Series":
    import polars as pl

    if _TIME_DIRECTIVE.search(date_format):
        moments = texts.str.to_datetime(date_format, strict=False, time_unit="us")
    else:
        moments = _parse_days(texts, date_format).cast(pl.Datetime("us"))
        moments = _with_times(texts, date_format, moments) if has_time else moments
    years = moments.dt.year()
    return _days(moments.set(~years.is_between(_FIRST_YEAR, _LAST_YEAR), None))


def _with_times(texts: "polars.Series", date_format: str, moments: "polars.Series") -> "polars.Series":
    """Return moments with those of texts that have a time; of several formats that fit a text, the first is taken."""
    has_zone = texts.str.contains(_ZONE).any()
    local = texts.str.replace(_ZONE, "") if has_zone else texts
    offsets = _zone_offsets(texts) if has_zone else None
    for time_format in _TIMES:
        for gap in (" ", "T"):
            is_open = moments.is_null() & texts.is_not_null()
            if not is_open.any():
                return moments
            text_format = f"{date_format}{gap}{time_format}"
            found = local.set(~is_open, None).str.to_datetime(text_format, strict=False, time_unit="us")
            moments = moments.zip_with(~is_open, found if offsets is None else found - offsets)
    return moments


def parse_known_dates(texts: "polars.Series", date_format: str) -> tuple["polars.Series", bool]:
    """Return dates of a known format as `parse_dates` does, and True if values have a time.

    Values in another format are read too, if days and months cannot be confused in it.

    Example:
        >>> import polars as pl
        >>> days, has_time = parse_known_dates(pl.Series(["2/1/1970", "1970-01-03", "1/13/1970"]), "%d/%m/%Y")
        >>> days.to_list(), has_time
        ([1.0, 2.0, None], False)
    """
    days, has_time = parse_dates(texts, date_format, has_time=False), bool(_TIME_DIRECTIVE.search(date_format))
    for known in (date_format, *_UNAMBIGUOUS):
        for with_time in (False, True):
            open_rows = days.is_null() & texts.is_not_null()
            if not open_rows.any():
                return days, has_time
            found = parse_dates(texts.filter(open_rows), known, with_time)
            if found.null_count() < len(found):
                has_time |= with_time
                days = days.scatter(open_rows.arg_true(), found)
    return days, has_time


def days_since_epoch(moments: "polars.Series") -> "polars.Series":
    """Return dates or dates with times of a typed column as days since 1970-01-01, in float64; times are in UTC."""
    import polars as pl

    if isinstance(moments.dtype, pl.Datetime) and moments.dtype.time_zone is not None:
        moments = moments.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return _days(moments.cast(pl.Datetime("us")))


def _days(moments: "polars.Series") -> "polars.Series":
    """Return moments as days since 1970-01-01; NumPy rounds the quotient correctly, which Polars does not."""
    import polars as pl

    microseconds = moments.dt.epoch("us").cast(pl.Float64).to_numpy()
    return pl.Series(moments.name, microseconds / 86_400_000_000).fill_nan(None)


def _parse_days(texts: "polars.Series", date_format: str) -> "polars.Series":
    """Return texts without a time as dates, of months, quarters and weeks the first day; null where one is no date."""
    if "%q" in date_format:
        pattern = re.escape(date_format).replace("%Y", r"(?P<year>\d{4})").replace("%q", "(?P<quarter>[1-4])")
        parts = texts.str.extract_groups(f"(?i)^{pattern}$").struct
        first_month = ((parts.field("quarter").cast(int) - 1) * 3 + 1).cast(str)
        return (parts.field("year") + "-" + first_month + "-1").str.to_date("%Y-%m-%d", strict=False)
    if "%V" in date_format and "%u" not in date_format:
        texts, date_format = texts + "-1", f"{date_format}-%u"
    elif not _MONTH_DIRECTIVE.search(date_format):
        texts, date_format = "1 1 " + texts, f"%d %m {date_format}"
    elif not _DAY_DIRECTIVE.search(date_format):
        texts, date_format = "1 " + texts, f"%d {date_format}"
    return texts.str.to_date(date_format, strict=False, exact=True)


def _candidates(sample: "polars.Series", day_first: bool) -> Iterator[str]:
    """Yield the formats that can fit: numbers are dates only as 20240105, and a year of two digits has both."""
    if sample.str.contains(_COMPACT_TEXT).all():
        yield _COMPACT
    if not sample.str.contains(r"\d").all() or sample.str.contains(r"^[-+]?\d*[.,]?\d+$").any():
        return
    has_short_years = sample.str.contains(r"[-/.]\d\d(\s|T|$)").all()
    characters = set(next(iter(sample), "").upper())
    for date_format in (*_DAYS, *_MONTHS, *_QUARTERS, *_WEEKS):
        if (has_short_years or "%y" not in date_format) and _literals(date_format) <= characters:
            yield _OTHER_ORDER.get(date_format, date_format) if day_first else date_format


def _literals(date_format: str) -> set[str]:
    """Return the characters that every date of a format has."""
    return set(re.sub(r"%.|\s", "", date_format))


def _other_order(texts: "polars.Series", date_format: str, has_time: bool) -> str | None:
    """Return the format with days and months exchanged, if it fits all texts and differs in the result."""
    other = _OTHER_ORDER.get(date_format)
    if other is None or not _fits(texts, other, has_time):
        return None
    exchanged = parse_dates(texts, other, has_time)
    return None if exchanged.equals(parse_dates(texts, date_format, has_time)) else other


def _fits(texts: "polars.Series", date_format: str, has_time: bool) -> bool:
    return parse_dates(texts, date_format, has_time).null_count() == 0


def _zone_offsets(texts: "polars.Series") -> "polars.Series":
    """Return the offset from UTC of the zone at the end of each text; 0 without a zone."""
    import polars as pl

    parts = texts.str.extract_groups(r"([+-])(\d\d):?(\d\d)$").struct.unnest()
    hours, minutes = (parts.to_series(i).cast(pl.Int64).fill_null(0) for i in (1, 2))
    sign = (parts.to_series(0) == "-").fill_null(value=False).cast(pl.Int64) * -2 + 1
    has_time = texts.str.contains(r"\d:\d\d").fill_null(value=False).cast(pl.Int64)  # not the end of 2024-01-05
    return (has_time * sign * (60 * hours + minutes) * 60_000_000).cast(pl.Duration("us"))
