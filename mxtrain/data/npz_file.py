"""Tables from NumPy's `.npz` archives. Nothing is ever unpickled."""

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

from mxtrain.data.classes import number_classes
from mxtrain.data.table import Table, choose_features
from mxtrain.errors import DataError

# What NumPy, zipfile and the decompressors raise on damaged archives.
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    EOFError,
    LookupError,
    RuntimeError,
    MemoryError,
    SyntaxError,
    TokenError,
    BadZipFile,
    zlib.error,
    LZMAError,
    struct.error,
)


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
    archive = _open(file, source)
    chosen = choose_features(source, "array", archive.files, target, features)
    if len(chosen) > 1:
        raise DataError(f"{source}: data.features: must be one array, out of {', '.join(map(repr, chosen))}")
    inputs = _inputs(_read(archive, chosen[0], source), f"{source}: array {chosen[0]!r}")
    where = f"{source}: array {target!r}"
    targets = _one_for_each(_read(archive, target, source), len(inputs), where)
    names = tuple(f"{chosen[0]}[{i}]" for i in range(inputs.shape[1]))
    if not (classes and targets.dtype.kind == "U"):
        _check_numbers(targets, where)
    if not classes:
        return Table(inputs, targets.astype(np.float64), names, target)
    distinct, codes = np.unique(targets, return_inverse=True)
    class_names, indices = number_classes([str(label) for label in distinct.tolist()], codes, where)
    return Table(inputs, indices, names, target, class_names)


def _open(file: BinaryIO, source: str) -> NpzFile:
    try:
        archive = np.load(file, allow_pickle=False)
    except _UNREADABLE:
        archive = None
    if not isinstance(archive, NpzFile):
        raise DataError(f"{source}: is not an .npz archive, or a damaged one; np.savez writes them")
    return archive


def _read(archive: NpzFile, name: str, source: str) -> NDArray[Any]:
    try:
        array: object = archive[name]
    except _UNREADABLE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{source}: array {name!r}: cannot be read: {reason}") from None
    if not isinstance(array, np.ndarray):
        raise DataError(f"{source}: {name!r} is not an array")
    return array


def _inputs(array: NDArray[Any], where: str) -> NDArray[Any]:
    if array.ndim == 0 or array.size == 0:
        raise DataError(f"{where}: must hold at least one sample and one feature, got the shape {array.shape}")
    _check_numbers(array, where)
    return array.reshape(len(array), -1)


def _one_for_each(array: NDArray[Any], samples: int, where: str) -> NDArray[Any]:
    if array.ndim == 0 or array.shape[1:] not in ((), (1,)):
        raise DataError(f"{where}: must hold one value for each sample, got the shape {array.shape}")
    if len(array) != samples:
        raise DataError(f"{where}: must hold {samples} values, one for each sample, got {len(array)}")
    return array.reshape(-1)


def _check_numbers(array: NDArray[Any], where: str) -> None:
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where}: must hold numbers, got the dtype {array.dtype}")
    finite = np.isfinite(array)
    if not finite.all():
        index = tuple(np.argwhere(~finite)[0].tolist())
        place = f"[{', '.join(map(str, index))}]"
        raise DataError(f"{where}: {place}: must be a finite number, got {array[index]}")
