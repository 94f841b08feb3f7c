"""The order in which samples are trained on."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from mxtrain.config.data_section import DataConfig
from mxtrain.data.part import Batch, Samples


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
        >>> from mxtrain.data.part import Part
        >>> part = Part(np.arange(5.0)[:, None], np.arange(5))
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
        >>> from mxtrain.data.part import Part
        >>> part = Part(np.zeros((5, 1)), np.arange(5))
        >>> [targets.tolist() for _, targets in in_order(part, 2)]
        [[0, 1], [2, 3], [4]]
    """
    return part.in_order(batch_size, 0, len(part))
