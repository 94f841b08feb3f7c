"""Batches of samples in memory or on disk, shuffled reproducibly."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import DataConfig
from mxtrain.data.preprocessing.scalers import Standardization
from mxtrain.data.readers.npy_files import DiskArrays
from mxtrain.random import permutation
from mxtrain.types import Array

Batch = tuple[Array, Array]
"""Inputs, (b, d), and targets, (b,)."""


class Samples(Protocol):
    """n samples, in memory or on the disk. A batch of them is valid until the next: its arrays may be reused."""

    @property
    def targets(self) -> Array:
        """(n,); for softmax_cross_entropy int64 class indices; for logistic 0 and 1, and for squared_error numbers,
        standardized where the run asks for it, in the run's dtype."""

    def __len__(self) -> int:
        """How many samples there are."""

    def to(self, xp: ModuleType) -> "Samples":
        """The same samples, with batches that are arrays of `xp`, `numpy` or `cupy`."""

    def in_order(self, size: int, start: int, stop: int) -> Iterator[Batch]:
        """The samples `start` to `stop` in the order of the file, `size` at a time."""

    def shuffled(self, seed: int, epoch: int, size: int, start: int, stop: int) -> Iterator[Batch]:
        """The samples `start` to `stop` of the order that follows from the seed and the epoch, `size` at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class InMemorySamples:
    """Samples in memory.

    Attributes:
        inputs: (n, d), C-contiguous, in the run's dtype.
        targets: see `Samples`.
        xp: whose arrays they are.
    """

    inputs: Array
    targets: Array
    xp: ModuleType = np

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, xp: ModuleType) -> "InMemorySamples":
        """The same samples as arrays of `xp`, not copied where they are that already."""
        return InMemorySamples(xp.asarray(self.inputs), xp.asarray(self.targets), xp)

    def in_order(self, size: int, start: int, stop: int) -> Iterator[Batch]:
        """Views, so that nothing is copied."""
        for low in range(start, stop, size):
            high = min(low + size, stop)
            yield self.inputs[low:high], self.targets[low:high]

    def shuffled(self, seed: int, epoch: int, size: int, start: int, stop: int) -> Iterator[Batch]:
        """By a Philox permutation of all samples. It goes to the device once an epoch, and nothing comes back."""
        inputs, targets = self.inputs, self.targets
        size = min(size, max(1, len(self)))
        order = self.xp.asarray(permutation(seed, "order", epoch, size=len(self)))
        input_buffer = self.xp.empty((min(size, len(self)), inputs.shape[1]), dtype=inputs.dtype)
        target_buffer = self.xp.empty(min(size, len(self)), dtype=targets.dtype)
        # NumPy's default mode checks the rows by way of a second buffer; CuPy's `take` has no modes.
        unchecked = {"mode": "clip"} if self.xp is np else {}
        for low in range(start, stop, size):
            high = min(low + size, stop)
            if high - low < size:
                input_buffer, target_buffer = input_buffer[: high - low], target_buffer[: high - low]
            rows = order[low:high]
            inputs.take(rows, axis=0, out=input_buffer, **unchecked)
            targets.take(rows, axis=0, out=target_buffer, **unchecked)
            yield input_buffer, target_buffer


@dataclass(frozen=True, slots=True, eq=False)
class Batches:
    """The batches of every epoch, a pure function of the seed and the number of the epoch.

    With `shuffle`, an epoch's order is a Philox permutation, of data on the disk one in blocks; without, it is the
    order of the file. A smaller batch that is left over is the epoch's last, unless `last_batch: drop` leaves it out.

    Args:
        part: n samples.
        config: `batch_size`, `shuffle` and `last_batch` are looked at.
        seed: of the order.
        xp: `numpy` or `cupy`, whose arrays the batches are.

    Example:
        >>> from mxtrain.data.batches import InMemorySamples
        >>> part = InMemorySamples(np.arange(5.0)[:, None], np.arange(5))
        >>> batches = Batches(part, DataConfig(source="digits", batch_size=2), seed=0)
        >>> len(batches), [targets.tolist() for _, targets in batches.epoch(1)]
        (3, [[1, 0], [3, 2], [4]])
        >>> [targets.tolist() for _, targets in batches.epoch(1, start=2)]
        [[4]]
    """

    part: Samples
    config: DataConfig
    seed: int
    xp: ModuleType = np

    def __len__(self) -> int:
        """How many batches an epoch has."""
        full, left = divmod(len(self.part), self.config.batch_size)
        return full + (left > 0 and self.config.last_batch == "keep")

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, without the first `start`.

        A batch is valid until the next: its arrays are reused.

        Args:
            number: which epoch, 1 for the first.
            start: how many batches to leave out, as a resumed run does.
        """
        size = self.config.batch_size
        first, stop = start * size, min(len(self) * size, len(self.part))
        part = self.part.to(self.xp)
        if self.config.shuffle:
            return part.shuffled(self.seed, number, size, first, stop)
        return part.in_order(size, first, stop)


def in_order(part: Samples, batch_size: int) -> Iterator[Batch]:
    """All samples in the order of the file, `batch_size` at a time; how a part is evaluated.

    Example:
        >>> from mxtrain.data.batches import InMemorySamples
        >>> part = InMemorySamples(np.zeros((5, 1)), np.arange(5))
        >>> [targets.tolist() for _, targets in in_order(part, 2)]
        [[0, 1], [2, 3], [4]]
    """
    return part.in_order(batch_size, 0, len(part))


BLOCK_BYTES = 1 << 18
"""Inputs that are read together: enough that a disk does not wait for its head, little enough to be mixed well."""
WINDOW_BYTES = 1 << 26
"""Inputs in memory at a time, out of which batches are drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class DiskSamples:
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

    def to(self, xp: ModuleType) -> "DiskSamples":
        """The same samples, with batches that are arrays of `xp`."""
        return replace(self, xp=xp)

    def in_order(self, size: int, start: int, stop: int) -> Iterator[Batch]:
        """The samples `start` to `stop` in the order of the files, `size` at a time, in buffers that are reused."""
        size = min(size, max(1, len(self)))
        raw = np.empty((size, self.arrays.width), dtype=self.arrays.dtype)
        mapper = _BatchStandardizer(self, size)
        for low in range(start, stop, size):
            high = min(low + size, stop)
            self.arrays.gather(self.rows[low:high], raw[: high - low])
            yield mapper.batch(raw[: high - low], self.targets[low:high])

    def shuffled(self, seed: int, epoch: int, size: int, start: int, stop: int) -> Iterator[Batch]:
        """The samples `start` to `stop` of an epoch's order, `size` at a time, in buffers that are reused."""
        size = min(size, max(1, len(self)))
        raw = np.empty((size, self.arrays.width), dtype=self.arrays.dtype)
        targets = np.empty(size, dtype=self.targets.dtype)
        mapper = _BatchStandardizer(self, size)
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


class _BatchStandardizer:
    """Standardizes batches in buffers that it holds."""

    def __init__(self, part: DiskSamples, size: int) -> None:
        self.part = part
        self.scratch = np.empty((size, part.arrays.width))
        self.inputs = np.empty((size, part.arrays.width), dtype=part.dtype)

    def batch(self, raw: NDArray[Any], targets: NDArray[Any]) -> Batch:
        scratch, inputs = self.scratch[: len(raw)], self.inputs[: len(raw)]
        self.part.standardization.apply_to(raw, inputs, scratch)
        return self.part.xp.asarray(inputs), self.part.xp.asarray(targets)
