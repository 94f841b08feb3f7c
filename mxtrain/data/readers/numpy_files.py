"""Readers of NumPy archives (.npz) and folders of .npy files."""

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BufferedReader
from lzma import LZMAError
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from mxtrain.config.data_sources import has_ending
from mxtrain.data.readers.columns import select_features
from mxtrain.data.readers.open_file import open_data_file, unreadable_error
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
    """Return targets, (n,) or (n, k), with (n, 1) as (n,); a DataError if there are not `samples` of them."""
    if array.ndim not in (1, 2) or 0 in array.shape[1:]:
        raise DataError(f"{where}: must hold one value for each sample, got the shape {array.shape}")
    if len(array) != samples:
        raise DataError(f"{where}: must hold {samples} values, one for each sample, got {len(array)}")
    return array.reshape(-1) if array.shape[1:] == (1,) else array


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
    """The arrays that a run reads from an archive: inputs, (n, d), with the name of their array, and targets, (n,)
    or (n, k)."""

    name: str
    inputs: NDArray[Any]
    targets: NDArray[Any]


def read_npz(file: BinaryIO, source: str, target: str, features: Sequence[str] | None) -> NpzArrays:
    """Read the inputs from one array of an archive, and the targets from another.

    Args:
        file: the file, open in binary mode.
        source: the name of the file in error messages.
        target: the name of the array to predict, (n,), or (n, k) for k targets.
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


_SPAN_BYTES = 1 << 20
"""The largest read; rows further apart than a sixteenth of it are read separately."""


@dataclass(frozen=True, slots=True)
class NpyFile:
    """The header of an `.npy` file: the offset of its values, their dtype, and their shape."""

    path: str
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class DiskArrays:
    """Inputs of n samples in files, which are read row by row on demand.

    The files are not memory-mapped, because pages that a map has touched count as memory of the process.

    Attributes:
        source: the name of the data in error messages.
        inputs: the files of inputs, in order, with rows of one shape and dtype.
        targets: the files of targets, one for each file of inputs; None if there are none.
    """

    source: str
    inputs: tuple[NpyFile, ...]
    targets: tuple[NpyFile, ...] | None

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The first row of each file, and the total number of rows."""
        return np.cumsum([0, *(file.shape[0] for file in self.inputs)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def width(self) -> int:
        """The number of features of a sample."""
        return prod(self.inputs[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the inputs."""
        return self.inputs[0].dtype

    @property
    def row_bytes(self) -> int:
        """The number of bytes of a sample's inputs."""
        return self.width * self.dtype.itemsize

    def gather(self, rows: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Read rows into an array.

        Args:
            rows: ascending.
            out: (rows, width), C-contiguous, in the dtype of the files.

        Raises:
            DataError: a file is missing or has become shorter.
        """
        if not len(rows):
            return
        span = max(1, _SPAN_BYTES // self.row_bytes)
        owners = np.searchsorted(self.starts, rows, side="right") - 1
        gap = max(1, span // 16)
        cuts = np.flatnonzero((np.diff(owners) > 0) | (np.diff(rows) > gap) | (np.diff(rows // span) > 0)) + 1
        bounds = np.concatenate([[0], cuts, [len(rows)]]).tolist()
        scratch = np.empty((span, self.width), dtype=self.dtype)
        position = 0
        while position < len(bounds) - 1:
            owner = int(owners[bounds[position]])
            path = self.inputs[owner].path
            with open_data_file(path) as file:
                while position < len(bounds) - 1 and owners[bounds[position]] == owner:
                    low, high = bounds[position], bounds[position + 1]
                    first, last = int(rows[low]), int(rows[high - 1])
                    file.seek(self.inputs[owner].offset + (first - int(self.starts[owner])) * self.row_bytes)
                    is_dense = last - first + 1 == high - low
                    buffer = out[low:high] if is_dense else scratch[: last - first + 1]
                    _read_into(file, buffer, path)
                    if not is_dense:
                        buffer.take(rows[low:high] - first, axis=0, out=out[low:high], mode="clip")
                    position += 1

    def blocks(self, size: int) -> Iterator[tuple[NpyFile, int, NDArray[Any]]]:
        """Yield all inputs in blocks of at most `size` rows, with their file and first row; the array is reused."""
        buffer = np.empty((size, self.width), dtype=self.dtype)
        for file, start in zip(self.inputs, self.starts[:-1].tolist(), strict=True):
            for low in range(0, file.shape[0], size):
                block = buffer[: min(size, file.shape[0] - low)]
                self.gather(np.arange(start + low, start + low + len(block)), block)
                yield file, low, block

    def read_targets(self) -> NDArray[Any] | None:
        """Read the targets, (n,) or (n, k); None if there are none."""
        if self.targets is None:
            return None
        pairs = zip(self.inputs, self.targets, strict=True)
        return np.concatenate([_read_targets_file(target, inputs.shape[0]) for inputs, target in pairs])


def open_array_pair(inputs: str, targets: str | None) -> DiskArrays:
    """Open a file of inputs and, if given, the file of its targets.

    Raises:
        DataError: a file is missing, malformed, or empty.
    """
    return _checked_arrays(inputs, [inputs], None if targets is None else [targets])


def open_shards(source: str) -> DiskArrays:
    """Open a folder of files `inputs-*.npy`, in the order of their names, and the `targets-*.npy` that belong to them.

    The targets may all be absent, as in data to predict for.

    Raises:
        DataError: there are no inputs, one file of a pair is missing, or the files do not match.
    """
    try:
        names = {path.name for path in Path(source).iterdir() if has_ending(path.name, (".npy",))}
    except OSError as error:
        raise unreadable_error(source, error) from None
    inputs, targets = (_names_by_suffix(names, prefix, source) for prefix in ("inputs-", "targets-"))
    if not inputs:
        raise DataError(
            f"{source}: holds no inputs-*.npy; they and their targets are named inputs-000.npy, targets-000.npy"
        )
    for one, other, present, absent in ((inputs, targets, "inputs", "targets"), (targets, inputs, "targets", "inputs")):
        alone = [key for key in one if key not in other] if targets else []
        if alone:
            raise DataError(f"{source}: has {present}-{alone[0]} but no {absent}-{alone[0]}")
    folder = Path(source)
    return _checked_arrays(
        source,
        [str(folder / name) for name in inputs.values()],
        [str(folder / targets[key]) for key in inputs] if targets else None,
    )


def _names_by_suffix(names: Iterable[str], prefix: str, source: str) -> dict[str, str]:
    """Return the sorted names with a prefix, keyed by the rest of the name in NFC, with `.npy` in lower case."""
    by_suffix: dict[str, str] = {}
    for name in sorted(name for name in names if name.startswith(prefix)):
        other = by_suffix.setdefault(nfc(f"{name[len(prefix) : -len('.npy')]}.npy"), name)
        if other != name:
            raise DataError(f"{source}: {other} and {name} differ only in how they are spelled; rename one")
    return by_suffix


def _checked_arrays(source: str, inputs: Sequence[str], targets: Sequence[str] | None) -> DiskArrays:
    files = [_read_header(path) for path in inputs]
    first = files[0]
    for file in files:
        if len(file.shape) < 1 or prod(file.shape[1:]) == 0:
            raise DataError(f"{file.path}: must hold samples of at least one feature, got the shape {file.shape}")
        if file.dtype.kind not in "biuf":
            raise DataError(f"{file.path}: must hold numbers, got the dtype {file.dtype}")
        if (file.shape[1:], file.dtype) != (first.shape[1:], first.dtype):
            raise DataError(
                f"{file.path}: holds rows of the shape {file.shape[1:]} and the dtype {file.dtype}, must be "
                f"{first.shape[1:]} and {first.dtype} as in {first.path}"
            )
    if not any(file.shape[0] for file in files):
        raise DataError(f"{source}: must hold at least one sample")
    return DiskArrays(source, tuple(files), None if targets is None else tuple(_read_header(path) for path in targets))


def _read_header(path: str) -> NpyFile:
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    with open_data_file(path) as file:
        try:
            shape, fortran_order, dtype = readers[npy.read_magic(file)](file)
        except NUMPY_READ_ERRORS:
            shape, fortran_order, dtype = (-1,), False, np.dtype(float)
        offset = file.tell()
        size = file.seek(0, 2)
    if min(shape, default=0) < 0:
        raise DataError(f"{path}: is not an .npy file, or a damaged one; np.save writes them")
    if dtype.hasobject:
        raise DataError(f"{path}: must hold numbers, got the dtype {dtype}")
    if fortran_order and len(shape) > 1:
        raise DataError(
            f"{path}: is in Fortran order, so its rows are not contiguous; save np.ascontiguousarray(...) instead"
        )
    if size != offset + prod(shape) * dtype.itemsize:
        problem = "is truncated" if size < offset + prod(shape) * dtype.itemsize else "has extra bytes at its end"
        raise DataError(f"{path}: {problem}: it must hold the shape {shape} of {dtype}")
    return NpyFile(path, offset, dtype, shape)


def _read_targets_file(file: NpyFile, samples: int) -> NDArray[Any]:
    values = np.empty(file.shape, dtype=file.dtype)
    with open_data_file(file.path) as stream:
        stream.seek(file.offset)
        _read_into(stream, values, file.path)
    return flatten_targets(values, samples, file.path)


def _read_into(file: BufferedReader, array: NDArray[Any], path: str) -> None:
    """Fill an array from the current position of a file, in as many reads as it takes."""
    view = memoryview(array.reshape(-1).view(np.uint8).data)
    while view:
        count = file.readinto(view)
        if not count:
            raise DataError(f"{path}: is shorter than when it was opened")
        view = view[count:]
