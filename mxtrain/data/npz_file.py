"""Tables from NumPy's `.npz` archives. Nothing is ever unpickled."""

import struct
import zlib
from collections.abc import Sequence
from lzma import LZMAError
from typing import Any, BinaryIO
from zipfile import BadZipFile

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from mxtrain.data.arrays import NOT_OF_NUMPY, as_rows, check_numbers, classes_of, one_for_each
from mxtrain.data.table import Table, choose_features
from mxtrain.errors import DataError
from mxtrain.names import nfc

# What NumPy, zipfile and the decompressors raise on damaged archives.
_UNREADABLE = (OSError, *NOT_OF_NUMPY, EOFError, BadZipFile, zlib.error, LZMAError, struct.error)


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
    inputs = as_rows(read_array(archive, chosen[0], source), f"{source}: array {chosen[0]!r}")
    where = f"{source}: array {target!r}"
    targets = one_for_each(read_array(archive, target, source), len(inputs), where)
    names = array_features(chosen[0], inputs.shape[1])
    if classes:
        class_names, indices, dtype = classes_of(targets, where)
        return Table(inputs, indices, names, target, class_names, dtype)
    check_numbers(targets, where)
    return Table(inputs, targets.astype(np.float64), names, target)


def array_features(name: str, count: int) -> tuple[str, ...]:
    """What the features of an array are called.

    >>> array_features("images", 2)
    ('images[0]', 'images[1]')
    """
    return tuple(f"{name}[{i}]" for i in range(count))


def open_npz(file: BinaryIO, source: str) -> NpzFile:
    """An archive of arrays; a DataError where the file is none."""
    try:
        archive = np.load(file, allow_pickle=False)
    except _UNREADABLE:
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
    except _UNREADABLE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{source}: array {name!r}: cannot be read: {reason}") from None
    if not isinstance(array, np.ndarray):
        raise DataError(f"{source}: {name!r} is not an array")
    return array
