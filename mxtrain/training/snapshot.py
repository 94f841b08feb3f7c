"""The whole state of a run at one moment, as arrays and plain numbers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mxtrain.training.json_text import parse

Arrays = dict[str, NDArray[Any]]

FORMAT = 3
"""Of the record; a checkpoint of another format is not read."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole state of a run at one moment: enough to continue to the byte.

    Attributes:
        record: everything but arrays, as it is written to JSON: the config, the fingerprint of the data, where the run
            stands, the metrics so far, the sums of the epoch under way, early stopping.
        parameters: by name.
        slots: by parameter, then by slot.
        best: the parameters of the best epoch, where early stopping restores them; else empty.
    """

    record: dict[str, Any]
    parameters: Arrays
    slots: dict[str, Arrays]
    best: Arrays

    @property
    def epochs(self) -> int:
        """How many epochs are finished."""
        return len(self.record["rows"])

    @property
    def position(self) -> tuple[int, int, int]:
        """The epoch under way, its batches that are done, and the epochs that are finished."""
        return self.record["state"]["curr_epoch"], self.record["state"]["curr_batch"], self.epochs

    def to_files(self) -> dict[str, bytes]:
        """The snapshot as files: arrays as safetensors, the rest as JSON."""
        tensors = {f"parameters/{name}": array for name, array in self.parameters.items()}
        tensors |= {f"slots/{name}/{slot}": array for name, kept in self.slots.items() for slot, array in kept.items()}
        tensors |= {f"best/{name}": array for name, array in self.best.items()}
        text = json.dumps(self.record, ensure_ascii=False, allow_nan=False, indent=1)
        return {"arrays.safetensors": save(tensors), "record.json": text.encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "Snapshot":
        """The snapshot that `to_files` wrote.

        Raises:
            ValueError: the files are no snapshot.
        """
        try:
            tensors = load(files["arrays.safetensors"])
            record = parse(files["record.json"])
        except (KeyError, SafetensorError, ValueError) as error:
            raise ValueError(f"not the files of a checkpoint: {error}") from error
        groups: dict[str, Arrays] = {"parameters": {}, "slots": {}, "best": {}}
        for path, array in tensors.items():
            group, _, name = path.partition("/")
            groups[group][name] = array
        slots: dict[str, Arrays] = {name: {} for name in groups["parameters"]}
        for path, array in groups["slots"].items():
            name, _, slot = path.rpartition("/")
            slots[name][slot] = array
        return cls(record, groups["parameters"], slots, groups["best"])

    def differences(self, other: "Snapshot") -> list[str]:
        """What is not equal in two snapshots, to the byte; empty where all is."""
        found = [f"record.{key}" for key in self.record if self.record[key] != other.record.get(key)]
        mine, theirs = self._named_arrays(), other._named_arrays()
        return found + [
            name for name in sorted(mine.keys() | theirs.keys()) if not _same(mine.get(name), theirs.get(name))
        ]

    def _named_arrays(self) -> Arrays:
        named = {f"parameters.{name}": array for name, array in self.parameters.items()}
        named |= {f"slots.{name}.{slot}": array for name, kept in self.slots.items() for slot, array in kept.items()}
        return named | {f"best.{name}": array for name, array in self.best.items()}


def _same(one: NDArray[Any] | None, other: NDArray[Any] | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.dtype == other.dtype and one.shape == other.shape and np.array_equal(one.view("u1"), other.view("u1"))
