"""Private folder for compiled machine code, which only this user can write to."""

import os
import stat
import sys
import tempfile
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path

from mxtrain.errors import CacheWarning

_FOLDER = "machine_code"
_LARGEST = 1 << 26
"""Bytes of the largest file that is read; a compiled loop has tens of thousands."""
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def cache_folder() -> Path:
    """MXTRAIN_CACHE_DIR where it is set, else `mxtrain` in the place that the system has for caches."""
    named = os.environ.get("MXTRAIN_CACHE_DIR")
    if named:
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "mxtrain"
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if Path(named).is_absolute() else Path.home() / ".cache") / "mxtrain"


def code_folder() -> Path | None:
    """Return the folder of compiled machine code, created with mode 0700; None if it cannot be created or trusted.

    Warns once where the folder, or the cache folder that it is in, belongs to another user or is writable by others.
    """
    root = cache_folder().absolute()
    folder = root / _FOLDER
    try:
        for path in (*reversed(root.parents), root, folder):
            if not path.is_dir():
                path.mkdir(mode=0o700, exist_ok=True)
        for path in (root, folder):
            if reason := _distrust(path):
                _warn(f"compiled code is not cached: the folder {path} {reason}")
                return None
    except OSError:
        return None
    return folder


def read_private(path: Path) -> bytes | None:
    """Return the content of a file in the code folder; None if it is missing, or if others may have written it."""
    flags = (getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | sum(flags)), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST or _distrust_status(status):
                return None
            return file.read()
    except OSError:
        return None


def write_private(path: Path, content: bytes) -> None:
    """Write a file atomically, readable by its owner alone; do nothing if it cannot be written.

    Nothing is flushed to the disk, because the checksum detects a file that a power cut has torn.
    """
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except OSError:
        if temporary is not None:
            with suppress(OSError):
                Path(temporary).unlink()


def _distrust(path: Path) -> str | None:
    """Return the reason not to trust a folder; None if only this user, or root, can write to it."""
    if path.is_symlink() and not _is_ours(path.lstat()):
        return "is a symbolic link of another user; remove it, or set MXTRAIN_CACHE_DIR to a folder of your own"
    return _distrust_status(path.stat())


def _distrust_status(status: os.stat_result) -> str | None:
    if not _is_ours(status):
        return "belongs to another user; set MXTRAIN_CACHE_DIR to a folder of your own"
    if sys.platform != "win32" and status.st_mode & _WRITABLE_BY_OTHERS:
        return "is writable by other users; remove it, or set MXTRAIN_CACHE_DIR to a folder that is yours alone"
    return None


def _is_ours(status: os.stat_result) -> bool:
    return sys.platform == "win32" or status.st_uid in (0, os.geteuid())


@cache
def _warn(message: str) -> None:
    warnings.warn(message, CacheWarning, stacklevel=2)
