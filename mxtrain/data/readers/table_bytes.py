"""Table files as streams of bytes: paths, standard input, compression and limits of size."""

import bz2
import gzip
import io
import lzma
import os
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from glob import glob
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from mxtrain.data.readers.open_file import open_data_file
from mxtrain.errors import DataError
from mxtrain.paths import expand_home, expand_variables, is_pattern, unset_variable, url_problem
from mxtrain.processes import child_path, child_python

STDIN = "-"
"""The source that stands for standard input."""
_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, NotImplementedError)
"""The exceptions that decompressors raise for a damaged or encrypted file."""
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"PK\x03\x04", "zip"),
)
"""The first bytes of compressed files."""
_CELL_SHARE = 4
"""Memory of the cells of a spreadsheet as a multiple of the bytes of its XML."""
_SPREADSHEET_MEMBERS = ("[Content_Types].xml", "content.xml")
"""Members of the archives that spreadsheet programs write."""


class ByteStream(Protocol):
    """A source of bytes."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, and none at the end."""
        ...


def expand_paths(source: str) -> list[str]:
    """Return the paths that a source names: variables and `~` are replaced, and `*`, `?` and `[...]` expanded.

    Raises:
        DataError: the source is a URL, a variable is not set, or no file matches.

    Example:
        >>> expand_paths("train.csv"), expand_paths("-")
        (['train.csv'], ['-'])
        >>> expand_paths("https://host/train.csv")
        Traceback (most recent call last):
        mxtrain.errors.DataError: https://host/train.csv: is a URL, and only local files are read; ...
    """
    if problem := url_problem(source):
        raise DataError(f"{source}: {problem}")
    path = expand_home(expand_variables(source))
    if (name := unset_variable(path)) and not os.path.exists(path):  # noqa: PTH110 - a path may hold a NUL
        raise DataError(f"{path}: the environment variable {name} is not set")
    if not is_pattern(path) or os.path.exists(path):  # noqa: PTH110
        return [path]
    if not (found := sorted(name for name in glob(path, recursive=True) if Path(name).is_file())):  # noqa: PTH207 - absolute paths
        raise DataError(f"{path}: no file matches this pattern")
    return found


def share_read(stream: BinaryIO) -> float | None:
    """Return the share of the bytes of a file on disk that were read so far; None for standard input and archives."""
    raw = getattr(stream, "raw", None)
    file = getattr(raw, "file", stream)
    try:
        size = os.fstat(file.fileno()).st_size
        return min(file.tell() / size, 1.0) if size and file.seekable() else None
    except (AttributeError, OSError, ValueError):
        return None


def memory_limit() -> int:
    """Return half of the memory of this machine or container, in bytes: the largest table that is read at once."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        total = 8 * 2**30
    with suppress(OSError, ValueError):  # there may be no limit
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total // 2


class GuardedStream:
    """Stream of a file's content that reports damage, and content that is too large, as a DataError.

    Args:
        stream: the stream.
        source: the name of the file in error messages.
        limit: the largest number of bytes; None for no limit.
    """

    def __init__(self, stream: ByteStream, source: str, limit: int | None = None) -> None:
        self._stream = stream
        self._source = source
        self._limit = limit
        self._count = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, and none at the end; by default, all."""
        if size < 0:
            return b"".join(iter(lambda: self.read(2**24), b""))
        try:
            piece = self._stream.read(size)
        except _DAMAGED as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise DataError(f"{self._source}: cannot be read: {reason}") from None
        self._count += len(piece)
        if self._limit is not None and self._count > self._limit:
            raise _too_large_error(self._source, self._limit)
        return piece


def _too_large_error(source: str, limit: int) -> DataError:
    remedy = "split it, or use a machine with more memory"
    return DataError(f"{source}: holds more than {limit / 2**30:.3g} GiB, half of this machine's memory; {remedy}")


@contextmanager
def open_table(path: str, limit: int | None = None) -> Iterator[tuple[BinaryIO, str]]:
    """Open a table file for reading, decompressed.

    Args:
        path: the path of a regular file, or `-` for standard input.
        limit: the largest number of bytes to read; None for no limit.

    Yields:
        The content, of which at least 16 bytes can be peeked at, and the name of the content without the suffix of its
        compression.

    Raises:
        DataError: the file is missing, cannot be read or decompressed, or is larger than the limit.
    """
    if path == STDIN:
        with _decompress(sys.stdin.buffer, "standard input", "", limit) as found:
            yield found
        return
    with open_data_file(path) as file, _decompress(file, path, path, limit) as found:
        yield found


@contextmanager
def _decompress(file: BinaryIO, source: str, name: str, limit: int | None) -> Iterator[tuple[BinaryIO, str]]:
    peekable = file if isinstance(file, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", file))
    head = peekable.peek(16)[:16]
    kind = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
    if kind == "zip":
        with _open_zip(peekable, source, limit) as found:
            yield found
        return
    if kind is not None:
        name = name.rsplit(".", 1)[0] if "." in Path(name).name else name
        try:
            opened = _DECOMPRESSORS[kind](peekable)
        except _DAMAGED as error:
            raise DataError(f"{source}: cannot be read: {error}") from None
        yield _buffered(opened, source, limit, peekable), name
    elif limit is None:
        yield peekable, name
    elif peekable.seekable():
        if os.fstat(peekable.fileno()).st_size > limit:
            raise _too_large_error(source, limit)
        yield peekable, name
    else:
        yield _buffered(peekable, source, limit), name


def _buffered(stream: ByteStream, source: str, limit: int | None, file: BinaryIO | None = None) -> BinaryIO:
    return io.BufferedReader(_Raw(GuardedStream(stream, source, limit), file), 2**16)


class _Raw(io.RawIOBase):
    """Raw stream of the io module over a guarded stream, so that its content can be peeked at."""

    def __init__(self, stream: GuardedStream, file: BinaryIO | None) -> None:
        super().__init__()
        self._stream = stream
        self.file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object, /) -> int:
        view = memoryview(cast("bytearray", buffer))
        piece = self._stream.read(len(view))
        view[: len(piece)] = piece
        return len(piece)


@contextmanager
def _open_zip(file: BinaryIO, source: str, limit: int | None) -> Iterator[tuple[BinaryIO, str]]:
    """Open the one file of an archive; a spreadsheet is passed as it is, if its members are not too large."""
    try:
        content = file if file.seekable() else io.BytesIO(GuardedStream(file, source, limit).read())
        archive = zipfile.ZipFile(content)
        members = [member for member in archive.infolist() if _is_data(member)]
    except (*_DAMAGED, ValueError) as error:
        raise DataError(f"{source}: is a damaged zip archive: {error}") from None
    with archive:
        if any(member.filename in _SPREADSHEET_MEMBERS for member in members):
            _check_spreadsheet(archive, source, limit)
            content.seek(0)
            yield _buffered(content, source, limit), ".xlsx"
            return
        if len(members) != 1:
            names = ", ".join(member.filename for member in members[:5])
            raise DataError(f"{source}: must hold one file, got {len(members)}: {names}; extract the table")
        try:
            member = archive.open(members[0])
        except (*_DAMAGED, ValueError) as error:
            raise DataError(f"{source}: {members[0].filename}: cannot be read: {error}") from None
        with member:
            yield _buffered(member, source, limit, file), members[0].filename


def _check_spreadsheet(archive: zipfile.ZipFile, source: str, limit: int | None) -> None:
    """Raise a DataError if the members of an archive are too large for their cells to be in memory, or damaged.

    The sizes that the archive declares are true, because the checksum of a longer member differs.
    """
    size = sum(member.file_size for member in archive.infolist())
    if limit is not None and size * _CELL_SHARE > limit:
        remedy = "save the sheet as CSV, or split it"
        raise DataError(f"{source}: expands to {size / 2**30:.3g} GiB, too much for this machine's memory; {remedy}")
    try:
        damaged = archive.testzip()
    except (*_DAMAGED, ValueError) as error:
        raise DataError(f"{source}: is a damaged zip archive: {error}") from None
    if damaged is not None:
        raise DataError(f"{source}: is a damaged zip archive: {damaged} has another checksum; save it again")


def _is_data(member: zipfile.ZipInfo) -> bool:
    """Return False for a folder, and for what macOS adds to an archive."""
    return not member.is_dir() and not member.filename.startswith("__MACOSX/")


def _open_zstd(file: BinaryIO) -> ByteStream:
    """Decompress with Python 3.14, the zstandard package, or Polars in a separate process."""
    for module, function in (("compression.zstd", "open"), ("zstandard", "open")):
        try:
            return cast("ByteStream", getattr(__import__(module, fromlist=["open"]), function)(file, "rb"))
        except ImportError:
            continue
    script = Path(__file__).with_name("polars_subprocess.py")
    result = subprocess.run(
        [*child_python(), str(script), "Zstandard", str(memory_limit())],
        input=file.read(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | child_path(),
        check=False,
    )
    if result.returncode:
        raise EOFError("it is damaged, not UTF-8 text, or too large for this machine's memory")
    return io.BytesIO(result.stdout)


_DECOMPRESSORS: dict[str, Callable[[BinaryIO], ByteStream]] = {
    "gzip": lambda file: gzip.GzipFile(fileobj=file),
    "bzip2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
    "zstd": _open_zstd,
}
