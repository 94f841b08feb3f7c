"""What a plain scalar means, by the core schema of YAML 1.2.

Only what is listed here is anything other than text: `no`, `off`, `1_000` and `2024-01-01` stay what they
look like, and `1e-3` is a number.
"""

import math
import re

MAX_NUMBER = 100
"""Characters in a number."""

_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class ScalarError(ValueError):
    """A plain scalar that is written as a number, and is none that a config may hold."""


def resolve(text: str) -> None | bool | int | float | str:
    """The value of a plain scalar; ScalarError for a number that is not finite, or too long.

    >>> resolve("1e-3"), resolve("010"), resolve("0xFF"), resolve("no"), resolve("~")
    (0.001, 10, 255, 'no', None)
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    for pattern, base in ((_DECIMAL, 10), (_OCTAL, 8), (_HEXADECIMAL, 16)):
        if pattern.fullmatch(text):
            return int(_short(text), base)
    if _FLOAT.fullmatch(text):
        number = float(_short(text))
        if math.isfinite(number):
            return number
    elif not _NOT_FINITE.fullmatch(text):
        return text
    raise ScalarError(f"must be a finite number, got {text}")


def _short(text: str) -> str:
    if len(text) > MAX_NUMBER:
        raise ScalarError(f"a number may have at most {MAX_NUMBER} characters, got {len(text)}")
    return text
