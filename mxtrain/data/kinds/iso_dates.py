"""Vectorized conversion of dates that are digits at fixed positions, such as 2024-01-05 06:30:00."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars

_LAYOUTS = {
    "%Y%m%d": "YYYYMMDD",
    **{f"%Y{mark}%m{mark}%d": f"YYYY{mark}MM{mark}DD" for mark in "-/."},
    **{f"%d{mark}%m{mark}%Y": f"DD{mark}MM{mark}YYYY" for mark in "-/."},
    **{f"%m{mark}%d{mark}%Y": f"MM{mark}DD{mark}YYYY" for mark in "-/"},
}
"""Positions of year, month and day, by the format."""
_TIMES = ("hh:mm", "hh:mm:ss")
_DAYS_IN_MONTH = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.int32)
_DAY_US, _SECOND_US = 86_400_000_000, 1_000_000


def fixed_width_days(
    texts: "polars.Series", date_format: str, has_time: bool, years: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """Return the rows whose text is a date of fixed width, and their days since 1970-01-01.

    Args:
        texts: the texts, of which some may be missing, or be no such dates.
        date_format: the format of the date, as for `strptime`.
        has_time: True to read dates with a time of hours and minutes, or also seconds; False to read dates only.
        years: the first and the last year of a date.

    Returns:
        The rows, ascending, and as many days; None if no text has the width, or if the format has none.

    Example:
        >>> import polars as pl
        >>> texts = pl.Series(["1970-01-02 06:00", None, "?", "1970-02-30 06:00"])
        >>> fixed_width_days(texts, "%Y-%m-%d", True, (1000, 2999))
        (array([0]), array([1.25]))
    """
    if (layout := _LAYOUTS.get(date_format)) is None:
        return None
    lengths = texts.str.len_bytes()
    longest = lengths.max()
    layouts = {len(each): each for each in ([f"{layout} {time}" for time in _TIMES] if has_time else [layout])}
    if not isinstance(longest, int) or longest not in layouts:
        return None
    layout = layouts[longest]
    rows = np.flatnonzero((lengths == longest).fill_null(value=False).to_numpy())
    present = texts if len(rows) == len(texts) else texts.gather(rows)
    joined = np.frombuffer(present.str.join("").item().encode(), dtype=np.uint8)
    characters = np.ascontiguousarray(joined.reshape(len(rows), longest).T)
    fields, valid = _fields(characters, layout)
    year, month, day = fields["Y"], fields["M"], fields["D"]
    valid &= (year >= years[0]) & (year <= years[1]) & (month >= 1) & (month <= 12)
    is_leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    valid &= (day >= 1) & (day <= _DAYS_IN_MONTH[np.where(valid, month, 0)] + (is_leap & (month == 2)))
    moments = _days_since_epoch(year, month, day).astype(np.int64) * _DAY_US
    if has_time:
        hour, minute, second = fields["h"], fields["m"], fields.get("s", np.int32(0))
        valid &= (hour < 24) & (minute < 60) & (second < 60)
        moments += (hour * 3600 + minute * 60 + second).astype(np.int64) * _SECOND_US
    days = moments.astype(np.float64) / _DAY_US
    return (rows, days) if valid.all() else (rows[valid], days[valid])


def _fields(characters: NDArray[np.uint8], layout: str) -> tuple[dict[str, NDArray[np.int32]], NDArray[np.bool_]]:
    """Return the numbers of each letter of a layout, and True for each text that has the layout."""
    fields: dict[str, NDArray[np.int32]] = {}
    valid = np.ones(characters.shape[1], dtype=bool)
    for character, letter in zip(characters, layout, strict=True):
        if not letter.isalpha():
            is_mark = character == ord(letter)
            valid &= is_mark | (character == ord("T")) if letter == " " else is_mark
            continue
        digit = character - np.uint8(ord("0"))
        valid &= digit < 10
        before = fields.get(letter)
        fields[letter] = digit.astype(np.int32) if before is None else before * np.int32(10) + digit
    return fields, valid


def _days_since_epoch(year: NDArray[np.int32], month: NDArray[np.int32], day: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the number of days since 1970-01-01 of dates in the Gregorian calendar.

    Years begin in March, so that the leap day is their last: day 153 m / 5 begins month m, from 0.
    """
    year = year - (month <= 2)
    month = np.where(month > 2, month - 3, month + 9)
    days = 365 * year + year // 4 - year // 100 + year // 400
    return (days + (153 * month + 2) // 5 + day - 719_469).astype(np.int32)
