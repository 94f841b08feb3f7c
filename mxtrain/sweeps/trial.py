"""A trial while it is trained: its runs, one for each seed, and the decisions at its rungs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

from mxtrain.config import Objective, RunConfig
from mxtrain.sweeps.samplers_and_pruners import TrialPruner
from mxtrain.sweeps.task import Task, TaskResult
from mxtrain.sweeps.trial_result import TrialResult, TrialState
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

MAX_LOST_WORKERS = 10
"""Consecutive lost workers without progress after which a trial fails, because it probably kills them itself."""


class NoValueError(Exception):
    """An objective has no value for the samples that it is measured on."""


@dataclass(slots=True)
class SeedRun:
    """One run of a trial.

    Attributes:
        config: the resolved config.
        run_dir: the run's folder.
        progress: the latest progress that a worker reported.
    """

    config: RunConfig
    run_dir: Path
    progress: Progress = Progress([], False, 0)

    def has_reached(self, epoch: int) -> bool:
        """Return True if `epoch` epochs are finished, or the run is over."""
        return self.progress.is_finished or len(self.progress.rows) >= epoch

    @property
    def epochs(self) -> int:
        """Number of finished epochs; of a run that is being trained, as of its newest checkpoint."""
        rows = len(self.progress.rows)
        return rows if self.progress.is_finished else max(rows, self.position[0])

    @property
    def position(self) -> tuple[int, int]:
        """The finished epochs and the batches of its newest checkpoint."""
        return Checkpoints(self.run_dir / "checkpoints", keep=1).newest_position()

    def value(self, metric: str, epoch: int | None) -> float:
        """Return a metric after an epoch; for None, the metric of the final parameters."""
        if metric == "parameters":
            return float(self.progress.parameters)
        rows = self.progress.rows
        last = final_epoch(self.config, rows) if epoch is None else min(epoch, len(rows))
        value = rows[last - 1][metric]
        if value is None:
            raise NoValueError(f"the objective {metric} has no value after epoch {last}: it is null in metrics.jsonl")
        return float(value)


@dataclass(slots=True)
class RunningTrial:
    """A trial from its first task to its end.

    Attributes:
        result: the point, state, error, values and training time; `current_result` fills in the other fields.
        seed_runs: its runs, one for each seed.
        rungs: the epochs at which it may be pruned.
        pruner: decides at the rungs.
        objectives: the objectives of the sweep.
        rung_values: the mean of the runs' first objective at each rung so far, by epoch.
        lost_workers: number of workers lost in a row without progress.
        lost_position: seed index and position of the run whose worker was lost last.
    """

    result: TrialResult
    seed_runs: list[SeedRun]
    rungs: list[int]
    pruner: TrialPruner
    objectives: Sequence[Objective]
    rung_values: dict[int, float] = field(default_factory=dict)
    lost_workers: int = 0
    lost_position: tuple[int, ...] = ()

    @property
    def number(self) -> int:
        """The number of the trial."""
        return self.result.number

    @property
    def is_unfinished(self) -> bool:
        """True if its folder holds a run that has neither finished nor failed."""
        return any(run.run_dir.exists() for run in self.seed_runs) and not self.has_failed_run

    @property
    def has_failed_run(self) -> bool:
        """True if its folder holds a run that failed."""
        return any(read_status(run.run_dir).state == "failed" for run in self.seed_runs)

    @property
    def target(self) -> int:
        """The epoch to which its runs are trained next."""
        passed = len(self.rung_values)
        return self.rungs[passed] if passed < len(self.rungs) else max(run.config.fit.epochs for run in self.seed_runs)

    @property
    def epochs(self) -> int:
        """Number of epochs that its runs have finished; of a pruned trial, those that count."""
        if self.result.state == "pruned":
            return max(self.rung_values)
        if self.result.state == "failed":  # from the metrics, because checkpoints are saved by time
            return max(len(read_history(run.run_dir)) for run in self.seed_runs)
        return max(run.epochs for run in self.seed_runs)

    def tasks(self) -> Iterator[Task]:
        """Yield a task for each run that has not reached the target."""
        for i, run in enumerate(self.seed_runs):
            if not run.has_reached(self.target):
                yield Task(self.number, i, run.config.to_dict(), str(run.run_dir), self.target)

    def mark_running(self) -> None:
        """Set the state to `running`."""
        self.result = replace(self.result, state="running")

    def handle(self, task_result: TaskResult) -> None:
        """Update the trial with the result of one of its tasks."""
        if self.result.has_ended:
            return
        self.result = replace(self.result, seconds=self.result.seconds + task_result.seconds)
        seed_index = task_result.task.seed_index
        if task_result.kind == "failed":
            self._fail(task_result.message)
        elif task_result.kind == "lost":
            position = seed_index, *self.seed_runs[seed_index].position
            self.lost_workers = self.lost_workers + 1 if position == self.lost_position else 1
            self.lost_position = position
            if self.lost_workers >= MAX_LOST_WORKERS:
                self._fail(f"{MAX_LOST_WORKERS} workers were lost in a row: {task_result.message}")
        elif task_result.progress is not None:
            self.lost_workers = 0
            self.seed_runs[seed_index].progress = task_result.progress
            try:
                if not self._prune_at_rungs() and all(run.progress.is_finished for run in self.seed_runs):
                    self._end("complete", self._values())
            except NoValueError as error:
                self._fail(str(error))

    def current_result(self) -> TrialResult:
        """Return the result so far, with all fields but `files`."""
        epochs = self.epochs
        result = replace(self.result, epochs=epochs, pruner_attributes=self.pruner.attributes)
        if result.values is None:
            return result
        by_seed = self._values(epochs if result.state == "pruned" else None)
        return replace(
            result,
            values_by_seed=tuple(zip(*by_seed, strict=True)),
            intermediate_values={**self.rung_values, epochs: fmean(self._values(epochs)[0])},
        )

    def write_final_status(self) -> None:
        """Write into the folders of unfinished runs that the trial was pruned or has failed."""
        if self.result.state not in ("pruned", "failed"):
            return
        for run in self.seed_runs:
            status = read_status(run.run_dir)
            is_written = (status.state, status.reason) == (self.result.state, self.result.error)
            if is_written or run.progress.is_finished or not run.run_dir.exists():
                continue
            if self.result.state == "failed":
                write_failed(run.run_dir, self.result.error)
            else:
                write_status(run.run_dir, Status("pruned"))

    def restore_failure(self) -> None:
        """Restore a failed trial from the folders of its runs, without training.

        Raises:
            RunMismatchError: a folder holds another run.
        """
        error = ""
        for run in self.seed_runs:
            check_same_run(run.config, run.run_dir)
            status = read_status(run.run_dir)
            check_failed(run.run_dir, status)
            rows = read_history(run.run_dir)[: run.config.fit.epochs]
            run.progress = Progress(rows, status.is_finished, 0)
            if status.state == "failed":
                error = error or status.reason
        self.result = replace(self.result, error=error)
        if not self._prune_at_rungs():
            self._fail(error)

    def _fail(self, error: str) -> None:
        self.result = replace(self.result, state="failed", error=error)

    def _end(self, state: TrialState, values: list[list[float]]) -> None:
        self.result = replace(self.result, state=state, values=tuple(map(fmean, values)))

    def _values(self, epoch: int | None = None) -> list[list[float]]:
        """Return the value of each run, for each objective."""
        return [[run.value(objective.metric, epoch) for run in self.seed_runs] for objective in self.objectives]

    def _prune_at_rungs(self) -> bool:
        """Compare the trial at each rung that its runs have reached, and return True if it is pruned.

        A finished run is compared at every rung for which it has metrics, because an earlier driver may have trained it
        to its end, and its values at the rungs affect later trials.
        """
        while len(self.rung_values) < len(self.rungs) and self.target <= max(
            len(run.progress.rows) for run in self.seed_runs
        ):
            if not all(run.has_reached(self.target) for run in self.seed_runs):
                return False
            epoch = self.target
            self.rung_values[epoch] = fmean(self._values(epoch)[0])
            if self.pruner.should_prune(self.rung_values):
                self._end("pruned", self._values(epoch))
                return True
        return False
