"""The result of a trial: one type from sampling to report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING, Any, Literal

from mxtrain.config import Point

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

TrialState = Literal["waiting", "running", "complete", "pruned", "failed"]
FINAL_STATES: tuple[TrialState, ...] = ("complete", "pruned", "failed")

TrialRow = dict[str, Any]
"""A trial in results.json: the mapping that `TrialResult.to_row` returns."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """A trial: its point and, as far as it has been trained, its result.

    The sampler creates it in the state `waiting`; the other fields are replaced while it is trained.

    Attributes:
        number: the number of the trial, from 0.
        state: waiting, running, complete, pruned or failed.
        params: the value at each path that is searched.
        sampler_params: the same values as the sampler drew them, by parameter name.
        distributions: Optuna's distribution of each parameter; empty if the trial was read from results.json.
        sampler_attributes: data that the sampler stores with the trial for later trials.
        run_dir: the folder of its run; of the first one if there are several seeds.
        values: one value per objective; None if there are none.
        values_by_seed: the values of each seed's run; empty if there are none.
        epochs: the number of epochs that its runs have finished.
        seconds: training time of all its runs.
        error: the reason of a failure, or "".
        intermediate_values: the first objective at each rung and at the end, by epoch.
        pruner_attributes: data that the pruner stores with the trial for later trials.
        files: the checksums of the files that the values come from, by path in the sweep's folder.
    """

    number: int
    state: TrialState
    params: Mapping[str, Any]
    sampler_params: Mapping[str, Any]
    distributions: Mapping[str, "BaseDistribution"] = field(default_factory=dict)
    sampler_attributes: Mapping[str, Any] = field(default_factory=dict)
    run_dir: Path = Path()
    values: tuple[float, ...] | None = None
    values_by_seed: tuple[tuple[float, ...], ...] = ()
    epochs: int = 0
    seconds: float = 0.0
    error: str = ""
    intermediate_values: Mapping[int, float] = field(default_factory=dict)
    pruner_attributes: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def point(self) -> Point:
        """The point of the search space."""
        return Point(dict(self.sampler_params), dict(self.params))

    @property
    def has_ended(self) -> bool:
        """True if the trial is complete, pruned or failed."""
        return self.state in FINAL_STATES

    @property
    def std_over_seeds(self) -> tuple[float, ...]:
        """The standard deviation of each objective over the seeds; empty with fewer than two.

        >>> TrialResult(0, "complete", {}, {}, values_by_seed=((1.0,), (3.0,))).std_over_seeds
        (1.4142135623730951,)
        """
        if len(self.values_by_seed) < 2:
            return ()
        return tuple(stdev(values) for values in zip(*self.values_by_seed, strict=True))

    def to_row(self) -> TrialRow:
        """Return the row of results.json; one objective gives a number, several give a list."""
        row: TrialRow = {
            "number": self.number,
            "params": dict(self.params),
            "value": _unwrap_single(self.values),
            "state": self.state,
            "run_dir": str(self.run_dir),
            "epochs": self.epochs,
            "seconds": round(self.seconds, 3),
            "drawn": dict(self.sampler_params),
        }
        if self.error:
            row["error"] = self.error
        if len(self.values_by_seed) > 1:
            row["values_by_seed"] = [_unwrap_single(values) for values in self.values_by_seed]
            row["spread"] = _unwrap_single(self.std_over_seeds)
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "TrialResult":
        """Restore a trial from its row; fields that a row does not hold are empty.

        >>> row = TrialResult(3, "complete", {"optimizer.η": 0.1}, {"optimizer.η": 0.1}, values=(0.5,)).to_row()
        >>> TrialResult.from_row(row).to_row() == row
        True
        """
        return cls(
            number=row["number"],
            state=row["state"],
            params=row["params"],
            sampler_params=row.get("drawn", {}),
            run_dir=Path(row["run_dir"]),
            values=None if row.get("value") is None else _to_tuple(row["value"]),
            values_by_seed=tuple(_to_tuple(values) for values in row.get("values_by_seed", ())),
            epochs=row.get("epochs", 0),
            seconds=row.get("seconds", 0.0),
            error=row.get("error", ""),
        )


def _unwrap_single(values: Sequence[float] | None) -> Any:
    """Return a single value by itself, and several as a list."""
    return values and (values[0] if len(values) == 1 else list(values))


def _to_tuple(value: Any) -> tuple[float, ...]:
    """Reverse `_unwrap_single`."""
    return tuple(map(float, value)) if isinstance(value, list) else (float(value),)
