"""The complete state of a run at one moment, and the rollback of parameters and optimizer."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mxtrain.atomic_io import parse_json
from mxtrain.config import RunConfig
from mxtrain.config.data_sources import normalize_source
from mxtrain.errors import StateError
from mxtrain.optim.backends import array_kind
from mxtrain.optim.flat_parameters import FlatParameters
from mxtrain.optim.optimization_state import OptimizationState
from mxtrain.optim.optimizer import Optimizer
from mxtrain.optim.param_groups import ParamGroups
from mxtrain.optim.param_state import ParamState, evaluation_weight
from mxtrain.optim.rules import Rule
from mxtrain.training.callbacks import Row
from mxtrain.training.early_stopping import is_better
from mxtrain.types import Array

Arrays = dict[str, NDArray[Any]]
Position = tuple[int, int, int]
"""The current epoch, its finished batches, and the finished epochs."""

FORMAT = 3
"""The format of the record; checkpoints of other formats are not read."""


def to_host(array: Array) -> NDArray[Any]:
    """Return a copy of an array in the memory of the CPU."""
    return np.array(array.get() if array_kind(array) == "cupy" else array)


@dataclass(frozen=True, slots=True)
class ModelState:
    """Parameters and optimizer state of a run at one moment, on the CPU.

    Attributes:
        record: `state`, the counts of the run, and `optimizer`, the counts and scalars of each parameter.
        parameters: by name.
        slots: by parameter, then by slot.
    """

    record: dict[str, Any]
    parameters: Arrays
    slots: dict[str, Arrays]

    @classmethod
    def copy_from(cls, optimizer: Optimizer, params: Mapping[str, Array]) -> "ModelState":
        """Copy the state of an optimizer and its parameters."""
        saved = optimizer.state_dict()
        entries = saved["parameters"]
        counts = {name: {"updates": it["updates"], "scalars": it["scalars"]} for name, it in entries.items()}
        slots = {name: {slot: to_host(array) for slot, array in it["slots"].items()} for name, it in entries.items()}
        parameters = {name: to_host(value) for name, value in params.items()}
        return cls({"state": saved["state"], "optimizer": counts}, parameters, slots)

    def restore(self, optimizer: Optimizer, params: FlatParameters, xp: ModuleType) -> None:
        """Restore the optimizer, and write the parameters, arrays of the module `xp`, in place.

        Raises:
            StateError: the state belongs to another model or rule; nothing has changed.
        """
        if {name: value.shape for name, value in self.parameters.items()} != {
            name: value.shape for name, value in params.items()
        }:
            raise StateError("the checkpoint belongs to another model: its parameters have other names or shapes")
        entries = {
            name: {**counts, "slots": {slot: xp.asarray(array) for slot, array in self.slots[name].items()}}
            for name, counts in self.record["optimizer"].items()
        }
        state = self.record["state"]
        optimizer.load_state_dict({"rule": optimizer.rule.kind, "state": state, "parameters": entries})
        for name, value in self.parameters.items():
            params[name][...] = xp.asarray(value)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The complete state of a run at one moment, from which training continues with the same bits.

    Attributes:
        record: everything except arrays, as written to JSON: the config, the fingerprint of the data, the counts, the
            metrics so far, the sums of the current epoch, and the best epoch.
        parameters: by name.
        slots: by parameter, then by slot.
        best: the parameters of the best epoch if early stopping restores them; otherwise empty.
        rollback: with `on_nonfinite: rollback`, the state to which a rollback returns; None if that is this snapshot,
            because it is a scheduled checkpoint, and before the first scheduled checkpoint.
    """

    record: dict[str, Any]
    parameters: Arrays
    slots: dict[str, Arrays]
    best: Arrays
    rollback: ModelState | None = None

    def evaluation_parameters(self, rule: Rule) -> Arrays:
        """Return the parameters to evaluate: those of the best epoch, or the last that this rule evaluates."""
        groups = ParamGroups(rule)
        if self.best or not groups.evaluate_slots:
            return self.best or self.parameters
        weights = {}
        for name, value in self.parameters.items():
            group, slots = groups.all[groups.number(name, value.shape)], self.slots.get(name, {})
            entry = self.record["optimizer"].get(name, {"updates": 0, "scalars": {}})
            state = ParamState(entry["updates"], tuple(slots.values()), entry["scalars"], tuple(slots))
            weights[name] = evaluation_weight(group.rule, value, state)
        return weights

    @property
    def epochs(self) -> int:
        """The number of finished epochs."""
        return len(self.record["rows"])

    @property
    def position(self) -> Position:
        """The current epoch, its finished batches, and the finished epochs."""
        return self.record["state"]["curr_epoch"], self.record["state"]["curr_batch"], self.epochs

    @property
    def model_state(self) -> ModelState:
        """The parameters and the optimizer state, which share the memory of the snapshot."""
        record = {name: self.record[name] for name in ("state", "optimizer")}
        return ModelState(record, self.parameters, self.slots)

    def to_files(self) -> dict[str, bytes]:
        """Return the snapshot as the contents of files by name: arrays as safetensors, the record as JSON."""
        tensors = self._named_arrays("/")
        text = json.dumps(self.record, ensure_ascii=False, allow_nan=False, indent=1)
        return {"arrays.safetensors": save(tensors), "record.json": text.encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "Snapshot":
        """Return the snapshot from which `to_files` made the files.

        Raises:
            ValueError: the files do not hold a snapshot.
        """
        try:
            tensors = load(files["arrays.safetensors"])
            record = _with_current_spellings(parse_json(files["record.json"]))
        except (KeyError, SafetensorError, ValueError) as error:
            raise ValueError(f"not the files of a checkpoint: {error}") from error
        groups = _group_by_prefix(tensors, "parameters", "slots", "best", "rollback")
        rollback = None
        if record.get("rollback"):
            inner = _group_by_prefix(groups["rollback"], "parameters", "slots")
            rollback = ModelState(record["rollback"], inner["parameters"], _group_slots(inner))
        return cls(record, groups["parameters"], _group_slots(groups), groups["best"], rollback)

    def differences(self, other: "Snapshot") -> list[str]:
        """Return the names of all values that are not equal, byte for byte, in two snapshots."""
        keys = [key for key in self.record if key != "rollback" or key in other.record]  # absent in earlier versions
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
            name for name in sorted(mine.keys() | theirs.keys()) if not _is_equal(mine.get(name), theirs.get(name))
        ]

    def _named_arrays(self, separator: str) -> Arrays:
        groups: dict[str, Mapping[str, Any]] = {"parameters": self.parameters, "slots": self.slots, "best": self.best}
        if self.rollback is not None:
            groups["rollback"] = {"parameters": self.rollback.parameters, "slots": self.rollback.slots}
        return dict(_flatten_arrays(groups, separator))


class Rollback:
    """Return to the last scheduled checkpoint after a non-finite batch, for `on_nonfinite: rollback`.

    Only checkpoints that `fit.checkpoint` schedules count, not those written because of a signal or the time, so that
    an interruption does not change the result.

    Args:
        config: the resolved config.
        optimizer: the optimizer.
        params: its parameters.
        xp: the array module of the parameters, NumPy or CuPy.
        make_initial: returns the initial parameters.

    Attributes:
        point: the state to return to; None for the start of the run.
        position: the position of `point`.
    """

    def __init__(
        self,
        config: RunConfig,
        optimizer: Optimizer,
        params: FlatParameters,
        xp: ModuleType,
        make_initial: Callable[[], Mapping[str, Array]],
    ) -> None:
        self._interval, self._best = config.fit.checkpoint_interval, config.fit.checkpoint.best
        self._optimizer, self._params, self._xp, self._make_initial = optimizer, params, xp, make_initial
        self.point: ModelState | None = None
        self.position: Position = (0, 0, 0)

    def is_due(self, unit: str, count: int) -> bool:
        """Return whether a checkpoint is scheduled after so many epochs or iterations."""
        interval = self._interval
        return interval is not None and interval.unit == unit and count % interval.count == 0

    def is_due_after_epoch(self, rows: Sequence[Row]) -> bool:
        """Return whether a checkpoint is scheduled after the last of these epochs, also because it is the best."""
        return self.is_due("epoch", len(rows)) or self._is_best(rows)

    def save(self, position: Position) -> bool:
        """Save the current state as the state to roll back to; return True if it has more updates than the last one."""
        before = 0 if self.point is None else self.point.record["state"]["curr_iter"]
        self.point, self.position = ModelState.copy_from(self._optimizer, self._params), position
        return bool(self._optimizer.state.curr_iter > before)

    def apply(self) -> None:
        """Restore the saved state; the run continues with the next batch, because the same ones would fail again."""
        state = self._optimizer.state
        epoch, batch = state.curr_epoch, state.curr_batch
        if self.point is None:
            start = asdict(OptimizationState(state.batch_size))
            self._optimizer.load_state_dict({"rule": self._optimizer.rule.kind, "state": start, "parameters": {}})
            for name, value in self._make_initial().items():
                self._params[name][...] = value
        else:
            self.point.restore(self._optimizer, self._params, self._xp)
        self._optimizer.state.curr_epoch, self._optimizer.state.curr_batch = epoch, batch

    def _is_best(self, rows: Sequence[Row]) -> bool:
        metric = self._best
        if metric is None or rows[-1][metric] is None:
            return False
        before = (row[metric] for row in rows[:-1] if row[metric] is not None)
        return all(is_better(metric, rows[-1][metric], than=value) for value in before)


def _with_current_spellings(record: Any) -> Any:
    """Replace spellings of earlier versions in the config of a checkpoint, which is compared with the current one."""
    match record:
        case {"config": {"data": {"source": str() as source} as data}}:
            data["source"] = normalize_source(source)
    return record


def _flatten_arrays(groups: Mapping[str, Any], separator: str) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield nested arrays, each with its path."""
    for name, value in groups.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}{separator}{rest}", array) for rest, array in _flatten_arrays(value, separator))
        else:
            yield name, value


def _group_by_prefix(tensors: Arrays, *names: str) -> dict[str, Arrays]:
    """Group arrays by the first part of their paths, then by the rest."""
    groups: dict[str, Arrays] = {name: {} for name in names}
    for path, array in tensors.items():
        group, _, rest = path.partition("/")
        groups[group][rest] = array
    return groups


def _group_slots(groups: dict[str, Arrays]) -> dict[str, Arrays]:
    """Group slots by parameter, then by name."""
    slots: dict[str, Arrays] = {name: {} for name in groups["parameters"]}
    for path, array in groups["slots"].items():
        name, _, slot = path.rpartition("/")
        slots.setdefault(name, {})[slot] = array  # methods have slots for all parameters together
    return slots


def _is_equal(one: NDArray[Any] | None, other: NDArray[Any] | None) -> bool:
    """Return whether two arrays have the same dtype, shape and bytes."""
    if one is None or other is None:
        return one is other
    return one.dtype == other.dtype and one.shape == other.shape and np.array_equal(one.view("u1"), other.view("u1"))
