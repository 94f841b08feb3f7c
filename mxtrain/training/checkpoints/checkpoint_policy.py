"""Schedule of checkpoints, and the choice of the best one."""

import time

from mxtrain.training.callbacks import Row
from mxtrain.training.checkpoints.storage import Checkpoints
from mxtrain.training.early_stopping import is_better
from mxtrain.training.trainer import Trainer

SHARE = 0.02
"""Largest fraction of the training time that checkpoints may take with `fit.checkpoint.every: auto`."""
FIRST_GUESS = 0.02
"""Assumed seconds for the first checkpoint: with `auto` it is due after a second."""
FIRST_SEGMENT_GUESS = 0.005
"""Assumed seconds for the first checkpoint of a run in a sweep."""


class CheckpointPolicy:
    """Writes checkpoints at the interval `fit.checkpoint.every`, for the best epoch, and at the end of a run.

    Args:
        trainer: the run.
        checkpoints: the checkpoints of the run.
        share: the fraction of time that checkpoints may take, in place of `fit.checkpoint.every`.
    """

    def __init__(self, trainer: Trainer, checkpoints: Checkpoints, share: float | None = None) -> None:
        self._trainer = trainer
        self._checkpoints = checkpoints
        checkpoints.prepare()
        self._config = trainer.config.fit.checkpoint
        self._interval = trainer.config.fit.checkpoint_interval
        self._share = SHARE if share is None and self._interval is None else share
        self._saved_at = time.monotonic()
        self._seconds_to_save = FIRST_GUESS if share is None else FIRST_SEGMENT_GUESS
        self._best: tuple[str, float] | None = None
        for row in trainer.rows:
            self._update_best(row)

    def after_step(self) -> None:
        """Write a checkpoint if one is due within an epoch."""
        if self._is_due_after_step():
            self.save()

    def after_epoch(self, row: Row) -> None:
        """Write a checkpoint if one is due after an epoch, if the epoch is the best, or if the run is over."""
        trainer = self._trainer
        is_best = self._update_best(row)
        if self._is_due_after_epoch() or is_best or trainer.is_over:
            self.save()

    def save(self) -> None:
        """Write a checkpoint.

        Raises:
            TrainingError: a parameter or a slot is not finite, or the checkpoint cannot be written.
        """
        begin = time.monotonic()
        self._trainer.check_parameters()
        self._checkpoints.save(self._trainer.snapshot(), self._best and self._best[0])
        self._saved_at = time.monotonic()
        self._seconds_to_save = self._saved_at - begin

    def _is_due_after_step(self) -> bool:
        if self._share is not None:
            # After the last step of an epoch `after_epoch` saves, so that the checkpoint holds the epoch's metrics.
            trainer = self._trainer
            return self._is_due_by_share(self._share) and trainer.state.curr_batch < len(trainer.batches)
        if self._interval is None:
            return False
        count, unit = self._interval.count, self._interval.unit
        by_iterations = unit == "iteration" and self._trainer.state.curr_iter % count == 0
        return by_iterations or (unit == "minute" and time.monotonic() - self._saved_at >= 60 * count)

    def _is_due_after_epoch(self) -> bool:
        if self._share is not None:
            return self._is_due_by_share(self._share)
        interval = self._interval
        return interval is not None and interval.unit == "epoch" and self._trainer.epochs % interval.count == 0

    def _is_due_by_share(self, share: float) -> bool:
        """Return whether enough time has passed since the last checkpoint for another one of the same cost."""
        return (time.monotonic() - self._saved_at) * share >= self._seconds_to_save

    def _update_best(self, row: Row) -> bool:
        """Return whether an epoch is the best so far; its checkpoint is then kept."""
        metric = self._config.best
        if metric is None or row[metric] is None or (self._best and not is_better(metric, row[metric], self._best[1])):
            return False
        self._best = (Checkpoints.name((row["epoch"], 0, row["epoch"])), row[metric])
        return True
