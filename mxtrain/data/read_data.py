"""What a run reads, once for all runs of a process that read the same."""

from typing import TypeAlias

from mxtrain.config.run import RunConfig
from mxtrain.data.dataset import Dataset, prepare
from mxtrain.data.fingerprint import fingerprint
from mxtrain.data.preparing import check_batch_size
from mxtrain.data.training_data import TrainingData

ReadData: TypeAlias = tuple[Dataset, str]
"""The samples of a run, ready for it, and the SHA-256 of what they are from."""

_PER_BATCH = ("batch_size", "shuffle", "last_batch")
"""Fields of `data` that say how samples are taken, not which there are."""


def read_data(config: RunConfig, given: TrainingData | None = None) -> ReadData:
    """Read what a run works on: the files that its config names, or what was handed over.

    Raises:
        DataError: as `prepare`, and `fingerprint`.
    """
    return prepare(config, given), data_fingerprint(config, given)


def data_fingerprint(config: RunConfig, given: TrainingData | None = None) -> str:
    """The SHA-256 of what a run reads."""
    return given.fingerprint() if given else fingerprint(config.data)


class DataMemory:
    """Reads data as `read_data` does, and remembers the newest few: for many runs on the same files.

    Args:
        room: how many are remembered, at least 1.

    Example:
        >>> from mxtrain.config import run_from_dict
        >>> parts = {"model": {"kind": "linear"}, "loss": "softmax_cross_entropy", "optimizer": {"kind": "adam"}}
        >>> one, other = (run_from_dict({**parts, "data": {"source": "digits", "batch_size": n}}) for n in (16, 32))
        >>> memory = DataMemory()
        >>> memory.read(one) is memory.read(other)
        True
    """

    def __init__(self, room: int = 4) -> None:
        self._room = room
        self._known: dict[str, ReadData] = {}

    def read(self, config: RunConfig) -> ReadData:
        """What `read_data` returns; from memory, where a run before read the same.

        Raises:
            DataError: as `read_data`.
        """
        key = _what_is_read(config)
        data = self._known.pop(key, None) or read_data(config)
        check_batch_size(config, len(data[0].training))
        self._known[key] = data  # the newest last
        while len(self._known) > self._room:
            del self._known[next(iter(self._known))]
        return data


def _what_is_read(config: RunConfig) -> str:
    """Everything that `prepare` looks at, but for how batches are made."""
    data = config.data.resolve().model_copy(update=dict.fromkeys(_PER_BATCH))
    return repr((data, config.seed, config.dtype, config.decoding))
