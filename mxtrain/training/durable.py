"""Writing so that a kill, a full disk or a power cut at any moment leaves the old state or the new."""

import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

SUMS = "SHA256SUMS"
"""The list of a folder's files and their SHA-256, in the format of the program sha256sum."""
BEFORE = ".before"
"""Ends the name of what stood where something new is put, until that is there."""


def write_file(path: Path, content: bytes, is_private: bool = False) -> None:
    """Put a whole file in the place of the old one: written beside it, flushed to the disk, then renamed.

    Args:
        path: the file.
        content: its bytes.
        is_private: whether only its owner may read it.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        if is_private:
            temporary.touch(0o600)
        _write(temporary, content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def extend_file(path: Path, length: int, content: bytes) -> None:
    """Put content behind the first `length` bytes of a file, in place of what is there; these bytes are not touched."""
    with path.open("r+b") as file:
        file.truncate(length)  # what an interrupted call left behind them
        file.seek(length)
        _flushed(file, content)


def keep_file(path: Path, content: bytes) -> None:
    """As `write_file`, but a file that is just so already stays."""
    try:
        is_there = path.read_bytes() == content
    except OSError:
        is_there = False
    if not is_there:
        write_file(path, content)


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Put a whole folder in place, with the SHA-256 of each of its files, or in the place of the old one.

    What an interrupted call leaves behind begins with a dot, and `remove_leftovers` takes it away, or brings it back.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.mkdir()
    for name, content in {**files, SUMS: _sums(files)}.items():
        _write(temporary / name, content)
    flush_folder(temporary)
    before = path.with_name(f".{path.name}{BEFORE}")
    if path.exists():
        path.rename(before)
    temporary.rename(path)
    flush_folder(path.parent)
    if before.exists():
        _remove(before)


def remove_folder(path: Path) -> None:
    """Take a folder away; to every observer it is there whole or not at all."""
    doomed = path.with_name(f".{path.name}.old")
    path.rename(doomed)
    _remove(doomed)


def remove_leftovers(folder: Path) -> None:
    """Take away what interrupted calls left in a folder; what was about to be replaced, and is not, is brought back."""
    for before in folder.glob(f".*{BEFORE}"):
        place = before.with_name(before.name[1:].removesuffix(BEFORE))
        if place.exists():
            _remove(before)
        else:
            before.rename(place)
    for path in folder.glob(".*"):
        if path.is_dir() and path.suffix in (".tmp", ".old"):
            _remove(path)
        elif path.suffix == ".tmp":
            path.unlink()


def read_folder(path: Path) -> dict[str, bytes]:
    """The files of a folder that `write_folder` wrote.

    Raises:
        ValueError: a file is missing, is there too many, or is not what was written; says which.
        OSError: the folder cannot be read.
    """
    found = {file.name: file.read_bytes() for file in sorted(path.iterdir())}
    sums = found.pop(SUMS, b"")
    if sums == _sums(found):
        return found
    listed = {line[66:]: line[:64] for line in sums.decode(errors="replace").splitlines()}
    for name in listed.keys() & found.keys():
        if sha256(found[name]).hexdigest() != listed[name]:
            raise ValueError(f"{path.name}/{name} is not what was written: its SHA-256 differs")
    raise ValueError(f"{path.name}/{SUMS} does not list the files that are there")


def _sums(files: Mapping[str, bytes]) -> bytes:
    return "".join(f"{sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)).encode()


def flush_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        _flushed(file, content)


def _flushed(file: BinaryIO, content: bytes) -> None:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())


def _remove(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            _remove(path)
        else:
            path.unlink()
    folder.rmdir()
