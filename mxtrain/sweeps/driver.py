"""The driver of a sweep: samples trials, submits their tasks to an engine, and records the results."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from optuna.trial import FrozenTrial, create_trial

from mxtrain.config import Point, RunConfig, Sweep
from mxtrain.errors import ConfigError, ForeignRunError, RunInterrupted, SweepError, resume_command
from mxtrain.sweeps.pruning import TrialPruner
from mxtrain.sweeps.result import SweepResult, TrialResult
from mxtrain.sweeps.sampling import SampledPoint, TrialSampler
from mxtrain.sweeps.study_storage import OPTUNA_STATES, StudyStorage
from mxtrain.sweeps.sweep_folder import SweepFolder
from mxtrain.sweeps.task import Engine, Task, TaskResult
from mxtrain.sweeps.trial import SeedRun, Trial
from mxtrain.training import StopRequest

_POLL_SECONDS = 0.2
"""Seconds between two looks at whether the sweep shall stop."""
_SHUTDOWN_SECONDS = 60.0
"""Seconds that workers have to end a step and save their run."""


class Driver:
    """One sweep, from wherever its folder stands to its end.

    What is drawn and what is given up follows from the sweep alone. The folder and the study hold what has been done,
    and whoever begins again with them asks for all trials in their order, and finds most of them done.

    Args:
        sweep: the sweep.
        folder: its folder, locked.
        engine: does the segments.
        threads: of BLAS, for a trial.
        stop: looked at several times a second.
        watch: told of every change.
    """

    def __init__(
        self,
        sweep: Sweep,
        folder: SweepFolder,
        engine: Engine,
        threads: int,
        stop: StopRequest,
        watch: Callable[[SweepResult], None],
    ) -> None:
        self._sweep, self._folder, self._engine = sweep, folder, engine
        self._threads, self._stop, self._watch = threads, stop, watch
        self._storage = StudyStorage(sweep, folder.path)
        self._recorded: set[int] = set()
        self._retry_failed = False
        self._sampling = TrialSampler(sweep)
        self._running_trials: dict[int, Trial] = {}
        self._results: dict[int, TrialResult] = {}
        # what came of each the first time: the sampler and the pruner learn from that, whatever a retry brings
        self._first_results: dict[int, TrialResult] = {}
        self._samples: dict[int, SampledPoint] = {}
        self._frozen_trials: dict[int, FrozenTrial] = {}
        self._reported = 0
        self._submitted: set[tuple[int, int]] = set()
        self._unrecorded: set[int] = set()
        self._retried: set[int] = set()
        # failures of trials that were tried again, whose records were lost with the study
        self._earlier_results: dict[int, list[TrialResult]] = {}
        self._saved_at = self._updated_at = 0.0
        self._save_seconds = 0.0
        self._has_new_results = False

    @property
    def result(self) -> SweepResult:
        """The sweep as it stands."""
        endings = self._results | {number: trial.ending() for number, trial in self._running_trials.items()}
        rows = tuple(endings[number].to_row() for number in sorted(endings))
        objectives = self._sweep.settings.objectives
        return SweepResult(self._sweep.name, self._folder.path, objectives, rows, max(self._sweep.total, len(rows)))

    def run(self, retry_failed: bool = False) -> SweepResult:
        """Do what is left of the sweep.

        Args:
            retry_failed: whether trials that failed before are tried again.

        Raises:
            RunInterrupted: `stop` named a signal; every run is saved.
            SweepError: it cannot go on; what was done is kept.
        """
        self._retry_failed = retry_failed
        self._load_recorded(retry_failed)  # outside of try: if it fails, the results in the folder stay unchanged
        try:
            self._loop()
            self._record_finished_trials()
        except BaseException:
            with suppress(SweepError):  # the first error is the one to tell
                self._record_finished_trials()
                self._save()
            raise
        self._save()
        self._watch(self.result)
        return self.result

    def close(self) -> None:
        """Let go of the database."""
        self._storage.close()

    def _loop(self) -> None:
        while self._running_trials or len(self._samples) < self._sweep.total:
            self._submit_tasks()
            self._record_finished_trials()  # while workers work
            for result_of_task in self._engine.wait(_POLL_SECONDS):
                self._handle_task_result(result_of_task)
            if self._stop.signal:
                self._shut_down()
            self._save(at_least_every=1.0)
            if time.monotonic() - self._updated_at > _POLL_SECONDS:
                self._watch(self.result)
                self._updated_at = time.monotonic()

    def _load_recorded(self, retry_failed: bool) -> None:
        """Take up what an earlier process recorded."""
        last: dict[int, TrialResult] = {}
        for ending, drawn in self._storage.attempts():
            number = ending.number
            last[number] = ending
            if number not in self._recorded:
                self._recorded.add(number)
                self._first_results[number] = ending
                self._report_visible_results(number)
                self._samples[number] = self._restore_sample(number, drawn)
        for number, ending in last.items():
            again = self._trial_from_start(number) if ending.state == "failed" else None
            if again and (retry_failed or again.is_unfinished):  # or a retry that was interrupted goes on
                self._retry(again)
            else:
                here, *_ = folders = self._folder.run_dirs(number, self._sweep.settings.seeds)
                self._folder.check(ending, [partial(self._config_of, number, i) for i in range(len(folders))])
                self._results[number] = replace(ending, run_dir=here) if here.exists() else ending  # it may have moved

    def _restore_sample(self, number: int, drawn: SampledPoint) -> SampledPoint:
        try:
            return self._sampling.restore_sample(number, drawn)
        except (ValueError, LookupError, TypeError, AssertionError) as error:
            raise self._storage.damaged(f"trial {number}: {error}") from error

    def _retry(self, trial: Trial) -> None:
        """Train a failed trial again from its first epoch, or continue a retry that was interrupted."""
        self._running_trials[trial.number] = trial
        if trial.has_failed_run:
            self._retried.add(trial.number)

    def _submit_tasks(self) -> None:
        """Give the engine as much as it takes, earlier trials first."""
        while self._engine.free > 0:
            task = next(self._ready_tasks(), None)
            if task is not None:
                self._submit(task)
            elif not self._start_next_trial():
                break

    def _submit(self, task: Task) -> None:
        trial = self._running_trials[task.trial]
        if trial.number in self._retried:
            self._retried.remove(trial.number)
            self._folder.archive_failed_trial(trial.number)
        trial.state = "running"
        self._submitted.add(task.key)
        self._engine.submit(task)

    def _ready_tasks(self) -> Iterator[Task]:
        for number in sorted(self._running_trials):
            yield from (task for task in self._running_trials[number].tasks() if task.key not in self._submitted)

    def _start_next_trial(self) -> bool:
        """Begin the next trial, if there is one and it may; whether it did."""
        number = len(self._samples)
        if number >= self._sweep.total or any(
            other not in self._first_results for other in range(self._reported, self._visible_trials(number))
        ):
            return False
        self._report_visible_results(number)
        self._samples[number] = self._sampling.draw(number)
        try:
            trial = self._trial(number)
        except ConfigError as error:
            self._finish_trial(self._invalid_config_result(number, error))
            return True
        self._restore_attempts(trial)
        if not trial.has_failed_run:
            self._running_trials[number] = trial
        elif self._retry_failed:
            self._add_earlier_result(number, self._restore_failure(trial))
            self._retry(self._trial(number))
        else:
            self._finish_trial(self._restore_failure(trial))
        return True

    def _restore_attempts(self, trial: Trial) -> None:
        """Restore the failures of a trial that was tried again: later trials learned from the first of them."""
        for folders in self._folder.archived_run_dirs(trial.number, self._sweep.settings.seeds):
            before = self._trial(trial.number, folders)
            if before.has_failed_run:
                self._add_earlier_result(trial.number, self._restore_failure(before))

    def _add_earlier_result(self, number: int, ending: TrialResult) -> None:
        self._first_results.setdefault(number, ending)
        self._earlier_results.setdefault(number, []).append(ending)

    def _restore_failure(self, trial: Trial) -> TrialResult:
        """Return the end of a trial that is not in the study, and failed according to its folder."""
        try:
            trial.restore_failure()
        except ForeignRunError as error:
            raise self._folder.foreign_run_error(str(error), trial.seed_runs[0].run_dir) from error
        return trial.ending()

    def _visible_trials(self, number: int) -> int:
        """How many of the first trials a trial may learn from."""
        return max(0, number - self._sweep.settings.parallel + 1) if self._sweep.is_adaptive else 0

    def _report_visible_results(self, number: int) -> None:
        """Let the sampler know what the next trial may learn from; it is told in order."""
        while self._reported < self._visible_trials(number):
            ending = self._first_results[self._reported]
            values = None if ending.values is None else list(ending.values)
            self._sampling.tell(self._reported, OPTUNA_STATES[ending.state], values, ending.intermediate_values)
            self._reported += 1

    def _frozen_trial(self, number: int) -> FrozenTrial:
        """What came of a trial, for the pruner."""
        if number not in self._frozen_trials:
            ending = self._first_results[number]
            self._frozen_trials[number] = create_trial(
                state=OPTUNA_STATES[ending.state],
                values=ending.values if ending.state == "complete" else None,
                intermediate_values=dict(ending.intermediate_values),
                system_attrs=dict(ending.pruner_attributes),
            )
        return self._frozen_trials[number]

    def _trial(self, number: int, folders: Sequence[Path] = ()) -> Trial:
        settings, point = self._sweep.settings, self._samples[number].point
        folders = folders or self._folder.run_dirs(number, settings.seeds)
        seed_runs = [SeedRun(self._config(point, i), folder) for i, folder in enumerate(folders)]
        longest = max(member.config.fit.epochs for member in seed_runs)
        seen = self._visible_trials(number) if settings.pruner.kind != "none" else 0
        pruner = TrialPruner(self._sweep, number, [self._frozen_trial(other) for other in range(seen)])
        return Trial(number, point, seed_runs, pruner.rungs(longest), pruner, settings.objectives)

    def _trial_from_start(self, number: int) -> Trial | None:
        """A trial that failed, from its beginning; None where its values do not go together."""
        try:
            return self._trial(number)
        except ConfigError:
            return None

    def _config_of(self, number: int, member: int) -> RunConfig:
        return self._config(self._samples[number].point, member)

    def _config(self, point: Point, member: int) -> RunConfig:
        config = self._sweep.run_config(point, member).resolve()
        return config if config.threads else config.model_copy(update={"threads": self._threads})

    def _invalid_config_result(self, number: int, error: ConfigError) -> TrialResult:
        """A trial whose values do not go together."""
        point, (run_dir, *_) = self._samples[number].point, self._folder.run_dirs(number, self._sweep.settings.seeds)
        return TrialResult(number, "failed", point.params, point.drawn, run_dir, error=str(error))

    def _handle_task_result(self, result_of_task: TaskResult) -> None:
        self._submitted.discard(result_of_task.task.key)
        trial = self._running_trials.get(result_of_task.task.trial)
        if result_of_task.kind == "halted":
            raise SweepError(
                f"{result_of_task.message}; mend it, and continue with `{resume_command(self._folder.path)}`"
            )
        if result_of_task.kind == "foreign":
            raise self._folder.foreign_run_error(result_of_task.message, Path(result_of_task.task.run_dir))
        if trial is not None:
            trial.take(result_of_task)
            if trial.has_ended:
                trial.write_final_status()
                del self._running_trials[trial.number]
                self._finish_trial(trial.ending())

    def _finish_trial(self, ending: TrialResult) -> None:
        """A trial has ended: it is recorded as soon as all before it are."""
        self._results[ending.number] = ending
        self._first_results.setdefault(ending.number, ending)
        self._unrecorded.add(ending.number)
        self._has_new_results = True

    def _record_finished_trials(self) -> None:
        """Record trials that have ended: in order, except that one that had failed is written once more at once."""
        for number in sorted(self._unrecorded):
            if number > len(self._recorded):
                break
            self._record_trial(number)
            self._unrecorded.remove(number)

    def _record_trial(self, number: int) -> None:
        for ending in (*self._earlier_results.pop(number, ()), self._results[number]):
            self._storage.add(ending, self._samples[number], self._folder.checksums(ending))
        self._recorded.add(number)

    def _shut_down(self) -> None:
        """End in good order: every run under way is saved."""
        self._engine.stop(self._stop.signal)
        deadline = time.monotonic() + _SHUTDOWN_SECONDS
        while self._submitted and time.monotonic() < deadline:
            for result_of_task in self._engine.wait(_POLL_SECONDS):
                self._handle_task_result(result_of_task)
        ended = f"{len(self._results)} of {self._sweep.total} trials have ended, and the sweep"
        raise RunInterrupted(self._folder.path, self._stop.signal, ended)

    def _save(self, at_least_every: float = 0.0) -> None:
        # a trial that has ended is saved at once, unless saving takes long
        wait = min(at_least_every, 20 * self._save_seconds) if self._has_new_results else at_least_every
        begin = time.monotonic()
        if begin - self._saved_at < wait:
            return
        result = self.result
        self._folder.write_results(result)
        if result.best is not None:
            self._folder.write_best(*self._best(result))
        self._saved_at = time.monotonic()
        self._save_seconds, self._has_new_results = self._saved_at - begin, False

    def _best(self, result: SweepResult) -> tuple[RunConfig, str]:
        row, (objective, *_) = result.best, result.objectives
        assert row is not None
        seeds = row.get("values_by_seed")
        of_seed = f", {seeds[0]} with this seed, the first of {len(seeds)}" if seeds else ""
        title = f"trial {row['number']} of the sweep {result.name}: {objective.metric} {row['value']}{of_seed}"
        return self._config(self._samples[row["number"]].point, 0), title
