"""Samples that stay on the disk: read block by block, standardized batch by batch, never all in memory."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.data.npy_folder import DiskArrays
from mxtrain.data.part import Batch
from mxtrain.data.standardization import Standardization
from mxtrain.philox import permutation

BLOCK_BYTES = 1 << 18
"""Inputs that are read together: enough that a disk does not wait for its head, little enough to be mixed well."""
WINDOW_BYTES = 1 << 26
"""Inputs in memory at a time, out of which batches are drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class DiskPart:
    """Samples on the disk. In memory are a window of raw inputs, and of every sample its row and its target.

    An epoch's order is drawn in two steps. The samples are cut into blocks of `BLOCK_BYTES // row_bytes` (at least 1),
    in the order of the files; a permutation of the blocks, `permutation(seed, "order/blocks", epoch)`, puts them in
    windows of `WINDOW_BYTES // (block's bytes)` blocks. In a window the samples, first in the order of the files, are
    permuted by `permutation(seed, "order/window", epoch, window)`. Batches run on over the windows' edges. So the order
    follows from the seed, the epoch, the number of samples and the size of one, and not from the files that hold them.

    Attributes:
        arrays: the files.
        rows: (n,), which of their rows are this part's, ascending.
        targets: (n,), in memory; see `Samples`.
        standardization: what is done to each batch, in float64.
        dtype: of the batches.
        xp: whose arrays the batches are.
    """

    arrays: DiskArrays
    rows: NDArray[np.int64]
    targets: NDArray[Any]
    standardization: Standardization
    dtype: str
    xp: ModuleType = np

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, xp: ModuleType) -> "DiskPart":
        """The same samples, with batches that are arrays of `xp`."""
        return replace(self, xp=xp)

    def in_order(self, size: int, start: int, stop: int) -> Iterator[Batch]:
        """The samples `start` to `stop` in the order of the files, `size` at a time, in buffers that are reused."""
        size = min(size, max(1, len(self)))
        raw = np.empty((size, self.arrays.width), dtype=self.arrays.dtype)
        mapper = _Mapper(self, size)
        for low in range(start, stop, size):
            high = min(low + size, stop)
            self.arrays.gather(self.rows[low:high], raw[: high - low])
            yield mapper.batch(raw[: high - low], self.targets[low:high])

    def shuffled(self, seed: int, epoch: int, size: int, start: int, stop: int) -> Iterator[Batch]:
        """The samples `start` to `stop` of an epoch's order, `size` at a time, in buffers that are reused."""
        size = min(size, max(1, len(self)))
        raw = np.empty((size, self.arrays.width), dtype=self.arrays.dtype)
        targets = np.empty(size, dtype=self.targets.dtype)
        mapper = _Mapper(self, size)
        filled, place = 0, start
        for positions, window, order in self._windows(seed, epoch, start):
            while len(order) and place < stop:
                chosen = order[: min(size - filled, stop - place)]
                order = order[len(chosen) :]
                slots = slice(filled, filled + len(chosen))
                window.take(chosen, axis=0, out=raw[slots], mode="clip")
                self.targets.take(positions[chosen], out=targets[slots], mode="clip")
                filled, place = filled + len(chosen), place + len(chosen)
                if filled == size or place == stop:
                    yield mapper.batch(raw[:filled], targets[:filled])
                    filled = 0
            if place >= stop:
                return

    def _windows(
        self, seed: int, epoch: int, start: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[Any], NDArray[np.int64]]]:
        """Each window's samples in the order of the files, their inputs, and the order in which they are drawn."""
        block = max(1, BLOCK_BYTES // self.arrays.row_bytes)
        blocks = permutation(seed, "order/blocks", epoch, size=-(-len(self) // block))
        in_window = max(1, WINDOW_BYTES // (block * self.arrays.row_bytes))
        buffer = np.empty((min(in_window * block, len(self)), self.arrays.width), dtype=self.arrays.dtype)
        for number, low in enumerate(range(0, len(blocks), in_window)):
            firsts = np.sort(blocks[low : low + in_window]) * block
            positions = (firsts[:, None] + np.arange(block)).reshape(-1)
            positions = positions[positions < len(self)]
            if start >= len(positions):
                start -= len(positions)
                continue
            window = buffer[: len(positions)]
            self.arrays.gather(self.rows[positions], window)
            yield positions, window, permutation(seed, "order/window", epoch, number, size=len(positions))[start:]
            start = 0


class _Mapper:
    """Standardizes batches in buffers that it holds."""

    def __init__(self, part: DiskPart, size: int) -> None:
        self.part = part
        self.scratch = np.empty((size, part.arrays.width))
        self.inputs = np.empty((size, part.arrays.width), dtype=part.dtype)

    def batch(self, raw: NDArray[Any], targets: NDArray[Any]) -> Batch:
        scratch, inputs = self.scratch[: len(raw)], self.inputs[: len(raw)]
        self.part.standardization.apply_to(raw, inputs, scratch)
        return self.part.xp.asarray(inputs), self.part.xp.asarray(targets)
