"""Text for people: numbers, counts, and addresses without their passwords."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, unquote_plus


def format_number(value: float | None) -> str:
    """Format a metric or a rate with four decimals or four significant digits; None as a dash.

    >>> format_number(0.97213), format_number(1), format_number(2901.34), format_number(0.00005), format_number(None)
    ('0.9721', '1.0000', '2901', '5e-05', '–')
    """
    if value is None:
        return "–"
    return f"{value:.4f}" if value == 0 or 0.001 <= abs(value) < 1000 else f"{value:.4g}"


def format_duration(seconds: float) -> str:
    """Format a duration.

    >>> format_duration(1.234), format_duration(75), format_duration(3700)
    ('1.2 s', '1 min 15 s', '1 h 01 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def format_count(number: int, noun: str, plural: str = "") -> str:
    """Format a count with its noun in the singular or the plural.

    >>> format_count(1, "epoch"), format_count(1200, "epoch"), format_count(2, "batch", "batches")
    ('1 epoch', '1,200 epochs', '2 batches')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def format_objective(metric: str, value: float) -> str:
    """Format the value of an objective of a sweep.

    >>> format_objective("val_loss", 0.5), format_objective("parameters", 4810.0)
    ('0.5000', '4,810')
    """
    return f"{value:,.0f}" if metric == "parameters" else format_number(value)


def format_value(value: object, digits: int = 6) -> str:
    """Format a value of a config as YAML spells it, without quotes.

    Args:
        value: a scalar, a sequence or a mapping.
        digits: significant digits of floats.

    Example:
        >>> format_value([64, 64]), format_value({"kind": "sgd", "clip": 0.1}), format_value(0.00123456789)
        ('[64, 64]', '{kind: sgd, clip: 0.1}', '0.00123457')
        >>> format_value(True), format_value(None), format_value("adam")
        ('true', 'null', 'adam')
    """
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.{digits}g}"
        case int() if abs(value) >= 10**40:
            return "an integer of more than 40 digits"
        case list() | tuple():
            return f"[{', '.join(format_value(item, digits) for item in value)}]"
        case Mapping():
            return f"{{{', '.join(f'{name}: {format_value(item, digits)}' for name, item in value.items())}}}"
    return str(value)


_MASK = "***"
_USER = re.compile(r"((?:[A-Za-z][\w+.-]*://)?[^\s:/@'\"]*):(?!//)\S*@")
"""`user:password@`, up to the last @ of a word, because an unescaped password may contain @."""
_TRUNCATED = re.compile(r"(://[^\s:/@'\"]*):(?!\d{1,5}\b)[^\s@]*(?=\.\.\.|…)")
_KEY = r"(?:[^=&\s]*(?:pass(?!file)|pwd|secret|token)[^=&\s]*|[^=&\s]*%[^=&\s]*)"
_PARAMETER = re.compile(rf"([?&]{_KEY}=)[^&\s'\"]*", re.IGNORECASE)
_SUSPECT = re.compile(r"storage[\"']?\s*[:=]|passw|(postgres|mysql|mariadb)[\w+]*\s*[:/]", re.IGNORECASE)


def redact(text: str) -> str:
    """Replace the passwords of all URLs in a text.

    >>> redact("no server at postgresql://me:s3cret@host/db?sslmode=off&password=s3cret")
    'no server at postgresql://me:***@host/db?sslmode=off&password=***'
    >>> redact("tcp://127.0.0.1:8786"), redact("it's 'mysql://me:s3cre...'")
    ('tcp://127.0.0.1:8786', "it's 'mysql://me:***...'")
    """
    if ":" not in text and "?" not in text:
        return text
    if "@" in text:
        text = _USER.sub(rf"\1:{_MASK}@", text)
    text = _TRUNCATED.sub(rf"\1:{_MASK}", text)
    return _PARAMETER.sub(rf"\1{_MASK}", text)


def may_contain_password(text: str) -> bool:
    """Return whether a line of a file may contain a password, in a complete or incomplete URL."""
    return _SUSPECT.search(text) is not None or redact(text) != text


def redact_url(url: str) -> str:
    """Return a URL for messages, without its password and its parameters.

    >>> redact_url("postgresql://me:s3cret@host:5432/db?password=s3cret")
    'postgresql://me:***@host:5432/db'
    """
    return redact(url if url.startswith("sqlite") else url.partition("?")[0])


def strip_password(url: str) -> str:
    """Return a URL without its password, which the database driver then reads from its usual sources.

    >>> strip_password("postgresql://me:s3cret@host/db?sslmode=require&p%61ssword=s3cret")
    'postgresql://me@host/db?sslmode=require'
    """
    place, _, query = url.partition("?")
    scheme, slashes, rest = place.partition("://")
    user, at, host = rest.rpartition("@")
    parameters = [each for each in query.split("&") if each and not _is_secret(each)]
    return f"{scheme}{slashes}{user.partition(':')[0]}{at}{host}{'?' if parameters else ''}{'&'.join(parameters)}"


def redact_message(text: str, url: str) -> str:
    """Hide the password of a URL, encoded or decoded, in a message of another program."""
    user = url.partition("://")[2].rpartition("@")[0]
    secrets = {user.partition(":")[2]} | {
        each.partition("=")[2] for each in url.partition("?")[2].split("&") if _is_secret(each)
    }
    secrets |= {unquote(each) for each in secrets} | {unquote_plus(each) for each in secrets}
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, _MASK)
    return redact(text)


def _is_secret(parameter: str) -> bool:
    names = [name for name, _ in parse_qsl(parameter, keep_blank_values=True)]
    return any(re.fullmatch(_KEY, name, re.IGNORECASE) for name in names)
