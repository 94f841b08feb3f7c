"""Missing-value markers, equivalent spellings of a value, and recognition of dates and times."""

import re
from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from mxtrain.names import nfc

MISSING_VALUE_SPELLINGS = frozenset({"", "nan", "na", "n/a", "null", "?"})
"""Spellings, in lower case, of a missing value."""

_NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.(0+|[0-9]*[1-9]))?(?:[eE]([+-][0-9]{1,4}|[0-9]{2,4}))?")
"""Numbers as programs write them. `01`, `+1`, `1.10`, `1e5` and `.5` are text: a zip code, a version, an identifier."""
_ISO_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
"""ISO 8601 dates with a time, as programs write them."""


def value_key(text: str) -> str:
    """Return a text that is the same for all spellings of one value.

    Numbers are compared digit by digit, so that no integer is rounded to a float.

    Example:
        >>> [value_key(text) for text in ("1", "1.0", "-0.0", "1e+20", "0.5", "TRUE", "2024-01-05 00:00:00")]
        ['1', '1', '0', '100000000000000000000', '0.5', 'true', '2024-01-05']
        >>> [value_key(text) for text in ("01", "1.10", "1e5", " 1", "nan")]
        ['01', '1.10', '1e5', ' 1', 'nan']
    """
    return _known_key(text) or nfc(text)


def _known_key(text: str) -> str | None:
    """Return the key of a number, a boolean, or a date and time; None for other text."""
    if (lower := text.lower()) in ("true", "false"):
        return lower
    if number := _NUMBER.fullmatch(text):
        return _number_key(*number.groups(default=""))
    if moment := _ISO_MOMENT.fullmatch(text):
        return _moment_key(*moment.groups(default=""))
    return None


def _number_key(sign: str, whole: str, fraction: str, exponent: str) -> str | None:
    if exponent.isdigit() and int(exponent) < 16:
        return None  # programs write 100000, so that 1e5 may be an identifier
    digits, point = whole + fraction, len(whole) + int(exponent or 0)
    significant = digits.lstrip("0")
    if not significant:
        return "0"
    point -= len(digits) - len(significant)
    significant = significant.rstrip("0")
    if not -400 < point < 400:
        return f"{sign}{significant}e{point}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{significant}"
    if point >= len(significant):
        return sign + significant.ljust(point, "0")
    return f"{sign}{significant[:point]}.{significant[point:]}"


def _moment_key(day: str, minute: str, seconds: str, fraction: str, zone: str) -> str:
    exact = ":".join((minute, seconds or "00"))
    fraction = fraction.rstrip("0")
    if exact == "00:00:00" and not fraction and not zone:
        return day
    offset = zone if len(zone) != 5 else f"{zone[:3]}:{zone[3:]}"
    return f"{day}T{exact}{'.' if fraction else ''}{fraction}{'Z' if offset == '+00:00' else offset}"


def merge_spellings(
    labels: Sequence[str], codes: NDArray[np.int64], typed: Collection[str] = ()
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Give all spellings of one value in a column one label, the shortest of its spellings.

    If a column also holds other text, its numbers are text too (`1`, `1.0` and `1.0-beta` are three versions).

    Args:
        labels: the labels of the column, each different.
        codes: (n,); the label of sample i is `labels[codes[i]]`, and -1 is a missing value.
        typed: the labels of values that are numbers or booleans in the data, rather than text.

    Returns:
        The labels and the codes, unchanged if nothing was merged.

    Example:
        >>> merge_spellings(["1.0", "2", "1"], np.array([0, 1, -1, 2]))
        (('1', '2'), array([ 0,  1, -1,  0]))
        >>> merge_spellings(["1.0", "beta", "1"], np.array([0, 1, 2]))[0]
        ('1.0', 'beta', '1')
    """
    are_values = all(_known_key(label) or label.lower() in MISSING_VALUE_SPELLINGS for label in labels)
    spellings: dict[str, list[int]] = {}
    for code, label in enumerate(labels):
        as_value = are_values or label in typed or label.lower() in ("true", "false")
        spellings.setdefault(value_key(label) if as_value else nfc(label), []).append(code)
    if len(spellings) == len(labels):
        return tuple(labels), codes
    new = np.full(len(labels) + 1, -1, dtype=np.int64)  # the last for the code -1
    for code, same in enumerate(spellings.values()):
        new[same] = code
    shortest = (
        min((labels[code] for code in same), key=lambda label: (len(label), label)) for same in spellings.values()
    )
    return tuple(shortest), new[codes]


def positions(labels: Sequence[str], known: Sequence[str]) -> list[int]:
    """Return the index of the known label that equals each label as text, or else as a value; -1 for none.

    Example:
        >>> positions(["1.0", "True", "x", "01"], ["1", "2", "true"])
        [0, 2, -1, -1]
        >>> positions(["1.0", "1"], ["1", "1.0"])
        [1, 0]
    """
    found = {label: code for code, label in enumerate(known)}
    by_text, by_value = _unique_positions(known, nfc), _unique_positions(known, value_key)

    def position(label: str) -> int:
        if label in found:
            return found[label]
        code = by_text.get(nfc(label), -1)
        return code if code >= 0 else by_value.get(value_key(label), -1)

    return list(map(position, labels))


def _unique_positions(known: Sequence[str], key: Callable[[str], str]) -> dict[str, int]:
    """Return the index of the label of each key; -1 for a key of several labels."""
    table: dict[str, int] = {}
    for code, label in enumerate(known):
        table[key(label)] = code if key(label) not in table else -1
    return table


_MISSING_DATES = MISSING_VALUE_SPELLINGS | {
    "-",
    "--",
    ".",
    "nat",
    "none",
    "missing",
    "unknown",
    "not available",
    "tbd",
    "tba",
}
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

_MAX_LENGTH, _MAX_LABELS = 64, 1000
"""Largest number of characters of a date, and of labels of a column that are examined."""

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


def find_date(labels: Sequence[str]) -> str | None:
    """Return a date or a time of a column's labels, if at least half of them are dates or times; else None.

    Marks of missing values are not counted, because a missing date does not turn the others into categories.

    >>> find_date(["NA", "5 Jan 2024", "7 Jan 2024"]), find_date(["SEPT2", "MARCH1", "2-Sep"])
    ('5 Jan 2024', None)
    """
    values = [label for label in labels[:_MAX_LABELS] if label.lower() not in _MISSING_DATES]
    found = [label for label in values if len(label) <= _MAX_LENGTH and _DATE_OR_TIME.fullmatch(label)]
    return found[0] if found and 2 * len(found) >= len(values) else None
