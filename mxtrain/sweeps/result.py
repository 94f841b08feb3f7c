"""The result of a sweep: the rows of its trials, the best one, the Pareto front, and rankings of choices."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mxtrain.atomic_io import is_finite_number
from mxtrain.config import Objective
from mxtrain.formatting import format_count, format_number
from mxtrain.sweeps.choice_ranking import ChoiceRanking, rank_choices
from mxtrain.sweeps.trial_result import TrialResult, TrialRow
from mxtrain.types import describe


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

    @property
    def rankings(self) -> tuple[ChoiceRanking, ...]:
        """The rankings of the options of each conditional parameter, by the first objective."""
        is_conditional = any("[" in name for row in self.trials for name in row.get("drawn", ()))
        return rank_choices(self.results, self.objectives) if is_conditional else ()

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
            "rankings": {each.name: [option.to_dict() for option in each.options] for each in self.rankings},
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
