"""Inputs of a model that a date becomes: elapsed days, the year, and the month, day of the week and hour as angles."""

import numpy as np
from numpy.typing import NDArray

_NAMES = ("days", "year", "month_sin", "month_cos", "weekday_sin", "weekday_cos")
_HOUR_NAMES = ("hour_sin", "hour_cos")
_THURSDAY = 3
"""The day of the week of 1970-01-01, from Monday as 0."""


def date_part_names(has_time: bool) -> tuple[str, ...]:
    """Return the names of the parts, in order.

    >>> date_part_names(has_time=False)
    ('days', 'year', 'month_sin', 'month_cos', 'weekday_sin', 'weekday_cos')
    """
    return (*_NAMES, *_HOUR_NAMES) if has_time else _NAMES


def date_parts(days: NDArray[np.float64], has_time: bool) -> NDArray[np.float64]:
    """Return the parts of dates, (n, 6), or (n, 8) with a time of day.

    Cyclic parts are the sine and the cosine of an angle, so that December is as near to January as January to
    February: as plain numbers, a linear layer would place them at opposite ends.

    Args:
        days: (n,), finite; days since 1970-01-01, with a fraction for the time of day.
        has_time: True to add the hour.

    Example:
        >>> date_parts(np.array([0.0, 31.25]), has_time=True).round(3).tolist()[1]
        [31.25, 1970.0, 0.5, 0.866, -0.782, 0.623, 1.0, 0.0]
    """
    whole = np.floor(days)
    dates = whole.astype(np.int64).astype("datetime64[D]")
    years = dates.astype("datetime64[Y]").astype(np.int64) + 1970
    months = dates.astype("datetime64[M]").astype(np.int64) % 12
    weekdays = (whole.astype(np.int64) + _THURSDAY) % 7
    turns = [months / 12, weekdays / 7, *([days - whole] if has_time else [])]
    angles = [2 * np.pi * turn for turn in turns]
    cyclic = [function(angle) for angle in angles for function in (np.sin, np.cos)]
    return np.stack([days, years, *cyclic], axis=1)
