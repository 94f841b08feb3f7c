"""Writing so that a kill, a full disk or a power cut at any moment leaves the old state or the new."""

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from mxtrain.atomic_io import (
    TEMPORARY,
    create_file,
    flush_folder,
    open_file,
    read_file,
    read_safetensors,
    temporary_path,
    write_file,
)

SUMS = "SHA256SUMS"
"""The list of a folder's files and their SHA-256, in the format of the program sha256sum."""
BEFORE = ".before"
"""Suffix of the old content of a folder while it is being replaced."""
OLD = ".old"
"""Suffix of a folder that is being removed."""
_MAX_SUMS = 64 * 1024


def keep_file(path: Path, content: bytes) -> None:
    """As `write_file`, but a file that is just so already stays."""
    # a symbolic or hard link is replaced, because appending to it would change another file
    is_own = not path.is_symlink() and path.is_file() and path.lstat().st_nlink == 1
    if not is_own or not begins_with(path, content, is_whole=True):
        write_file(path, content)


def begins_with(path: Path, content: bytes, is_whole: bool = False) -> bool:
    """Return whether a path is a regular file that begins with some content, or with `is_whole` equals it."""
    try:
        with open_file(path) as file:
            return file.read(len(content) + is_whole) == content
    except OSError:
        return False


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Put a whole folder in place, with the SHA-256 of each of its files, or in the place of the old one.

    What an interrupted call leaves behind begins with a dot, and `remove_leftovers` takes it away, or brings it back.
    """
    temporary = temporary_path(path)
    try:
        temporary.mkdir()
        for name, content in {**files, SUMS: _sums(files)}.items():
            create_file(temporary / name, content)
        flush_folder(temporary)
        before = before_of(path)
        if os.path.lexists(path):
            _remove(before)
            path.rename(before)
        temporary.rename(path)
    except OSError:
        with suppress(OSError):
            _remove(temporary)
        raise
    flush_folder(path.parent)
    _remove(before)


def before_of(path: Path) -> Path:
    """Return the path of a folder's old content while `write_folder` replaces it."""
    return path.with_name(f".{path.name}{BEFORE}")


def remove_folder(path: Path) -> None:
    """Remove a folder atomically: it is renamed first. Of a symbolic link only the link is removed."""
    doomed = path.with_name(f".{path.name}{OLD}")
    _remove(doomed)
    path.rename(doomed)
    _remove(doomed)


def remove_leftovers(folder: Path) -> None:
    """Take away what interrupted calls left in a folder; what was about to be replaced, and is not, is brought back."""
    for before in folder.glob(f".*{BEFORE}"):
        place = before.with_name(before.name[1:].removesuffix(BEFORE))
        if os.path.lexists(place) or before.is_symlink():
            _remove(before)
        else:
            before.rename(place)
    for path in folder.glob(".*"):
        if path.suffix == TEMPORARY or (path.suffix == OLD and (path.is_dir() or path.is_symlink())):
            _remove(path)


def read_folder(path: Path) -> dict[str, bytes]:
    """The files of a folder that `write_folder` wrote.

    Raises:
        ValueError: a file is missing, is there too many, or is not what was written; says which.
        OSError: the folder, or a file in it, cannot be read.
    """
    names = {file.name for file in path.iterdir()}
    sums = read_file(path / SUMS, _MAX_SUMS) if SUMS in names else b""
    listed = {line[66:]: line[:64] for line in sums.decode(errors="replace").splitlines()}
    if names != listed.keys() | {SUMS}:
        raise ValueError(f"{path.name}/{SUMS} does not list the files that are there")
    found: dict[str, bytes] = {}
    for name in sorted(listed):
        try:
            found[name] = _read(path / name)
        except ValueError:  # not the size that its header says
            found[name] = b""
        if sha256(found[name]).hexdigest() != listed[name]:
            raise ValueError(f"{path.name}/{name} is not what was written: its SHA-256 differs")
    if sums != _sums(found):
        raise ValueError(f"{path.name}/{SUMS} does not list the files that are there")
    return found


def _read(file: Path) -> bytes:
    return read_safetensors(file) if file.suffix == ".safetensors" else read_file(file)


def _sums(files: Mapping[str, bytes]) -> bytes:
    return "".join(f"{sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)).encode()


def _remove(path: Path) -> None:
    """Remove a file, a link, or a folder with its content, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
