"""The complete state of a run at one moment, as arrays and plain numbers."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mxtrain.atomic_io import parse_json
from mxtrain.config.data_section import normalize_source

Arrays = dict[str, NDArray[Any]]

FORMAT = 3
"""Of the record; a checkpoint of another format is not read."""


@dataclass(frozen=True, slots=True)
class RollbackPoint:
    """Parameters and optimizer state at the last scheduled checkpoint, which `on_nonfinite: rollback` restores.

    Attributes:
        record: `state`, the counts, and `optimizer`, the counts and scalars of each parameter.
        parameters: by name.
        slots: by parameter, then by slot.
    """

    record: dict[str, Any]
    parameters: Arrays
    slots: dict[str, Arrays]

    @classmethod
    def of(cls, snapshot: "Snapshot") -> "RollbackPoint":
        """The part of a snapshot that a rollback restores; it shares the snapshot's memory."""
        record = {name: snapshot.record[name] for name in ("state", "optimizer")}
        return cls(record, snapshot.parameters, snapshot.slots)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole state of a run at one moment: enough to continue to the byte.

    Attributes:
        record: everything but arrays, as it is written to JSON: the config, the fingerprint of the data, where the run
            stands, the metrics so far, the sums of the epoch under way, early stopping.
        parameters: by name.
        slots: by parameter, then by slot.
        best: the parameters of the best epoch, where early stopping restores them; else empty.
        rollback: with `on_nonfinite: rollback`, the rollback point of a snapshot that is not a scheduled checkpoint;
            None for a scheduled one, which is itself the rollback point, and before the first of them.
    """

    record: dict[str, Any]
    parameters: Arrays
    slots: dict[str, Arrays]
    best: Arrays
    rollback: RollbackPoint | None = None

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
        tensors = self._named_arrays("/")
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
            record = _with_current_spellings(parse_json(files["record.json"]))
        except (KeyError, SafetensorError, ValueError) as error:
            raise ValueError(f"not the files of a checkpoint: {error}") from error
        groups = _grouped(tensors, "parameters", "slots", "best", "rollback")
        rollback = None
        if record.get("rollback"):
            kept = _grouped(groups["rollback"], "parameters", "slots")
            rollback = RollbackPoint(record["rollback"], kept["parameters"], _slots(kept))
        return cls(record, groups["parameters"], _slots(groups), groups["best"], rollback)

    def differences(self, other: "Snapshot") -> list[str]:
        """What is not equal in two snapshots, to the byte; empty where all is."""
        keys = [key for key in self.record if key != "rollback" or key in other.record]  # older versions wrote none
        found = [f"record.{key}" for key in keys if self.record[key] != other.record.get(key)]
        mine, theirs = (
            {
                name: array
                for name, array in each._named_arrays(".").items()
                if "rollback" in keys or not name.startswith("rollback.")
            }
            for each in (self, other)
        )
        return found + [
            name for name in sorted(mine.keys() | theirs.keys()) if not _same(mine.get(name), theirs.get(name))
        ]

    def _named_arrays(self, separator: str) -> Arrays:
        groups: dict[str, Mapping[str, Any]] = {"parameters": self.parameters, "slots": self.slots, "best": self.best}
        if self.rollback is not None:
            groups["rollback"] = {"parameters": self.rollback.parameters, "slots": self.rollback.slots}
        return dict(_flat(groups, separator))


def _with_current_spellings(record: Any) -> Any:
    """Replace spellings of earlier versions in the config of a checkpoint, which is compared with the current one."""
    match record:
        case {"config": {"data": {"source": str() as source} as data}}:
            data["source"] = normalize_source(source)
    return record


def _flat(groups: Mapping[str, Any], separator: str) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield nested arrays, each with its whole path."""
    for name, value in groups.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}{separator}{rest}", array) for rest, array in _flat(value, separator))
        else:
            yield name, value


def _grouped(tensors: Arrays, *names: str) -> dict[str, Arrays]:
    """Group arrays by the first part of their paths, then by the rest."""
    groups: dict[str, Arrays] = {name: {} for name in names}
    for path, array in tensors.items():
        group, _, rest = path.partition("/")
        groups[group][rest] = array
    return groups


def _slots(groups: dict[str, Arrays]) -> dict[str, Arrays]:
    """Group slots by parameter, then by name."""
    slots: dict[str, Arrays] = {name: {} for name in groups["parameters"]}
    for path, array in groups["slots"].items():
        name, _, slot = path.rpartition("/")
        slots[name][slot] = array
    return slots


def _same(one: NDArray[Any] | None, other: NDArray[Any] | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.dtype == other.dtype and one.shape == other.shape and np.array_equal(one.view("u1"), other.view("u1"))
