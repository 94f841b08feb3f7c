"""The order in which samples are trained on."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from mxtrain.config.data_section import DataConfig
from mxtrain.data.dataset import Part
from mxtrain.philox import permutation
from mxtrain.types import Array

Batch = tuple[Array, Array]
"""Inputs, (b, d), and targets, (b,)."""


@dataclass(frozen=True, slots=True, eq=False)
class Batches:
    """The batches of every epoch, a pure function of the seed and the number of the epoch.

    With `shuffle`, an epoch's order is a Philox permutation; without, it is the order of the file. A smaller
    batch that is left over is the epoch's last, unless `last_batch: drop` leaves it out.

    Args:
        part: n samples, as arrays of `xp`.
        config: `batch_size`, `shuffle` and `last_batch` are looked at.
        seed: of the order.
        xp: `numpy` or `cupy`. The order goes to the device once an epoch, and nothing comes back.

    Example:
        >>> part = Part(np.arange(5.0)[:, None], np.arange(5))
        >>> batches = Batches(part, DataConfig(source="digits", batch_size=2), seed=0)
        >>> len(batches), [targets.tolist() for _, targets in batches.epoch(1)]
        (3, [[1, 0], [3, 2], [4]])
        >>> [targets.tolist() for _, targets in batches.epoch(1, start=2)]
        [[4]]
    """

    part: Part
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
        inputs, targets = self.part.inputs, self.part.targets
        size, stop = self.config.batch_size, min(len(self) * self.config.batch_size, len(self.part))
        bounds = ((low, min(low + size, stop)) for low in range(start * size, stop, size))
        if not self.config.shuffle:
            yield from ((inputs[low:high], targets[low:high]) for low, high in bounds)
            return
        order = self.xp.asarray(permutation(self.seed, "order", number, size=len(self.part)))
        input_buffer = self.xp.empty((size, inputs.shape[1]), dtype=inputs.dtype)
        target_buffer = self.xp.empty(size, dtype=targets.dtype)
        # NumPy's default mode checks the rows by way of a second buffer; CuPy's `take` has no modes.
        unchecked = {"mode": "clip"} if self.xp is np else {}
        for low, high in bounds:
            if high - low < size:
                input_buffer, target_buffer = input_buffer[: high - low], target_buffer[: high - low]
            rows = order[low:high]
            inputs.take(rows, axis=0, out=input_buffer, **unchecked)
            targets.take(rows, axis=0, out=target_buffer, **unchecked)
            yield input_buffer, target_buffer


def in_order(part: Part, batch_size: int) -> Iterator[Batch]:
    """All samples in the order of the file, as views, `batch_size` at a time; how a part is evaluated.

    Example:
        >>> part = Part(np.zeros((5, 1)), np.arange(5))
        >>> [targets.tolist() for _, targets in in_order(part, 2)]
        [[0, 1], [2, 3], [4]]
    """
    for low in range(0, len(part), batch_size):
        yield part.inputs[low : low + batch_size], part.targets[low : low + batch_size]
