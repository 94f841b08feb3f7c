"""When checkpoints are written, and which one was the best."""

import time

from mxtrain.config.fit_section import Interval, is_better
from mxtrain.training.callbacks import Row
from mxtrain.training.checkpoints import Checkpoints
from mxtrain.training.snapshot import Snapshot
from mxtrain.training.trainer import Trainer


class Saver:
    """Saves a run as often as `fit.checkpoint.every` says, and at its end.

    Args:
        trainer: the run.
        checkpoints: where it is saved.
        interval: how often, where it is not as `fit.checkpoint.every` says.
    """

    def __init__(self, trainer: Trainer, checkpoints: Checkpoints, interval: Interval | None = None) -> None:
        self._trainer = trainer
        self._checkpoints = checkpoints
        checkpoints.prepare()
        self._config = trainer.config.fit.checkpoint
        self._interval = interval or self._config.interval
        self._saved_at = time.monotonic()
        self._best: tuple[str, float] | None = None
        for row in trainer.rows:
            self._note_best(row)

    def after_step(self) -> None:
        """Save, if it is time for it in the middle of an epoch."""
        count, unit = self._interval.count, self._interval.unit
        by_iterations = unit == "iteration" and self._trainer.state.curr_iter % count == 0
        seconds = {"second": 1, "minute": 60}.get(unit, 0) * count
        by_time = seconds > 0 and time.monotonic() - self._saved_at >= seconds
        if by_iterations or by_time:
            self.save()

    def after_epoch(self, row: Row) -> None:
        """Save, if it is time for it at the end of an epoch, if the epoch was the best, or if the run is over."""
        trainer = self._trainer
        is_best = self._note_best(row)
        is_due = self._interval.unit == "epoch" and trainer.epochs % self._interval.count == 0
        if is_due or is_best or trainer.is_over:
            self.save()

    def save(self) -> None:
        """Save now.

        Raises:
            TrainingError: a parameter is no longer finite, or the checkpoint cannot be written.
        """
        self._trainer.check_parameters()
        self._checkpoints.save(self._trainer.snapshot(), self._best and self._best[0])
        self._saved_at = time.monotonic()

    def last_good(self) -> Snapshot | None:
        """The newest checkpoint that is whole."""
        return self._checkpoints.newest()

    def _note_best(self, row: Row) -> bool:
        """Whether an epoch is the best so far; its checkpoint is then the one to keep."""
        metric = self._config.best
        if metric is None or (self._best and not is_better(metric, row[metric], self._best[1])):
            return False
        self._best = (Checkpoints.name((row["epoch"], 0, row["epoch"])), row[metric])
        return True
