"""When checkpoints are written, and which one was the best."""

import time

from mxtrain.config.fit_section import is_better
from mxtrain.training.callbacks import Row
from mxtrain.training.checkpoints import Checkpoints
from mxtrain.training.trainer import Trainer

FIRST_GUESS = 0.005
"""Seconds that saving is taken to cost before it was done."""


class Saver:
    """Saves a run as often as `fit.checkpoint.every` says, and at its end.

    Args:
        trainer: the run.
        checkpoints: where it is saved.
        share: where given, it is saved so often that saving takes this share of the time, rather than as often as
            `fit.checkpoint.every` says.
    """

    def __init__(self, trainer: Trainer, checkpoints: Checkpoints, share: float | None = None) -> None:
        self._trainer = trainer
        self._checkpoints = checkpoints
        checkpoints.prepare()
        self._config = trainer.config.fit.checkpoint
        self._interval = self._config.interval
        self._share = share
        self._saved_at = time.monotonic()
        self._seconds_to_save = FIRST_GUESS
        self._best: tuple[str, float] | None = None
        for row in trainer.rows:
            self._note_best(row)

    def after_step(self) -> None:
        """Save, if it is time for it in the middle of an epoch."""
        if self._is_due_after_step():
            self.save()

    def after_epoch(self, row: Row) -> None:
        """Save, if it is time for it at the end of an epoch, if the epoch was the best, or if the run is over."""
        trainer = self._trainer
        is_best = self._note_best(row)
        by_epochs = self._share is None and self._interval.unit == "epoch"
        is_due = by_epochs and trainer.epochs % self._interval.count == 0
        if is_due or is_best or trainer.is_over:
            self.save()

    def save(self) -> None:
        """Save now.

        Raises:
            TrainingError: a parameter is no longer finite, or the checkpoint cannot be written.
        """
        begin = time.monotonic()
        self._trainer.check_parameters()
        self._checkpoints.save(self._trainer.snapshot(), self._best and self._best[0])
        self._saved_at = time.monotonic()
        self._seconds_to_save = self._saved_at - begin

    def _is_due_after_step(self) -> bool:
        since = time.monotonic() - self._saved_at
        if self._share is not None:
            return since * self._share >= self._seconds_to_save
        count, unit = self._interval.count, self._interval.unit
        by_iterations = unit == "iteration" and self._trainer.state.curr_iter % count == 0
        return by_iterations or (unit == "minute" and since >= 60 * count)

    def _note_best(self, row: Row) -> bool:
        """Whether an epoch is the best so far; its checkpoint is then the one to keep."""
        metric = self._config.best
        if metric is None or row[metric] is None or (self._best and not is_better(metric, row[metric], self._best[1])):
            return False
        self._best = (Checkpoints.name((row["epoch"], 0, row["epoch"])), row[metric])
        return True
