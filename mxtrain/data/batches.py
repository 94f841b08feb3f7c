"""Reproducibly shuffled batches of samples in memory or on disk."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import DataConfig
from mxtrain.data.preprocessing.scalers import Standardization
from mxtrain.data.readers.numpy_files import DiskArrays
from mxtrain.random import permutation
from mxtrain.types import Array

Batch = tuple[Array, ...]
"""Inputs, (b, d); targets, (b,), or (b, k) for k targets; and only if samples have weights, these, (b,)."""


class Samples(Protocol):
    """n samples, in memory or on disk. A batch is valid until the next one: its arrays may be reused."""

    @property
    def targets(self) -> Array:
        """The encoded targets, (n,), or (n, k) for k targets: int64 class indices for softmax_cross_entropy; for
        logistic 0 and 1, and for numbers values that may be standardized, both in the dtype of the run."""

    @property
    def weights(self) -> Array | None:
        """The weights of the samples, (n,), in the dtype of the run, with mean 1 in the training set; None if all
        samples count alike. Then batches have no weights."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def to(self, xp: ModuleType) -> "Samples":
        """Return the same samples with batches that are arrays of `xp`, `numpy` or `cupy`."""

    def in_order(self, size: int, start: int, stop: int) -> Iterator[Batch]:
        """Yield the samples `start` to `stop` in the order of the file, in batches of `size`."""

    def shuffled(self, seed: int, epoch: int, size: int, start: int, stop: int) -> Iterator[Batch]:
        """Yield the samples `start` to `stop` of the order of a seed and an epoch, in batches of `size`."""


@dataclass(frozen=True, slots=True, eq=False)
class InMemorySamples:
    """Samples in memory.

    Attributes:
        inputs: (n, d), C-contiguous, in the dtype of the run.
        targets, weights: see `Samples`.
        xp: the module of the arrays, `numpy` or `cupy`.
    """

    inputs: Array
    targets: Array
    xp: ModuleType = np
    weights: Array | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, xp: ModuleType) -> "InMemorySamples":
        """Return the same samples as arrays of `xp`, which are not copied if they are such arrays already."""
        weights = None if self.weights is None else xp.asarray(self.weights)
        return InMemorySamples(xp.asarray(self.inputs), xp.asarray(self.targets), xp, weights)

    def in_order(self, size: int, start: int, stop: int) -> Iterator[Batch]:
        """Yield views of the arrays."""
        weights = self.weights
        for low in range(start, stop, size):
            high = min(low + size, stop)
            if weights is None:
                yield self.inputs[low:high], self.targets[low:high]
            else:
                yield self.inputs[low:high], self.targets[low:high], weights[low:high]

    def shuffled(self, seed: int, epoch: int, size: int, start: int, stop: int) -> Iterator[Batch]:
        """Yield batches in the order of a Philox permutation, which is copied to the device once for each epoch."""
        inputs, targets = self.inputs, self.targets
        size = min(size, max(1, len(self)))
        order = self.xp.asarray(permutation(seed, "order", epoch, size=len(self)))
        input_buffer = self.xp.empty((min(size, len(self)), inputs.shape[1]), dtype=inputs.dtype)
        target_buffer = self.xp.empty((min(size, len(self)), *targets.shape[1:]), dtype=targets.dtype)
        # NumPy's default mode checks indices with a second buffer; CuPy's `take` has no modes.
        unchecked = {"mode": "clip"} if self.xp is np else {}
        for low in range(start, stop, size):
            high = min(low + size, stop)
            if high - low < size:
                input_buffer, target_buffer = input_buffer[: high - low], target_buffer[: high - low]
            rows = order[low:high]
            inputs.take(rows, axis=0, out=input_buffer, **unchecked)
            targets.take(rows, axis=0, out=target_buffer, **unchecked)
            if self.weights is None:
                yield input_buffer, target_buffer
            else:
                yield input_buffer, target_buffer, self.weights.take(rows)


@dataclass(frozen=True, slots=True, eq=False)
class Batches:
    """The batches of each epoch, a pure function of the seed and the number of the epoch.

    With `shuffle`, the order of an epoch is a Philox permutation, for data on disk one of blocks; without it, the order
    of the file. A smaller last batch is kept unless `last_batch` is `drop`.

    Args:
        samples: the samples.
        config: the data section, of which `batch_size`, `shuffle` and `last_batch` are used.
        seed: the seed of the order.
        xp: the module of the arrays in batches, `numpy` or `cupy`.

    Example:
        >>> from mxtrain.data.batches import InMemorySamples
        >>> samples = InMemorySamples(np.arange(5.0)[:, None], np.arange(5))
        >>> batches = Batches(samples, DataConfig(source="digits", batch_size=2), seed=0)
        >>> len(batches), [targets.tolist() for _, targets, *_ in batches.epoch(1)]
        (3, [[1, 0], [3, 2], [4]])
        >>> [targets.tolist() for _, targets, *_ in batches.epoch(1, start=2)]
        [[4]]
    """

    samples: Samples
    config: DataConfig
    seed: int
    xp: ModuleType = np

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        full, rest = divmod(len(self.samples), self.config.batch_size)
        return full + (rest > 0 and self.config.last_batch == "keep")

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch; a batch is valid until the next one, as its arrays are reused.

        Args:
            number: the number of the epoch, from 1.
            start: the number of batches to skip, as a resumed run does.
        """
        size = self.config.batch_size
        first, stop = start * size, min(len(self) * size, len(self.samples))
        samples = self.samples.to(self.xp)
        if self.config.shuffle:
            return samples.shuffled(self.seed, number, size, first, stop)
        return samples.in_order(size, first, stop)


def in_order(samples: Samples, batch_size: int) -> Iterator[Batch]:
    """Yield all samples in the order of the file, in batches of `batch_size`, for evaluation.

    Example:
        >>> from mxtrain.data.batches import InMemorySamples
        >>> samples = InMemorySamples(np.zeros((5, 1)), np.arange(5))
        >>> [targets.tolist() for _, targets in in_order(samples, 2)]
        [[0, 1], [2, 3], [4]]
    """
    return samples.in_order(batch_size, 0, len(samples))


BLOCK_BYTES = 1 << 18
"""Size of inputs that are read together: large enough for sequential reads, small enough to shuffle well."""
WINDOW_BYTES = 1 << 26
"""Size of the inputs in memory, from which batches are taken."""


@dataclass(frozen=True, slots=True, eq=False)
class DiskSamples:
    """Samples on disk. Memory holds a window of raw inputs, and the row and the target of each sample.

    An epoch is shuffled in two steps. The samples, in the order of the files, are divided into blocks of
    `BLOCK_BYTES // row_bytes` (at least 1); `permutation(seed, "order/blocks", epoch)` distributes the blocks to
    windows of `WINDOW_BYTES // (bytes of a block)` blocks. The samples of a window, in the order of the files, are
    permuted by `permutation(seed, "order/window", epoch, window)`. A batch may span two windows. The order depends on
    the seed, the epoch, and the number and size of samples, but not on how they are distributed over files.

    Attributes:
        arrays: the files.
        rows: (n,), the rows of the samples in the files, ascending.
        targets: (n,), in memory; see `Samples`.
        standardization: the map applied to each batch in float64.
        dtype: the dtype of the batches.
        xp: the module of the arrays in batches, `numpy` or `cupy`.
    """

    arrays: DiskArrays
    rows: NDArray[np.int64]
    targets: NDArray[Any]
    standardization: Standardization
    dtype: str
    xp: ModuleType = np

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def weights(self) -> None:
        """None, because samples on disk have no weights."""
        return None

    def to(self, xp: ModuleType) -> "DiskSamples":
        """Return the same samples with batches that are arrays of `xp`."""
        return replace(self, xp=xp)

    def in_order(self, size: int, start: int, stop: int) -> Iterator[Batch]:
        """Yield the samples `start` to `stop` in the order of the files; the arrays of a batch are reused."""
        size = min(size, max(1, len(self)))
        raw = np.empty((size, self.arrays.width), dtype=self.arrays.dtype)
        standardizer = _BatchStandardizer(self, size)
        for low in range(start, stop, size):
            high = min(low + size, stop)
            self.arrays.gather(self.rows[low:high], raw[: high - low])
            yield standardizer.batch(raw[: high - low], self.targets[low:high])

    def shuffled(self, seed: int, epoch: int, size: int, start: int, stop: int) -> Iterator[Batch]:
        """Yield the samples `start` to `stop` of an epoch's order; the arrays of a batch are reused."""
        size = min(size, max(1, len(self)))
        raw = np.empty((size, self.arrays.width), dtype=self.arrays.dtype)
        targets = np.empty((size, *self.targets.shape[1:]), dtype=self.targets.dtype)
        standardizer = _BatchStandardizer(self, size)
        filled, position = 0, start
        for positions, window, order in self._windows(seed, epoch, start):
            while len(order) and position < stop:
                chosen = order[: min(size - filled, stop - position)]
                order = order[len(chosen) :]
                slots = slice(filled, filled + len(chosen))
                window.take(chosen, axis=0, out=raw[slots], mode="clip")
                self.targets.take(positions[chosen], axis=0, out=targets[slots], mode="clip")
                filled, position = filled + len(chosen), position + len(chosen)
                if filled == size or position == stop:
                    yield standardizer.batch(raw[:filled], targets[:filled])
                    filled = 0
            if position >= stop:
                return

    def _windows(
        self, seed: int, epoch: int, start: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[Any], NDArray[np.int64]]]:
        """Yield the samples of each window in the order of the files, their inputs, and their order in the epoch."""
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
    """Standardizer of batches, with buffers that are reused."""

    def __init__(self, samples: DiskSamples, size: int) -> None:
        self._samples = samples
        self._scratch = np.empty((size, samples.arrays.width))
        self._inputs = np.empty((size, samples.arrays.width), dtype=samples.dtype)

    def batch(self, raw: NDArray[Any], targets: NDArray[Any]) -> Batch:
        scratch, inputs, xp = self._scratch[: len(raw)], self._inputs[: len(raw)], self._samples.xp
        self._samples.standardization.apply_to(raw, inputs, scratch)
        return xp.asarray(inputs), xp.asarray(targets)
