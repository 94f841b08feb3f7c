"""`.npz` archives, which are never unpickled, and validation of arrays of inputs and targets."""

import struct
import zlib
from collections.abc import Sequence
from lzma import LZMAError
from tokenize import TokenError
from typing import Any, BinaryIO, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from mxtrain.data.readers.columns import select_features
from mxtrain.errors import DataError
from mxtrain.names import nfc

NUMPY_READ_ERRORS = (
    ValueError,
    TypeError,
    LookupError,
    RuntimeError,
    MemoryError,
    OverflowError,
    SyntaxError,
    TokenError,
)
"""The exceptions that NumPy raises for a damaged header of an array."""


def flatten_inputs(array: NDArray[Any], where: str) -> NDArray[Any]:
    """Return inputs, (n, ...), as (n, d); a DataError if they are empty or not all finite numbers."""
    if array.ndim == 0 or array.size == 0:
        raise DataError(f"{where}: must hold at least one sample and one feature, got the shape {array.shape}")
    check_finite_numbers(array, where)
    return array.reshape(len(array), -1)


def flatten_targets(array: NDArray[Any], samples: int, where: str) -> NDArray[Any]:
    """Return targets, (n,) or (n, 1), as (n,); a DataError if there is not one for each of `samples` samples."""
    if array.ndim == 0 or array.shape[1:] not in ((), (1,)):
        raise DataError(f"{where}: must hold one value for each sample, got the shape {array.shape}")
    if len(array) != samples:
        raise DataError(f"{where}: must hold {samples} values, one for each sample, got {len(array)}")
    return array.reshape(-1)


def check_finite_numbers(array: NDArray[Any], where: str, first_row: int = 0) -> None:
    """Raise a DataError if not all values are finite numbers.

    Args:
        array: (n, ...).
        where: the location for error messages.
        first_row: the row of the file at which the array starts.
    """
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where}: must hold numbers, got the dtype {array.dtype}")
    if array.dtype.kind != "f":
        return
    finite = np.isfinite(array)
    if not finite.all():
        row, *rest = np.argwhere(~finite)[0].tolist()
        index = f"[{', '.join(map(str, (first_row + row, *rest)))}]"
        raise DataError(f"{where}: {index}: must be a finite number, got {array[row, *rest]}")


def encode_labels(targets: NDArray[Any], where: str) -> tuple[list[str], NDArray[np.int64]]:
    """Return the different labels of an array as text, and the code of each sample's label."""
    if targets.dtype.kind != "U":
        check_finite_numbers(targets, where)
    distinct, codes = np.unique(targets, return_inverse=True)
    return [str(label) for label in distinct.tolist()], codes.astype(np.int64, copy=False)


_ARCHIVE_ERRORS = (OSError, *NUMPY_READ_ERRORS, EOFError, BadZipFile, zlib.error, LZMAError, struct.error)
"""The exceptions that NumPy, zipfile and the decompressors raise for a damaged archive."""


class NpzArrays(NamedTuple):
    """The arrays that a run reads from an archive: inputs, (n, d), with the name of their array, and targets, (n,)."""

    name: str
    inputs: NDArray[Any]
    targets: NDArray[Any]


def read_npz(file: BinaryIO, source: str, target: str, features: Sequence[str] | None) -> NpzArrays:
    """Read the inputs from one array of an archive, and the targets from another.

    Args:
        file: the file, open in binary mode.
        source: the name of the file in error messages.
        target: the name of the array to predict, (n,) or (n, 1).
        features: the name of the one array to predict from, (n, ...), which is flattened to (n, d); None takes the only
            other array.

    Raises:
        DataError: an array is missing, damaged, of the wrong shape, or (inputs only) not finite; with its name.

    Example:
        >>> from io import BytesIO
        >>> file = BytesIO()
        >>> np.savez(file, images=np.zeros((3, 2, 2)), labels=["cat", "ant", "cat"])
        >>> _ = file.seek(0)
        >>> arrays = read_npz(file, "pets.npz", "labels", None)
        >>> arrays.name, arrays.inputs.shape, arrays.targets.tolist()
        ('images', (3, 4), ['cat', 'ant', 'cat'])
    """
    archive = open_npz(file, source)
    selected = select_features(source, "array", list(map(nfc, archive.files)), target, features)
    if len(selected) > 1:
        raise DataError(f"{source}: data.features: must be one array, out of {', '.join(map(repr, selected))}")
    (name,) = selected
    inputs = flatten_inputs(read_array(archive, name, source), f"{source}: array {name!r}")
    targets = flatten_targets(read_array(archive, target, source), len(inputs), f"{source}: array {target!r}")
    return NpzArrays(name, inputs, targets)


def open_npz(file: BinaryIO, source: str) -> NpzFile:
    """Open an archive of arrays; a DataError if the file is not one."""
    try:
        archive = np.load(file, allow_pickle=False)
    except _ARCHIVE_ERRORS:
        archive = None
    if not isinstance(archive, NpzFile):
        raise DataError(f"{source}: is not an .npz archive, or a damaged one; np.savez writes them")
    return archive


def read_array(archive: NpzFile, name: str, source: str) -> NDArray[Any]:
    """Return an array of an archive by its name in NFC; a DataError if it is damaged."""
    spelled = [spelling for spelling in archive.files if nfc(spelling) == name]
    if len(spelled) > 1:
        raise DataError(f"{source}: {len(spelled)} arrays are named {name!r}; rename them")
    try:
        array: object = archive[spelled[0]]
    except _ARCHIVE_ERRORS as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{source}: array {name!r}: cannot be read: {reason}") from None
    if not isinstance(array, np.ndarray):
        raise DataError(f"{source}: {name!r} is not an array")
    return array
