"""Samples to train, to validate or to test on."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

import numpy as np

from mxtrain.philox import permutation
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
class Part:
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

    def to(self, xp: ModuleType) -> "Part":
        """The same samples as arrays of `xp`, not copied where they are that already."""
        return Part(xp.asarray(self.inputs), xp.asarray(self.targets), xp)

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
