"""Dates as people write them: one format for a whole column."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from mxtrain.data.kinds.iso_dates import fixed_width_days

if TYPE_CHECKING:
    import polars

_DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y"),
    *(
        "%d-%b-%Y",
        "%d %b %Y",
        "%d %B %Y",
        "%d. %B %Y",
        "%b %d, %Y",
        "%B %d, %Y",
        "%b %d %Y",
        "%B %d %Y",
        "%Y-%b-%d",
        "%b-%d-%Y",
    ),
    *("%a, %d %b %Y", "%A, %B %d, %Y", "%d.%m.%y", "%m/%d/%y", "%d/%m/%y", "%d-%b-%y"),
)
"""Formats of dates; of two that fit all values, the first is taken, so that 3/4/2024 is the fourth of March."""
_MONTHS = ("%Y-%m", "%b %Y", "%B %Y", "%b-%Y", "%b-%y", "%Y/%m")
"""Formats of months, to which the first day is added."""
_TIMES = ("%H:%M:%S%.f", "%H:%M", "%I:%M %p", "%I:%M:%S %p", "%I:%M%p")
_ZONE = r"(?i)\s*(Z|UTC|GMT|[+-]\d\d:?\d\d)$"
_COMPACT = r"^(1[5-9]|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$"
_SAMPLE = 64
"""Number of values for which all formats are tried."""
_FIRST_YEAR, _LAST_YEAR = 1000, 2999


def find_date_format(texts: "polars.Series") -> tuple[str, bool] | None:
    """Return the format of a column of dates, and True if values have a time; None if it holds no dates.

    Args:
        texts: the values that are not missing.

    Example:
        >>> import polars as pl
        >>> find_date_format(pl.Series(["25/12/2023", "3/4/2024"])), find_date_format(pl.Series(["a", "3/4/2024"]))
        (('%d/%m/%Y', False), None)
    """
    found = find_dates(texts, texts)
    return None if found is None else found[:2]


def find_dates(texts: "polars.Series", present: "polars.Series") -> tuple[str, bool, "polars.Series"] | None:
    """Return the format of a column of dates, True if values have a time, and the values; None if it holds no dates.

    Args:
        texts: all values, of which some are null or marks of missing values.
        present: the others of them.

    Returns:
        The format, True for times, and the days of all values as from `parse_dates`.

    Example:
        >>> import polars as pl
        >>> texts = pl.Series(["1970-01-03", "?"])
        >>> date_format, has_time, days = find_dates(texts, texts[:1])
        >>> date_format, has_time, days.to_list()
        ('%Y-%m-%d', False, [2.0, None])
    """
    sample, missing = present.head(_SAMPLE), len(texts) - len(present)
    choices = (False, True) if sample.str.contains(":", literal=True).any() else (False,)
    for date_format in _candidates(sample):
        for has_time in choices:
            if parse_dates(sample, date_format, has_time).null_count():
                continue
            days = parse_dates(texts, date_format, has_time)
            if days.null_count() == missing:
                return date_format, has_time, days
    return None


def parse_dates(texts: "polars.Series", date_format: str, has_time: bool) -> "polars.Series":
    """Return the days since 1970-01-01 as float64, with the time of day as a fraction; null where a text is no date.

    Times with a zone are converted to UTC.

    Example:
        >>> import polars as pl
        >>> parse_dates(pl.Series(["1970-01-02 06:00", "1970-01-03", None]), "%Y-%m-%d", True).to_list()
        [1.25, 2.0, None]
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
    others = np.setdiff1d(np.flatnonzero(texts.is_not_null().to_numpy()), rows, assume_unique=True)
    if len(others):
        days[others] = _parse(texts.gather(others), date_format, has_time).to_numpy()
    return pl.Series(days).fill_nan(None)


def _parse(texts: "polars.Series", date_format: str, has_time: bool) -> "polars.Series":
    import polars as pl

    if date_format in _MONTHS:
        days = ("1 " + texts).str.to_date(f"%d {date_format}", strict=False)
    else:
        days = texts.str.to_date(date_format, strict=False, exact=True)
    moments = days.cast(pl.Datetime("us"))
    if has_time:
        moments = _with_times(texts, date_format, moments)
    years = moments.dt.year()
    moments = moments.set(~years.is_between(_FIRST_YEAR, _LAST_YEAR), None)
    return _days(moments)


def _with_times(texts: "polars.Series", date_format: str, moments: "polars.Series") -> "polars.Series":
    """Return moments with those of texts that have a time; the first format that fits a text is taken."""
    offsets = local = None
    if texts.str.contains(_ZONE).any():
        offsets, local = _zone_offsets(texts), texts.str.replace(_ZONE, "")
    local = texts if local is None else local
    for time_format in _TIMES:
        for gap in (" ", "T"):
            is_open = moments.is_null() & texts.is_not_null()
            if not is_open.any():
                return moments
            found = local.set(~is_open, None).str.to_datetime(
                f"{date_format}{gap}{time_format}", strict=False, time_unit="us"
            )
            moments = moments.zip_with(~is_open, found if offsets is None else found - offsets)
    return moments


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


def _candidates(sample: "polars.Series") -> Iterator[str]:
    """Yield the formats that can fit: numbers are dates only as 20240105, and a year of two digits has both."""
    if sample.str.contains(_COMPACT).all():
        yield "%Y%m%d"
    if not sample.str.contains(r"\d").all() or sample.str.contains(r"^[-+]?\d*[.,]?\d+$").any():
        return
    has_short_years = sample.str.contains(r"[-/.]\d\d(\s|T|$)").all()
    first = next(iter(sample), "")
    for each, pattern in _PATTERNS.items():
        if (has_short_years or "%y" not in each) and pattern.fullmatch(first):
            yield each


def _pattern(date_format: str) -> re.Pattern[str]:
    """Return a regular expression for all texts that begin with a date of a format, and for others."""
    fields = {"Y": r"[-+]?\d+", "y": r"\d+", "m": r"\d+", "d": r"\d+"}
    parts = re.findall(r"%(.)|(\s+)|(.)", date_format)
    texts = [fields.get(field, r"[^\W\d_]+") if field else re.escape(mark) for field, _, mark in parts]
    return re.compile(r"\s*".join(["", *texts]) + r"(?:\D.*)?", re.DOTALL)


_PATTERNS = {each: _pattern(each) for each in (*_DAYS, *_MONTHS)}


def _zone_offsets(texts: "polars.Series") -> "polars.Series":
    """Return the offset from UTC of the zone at the end of each text; 0 without a zone."""
    import polars as pl

    parts = texts.str.extract_groups(r"([+-])(\d\d):?(\d\d)$").struct.unnest()
    hours, minutes = (parts.to_series(i).cast(pl.Int64).fill_null(0) for i in (1, 2))
    sign = (parts.to_series(0) == "-").fill_null(value=False).cast(pl.Int64) * -2 + 1
    has_time = texts.str.contains(r"\d:\d\d").fill_null(value=False).cast(pl.Int64)  # not the end of 2024-01-05
    return (has_time * sign * (60 * hours + minutes) * 60_000_000).cast(pl.Duration("us"))
