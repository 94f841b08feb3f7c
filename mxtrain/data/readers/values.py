"""Spellings of missing values, and equivalent spellings of a value."""

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


def label_indices(labels: Sequence[str], known: Sequence[str]) -> list[int]:
    """Return the index of the known label that equals each label as text, or else as a value; -1 for none.

    Example:
        >>> label_indices(["1.0", "True", "x", "01"], ["1", "2", "true"])
        [0, 2, -1, -1]
        >>> label_indices(["1.0", "1"], ["1", "1.0"])
        [1, 0]
    """
    found = {label: code for code, label in enumerate(known)}
    by_text, by_value = _unique_indices(known, nfc), _unique_indices(known, value_key)

    def index_of(label: str) -> int:
        if label in found:
            return found[label]
        code = by_text.get(nfc(label), -1)
        return code if code >= 0 else by_value.get(value_key(label), -1)

    return list(map(index_of, labels))


def _unique_indices(known: Sequence[str], key: Callable[[str], str]) -> dict[str, int]:
    """Return the index of the label of each key; -1 for a key of several labels."""
    table: dict[str, int] = {}
    for code, label in enumerate(known):
        table[key(label)] = code if key(label) not in table else -1
    return table
