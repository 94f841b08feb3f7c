"""`.npy` arrays read from disk in blocks: a single file, or a folder of shards."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BufferedReader
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mxtrain.config.data_section import has_ending
from mxtrain.data.readers.npz_file import NUMPY_READ_ERRORS, flatten_targets
from mxtrain.data.readers.open_file import opened, unreadable_error
from mxtrain.errors import DataError
from mxtrain.names import nfc

_SPAN_BYTES = 1 << 20
"""Most that is read at once; rows that lie further apart than a small part of it are read one by one."""


@dataclass(frozen=True, slots=True)
class NpyFile:
    """What the header of an `.npy` file says: where its values begin, and of which dtype and shape they are."""

    path: str
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class DiskArrays:
    """Inputs of n samples in files that are read at the places asked for, and never mapped or held.

    Positioned reads, not memory maps: what a map has touched counts as the memory of the process.

    Attributes:
        source: what messages call the whole.
        inputs: the files of inputs, in order, with rows of one shape and dtype.
        targets: the files of targets, one for each; None where there are none.
    """

    source: str
    inputs: tuple[NpyFile, ...]
    targets: tuple[NpyFile, ...] | None

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The first row of each file, and the number of all rows."""
        return np.cumsum([0, *(file.shape[0] for file in self.inputs)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def width(self) -> int:
        """How many features a sample has."""
        return prod(self.inputs[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.inputs[0].dtype

    @property
    def row_bytes(self) -> int:
        return self.width * self.dtype.itemsize

    def gather(self, rows: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Read rows, which must ascend, into a C-contiguous array, (rows, width), of the arrays' dtype.

        Raises:
            DataError: a file is gone, or shorter than it was.
        """
        if not len(rows):
            return
        span = max(1, _SPAN_BYTES // self.row_bytes)
        owners = np.searchsorted(self.starts, rows, side="right") - 1
        gap = max(1, span // 16)
        cuts = np.flatnonzero((np.diff(owners) > 0) | (np.diff(rows) > gap) | (np.diff(rows // span) > 0)) + 1
        bounds = np.concatenate([[0], cuts, [len(rows)]]).tolist()
        scratch = np.empty((span, self.width), dtype=self.dtype)
        place = 0
        while place < len(bounds) - 1:
            owner = int(owners[bounds[place]])
            path = self.inputs[owner].path
            with opened(path) as file:
                while place < len(bounds) - 1 and owners[bounds[place]] == owner:
                    low, high = bounds[place], bounds[place + 1]
                    first, last = int(rows[low]), int(rows[high - 1])
                    file.seek(self.inputs[owner].offset + (first - int(self.starts[owner])) * self.row_bytes)
                    dense = last - first + 1 == high - low
                    into = out[low:high] if dense else scratch[: last - first + 1]
                    _read_into(file, into, path)
                    if not dense:
                        into.take(rows[low:high] - first, axis=0, out=out[low:high], mode="clip")
                    place += 1

    def blocks(self, size: int) -> Iterator[tuple[NpyFile, int, NDArray[Any]]]:
        """All inputs in order: a file, the row of it that a block begins at, and at most `size` rows, soon reused."""
        buffer = np.empty((size, self.width), dtype=self.dtype)
        for file, start in zip(self.inputs, self.starts[:-1].tolist(), strict=True):
            for low in range(0, file.shape[0], size):
                block = buffer[: min(size, file.shape[0] - low)]
                self.gather(np.arange(start + low, start + low + len(block)), block)
                yield file, low, block

    def read_targets(self) -> NDArray[Any] | None:
        """The targets, (n,), or None where there are none."""
        if self.targets is None:
            return None
        pairs = zip(self.inputs, self.targets, strict=True)
        return np.concatenate([_read_targets_file(target, inputs.shape[0]) for inputs, target in pairs])


def open_array_pair(inputs: str, targets: str | None) -> DiskArrays:
    """One file of inputs, and the file of its targets where there is one."""
    return _checked_arrays(inputs, [inputs], None if targets is None else [targets])


def open_shards(source: str) -> DiskArrays:
    """A folder of `inputs-*.npy`, each with the `targets-*.npy` of the same ending; in the order of their names.

    The targets may all be absent, as in data to predict from.

    Raises:
        DataError: there are none, one of a pair is missing, or they do not fit together.
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
    for one, other, has, lacks in ((inputs, targets, "inputs", "targets"), (targets, inputs, "targets", "inputs")):
        alone = [key for key in one if key not in other] if targets else []
        if alone:
            raise DataError(f"{source}: has {has}-{alone[0]} but no {lacks}-{alone[0]}")
    folder = Path(source)
    return _checked_arrays(
        source,
        [str(folder / name) for name in inputs.values()],
        [str(folder / targets[key]) for key in inputs] if targets else None,
    )


def _names_by_suffix(names: Iterable[str], prefix: str, source: str) -> dict[str, str]:
    """Return the sorted names with a prefix, keyed by the rest of the name in NFC, with `.npy` in lower case."""
    chosen: dict[str, str] = {}
    for name in sorted(name for name in names if name.startswith(prefix)):
        other = chosen.setdefault(nfc(f"{name[len(prefix) : -len('.npy')]}.npy"), name)
        if other != name:
            raise DataError(f"{source}: {other} and {name} differ only in how they are spelled; rename one")
    return chosen


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
    with opened(path) as file:
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
        raise DataError(f"{path}: is in Fortran order, its rows are scattered; save np.ascontiguousarray(...) instead")
    if size != offset + prod(shape) * dtype.itemsize:
        problem = "is cut off" if size < offset + prod(shape) * dtype.itemsize else "goes on after its end"
        raise DataError(f"{path}: {problem}: it must hold the shape {shape} of {dtype}")
    return NpyFile(path, offset, dtype, shape)


def _read_targets_file(file: NpyFile, samples: int) -> NDArray[Any]:
    values = np.empty(file.shape, dtype=file.dtype)
    with opened(file.path) as stream:
        stream.seek(file.offset)
        _read_into(stream, values, file.path)
    return flatten_targets(values, samples, file.path)


def _read_into(file: BufferedReader, array: NDArray[Any], path: str) -> None:
    """Fill an array from where a file stands; one read may bring less than was asked for."""
    view = memoryview(array.reshape(-1).view(np.uint8).data)
    while view:
        count = file.readinto(view)
        if not count:
            raise DataError(f"{path}: is shorter than it was when the run began")
        view = view[count:]
