"""The results of trials and sweeps: one shape of a trial from sampling to report, the best trial, the Pareto front."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING, Any, Literal

from mxtrain.atomic_io import is_finite_number
from mxtrain.config import Objective, Point
from mxtrain.formatting import format_count, format_number
from mxtrain.types import describe

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


@dataclass(frozen=True, slots=True)
class SweepResult:
    """The trials of a sweep as rows, in the order of their numbers; iterable, and indexed by the number of a trial.

    Attributes:
        name: the name of the sweep.
        run_dir: the folder of the sweep.
        objectives: the objectives, at least one.
        trials: the rows of the trials that have started.
        total: the number of trials of the whole sweep.
    """

    name: str
    run_dir: Path
    objectives: tuple[Objective, ...]
    trials: tuple[TrialRow, ...]
    total: int

    def __repr__(self) -> str:
        complete = f"{len(self.in_state('complete'))} of {format_count(self.total, 'trial')} complete"
        return f"SweepResult({str(self.run_dir)!r}, {', '.join([complete, *self._summary()])})"

    def __getitem__(self, index: Any) -> Any:
        return self.trials[index]

    def __len__(self) -> int:
        return len(self.trials)

    def __iter__(self) -> Iterator[TrialRow]:
        return iter(self.trials)

    @property
    def results(self) -> tuple[TrialResult, ...]:
        """The trials as typed objects, in the order of their numbers."""
        return tuple(map(TrialResult.from_row, self.trials))

    @property
    def best(self) -> TrialRow | None:
        """The best complete trial, the first of equal ones; None without one, or with several objectives."""
        complete = self.in_state("complete")
        if len(self.objectives) > 1 or not complete:
            return None
        sign = -1 if self.objectives[0].maximize else 1
        return min(complete, key=lambda row: (sign * row["value"], row["number"]))

    @property
    def front(self) -> list[TrialRow]:
        """The Pareto front: complete trials that no other trial dominates; with one objective, the best ones."""
        complete = self.in_state("complete")
        costs = {row["number"]: self._costs(row) for row in complete}
        return [row for row in complete if not any(_dominates(other, costs[row["number"]]) for other in costs.values())]

    def in_state(self, state: str) -> list[TrialRow]:
        """Return the trials in a state."""
        return [row for row in self.trials if row["state"] == state]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of results.json."""
        return {
            "name": self.name,
            "run_dir": str(self.run_dir),
            "total": self.total,
            "objectives": [{"metric": each.metric, "maximize": each.maximize} for each in self.objectives],
            "trials": list(self.trials),
            "best": self.best,
            "front": [row["number"] for row in self.front],
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "SweepResult":
        """Restore a result from what `to_dict` returned.

        Raises:
            ValueError: `record` has another form; the message names the place.
        """
        if problem := _find_problem(record):
            raise ValueError(problem)
        objectives = tuple(Objective(each["metric"], each["maximize"]) for each in record["objectives"])
        return cls(record["name"], Path(record["run_dir"]), objectives, tuple(record["trials"]), record["total"])

    def with_running_as_waiting(self) -> "SweepResult":
        """Return the same result with running trials marked as waiting, for a sweep that no driver runs."""
        rows = tuple(row | {"state": "waiting"} if row["state"] == "running" else row for row in self.trials)
        return replace(self, trials=rows)

    def moved_to(self, folder: Path) -> "SweepResult":
        """Return the same result for a sweep whose folder was moved since it was written."""
        before = f"{self.run_dir}/"
        rows = tuple(
            row | {"run_dir": f"{folder}/{row['run_dir'].removeprefix(before)}"}
            if row["run_dir"].startswith(before)
            else row
            for row in self.trials
        )
        return replace(self, run_dir=folder, trials=rows)

    def _summary(self) -> list[str]:
        """Describe the best trial or the Pareto front in a few words; empty if no trial is complete."""
        if self.best is not None:
            return [
                f"the best is {self.best['number']}: {self.objectives[0].metric} {format_number(self.best['value'])}"
            ]
        return [f"{len(front)} on the Pareto front"] if (front := self.front) else []

    def _costs(self, row: TrialRow) -> list[float]:
        values = row["value"] if isinstance(row["value"], list) else [row["value"]]
        return [-value if each.maximize else value for value, each in zip(values, self.objectives, strict=True)]


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def _unwrap_single(values: Sequence[float] | None) -> Any:
    """Return a single value by itself, and several as a list."""
    return values and (values[0] if len(values) == 1 else list(values))


def _to_tuple(value: Any) -> tuple[float, ...]:
    """Reverse `_unwrap_single`."""
    return tuple(map(float, value)) if isinstance(value, list) else (float(value),)


def _find_problem(record: Any) -> str:
    """Describe the first damaged value of a record that was read; "" if there is none."""
    if not isinstance(record, dict):
        return f"must be a mapping, got {describe(record)}"
    objectives, trials = record.get("objectives"), record.get("trials")
    checks = {
        "name": isinstance(record.get("name"), str),
        "run_dir": isinstance(record.get("run_dir"), str),
        "total": _is_count(record.get("total")),
        "objectives": isinstance(objectives, list) and bool(objectives) and all(map(_is_objective, objectives)),
        "trials": isinstance(trials, list),
    }
    if invalid := [name for name, is_valid in checks.items() if not is_valid]:
        return f"{invalid[0]}: is damaged, got {describe(record.get(invalid[0]))}"
    assert isinstance(objectives, list), "checked above"
    assert isinstance(trials, list), "checked above"
    for i, row in enumerate(trials):
        if not isinstance(row, dict):
            return f"trials.{i}: must be a mapping, got {describe(row)}"
        for name, is_valid in _row_checks(row, len(objectives)).items():
            if not is_valid:
                return f"trials.{i}.{name}: is damaged, got {describe(row.get(name))}"
    return ""


def _row_checks(row: Mapping[str, Any], objectives: int) -> dict[str, bool]:
    value, by_seed = row.get("value"), row.get("values_by_seed", [])
    return {
        "number": _is_count(row.get("number")),
        "params": isinstance(row.get("params"), dict),
        "state": isinstance(row.get("state"), str),
        "value": _is_value(value, objectives) or (value is None and row.get("state") != "complete"),
        "run_dir": isinstance(row.get("run_dir"), str),
        "epochs": _is_count(row.get("epochs")),
        "seconds": is_finite_number(row.get("seconds")),
        "drawn": isinstance(row.get("drawn"), dict),
        "error": isinstance(row.get("error", ""), str),
        "values_by_seed": isinstance(by_seed, list) and all(_is_value(each, objectives) for each in by_seed),
    }


def _is_value(value: Any, objectives: int) -> bool:
    values = value if isinstance(value, list) else [value]
    return len(values) == objectives and all(map(is_finite_number, values))


def _is_objective(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("metric"), str) and type(value.get("maximize")) is bool


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0
