"""`.npz` archives, and validation of input arrays. Nothing is ever unpickled."""

import struct
import zlib
from collections.abc import Sequence
from lzma import LZMAError
from tokenize import TokenError
from typing import Any, BinaryIO
from zipfile import BadZipFile

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from mxtrain.data.preprocessing.classes import class_dtype, number_classes
from mxtrain.data.preprocessing.table import Table, choose_features
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
"""What NumPy raises on the header of an array that it did not write."""


def flatten_inputs(array: NDArray[Any], where: str) -> NDArray[Any]:
    """Inputs, (n, ...), as (n, d); a DataError where there are none, or where they are not all finite numbers."""
    if array.ndim == 0 or array.size == 0:
        raise DataError(f"{where}: must hold at least one sample and one feature, got the shape {array.shape}")
    check_finite_numbers(array, where)
    return array.reshape(len(array), -1)


def flatten_targets(array: NDArray[Any], samples: int, where: str) -> NDArray[Any]:
    """Targets, (n,) or (n, 1), as (n,); a DataError where they are not one for each of n samples."""
    if array.ndim == 0 or array.shape[1:] not in ((), (1,)):
        raise DataError(f"{where}: must hold one value for each sample, got the shape {array.shape}")
    if len(array) != samples:
        raise DataError(f"{where}: must hold {samples} values, one for each sample, got {len(array)}")
    return array.reshape(-1)


def check_finite_numbers(array: NDArray[Any], where: str, first_row: int = 0) -> None:
    """A DataError where not all are finite numbers; `first_row` is where the array begins in its file."""
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where}: must hold numbers, got the dtype {array.dtype}")
    if array.dtype.kind != "f":
        return
    finite = np.isfinite(array)
    if not finite.all():
        row, *rest = np.argwhere(~finite)[0].tolist()
        place = f"[{', '.join(map(str, (first_row + row, *rest)))}]"
        raise DataError(f"{where}: {place}: must be a finite number, got {array[row, *rest]}")


def labels_of(targets: NDArray[Any], where: str) -> tuple[list[str], NDArray[np.int64]]:
    """The labels that occur, and for each sample which it is."""
    if targets.dtype.kind != "U":
        check_finite_numbers(targets, where)
    distinct, codes = np.unique(targets, return_inverse=True)
    return [str(label) for label in distinct.tolist()], codes.astype(np.int64, copy=False)


def classes_of(targets: NDArray[Any], where: str) -> tuple[tuple[str, ...], NDArray[np.int64], str]:
    """Return the names of the classes in order, the class of each sample, and the dtype of the classes."""
    names, indices = number_classes(*labels_of(targets, where), where)
    return names, indices, class_dtype(names, "str" if targets.dtype.kind == "U" else targets.dtype.name)


# What NumPy, zipfile and the decompressors raise on damaged archives.
_ARCHIVE_ERRORS = (OSError, *NUMPY_READ_ERRORS, EOFError, BadZipFile, zlib.error, LZMAError, struct.error)


def read_npz(file: BinaryIO, source: str, target: str, features: Sequence[str] | None, classes: bool) -> Table:
    """Read a table: the target from one array, the inputs from another.

    Args:
        file: the file, open in binary.
        source: what errors call it.
        target: the array to predict, (n,) or (n, 1): numbers, or for classes also text.
        features: the one array to predict from, (n, ...), flattened to (n, d); None takes the only other one.
        classes: whether the target names classes or is a number.

    Raises:
        DataError: with the array, and the sample where one is to blame.

    Example:
        >>> from io import BytesIO
        >>> file = BytesIO()
        >>> np.savez(file, images=np.zeros((3, 2, 2)), labels=["cat", "ant", "cat"])
        >>> _ = file.seek(0)
        >>> table = read_npz(file, "pets.npz", "labels", None, classes=True)
        >>> table.inputs.shape, table.targets.tolist(), table.class_names
        ((3, 4), [1, 0, 1], ('ant', 'cat'))
    """
    archive = open_npz(file, source)
    chosen = choose_features(source, "array", list(map(nfc, archive.files)), target, features)
    if len(chosen) > 1:
        raise DataError(f"{source}: data.features: must be one array, out of {', '.join(map(repr, chosen))}")
    inputs = flatten_inputs(read_array(archive, chosen[0], source), f"{source}: array {chosen[0]!r}")
    where = f"{source}: array {target!r}"
    targets = flatten_targets(read_array(archive, target, source), len(inputs), where)
    names = array_feature_names(chosen[0], inputs.shape[1])
    if classes:
        class_names, indices, dtype = classes_of(targets, where)
        return Table(inputs, indices, names, target, class_names, dtype)
    check_finite_numbers(targets, where)
    return Table(inputs, targets.astype(np.float64), names, target)


def array_feature_names(name: str, count: int) -> tuple[str, ...]:
    """What the features of an array are called.

    >>> array_feature_names("images", 2)
    ('images[0]', 'images[1]')
    """
    return tuple(f"{name}[{i}]" for i in range(count))


def open_npz(file: BinaryIO, source: str) -> NpzFile:
    """An archive of arrays; a DataError where the file is none."""
    try:
        archive = np.load(file, allow_pickle=False)
    except _ARCHIVE_ERRORS:
        archive = None
    if not isinstance(archive, NpzFile):
        raise DataError(f"{source}: is not an .npz archive, or a damaged one; np.savez writes them")
    return archive


def read_array(archive: NpzFile, name: str, source: str) -> NDArray[Any]:
    """Return an array of an archive by its name in NFC; a DataError if it is damaged."""
    spelled = [each for each in archive.files if nfc(each) == name]
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
