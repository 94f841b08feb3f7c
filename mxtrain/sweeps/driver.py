"""The driver of a sweep: samples trials, submits their tasks to an engine, and records the results."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mxtrain.config import RunConfig, Sweep
from mxtrain.errors import ConfigError, RunInterrupted, RunMismatchError, SweepError, resume_command
from mxtrain.sweeps.result import SweepResult
from mxtrain.sweeps.samplers_and_pruners import TrialPruner, TrialSampler, frozen_trial
from mxtrain.sweeps.study_storage import StudyStorage
from mxtrain.sweeps.sweep_folder import SweepFolder
from mxtrain.sweeps.task import Engine, Task, TaskResult
from mxtrain.sweeps.trial import RunningTrial, SeedRun
from mxtrain.sweeps.trial_result import TrialResult
from mxtrain.training import StopRequest

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_POLL_SECONDS = 0.2
"""Seconds between two checks of the stop request."""
_SHUTDOWN_SECONDS = 60.0
"""Seconds within which workers must finish a step and save their run."""


class Driver:
    """Runs one sweep, from any state of its folder to its end.

    Sampling and pruning depend on the sweep alone. The folder and the study record what has been trained; a driver that
    starts with them samples all trials in order, and finds those that have ended.

    Args:
        sweep: the sweep.
        folder: its folder, locked.
        engine: runs the tasks.
        threads: BLAS threads of each trial.
        stop: checked several times a second.
        watch: called with the result after every change.
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
        self._sampler = TrialSampler(sweep)
        self._retry_failed = False
        self._sampled_trials: dict[int, TrialResult] = {}
        self._running: dict[int, RunningTrial] = {}
        self._results: dict[int, TrialResult] = {}
        # first results of each trial: the sampler and the pruner learn from these, whatever a retry gives
        self._first_results: dict[int, TrialResult] = {}
        self._frozen_trials: dict[int, FrozenTrial] = {}
        self._reported = 0
        self._recorded: set[int] = set()
        self._unrecorded: set[int] = set()
        self._submitted: set[tuple[int, int]] = set()
        self._retried: set[int] = set()
        # failures of trials that were retried, whose records were lost with the study
        self._earlier_results: dict[int, list[TrialResult]] = {}
        self._saved_at = self._updated_at = 0.0
        self._save_seconds = 0.0
        self._has_new_results = False

    @property
    def result(self) -> SweepResult:
        """The result so far."""
        results = self._results | {number: trial.current_result() for number, trial in self._running.items()}
        rows = tuple(results[number].to_row() for number in sorted(results))
        objectives = self._sweep.settings.objectives
        return SweepResult(self._sweep.name, self._folder.path, objectives, rows, max(self._sweep.total, len(rows)))

    def run(self, retry_failed: bool = False) -> SweepResult:
        """Run the rest of the sweep.

        Args:
            retry_failed: retry trials that failed before.

        Raises:
            RunInterrupted: `stop` has a signal; every run is saved.
            SweepError: the sweep cannot continue; finished work is kept.
        """
        self._retry_failed = retry_failed
        self._load_recorded()  # outside of try: if it fails, the results in the folder stay unchanged
        try:
            self._loop()
            self._record_finished_trials()
        except BaseException:
            with suppress(SweepError):  # the first error is the one to report
                self._record_finished_trials()
                self._save()
            raise
        self._save()
        self._watch(self.result)
        return self.result

    def close(self) -> None:
        """Close the database."""
        self._storage.close()

    # The main loop

    def _loop(self) -> None:
        while self._running or len(self._sampled_trials) < self._sweep.total:
            self._submit_tasks()
            self._record_finished_trials()  # while workers are busy
            for task_result in self._engine.wait(_POLL_SECONDS):
                self._handle(task_result)
            if self._stop.signal:
                self._shut_down()
            self._save(at_least_every=1.0)
            if time.monotonic() - self._updated_at > _POLL_SECONDS:
                self._watch(self.result)
                self._updated_at = time.monotonic()

    def _submit_tasks(self) -> None:
        """Submit as many tasks as the engine accepts, earlier trials first."""
        while self._engine.free > 0:
            task = next(self._ready_tasks(), None)
            if task is not None:
                self._submit(task)
            elif not self._start_next_trial():
                break

    def _ready_tasks(self) -> Iterator[Task]:
        for number in sorted(self._running):
            yield from (task for task in self._running[number].tasks() if task.key not in self._submitted)

    def _submit(self, task: Task) -> None:
        trial = self._running[task.trial]
        if trial.number in self._retried:
            self._retried.remove(trial.number)
            self._folder.archive_failed_trial(trial.number)
        trial.mark_running()
        self._submitted.add(task.key)
        self._engine.submit(task)

    def _handle(self, task_result: TaskResult) -> None:
        task, message = task_result.task, task_result.message
        self._submitted.discard(task.key)
        if task_result.kind == "machine_error":
            raise SweepError(f"{message}; correct it, and continue with `{resume_command(self._folder.typed_path)}`")
        if task_result.kind == "foreign_run":
            raise self._folder.foreign_run_error(message, Path(task.run_dir))
        trial = self._running.get(task.trial)
        if trial is None:
            return
        trial.handle(task_result)
        if trial.result.has_ended:
            trial.write_final_status()
            del self._running[trial.number]
            self._finish_trial(trial.current_result())

    def _finish_trial(self, result: TrialResult) -> None:
        """Add the result of a trial; it is recorded as soon as all trials before it are."""
        self._results[result.number] = result
        self._first_results.setdefault(result.number, result)
        self._unrecorded.add(result.number)
        self._has_new_results = True

    def _shut_down(self) -> None:
        """Stop all tasks, each of which saves its run."""
        self._engine.stop(self._stop.signal)
        deadline = time.monotonic() + _SHUTDOWN_SECONDS
        while self._submitted and time.monotonic() < deadline:
            for task_result in self._engine.wait(_POLL_SECONDS):
                self._handle(task_result)
        ended = f"{len(self._results)} of {self._sweep.total} trials have ended, and the sweep"
        raise RunInterrupted(self._folder.path, self._stop.signal, ended, typed_path=self._folder.typed_path)

    # Trials

    def _start_next_trial(self) -> bool:
        """Sample and start the next trial, if there is one and all results that it may know are there.

        Returns:
            True if a trial was started.
        """
        number = len(self._sampled_trials)
        if number >= self._sweep.total or any(
            other not in self._first_results for other in range(self._reported, self._visible_trials(number))
        ):
            return False
        self._report_visible_results(number)
        self._sampled_trials[number] = self._sampler.draw(number)
        try:
            trial = self._create_trial(number)
        except ConfigError as error:
            self._finish_trial(self._invalid_config_result(number, error))
            return True
        self._restore_attempts(trial)
        if not trial.has_failed_run:
            self._running[number] = trial
        elif self._retry_failed:
            self._add_earlier_result(self._restore_failure(trial))
            self._retry(self._create_trial(number))
        else:
            self._finish_trial(self._restore_failure(trial))
        return True

    def _visible_trials(self, number: int) -> int:
        """Return how many trials, from the first one on, a trial may learn from."""
        return max(0, number - self._sweep.settings.parallel + 1) if self._sweep.is_adaptive else 0

    def _report_visible_results(self, number: int) -> None:
        """Report to the sampler, in order, the results that a trial may learn from."""
        while self._reported < self._visible_trials(number):
            self._sampler.tell(self._first_results[self._reported])
            self._reported += 1

    def _create_trial(self, number: int, run_dirs: Sequence[Path] = ()) -> RunningTrial:
        settings = self._sweep.settings
        run_dirs = run_dirs or self._folder.run_dirs(number, settings.seeds)
        seed_runs = [SeedRun(self._config(number, i), run_dir) for i, run_dir in enumerate(run_dirs)]
        max_epochs = max(run.config.fit.epochs for run in seed_runs)
        visible = self._visible_trials(number) if settings.pruner.kind != "none" else 0
        pruner = TrialPruner(self._sweep, number, [self._frozen_trial(other) for other in range(visible)])
        waiting = replace(self._sampled_trials[number], run_dir=run_dirs[0])
        return RunningTrial(waiting, seed_runs, pruner.rungs(max_epochs), pruner, settings.objectives)

    def _frozen_trial(self, number: int) -> "FrozenTrial":
        if number not in self._frozen_trials:
            self._frozen_trials[number] = frozen_trial(self._first_results[number])
        return self._frozen_trials[number]

    def _config(self, number: int, seed_index: int) -> RunConfig:
        config = self._sweep.run_config(self._sampled_trials[number].point, seed_index).resolve()
        return config if config.threads else config.model_copy(update={"threads": self._threads})

    def _invalid_config_result(self, number: int, error: ConfigError) -> TrialResult:
        """Return the result of a trial whose combination of values is invalid."""
        run_dir, *_ = self._folder.run_dirs(number, self._sweep.settings.seeds)
        return replace(self._sampled_trials[number], state="failed", run_dir=run_dir, error=str(error))

    # Resuming

    def _load_recorded(self) -> None:
        """Load the trials that earlier drivers recorded in the study."""
        last: dict[int, TrialResult] = {}
        for result in self._storage.attempts():
            last[result.number] = result
            if result.number not in self._recorded:
                self._recorded.add(result.number)
                self._first_results[result.number] = result
                self._report_visible_results(result.number)
                self._sampled_trials[result.number] = self._restore_sample(result)
        for number, result in last.items():
            trial = self._failed_trial(number) if result.state == "failed" else None
            if trial and (self._retry_failed or trial.is_unfinished):  # an interrupted retry is continued
                self._retry(trial)
            else:
                run_dir, *_ = run_dirs = self._folder.run_dirs(number, self._sweep.settings.seeds)
                self._folder.check(result, [partial(self._config, number, i) for i in range(len(run_dirs))])
                # the folder may have been moved
                self._results[number] = replace(result, run_dir=run_dir) if run_dir.exists() else result

    def _restore_sample(self, result: TrialResult) -> TrialResult:
        try:
            return self._sampler.restore_sample(result)
        except (ValueError, LookupError, TypeError, AssertionError) as error:
            raise self._storage.damaged(f"trial {result.number}: {error}") from error

    def _failed_trial(self, number: int) -> RunningTrial | None:
        """Create a failed trial again; None if its combination of values is invalid."""
        try:
            return self._create_trial(number)
        except ConfigError:
            return None

    def _retry(self, trial: RunningTrial) -> None:
        """Train a failed trial again from its first epoch, or continue a retry that was interrupted."""
        self._running[trial.number] = trial
        if trial.has_failed_run:
            self._retried.add(trial.number)

    def _restore_attempts(self, trial: RunningTrial) -> None:
        """Restore the failures of a retried trial from its archived folders; later trials learned from the first."""
        for run_dirs in self._folder.archived_run_dirs(trial.number, self._sweep.settings.seeds):
            attempt = self._create_trial(trial.number, run_dirs)
            if attempt.has_failed_run:
                self._add_earlier_result(self._restore_failure(attempt))

    def _restore_failure(self, trial: RunningTrial) -> TrialResult:
        """Return the result of a trial that is not in the study and has failed according to its folder."""
        try:
            trial.restore_failure()
        except RunMismatchError as error:
            raise self._folder.foreign_run_error(str(error), trial.seed_runs[0].run_dir) from error
        return trial.current_result()

    def _add_earlier_result(self, result: TrialResult) -> None:
        self._first_results.setdefault(result.number, result)
        self._earlier_results.setdefault(result.number, []).append(result)

    # Saving

    def _record_finished_trials(self) -> None:
        """Record ended trials in the order of their numbers; a retried trial is recorded once more at once."""
        for number in sorted(self._unrecorded):
            if number > len(self._recorded):
                break
            for result in (*self._earlier_results.pop(number, ()), self._results[number]):
                self._storage.add(replace(result, files=self._folder.checksums(result)))
            self._recorded.add(number)
            self._unrecorded.remove(number)

    def _save(self, at_least_every: float = 0.0) -> None:
        # new results are saved at once, unless saving takes long
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
        """Return the config of the best trial, and the comment above it in best.yaml."""
        row, (objective, *_) = result.best, result.objectives
        assert row is not None
        seeds = row.get("values_by_seed")
        of_seed = f", {seeds[0]} with this seed, the first of {len(seeds)}" if seeds else ""
        title = f"trial {row['number']} of the sweep {result.name}: {objective.metric} {row['value']}{of_seed}"
        return self._config(row["number"], 0), title
