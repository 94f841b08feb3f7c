"""A trial: a point of the search space, and one run for each seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Literal

from mxtrain.config import Objective, Point, RunConfig
from mxtrain.sweeps.pruning import TrialPruner
from mxtrain.sweeps.result import TrialResult
from mxtrain.sweeps.task import Task, TaskResult
from mxtrain.training import (
    Checkpoints,
    Progress,
    Status,
    check_failed,
    check_same_run,
    final_epoch,
    read_history,
    read_status,
    write_failed,
    write_status,
)

State = Literal["waiting", "running", "complete", "pruned", "failed"]
FINAL_STATES: tuple[State, ...] = ("complete", "pruned", "failed")

MAX_LOST_WORKERS = 10
"""Workers in a row that a trial may lose without getting on; then it is taken to be what kills them."""


class NoValueError(Exception):
    """An objective has no value for the samples that it is measured on."""


@dataclass(slots=True)
class SeedRun:
    """One run of a trial.

    Attributes:
        config: the resolved config.
        run_dir: the run's folder.
        progress: how far it has come, as far as is known.
    """

    config: RunConfig
    run_dir: Path
    progress: Progress = Progress([], False, 0)

    def has_reached(self, epoch: int) -> bool:
        """Whether so many epochs are finished, or all that there will be."""
        return self.progress.is_over or len(self.progress.rows) >= epoch

    @property
    def epochs(self) -> int:
        """How many epochs it has finished; of one that is being trained, as far as it is saved."""
        rows = len(self.progress.rows)
        return rows if self.progress.is_over else max(rows, self.standing[0])

    @property
    def standing(self) -> tuple[int, int]:
        """The finished epochs and the batches of its newest checkpoint."""
        return Checkpoints(self.run_dir / "checkpoints", keep=1).standing()

    def value(self, metric: str, epoch: int | None) -> float:
        """A metric after so many epochs; for None, that of the parameters with which the run ended."""
        if metric == "parameters":
            return float(self.progress.parameters)
        rows = self.progress.rows
        last = final_epoch(self.config, rows) if epoch is None else min(epoch, len(rows))
        value = rows[last - 1][metric]
        if value is None:
            raise NoValueError(f"the objective {metric} has no value after epoch {last}: it is null in metrics.jsonl")
        return float(value)


@dataclass(slots=True)
class Trial:
    """A trial, from its first segment to its end.

    Attributes:
        number: which one.
        point: what it tries.
        members: its runs: one for each seed.
        rungs: the epochs after which it is looked at, the last excepted.
        judge: decides there.
        objectives: what it is measured by.
        state: where it stands.
        error: of one that failed, why.
        course: the mean of its runs' first objective at each rung so far.
        values: its value for each objective once it has ended, unless it failed.
        seconds: how long its segments took.
        lost: workers in a row that it lost without getting on.
        stood: where the run stood whose worker was lost last.
    """

    number: int
    point: Point
    seed_runs: list[SeedRun]
    rungs: list[int]
    pruner: TrialPruner
    objectives: Sequence[Objective]
    state: State = "waiting"
    error: str = ""
    intermediate_values: dict[int, float] = field(default_factory=dict)
    values: list[float] | None = None
    seconds: float = 0.0
    lost: int = 0
    lost_position: tuple[int, ...] = ()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will be done for it."""
        return self.state in FINAL_STATES

    @property
    def is_unfinished(self) -> bool:
        """Whether its folder holds a run that has neither ended nor failed."""
        return any(each.run_dir.exists() for each in self.seed_runs) and not self.has_failed_run

    @property
    def has_failed_run(self) -> bool:
        """Whether its folder holds a run that failed."""
        return any(read_status(each.run_dir).state == "failed" for each in self.seed_runs)

    def write_final_status(self) -> None:
        """Write into the folders of unfinished runs that the trial was pruned or failed."""
        if self.state in ("pruned", "failed"):
            for each in self.seed_runs:
                status = read_status(each.run_dir)
                is_marked = (status.state, status.reason) == (self.state, self.error)
                if is_marked or each.progress.is_over or not each.run_dir.exists():
                    continue
                if self.state == "failed":
                    write_failed(each.run_dir, self.error)
                else:
                    write_status(each.run_dir, Status("pruned"))

    def restore_failure(self) -> None:
        """Restore a failed trial from the folders of its runs, without training.

        Raises:
            ForeignRunError: a folder holds another run.
        """
        for each in self.seed_runs:
            check_same_run(each.config, each.run_dir)
            status = read_status(each.run_dir)
            check_failed(each.run_dir, status)
            rows = read_history(each.run_dir)[: each.config.fit.epochs]
            each.progress = Progress(rows, status.is_finished, 0)
            if status.state == "failed" and not self.error:
                self.error = status.reason
        if not self._prune_at_rungs():
            self.state = "failed"

    @property
    def target(self) -> int:
        """The epoch to which its runs are to be taken next."""
        passed = len(self.intermediate_values)
        return (
            self.rungs[passed] if passed < len(self.rungs) else max(each.config.fit.epochs for each in self.seed_runs)
        )

    @property
    def epochs(self) -> int:
        """How many epochs its runs have finished; where it was pruned, up to there."""
        if self.state == "pruned":
            return max(self.intermediate_values)
        if self.state == "failed":  # metrics, as they do not depend on when checkpoints were saved
            return max(len(read_history(each.run_dir)) for each in self.seed_runs)
        return max(each.epochs for each in self.seed_runs)

    def tasks(self) -> Iterator[Task]:
        """What is to be done now, a segment for each run that is not there yet."""
        for i, member in enumerate(self.seed_runs):
            if not member.has_reached(self.target):
                yield Task(self.number, i, member.config.to_dict(), str(member.run_dir), self.target)

    def take(self, result: TaskResult) -> None:
        """Take note of what came of a segment, and decide what follows from it."""
        if self.has_ended:
            return
        self.seconds += result.seconds
        if result.kind == "failed":
            self.state, self.error = "failed", result.message
        elif result.kind == "lost":
            lost_position = result.task.member, *self.seed_runs[result.task.member].standing
            self.lost = self.lost + 1 if lost_position == self.lost_position else 1
            self.lost_position = lost_position
            if self.lost >= MAX_LOST_WORKERS:
                self.state, self.error = "failed", f"{MAX_LOST_WORKERS} workers were lost in a row: {result.message}"
        elif result.progress is not None:
            self.lost = 0
            self.seed_runs[result.task.member].progress = result.progress
            try:
                self._advance()
            except NoValueError as error:
                self.state, self.error = "failed", str(error)

    def ending(self) -> TrialResult:
        """The trial as it stands."""
        epochs = self.epochs
        has_value = self.values is not None
        return TrialResult(
            number=self.number,
            state=self.state,
            params=self.point.params,
            drawn=self.point.drawn,
            run_dir=self.seed_runs[0].run_dir,
            values=self.values,
            by_seed=self._values_by_seed() if has_value else (),
            epochs=epochs,
            seconds=self.seconds,
            error=self.error,
            intermediate_values={**self.intermediate_values, epochs: fmean(self._values(epochs)[0])}
            if has_value
            else {},
            pruner_attributes=self.pruner.attributes,
        )

    def _values(self, epoch: int | None = None) -> list[list[float]]:
        """For each objective, the value of each run."""
        return [[each.value(objective.metric, epoch) for each in self.seed_runs] for objective in self.objectives]

    def _values_by_seed(self) -> list[tuple[float, ...]]:
        return list(zip(*self._values(self.epochs if self.state == "pruned" else None), strict=True))

    def _advance(self) -> None:
        if not self._prune_at_rungs() and all(member.progress.is_over for member in self.seed_runs):
            self.state, self.values = "complete", [fmean(values) for values in self._values()]

    def _prune_at_rungs(self) -> bool:
        """Judge the trial at each rung that its runs have reached, and return whether it is pruned.

        A finished run is judged at every rung it has metrics for, because an earlier driver may have trained it to its
        end, and its values at the rungs affect later trials.
        """
        while len(self.intermediate_values) < len(self.rungs) and self.target <= max(
            len(each.progress.rows) for each in self.seed_runs
        ):
            if not all(member.has_reached(self.target) for member in self.seed_runs):
                return False
            epoch = self.target
            self.intermediate_values[epoch] = fmean(self._values(epoch)[0])
            if self.pruner.should_prune(self.intermediate_values):
                self.state, self.values = "pruned", [fmean(values) for values in self._values(epoch)]
                return True
        return False
