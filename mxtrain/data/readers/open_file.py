"""Opening of data files, with errors that name the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from mxtrain.errors import DataError


@contextmanager
def opened(path: str) -> Iterator[BufferedReader]:
    """A file, open in binary; closed at the end.

    A pipe would be waited for without end, and a device may never end; a run also reads its data more than once.

    Raises:
        DataError: it is missing, is no regular file, or cannot be read, now or while it is in use.
    """
    if "\0" in path:
        raise DataError(f"{path}: cannot be read: a path has no NUL characters")
    try:
        mode = Path(path).stat().st_mode
        if not S_ISREG(mode) and not S_ISDIR(mode):  # of a folder, `open` has a word of its own
            raise DataError(f"{path}: must be a regular file, got a pipe or a device; copy its content into one")
        with Path(path).open("rb") as file:
            yield file
    except OSError as error:
        raise unreadable_error(path, error) from None


def unreadable_error(path: str, error: OSError) -> DataError:
    """The error of what the operating system refuses to read."""
    return DataError(f"{path}: cannot be read: {error.strerror or error}")
