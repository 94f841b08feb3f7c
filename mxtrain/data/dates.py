"""Recognition of dates and times in a column of text."""

import re
from collections.abc import Sequence

from mxtrain.data.values import MISSING_MARKS

_MARKS = MISSING_MARKS | {"-", "--", ".", "nat", "none", "missing", "unknown", "not available", "tbd", "tba"}
"""Spellings, in lower case, of a missing date; in a column of other text they are categories."""

_YEAR = r"(1[5-9]|2[01])\d\d"
_MONTH_NUMBER = r"(0?[1-9]|1[0-2])"
_MONTH = (
    r"(jan|ene|gen|feb|fev|fév|mar|mär|mrz|maa|apr|avr|abr|mai|may|mag|mei|jun|juin|giu|jul|juil|lug|aug|aoû|ago|sep|set|"
    r"oct|okt|out|ott|nov|dec|dez|dic|déc)[^\W\d_]*\.?"
)
_WEEKDAY = r"((mon|tue|wed|thu|fri|sat|sun)[a-z]*[.,]?\s+)?"
_DAY = r"\d{1,2}(st|nd|rd|th|\.)?"
_ZONE = r"(\s*(z|utc|gmt|[a-z]{3,4}|[+-]\d\d:?(\d\d)?))?"
_TIME = rf"(\d{{1,2}}:\d\d(:\d\d([.,]\d+)?)?(\s*[ap]\.?m\.?)?{_ZONE}|\d{{1,2}}\s*[ap]\.?m\.?)"
_GAP = r"[-\s/.,]\s*(de\s+)?"

_LONGEST, _MOST = 64, 1000
"""The most characters of a date, and the most labels of a column that are examined."""

_DATE_OR_TIME = re.compile(
    "|".join(
        (
            r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([t ]\d{1,2}:\d\d.*)?",
            r"\d{1,2}[-/.]\d{1,2}[-/.]\d{4}([t ]\d{1,2}:\d\d.*)?",
            r"(\d{1,2}[-/]\d{1,2}[-/]\d\d|\d\d\.\d\d\.\d\d)([t ]\d{1,2}:\d\d.*)?",
            rf"{_YEAR}{_MONTH_NUMBER}\d\dt\d{{4,6}}([.,]\d+)?{_ZONE}",
            rf"{_YEAR}[-/.]{_MONTH_NUMBER}",
            rf"{_MONTH_NUMBER}[-/.]{_YEAR}",
            rf"{_YEAR}-?w\d\d(-?\d)?",
            rf"{_YEAR}[-\s]?q[1-4]|q[1-4][-\s/]?{_YEAR}",
            r"\d{4}年\d{1,2}月(\d{1,2}日)?.*",
            rf"{_WEEKDAY}{_DAY}({_GAP})?{_MONTH}({_GAP})?(\d{{4}}|'?\d\d)(,?\s+(at\s+)?{_TIME})?",  # 5 Jan 2024
            rf"{_WEEKDAY}{_MONTH}{_GAP}{_DAY}{_GAP}\d{{4}}(,?\s+(at\s+)?{_TIME})?",  # January 5, 2024
            rf"{_MONTH}{_GAP}{_YEAR}|{_YEAR}{_GAP}{_MONTH}({_GAP}{_DAY})?",
            rf"{_MONTH}[-/']\d\d",  # Jan-24
            rf"{_WEEKDAY}{_MONTH}\s+\d{{1,2}}\s+{_TIME}(\s+[a-z]{{3,4}})?\s+\d{{4}}",  # ctime
            _TIME,
            r"\d{1,3}:\d\d:\d\d.*",
        )
    ),
    re.IGNORECASE,
)


def hold_dates(labels: Sequence[str]) -> str | None:
    """Return a date or a time of a column's labels, if at least half of them are dates or times; else None.

    Marks of missing values are not counted, because a missing date does not turn the others into categories.

    >>> hold_dates(["NA", "5 Jan 2024", "7 Jan 2024"]), hold_dates(["SEPT2", "MARCH1", "2-Sep"])
    ('5 Jan 2024', None)
    """
    values = [label for label in labels[:_MOST] if label.lower() not in _MARKS]
    found = [label for label in values if len(label) <= _LONGEST and _DATE_OR_TIME.fullmatch(label)]
    return found[0] if found and 2 * len(found) >= len(values) else None
