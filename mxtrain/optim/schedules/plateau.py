"""Reduction of a value when a metric stops improving."""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar, Literal, Self

from pydantic import PrivateAttr

from mxtrain.errors import ConfigProblem
from mxtrain.optim.schedules.rate_schedule import RateSchedule
from mxtrain.types import METRIC_INFO, Monitor, NonNegative, NonNegativeInt, OpenUnit


class Plateau(RateSchedule):
    """Reduction when a metric stops improving: `value = max(η·factorᵏ, minimum)` after k reductions.

    After each epoch the metric is compared with the best so far. It improves if it differs from the best by more than
    `threshold·|best|` in the right direction. An epoch without improvement, or without a value, is a bad one; more than
    `patience` bad ones in a row are a reduction, after which `cooldown` epochs are not counted as bad.

    The number of reductions is a function of the metrics so far, which are part of each checkpoint, so a resumed run
    continues exactly. A rollback keeps it, like the metrics. Only `fit` measures metrics, so a hand-written loop cannot
    use this schedule; there, pass a function as the schedule.

    Args:
        η: learning rate before the first reduction, above 0; the default is that of the optimizer.
        monitor: the metric, such as `val_loss`.
        factor: factor of each reduction, above 0 and below 1.
        patience: number of bad epochs in a row that are accepted, at least 0.
        threshold: smallest relative change of the metric that is an improvement, at least 0.
        cooldown: number of epochs after a reduction that are not counted as bad, at least 0.
        minimum: least value, at least 0.
        per, warmup: as for every schedule; `per` is only the unit of the warm-up.

    Example:
        >>> schedule = Plateau(η=0.1, monitor="loss", factor=0.5, patience=1)
        >>> rows = [{"loss": loss} for loss in (3, 2, 2, 2, 2, 1)]
        >>> [schedule.reductions(rows[:i]) for i in range(7)]
        [0, 0, 0, 0, 1, 1, 1]

    Source: `torch.optim.lr_scheduler.ReduceLROnPlateau`, whose relative threshold is that of `best` itself, so that a
    negative metric may count as improved when it got worse; Keras's `ReduceLROnPlateau`, with an absolute threshold.
    """

    has_known_values: ClassVar = True
    kind: Literal["plateau"] = "plateau"
    monitor: Monitor = "val_loss"
    factor: OpenUnit = 0.1
    patience: NonNegativeInt = 10
    threshold: NonNegative = 1e-4
    cooldown: NonNegativeInt = 0
    minimum: NonNegative = 0.0
    _observed: list[int] = PrivateAttr(default_factory=list)
    """The number of reductions, in a list that copies of the schedule share; empty without a run."""

    @property
    def needs_run(self) -> bool:
        """True if no run reports metrics."""
        return not self._observed

    def run_problem(self) -> ConfigProblem | None:
        """Return the problem of the schedule outside of a run."""
        if self._observed:
            return super().run_problem()
        message = "plateau follows a metric, which only mxtrain.fit measures; in a loop of your own, use a function"
        return ConfigProblem("kind", message)

    def for_run(self, epochs: int, batches: int | Fraction, path: str = "optimizer.η_sched") -> Self:
        """Return the schedule of a run, before its first epoch."""
        resolved = super().for_run(epochs, batches, path).model_copy()
        resolved._observed = [0]
        return resolved

    def observe(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Set the number of reductions to that after these epochs, for all copies of the schedule."""
        self._observed[:] = [self.reductions(rows)]

    def reductions(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Return the number of reductions after epochs with these metrics."""
        best: float | None = None
        reductions = bad = cooling = 0
        for row in rows:
            value = row.get(self.monitor)
            if value is not None and (best is None or self._is_better(value, best)):
                best, bad = value, 0
            else:
                bad += 1
            if cooling > 0:
                cooling, bad = cooling - 1, 0
            if bad > self.patience:
                reductions, bad, cooling = reductions + 1, 0, self.cooldown
        return reductions

    def _is_better(self, value: float, best: float) -> bool:
        margin = self.threshold * abs(best)
        info = METRIC_INFO.get(self.monitor.removeprefix("val_"))
        return value > best + margin if info and info.is_maximized else value < best - margin

    def after_warmup(self, η: float, t: float) -> float:
        """`max(η·factorᵏ, minimum)`."""
        k = self._observed[0] if self._observed else 0
        return max(η * float(self.factor**k), min(η, self.minimum))

    def extremes_after_warmup(self, η: float) -> Iterator[tuple[str, float]]:
        """Yield η and the least value."""
        yield from (("η", η), ("minimum", min(η, self.minimum)))

    def observed_metrics(self) -> tuple[tuple[str, str], ...]:
        """Return the metric that is monitored."""
        return (("monitor", self.monitor),)
