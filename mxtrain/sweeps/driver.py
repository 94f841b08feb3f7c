"""The driver of a sweep: draws trials, has engines do their segments, and records what came of them."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from optuna.trial import FrozenTrial, create_trial

from mxtrain.config import Point, RunConfig, Sweep
from mxtrain.errors import ConfigError, ForeignRunError, RunInterrupted, SweepError, resume_command
from mxtrain.sweeps.engine import Engine
from mxtrain.sweeps.folder import SweepFolder
from mxtrain.sweeps.pruning import Judge
from mxtrain.sweeps.record import STATES, Record
from mxtrain.sweeps.result import Ending, SweepResult
from mxtrain.sweeps.sampling import Drawn, Sampling
from mxtrain.sweeps.task import Outcome, Task
from mxtrain.sweeps.trial import Member, Trial
from mxtrain.training import StopRequest

_TICK = 0.2
"""Seconds between two looks at whether the sweep shall stop."""
_PARTING = 60.0
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
        self._record = Record(sweep, folder.path)
        self._recorded: set[int] = set()
        self._retry_failed = False
        self._sampling = Sampling(sweep)
        self._live: dict[int, Trial] = {}
        self._ended: dict[int, Ending] = {}
        # what came of each the first time: the sampler and the pruner learn from that, whatever a retry brings
        self._first: dict[int, Ending] = {}
        self._drawn: dict[int, Drawn] = {}
        self._verdicts: dict[int, FrozenTrial] = {}
        self._told = 0
        self._under_way: set[tuple[int, int]] = set()
        self._unwritten: set[int] = set()
        self._retried: set[int] = set()
        # failures of trials that were tried again, whose records were lost with the study
        self._earlier: dict[int, list[Ending]] = {}
        self._written_at = self._shown_at = 0.0
        self._saving_took = 0.0
        self._has_news = False

    @property
    def result(self) -> SweepResult:
        """The sweep as it stands."""
        endings = self._ended | {number: trial.ending() for number, trial in self._live.items()}
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
        self._recall(retry_failed)  # outside of try: if it fails, the results in the folder stay unchanged
        try:
            self._loop()
            self._write_what_can_be()
        except BaseException:
            with suppress(SweepError):  # the first error is the one to tell
                self._write_what_can_be()
                self._save()
            raise
        self._save()
        self._watch(self.result)
        return self.result

    def close(self) -> None:
        """Let go of the database."""
        self._record.close()

    def _loop(self) -> None:
        while self._live or len(self._drawn) < self._sweep.total:
            self._hand_out()
            self._write_what_can_be()  # while workers work
            for outcome in self._engine.wait(_TICK):
                self._take(outcome)
            if self._stop.signal:
                self._part()
            self._save(at_least_every=1.0)
            if time.monotonic() - self._shown_at > _TICK:
                self._watch(self.result)
                self._shown_at = time.monotonic()

    def _recall(self, retry_failed: bool) -> None:
        """Take up what an earlier process recorded."""
        last: dict[int, Ending] = {}
        for ending, drawn in self._record.attempts():
            number = ending.number
            last[number] = ending
            if number not in self._recorded:
                self._recorded.add(number)
                self._first[number] = ending
                self._tell_before(number)
                self._drawn[number] = self._recalled(number, drawn)
        for number, ending in last.items():
            again = self._again(number) if ending.state == "failed" else None
            if again and (retry_failed or again.is_begun):  # or a retry that was interrupted goes on
                self._retry(again)
            else:
                here, *_ = folders = self._folder.run_dirs(number, self._sweep.settings.seeds)
                self._folder.check(ending, [partial(self._config_of, number, i) for i in range(len(folders))])
                self._ended[number] = replace(ending, run_dir=here) if here.exists() else ending  # it may have moved

    def _recalled(self, number: int, drawn: Drawn) -> Drawn:
        try:
            return self._sampling.recall(number, drawn)
        except (ValueError, LookupError, TypeError, AssertionError) as error:
            raise self._record.damaged(f"trial {number}: {error}") from error

    def _retry(self, trial: Trial) -> None:
        """Train a failed trial again from its first epoch, or continue a retry that was interrupted."""
        self._live[trial.number] = trial
        if trial.has_failed_before:
            self._retried.add(trial.number)

    def _hand_out(self) -> None:
        """Give the engine as much as it takes, earlier trials first."""
        while self._engine.free > 0:
            task = next(self._ready(), None)
            if task is not None:
                self._submit(task)
            elif not self._begin_next():
                break

    def _submit(self, task: Task) -> None:
        trial = self._live[task.trial]
        if trial.number in self._retried:
            self._retried.remove(trial.number)
            self._folder.put_aside(trial.number)
        trial.state = "running"
        self._under_way.add(task.key)
        self._engine.submit(task)

    def _ready(self) -> Iterator[Task]:
        for number in sorted(self._live):
            yield from (task for task in self._live[number].tasks() if task.key not in self._under_way)

    def _begin_next(self) -> bool:
        """Begin the next trial, if there is one and it may; whether it did."""
        number = len(self._drawn)
        if number >= self._sweep.total or any(
            other not in self._first for other in range(self._told, self._seen(number))
        ):
            return False
        self._tell_before(number)
        self._drawn[number] = self._sampling.draw(number)
        try:
            trial = self._trial(number)
        except ConfigError as error:
            self._end(self._unfit(number, error))
            return True
        self._restore_attempts(trial)
        if not trial.has_failed_before:
            self._live[number] = trial
        elif self._retry_failed:
            self._add_earlier(number, self._failure(trial))
            self._retry(self._trial(number))
        else:
            self._end(self._failure(trial))
        return True

    def _restore_attempts(self, trial: Trial) -> None:
        """Restore the failures of a trial that was tried again: later trials learned from the first of them."""
        for folders in self._folder.put_aside_dirs(trial.number, self._sweep.settings.seeds):
            before = self._trial(trial.number, folders)
            if before.has_failed_before:
                self._add_earlier(trial.number, self._failure(before))

    def _add_earlier(self, number: int, ending: Ending) -> None:
        self._first.setdefault(number, ending)
        self._earlier.setdefault(number, []).append(ending)

    def _failure(self, trial: Trial) -> Ending:
        """Return the end of a trial that is not in the study, and failed according to its folder."""
        try:
            trial.restore_failure()
        except ForeignRunError as error:
            raise self._folder.foreign(str(error), trial.members[0].run_dir) from error
        return trial.ending()

    def _seen(self, number: int) -> int:
        """How many of the first trials a trial may learn from."""
        return max(0, number - self._sweep.settings.parallel + 1) if self._sweep.learns else 0

    def _tell_before(self, number: int) -> None:
        """Let the sampler know what the next trial may learn from; it is told in order."""
        while self._told < self._seen(number):
            ending = self._first[self._told]
            values = None if ending.values is None else list(ending.values)
            self._sampling.tell(self._told, STATES[ending.state], values, ending.curve)
            self._told += 1

    def _verdict(self, number: int) -> FrozenTrial:
        """What came of a trial, for the pruner."""
        if number not in self._verdicts:
            ending = self._first[number]
            self._verdicts[number] = create_trial(
                state=STATES[ending.state],
                values=ending.values if ending.state == "complete" else None,
                intermediate_values=dict(ending.curve),
                system_attrs=dict(ending.marks),
            )
        return self._verdicts[number]

    def _trial(self, number: int, folders: Sequence[Path] = ()) -> Trial:
        settings, point = self._sweep.settings, self._drawn[number].point
        folders = folders or self._folder.run_dirs(number, settings.seeds)
        members = [Member(self._config(point, i), folder) for i, folder in enumerate(folders)]
        longest = max(member.config.fit.epochs for member in members)
        seen = self._seen(number) if settings.pruner.kind != "none" else 0
        judge = Judge(self._sweep, number, [self._verdict(other) for other in range(seen)])
        return Trial(number, point, members, judge.rungs(longest), judge, settings.objectives)

    def _again(self, number: int) -> Trial | None:
        """A trial that failed, from its beginning; None where its values do not go together."""
        try:
            return self._trial(number)
        except ConfigError:
            return None

    def _config_of(self, number: int, member: int) -> RunConfig:
        return self._config(self._drawn[number].point, member)

    def _config(self, point: Point, member: int) -> RunConfig:
        config = self._sweep.run_config(point, member).resolve()
        return config if config.threads else config.model_copy(update={"threads": self._threads})

    def _unfit(self, number: int, error: ConfigError) -> Ending:
        """A trial whose values do not go together."""
        point, (run_dir, *_) = self._drawn[number].point, self._folder.run_dirs(number, self._sweep.settings.seeds)
        return Ending(number, "failed", point.params, point.drawn, run_dir, error=str(error))

    def _take(self, outcome: Outcome) -> None:
        self._under_way.discard(outcome.task.key)
        trial = self._live.get(outcome.task.trial)
        if outcome.kind == "halted":
            raise SweepError(f"{outcome.message}; mend it, and continue with `{resume_command(self._folder.path)}`")
        if outcome.kind == "foreign":
            raise self._folder.foreign(outcome.message, Path(outcome.task.run_dir))
        if trial is not None:
            trial.take(outcome)
            if trial.has_ended:
                trial.mark_end()
                del self._live[trial.number]
                self._end(trial.ending())

    def _end(self, ending: Ending) -> None:
        """A trial has ended: it is recorded as soon as all before it are."""
        self._ended[ending.number] = ending
        self._first.setdefault(ending.number, ending)
        self._unwritten.add(ending.number)
        self._has_news = True

    def _write_what_can_be(self) -> None:
        """Record trials that have ended: in order, except that one that had failed is written once more at once."""
        for number in sorted(self._unwritten):
            if number > len(self._recorded):
                break
            self._write(number)
            self._unwritten.remove(number)

    def _write(self, number: int) -> None:
        for ending in (*self._earlier.pop(number, ()), self._ended[number]):
            self._record.add(ending, self._drawn[number], self._folder.checksums(ending))
        self._recorded.add(number)

    def _part(self) -> None:
        """End in good order: every run under way is saved."""
        self._engine.stop(self._stop.signal)
        deadline = time.monotonic() + _PARTING
        while self._under_way and time.monotonic() < deadline:
            for outcome in self._engine.wait(_TICK):
                self._take(outcome)
        ended = f"{len(self._ended)} of {self._sweep.total} trials have ended, and the sweep"
        raise RunInterrupted(self._folder.path, self._stop.signal, ended)

    def _save(self, at_least_every: float = 0.0) -> None:
        # a trial that has ended is saved at once, unless saving takes long
        wait = min(at_least_every, 20 * self._saving_took) if self._has_news else at_least_every
        begin = time.monotonic()
        if begin - self._written_at < wait:
            return
        result = self.result
        self._folder.write_results(result)
        if result.best is not None:
            self._folder.write_best(*self._best(result))
        self._written_at = time.monotonic()
        self._saving_took, self._has_news = self._written_at - begin, False

    def _best(self, result: SweepResult) -> tuple[RunConfig, str]:
        row, (objective, *_) = result.best, result.objectives
        assert row is not None
        seeds = row.get("values_by_seed")
        of_seed = f", {seeds[0]} with this seed, the first of {len(seeds)}" if seeds else ""
        title = f"trial {row['number']} of the sweep {result.name}: {objective.metric} {row['value']}{of_seed}"
        return self._config(self._drawn[row["number"]].point, 0), title
