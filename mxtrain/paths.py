"""File paths that users type: home folders, URLs, and absolute paths without `..`."""

import os
import re
from pathlib import Path

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))", re.ASCII)


def expand_home(path: str) -> str:
    """Replace `~` at the beginning of a path by the home folder, as a shell does."""
    return os.path.expanduser(path) if path == "~" or path.startswith("~/") else path  # noqa: PTH111 - keeps a final /


def expand_variables(path: str) -> str:
    """Replace `${VAR}` and `$VAR` in a path by environment variables; those that are not set stay.

    >>> os.environ["DATA"] = "/data"
    >>> expand_variables("${DATA}/train.csv"), expand_variables("${NO_SUCH}/a.csv")
    ('/data/train.csv', '${NO_SUCH}/a.csv')
    """
    return _VARIABLE.sub(lambda match: os.environ.get(match[1] or match[2], match[0]), path)


def unset_variable(path: str) -> str | None:
    """Return the first environment variable of a path that is not set; None if there is none."""
    names = (match[1] or match[2] for match in _VARIABLE.finditer(path))
    return next((name for name in names if name not in os.environ), None)


def is_pattern(path: str) -> bool:
    """Return True for a pattern of several files, such as `part-*.csv`."""
    return any(character in path for character in "*?[")


def url_problem(path: str) -> str | None:
    """Return an error message for a path that is a URL; None for other paths.

    >>> url_problem("https://host/train.csv"), url_problem("data/train.csv")
    ('is a URL, and only local files are read; download it, and name the file', None)
    """
    return "is a URL, and only local files are read; download it, and name the file" if _URL.match(path) else None


def normalize_path(path: str) -> str:
    """Resolve `..` in an absolute path, so that it does not depend on folders that it only passes through.

    >>> normalize_path("/home/me/configs/../data/train.csv"), normalize_path("/data/./shards/")
    ('/home/me/data/train.csv', '/data/shards/')
    """
    found = Path(Path(path).anchor)
    for part in Path(path).parts[1:]:
        if part != "..":
            found /= part
        else:  # the parent of a link is the parent of its target
            found = (Path(os.path.realpath(found)) if found.is_symlink() else found).parent
    return f"{found}{'/' if path.endswith('/') else ''}"
