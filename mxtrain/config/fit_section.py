"""The `fit` section of a run file: epochs, metrics, checkpoints, early stopping, loggers."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from mxtrain.types import Config, ListAsTuple, MetricName, NonNegative, Positive, PositiveInt, mismatch_error

OnNonfinite = Literal["raise", "skip", "rollback"]
Monitor = Literal["loss", "accuracy", "mae", "r2", "val_loss", "val_accuracy", "val_mae", "val_r2"]
LoggerName = Literal["tensorboard", "mlflow"]

_INTERVAL = re.compile(r"([1-9]\d{0,8}) (epoch|iteration|minute)s?")
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Interval:
    """How often something happens: every so many epochs, iterations or minutes."""

    count: int
    unit: Literal["epoch", "iteration", "minute"]


def _validate_interval(text: str) -> str:
    if text != AUTO and not _INTERVAL.fullmatch(text):
        raise mismatch_error("auto, or a count and a unit, such as '1 epoch', '200 iterations' or '5 minutes'", text)
    return text


class CheckpointConfig(Config):
    """When the whole state of a run is saved, and how much of it is kept.

    Args:
        every: `auto`, at most 2 % of the time; or a count and a unit, such as `1 epoch`, `200 iterations` or
            `5 minutes`. With `on_nonfinite: rollback`, `auto` is `1 epoch`.
        keep: how many of the newest checkpoints are kept, at least 1.
        best: a metric, such as `val_loss`; the checkpoint of the epoch in which it was best is kept as well.
    """

    every: Annotated[str, AfterValidator(_validate_interval)] = AUTO
    keep: PositiveInt = 3
    best: Monitor | None = None

    @property
    def interval(self) -> Interval | None:
        """`every`, taken apart; None for `auto`."""
        if self.every == AUTO:
            return None
        match = _INTERVAL.fullmatch(self.every)
        assert match, "checked when the config was validated"
        unit: Any = match[2]
        return Interval(int(match[1]), unit)


class EarlyStopping(Config):
    """When a run stops before its last epoch.

    Args:
        monitor: the metric that must get better, such as `val_loss`.
        patience: epochs without an improvement after which the run stops, at least 1.
        min_delta: what counts as an improvement must be larger than this, at least 0.
        restore_best: whether the run ends with the parameters of its best epoch, rather than of its last.
    """

    monitor: Monitor = "val_loss"
    patience: PositiveInt = 5
    min_delta: NonNegative = 0.0
    restore_best: bool = True


class FitConfig(Config):
    """How long to train, what to report, what to keep, and when to stop.

    Args:
        epochs: passes over the training part, at least 1.
        metrics: what to report for each epoch besides `loss`: `accuracy`, `mae`, `r2`.
        clip_norm: the largest norm that the gradient of a batch, over all parameters and after `optimizer.scale`, may
            have, above 0: a longer one is shortened to it; left out, none is.
        diagnostics: whether each epoch also reports norms of gradients and sizes of updates.
        checkpoint: when the whole state of the run is saved.
        early_stopping: when the run stops before its last epoch; left out, never.
        on_nonfinite: what happens where a loss, a gradient or a parameter is NaN or infinite: `raise` ends the run,
            `skip` leaves that batch out, `rollback` also goes back to the last checkpoint that `checkpoint` schedules.
            The same applies to an update that would make a slot of the optimizer NaN or infinite.
        nonfinite_limit: such batches in a row after which the run ends all the same, at least 1.
        loggers: where metrics also go: `tensorboard`, `mlflow`.
    """

    epochs: PositiveInt = 10
    metrics: Annotated[tuple[MetricName, ...], ListAsTuple] = ()
    clip_norm: Positive | None = None
    diagnostics: bool = True
    checkpoint: CheckpointConfig = CheckpointConfig()
    early_stopping: EarlyStopping | None = None
    on_nonfinite: OnNonfinite = "raise"
    nonfinite_limit: PositiveInt = 10
    loggers: Annotated[tuple[LoggerName, ...], ListAsTuple, Field(max_length=2)] = ()

    @property
    def checkpoint_interval(self) -> Interval | None:
        """The schedule of checkpoints; None if it depends on the clock (`auto`).

        A rollback returns to a checkpoint, which must not depend on the clock, so `auto` is then every epoch.
        """
        interval = self.checkpoint.interval
        return Interval(1, "epoch") if interval is None and self.on_nonfinite == "rollback" else interval

    def rollback_problem(self) -> str | None:
        """Return why `checkpoint.every` cannot be combined with `on_nonfinite: rollback`; None if it can.

        This is not checked by validation, so that runs of earlier versions can still be opened.
        """
        interval = self.checkpoint.interval
        if self.on_nonfinite != "rollback" or interval is None or interval.unit != "minute":
            return None
        return (
            "minutes do not go with on_nonfinite: rollback, because the checkpoint that it goes back to would depend "
            f"on the speed of the machine, got {self.checkpoint.every!r}; use epochs or iterations, such as '1 epoch'"
        )
