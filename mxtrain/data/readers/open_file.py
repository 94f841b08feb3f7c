"""Opening of data files, with errors that name the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from mxtrain.errors import DataError


@contextmanager
def open_data_file(path: str) -> Iterator[BufferedReader]:
    """Open a regular file in binary mode, and close it at the end of the `with` block.

    Pipes and devices are refused: they may block or never end, and a run reads its data more than once.

    Raises:
        DataError: the file is missing, is not a regular file, or cannot be read, now or inside the `with` block.
    """
    if "\0" in path:
        raise DataError(f"{path}: cannot be read: a path has no NUL characters")
    try:
        mode = Path(path).stat().st_mode
        if not S_ISREG(mode) and not S_ISDIR(mode):  # `open` reports a folder
            raise DataError(f"{path}: must be a regular file, got a pipe or a device; copy its content into one")
        with Path(path).open("rb") as file:
            yield file
    except OSError as error:
        raise unreadable_error(path, error) from None


def unreadable_error(path: str, error: OSError) -> DataError:
    """Return the error for a file that the operating system cannot read."""
    return DataError(f"{path}: cannot be read: {error.strerror or error}")
