"""Redaction of passwords in the URLs of databases and servers."""

import re
from urllib.parse import parse_qsl, unquote, unquote_plus

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
