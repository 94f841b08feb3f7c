"""Atomic writes, and reads that accept only regular files of a bounded size.

Every write goes through a temporary file that is created exclusively, under an unpredictable name, beside the file that
it replaces. A symbolic link, a pipe or a hard link at either name is replaced; its target is not changed.
"""

import errno
import itertools
import json
import os
import re
import secrets
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from stat import S_IMODE, S_ISDIR, S_ISLNK, S_ISREG
from typing import Any, BinaryIO

TEMPORARY = ".tmp"
"""The suffix of temporary files and folders; their names begin with a dot."""
MAX_TEXT = 256 * 2**20
"""Largest size, in bytes, of a log or a JSON file that is read."""

_MAX_HEADER = 100_000_000
"""Largest size, in bytes, of a safetensors header, as the format defines it."""
STALE = 3600.0
"""Seconds since its last change after which a temporary file belongs to a process that was killed."""
_TEMPORARY_NAME = re.compile(r"\.(.+?)(?:\.[0-9a-f]{16})?\.tmp", re.DOTALL)
_OWN_NAME = re.compile(r"\..+\.[0-9a-f]{16}\.tmp", re.DOTALL)
_MAX_GROWTH = 2**16
"""Largest number of bytes by which a log may grow while it is read."""
_MAX_NAME_BYTES = 200
"""Largest number of bytes of the target's name in the name of a temporary file; file systems allow 255 in all."""
# Windows has none of these flags, and opens in text mode without O_BINARY.
_COMMON_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)


def write_file(path: Path, content: bytes, is_private: bool = False, *, mode: int | None = None) -> None:
    """Replace a file atomically: write a temporary file beside it, flush it to the disk, and rename it.

    Args:
        path: the file; a link of that name is replaced, not followed.
        content: its bytes.
        is_private: whether only its owner may read it.
        mode: its permissions; by default, those of a new file.

    Raises:
        OSError: it cannot be written; the old file is unchanged.
    """
    temporary = temporary_path(path)
    try:
        create_file(temporary, content, 0o600 if is_private else 0o666, permissions=mode)
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):  # naming the file, and not the temporary one
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    flush_folder(path.parent)


def create_file(path: Path, content: bytes, mode: int = 0o666, *, permissions: int | None = None) -> None:
    """Create a file and flush it to the disk, without flushing the entries of its folder.

    Args:
        path: the file.
        content: its bytes.
        mode: its permissions, reduced by the umask.
        permissions: its exact permissions, regardless of the umask; by default, `mode` applies.

    Raises:
        OSError: the path exists, or it cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _COMMON_FLAGS | _NO_FOLLOW, mode)
    try:
        if permissions is not None and hasattr(os, "fchmod"):
            os.fchmod(descriptor, permissions)
        _write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_output(path: Path, content: bytes) -> None:
    """Write a file at a path that the user chose: follow links, preserve permissions, and support pipes and devices.

    Raises:
        OSError: it cannot be written; an old file is unchanged.
    """
    try:
        _write_output(path, content)
    except OSError as error:  # naming the file as the user does
        raise OSError(error.errno, error.strerror, str(path)) from error


def _write_output(path: Path, content: bytes) -> None:
    target, mode = _output_target(path)
    if target is None:
        with path.open("ab") as file:
            file.write(content)
        return
    write_file(target, content, mode=mode)


@contextmanager
def open_output(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write at a path that the user chose; it replaces an old one at the end of the `with` block.

    Links, permissions, pipes and devices are treated as by `write_output`.

    Raises:
        OSError: it cannot be written; an old file is unchanged, as it is after any other exception in the block.
    """
    temporary = None
    try:
        target, mode = _output_target(path)
        if target is None:
            with path.open("ab") as file:
                yield file
            return
        temporary = temporary_path(target)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _COMMON_FLAGS | _NO_FOLLOW, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(descriptor, mode)
            yield file
            file.flush()
            os.fsync(descriptor)
        temporary.replace(target)
        flush_folder(target.parent)
    except BaseException as error:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()
        if isinstance(error, OSError):  # naming the file as the user does
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _output_target(path: Path) -> tuple[Path | None, int | None]:
    """Return the file to replace and its permissions, None for a new one; no file for a pipe or a device."""
    target = Path(os.path.realpath(path))
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        mode = None
    # /dev/stdout may be a file that the shell opened, which must not be replaced by another
    if mode is not None and (not S_ISREG(mode) or path.parts[:2] in ((os.sep, "dev"), (os.sep, "proc"))):
        return None, None
    remove_temporary_files(target.parent, [target.name], older_than=STALE)
    return target, None if mode is None else S_IMODE(mode)


def extend_file(path: Path, length: int, content: bytes) -> None:
    """Replace everything after the first `length` bytes of a file, and flush it; those bytes are not touched.

    Raises:
        OSError: it cannot be written, or is a link or not a regular file.
    """
    with _opened_descriptor(path, os.O_WRONLY) as descriptor:
        os.ftruncate(descriptor, length)  # an interrupted call may have left more
        os.lseek(descriptor, length, os.SEEK_SET)
        _write_all(descriptor, content)
        os.fsync(descriptor)


def append_file(path: Path, content: bytes) -> None:
    """Append to a file, and create it if it is missing.

    Raises:
        OSError: it cannot be written, or is a link or not a regular file.
    """
    with open_for_append(path) as descriptor:
        _write_all(descriptor, content)


def open_for_append(path: Path) -> AbstractContextManager[int]:
    """Open a file for appending as a context manager of its descriptor; errors as for `append_file`."""
    return _opened_descriptor(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def flush_file(path: Path) -> None:
    """Flush a file's content to the disk.

    Raises:
        OSError: it cannot be flushed, or is not a regular file.
    """
    with _opened_descriptor(path, os.O_WRONLY) as descriptor:
        os.fsync(descriptor)


def flush_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the system can."""
    if os.name == "nt":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | _COMMON_FLAGS)
    except PermissionError:  # its entries may be changed, but not read
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # this file system cannot flush folders
            raise
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents, and flush the entries of the new ones.

    Raises:
        OSError: it cannot be created.
    """
    folders = (path, *path.parents)
    missing = list(itertools.takewhile(lambda folder: not folder.is_dir(), folders))
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        flush_folder(folder.parent)


def refuse_link(path: Path) -> None:
    """Refuse a symbolic link in place of a file or folder that is to be written.

    Raises:
        OSError: it is a link.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, "is a symbolic link, which is not followed", str(path))


def open_descriptor(path: Path, flags: int) -> int:
    """Open a regular file to lock or change it, without following links or waiting for pipes.

    Returns:
        Its descriptor.

    Raises:
        OSError: it cannot be opened, or is a link or not a regular file.
    """
    with suppress(FileNotFoundError):
        _check_regular(path.lstat(), path)  # before opening, because opening a device may have an effect
    descriptor = os.open(path, flags | _COMMON_FLAGS | _NO_WAIT | _NO_FOLLOW, 0o666)
    try:
        _check_regular(os.fstat(descriptor), path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def open_file(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file for reading; follow links, but neither wait for a pipe nor open a device.

    Raises:
        OSError: it is missing, is not a regular file, or cannot be opened.
    """
    _check_regular(path.stat(), path)
    descriptor = os.open(path, os.O_RDONLY | _COMMON_FLAGS | _NO_WAIT)
    with os.fdopen(descriptor, "rb") as file:
        _check_regular(os.fstat(descriptor), path)
        yield file


def read_file(path: Path, limit: int = MAX_TEXT) -> bytes:
    """Read a regular file of at most `limit` bytes.

    Raises:
        OSError: it is missing, is not a regular file, is larger, or cannot be read.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= limit and len(content := file.read(size + _MAX_GROWTH)) <= limit:
            return content
    raise OSError(errno.EFBIG, f"is larger than {_format_size(limit)}", str(path))


def read_safetensors(path: Path) -> bytes:
    """Read a safetensors file that has the size that its header says.

    Raises:
        OSError: it is missing, is not a regular file, or cannot be read.
        ValueError: it has another size.
    """
    with open_file(path) as file:
        check_safetensors(file)
        file.seek(0)
        return file.read()


def check_safetensors(file: BinaryIO) -> None:
    """Refuse a file whose size is not what its safetensors header says, without reading its arrays.

    Raises:
        ValueError: it has another size, or no valid header.
    """
    actual = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if length > min(_MAX_HEADER, actual):
        raise ValueError("its safetensors header is damaged")
    try:
        entries = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
        is_whole = actual == 8 + length + max(ends, default=0)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("its safetensors header is damaged") from error
    if not is_whole:
        raise ValueError("it is not as large as its safetensors header says")


def parse_json(text: bytes | str) -> Any:
    """Parse JSON, with one type of error for every defect.

    Raises:
        ValueError: the text is not JSON, or is nested too deeply.

    Example:
        >>> parse_json("[" * 100_000)
        Traceback (most recent call last):
        ValueError: nested too deeply
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def is_finite_number(value: object) -> bool:
    """Return whether a value from JSON is a number that float64 can hold, and not a bool.

    >>> [is_finite_number(value) for value in (1, 0.5, True, float("inf"), 10**400, "1", None)]
    [True, True, False, False, False, False, False]
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_regular(path: Path) -> bool:
    """Return whether a path is a regular file, or a link to one."""
    try:
        return S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def describe_os_error(error: OSError) -> str:
    """Describe an error in a few words, with the name of a file that is a link or not a regular file.

    >>> describe_os_error(FileNotFoundError(2, "No such file or directory", "/runs/1/x"))
    'No such file or directory'
    >>> describe_os_error(OSError(40, "is a symbolic link, must be a regular file", "/runs/1/.lock"))
    '.lock is a symbolic link, must be a regular file'
    """
    text = error.strerror or str(error)
    return f"{Path(os.fsdecode(error.filename)).name} {text}" if error.filename and text.startswith("is ") else text


def temporary_path(path: Path) -> Path:
    """Return an unpredictable name beside a file, for the temporary file that is to replace it."""
    return path.with_name(f".{_shorten_name(path.name)}.{secrets.token_hex(8)}{TEMPORARY}")


def remove_temporary_files(folder: Path, names: Collection[str] | None = None, older_than: float = 0.0) -> None:
    """Remove the temporary files that killed processes left.

    Args:
        folder: the folder.
        names: the files that were to be replaced; by default, all.
        older_than: seconds for which a temporary file must be unchanged. With 0, no other process may be writing, and
            temporary files of earlier versions are removed too, whose names other programs may use.
    """
    stems, now = None if names is None else set(map(_shorten_name, names)), time.time()
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            target = temporary_target(entry.name)
            if target is None or (stems is not None and target not in stems):
                continue
            if older_than and not _OWN_NAME.fullmatch(entry.name):
                continue
            with suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if not S_ISDIR(status.st_mode) and (older_than == 0 or now - status.st_mtime > older_than):
                    Path(entry.path).unlink()


def temporary_target(name: str) -> str | None:
    """Return the name of the file that a temporary file was to replace, shortened if long; None for other names.

    >>> temporary_target(".model.safetensors.0123456789abcdef.tmp"), temporary_target(".model.safetensors.tmp")
    ('model.safetensors', 'model.safetensors')
    """
    found = _TEMPORARY_NAME.fullmatch(name)
    return found[1] if found else None


def _shorten_name(name: str) -> str:
    return os.fsencode(name)[:_MAX_NAME_BYTES].decode(errors="ignore")


@contextmanager
def _opened_descriptor(path: Path, flags: int) -> Iterator[int]:
    descriptor = open_descriptor(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _check_regular(status: os.stat_result, path: Path) -> None:
    if S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder, must be a regular file", str(path))
    if S_ISLNK(status.st_mode):
        raise OSError(errno.ELOOP, "is a symbolic link, must be a regular file", str(path))
    if not S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "is a pipe or a device, must be a regular file", str(path))


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _format_size(count: int) -> str:
    return f"{count // 2**20} MiB" if count >= 2**20 else f"{count // 1024} KiB"
