"""Dates as people write them: one format for a whole column."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

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
        texts: the different values that are not missing.

    Example:
        >>> import polars as pl
        >>> find_date_format(pl.Series(["25/12/2023", "3/4/2024"])), find_date_format(pl.Series(["a", "3/4/2024"]))
        (('%d/%m/%Y', False), None)
    """
    sample = texts.head(_SAMPLE)
    for date_format in _candidates(sample):
        for has_time in (False, True):
            if _fits(sample, date_format, has_time) and _fits(texts, date_format, has_time):
                return date_format, has_time
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

    if date_format in _MONTHS:
        days = ("1 " + texts).str.to_date(f"%d {date_format}", strict=False)
    else:
        days = texts.str.to_date(date_format, strict=False, exact=True)
    moments = days.cast(pl.Datetime("us"))
    if has_time:
        offsets = _zone_offsets(texts)
        local = texts.str.replace(_ZONE, "")
        for time_format in _TIMES:
            for gap in (" ", "T"):
                found = local.str.to_datetime(f"{date_format}{gap}{time_format}", strict=False, time_unit="us")
                moments = moments.zip_with(moments.is_not_null(), found - offsets)
    years = moments.dt.year()
    moments = moments.set(~years.is_between(_FIRST_YEAR, _LAST_YEAR), None)
    return moments.dt.epoch("us").cast(pl.Float64) / 86_400_000_000


def days_since_epoch(moments: "polars.Series") -> "polars.Series":
    """Return dates or dates with times of a typed column as days since 1970-01-01, in float64; times are in UTC."""
    import polars as pl

    if isinstance(moments.dtype, pl.Datetime) and moments.dtype.time_zone is not None:
        moments = moments.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return moments.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64) / 86_400_000_000


def _candidates(sample: "polars.Series") -> Iterator[str]:
    """Yield the formats that can fit: numbers are dates only as 20240105, and a year of two digits has both."""
    if sample.str.contains(_COMPACT).all():
        yield "%Y%m%d"
    if not sample.str.contains(r"\d").all() or sample.str.contains(r"^[-+]?\d*[.,]?\d+$").any():
        return
    has_short_years = sample.str.contains(r"[-/.]\d\d(\s|T|$)").all()
    yield from (each for each in (*_DAYS, *_MONTHS) if has_short_years or "%y" not in each)


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
