"""The result of a sweep: one row per trial, the best trial, and the Pareto front."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import stdev
from typing import Any

from mxtrain.atomic_io import is_finite_number
from mxtrain.config import Objective
from mxtrain.formatting import format_count, format_number
from mxtrain.types import describe

TrialRow = dict[str, Any]
"""A trial, by name, as it stands in results.json."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """A trial as it stands, or ended.

    Attributes:
        number: which one.
        state: waiting, running, complete, pruned or failed.
        params: what stands at each path that was searched.
        drawn: the same, as the sampler knows it.
        run_dir: the folder of its run; of the first, where it has several seeds.
        values: its value for each objective; None where it has none.
        by_seed: for each seed, its run's values.
        epochs: how many epochs its runs have finished.
        seconds: how long they took, all together.
        error: of one that failed, why.
        curve: the value of the first objective after each epoch at which it was looked at, and at its end.
        marks: what the pruner noted with it.
        files: the checksums of the files that its values come from, by their paths in the sweep's folder.
    """

    number: int
    state: str
    params: Mapping[str, Any]
    drawn: Mapping[str, Any]
    run_dir: Path
    values: Sequence[float] | None = None
    by_seed: Sequence[Sequence[float]] = ()
    epochs: int = 0
    seconds: float = 0.0
    error: str = ""
    intermediate_values: Mapping[int, float] = field(default_factory=dict)
    pruner_attributes: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def to_row(self) -> TrialRow:
        """As it stands in results.json: one value, or a list of them where there are several objectives."""
        row: TrialRow = {
            "number": self.number,
            "params": dict(self.params),
            "value": _unwrap_single(self.values),
            "state": self.state,
            "run_dir": str(self.run_dir),
            "epochs": self.epochs,
            "seconds": round(self.seconds, 3),
            "drawn": dict(self.drawn),
        }
        if self.error:
            row["error"] = self.error
        if len(self.by_seed) > 1:
            row["values_by_seed"] = [_unwrap_single(values) for values in self.by_seed]
            row["spread"] = _unwrap_single([stdev(values) for values in zip(*self.by_seed, strict=True)])
        return row


@dataclass(frozen=True, slots=True)
class SweepResult:
    """The trials of a sweep as rows, in the order of their numbers; iterable, and indexed by the number of a trial.

    Attributes:
        name: of the sweep.
        run_dir: the sweep's folder.
        objectives: what was to be made large or small.
        trials: the rows.
        total: how many trials there will be.
    """

    name: str
    run_dir: Path
    objectives: tuple[Objective, ...]
    trials: tuple[TrialRow, ...]
    total: int

    def __repr__(self) -> str:
        complete = f"{len(self.counted('complete'))} of {format_count(self.total, 'trial')} complete"
        return f"SweepResult({str(self.run_dir)!r}, {', '.join([complete, *self._summary()])})"

    def __getitem__(self, index: Any) -> Any:
        return self.trials[index]

    def __len__(self) -> int:
        return len(self.trials)

    def __iter__(self) -> Iterator[TrialRow]:
        return iter(self.trials)

    @property
    def best(self) -> TrialRow | None:
        """The best of the trials that are complete, the first of equals; None without one, or of several objectives."""
        done = self.counted("complete")
        if len(self.objectives) > 1 or not done:
            return None
        sign = -1 if self.objectives[0].maximize else 1
        return min(done, key=lambda row: (sign * row["value"], row["number"]))

    @property
    def front(self) -> list[TrialRow]:
        """The complete trials than which none is better in every objective; with one objective, the best ones."""
        done = self.counted("complete")
        costs = {row["number"]: self._costs(row) for row in done}
        return [row for row in done if not any(_dominates(other, costs[row["number"]]) for other in costs.values())]

    def counted(self, state: str) -> list[TrialRow]:
        """The trials in a state."""
        return [row for row in self.trials if row["state"] == state]

    def to_dict(self) -> dict[str, Any]:
        """As it stands in results.json."""
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
            ValueError: it is not what `to_dict` returns; says where.
        """
        if problem := _find_problem(record):
            raise ValueError(problem)
        objectives = tuple(Objective(each["metric"], each["maximize"]) for each in record["objectives"])
        return cls(record["name"], Path(record["run_dir"]), objectives, tuple(record["trials"]), record["total"])

    def stopped(self) -> "SweepResult":
        """The same, where nobody runs it: what ran then waits now."""
        rows = tuple(row | {"state": "waiting"} if row["state"] == "running" else row for row in self.trials)
        return replace(self, trials=rows)

    def moved_to(self, folder: Path) -> "SweepResult":
        """The same, where its folder was moved since it was written."""
        before = f"{self.run_dir}/"
        rows = tuple(
            row | {"run_dir": f"{folder}/{row['run_dir'].removeprefix(before)}"}
            if row["run_dir"].startswith(before)
            else row
            for row in self.trials
        )
        return replace(self, run_dir=folder, trials=rows)

    def _summary(self) -> list[str]:
        """In a few words, what was found; nothing where no trial is complete."""
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
    """The one value, or all of them."""
    return values and (values[0] if len(values) == 1 else list(values))


def _find_problem(record: Any) -> str:
    """Return what is wrong with a record that was read; "" if nothing is."""
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
    if wrong := [name for name, is_right in checks.items() if not is_right]:
        return f"{wrong[0]}: is damaged, got {describe(record.get(wrong[0]))}"
    assert isinstance(objectives, list), "checked above"
    assert isinstance(trials, list), "checked above"
    for i, row in enumerate(trials):
        if not isinstance(row, dict):
            return f"trials.{i}: must be a mapping, got {describe(row)}"
        for name, is_right in _row_checks(row, len(objectives)).items():
            if not is_right:
                return f"trials.{i}.{name}: is damaged, got {describe(row.get(name))}"
    return ""


def _row_checks(row: Mapping[str, Any], objectives: int) -> dict[str, bool]:
    value = row.get("value")
    values = value if isinstance(value, list) else [value]
    is_value = len(values) == objectives and all(map(is_finite_number, values))
    return {
        "number": _is_count(row.get("number")),
        "params": isinstance(row.get("params"), dict),
        "state": isinstance(row.get("state"), str),
        "value": is_value or (value is None and row.get("state") != "complete"),
        "run_dir": isinstance(row.get("run_dir"), str),
        "epochs": _is_count(row.get("epochs")),
        "seconds": is_finite_number(row.get("seconds")),
        "drawn": isinstance(row.get("drawn"), dict),
        "error": isinstance(row.get("error", ""), str),
    }


def _is_objective(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("metric"), str) and type(value.get("maximize")) is bool


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0
