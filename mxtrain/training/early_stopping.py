"""Early stopping: comparison of metrics, and the best epoch so far."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from mxtrain.config.fit_section import EarlyStopping
from mxtrain.training.callbacks import Row
from mxtrain.types import METRIC_INFO


def is_better(metric: str, value: float, than: float, by: float = 0.0) -> bool:
    """Return True if a metric improved by more than a margin: upwards if it is maximized, otherwise downwards.

    A metric that mxtrain does not know, as in a metrics.jsonl of another program, is minimized.

    >>> is_better("val_loss", 0.1, than=0.2), is_better("val_r2", 0.1, than=0.2)
    (True, False)
    """
    info = METRIC_INFO.get(metric.removeprefix("val_"))
    return value > than + by if info and info.is_maximized else value < than - by


@dataclass(slots=True)
class BestEpoch:
    """The best epoch so far by the metric that early stopping monitors; epoch 0 if there is none.

    Example:
        >>> best, config = BestEpoch(), EarlyStopping(monitor="loss", patience=2)
        >>> [best.update({"epoch": i + 1, "loss": loss}, config) for i, loss in enumerate([3, 2, 2.5, 2.1])]
        [True, True, False, False]
        >>> best.is_patience_exhausted(4, config), best.epoch
        (True, 2)
    """

    epoch: int = 0
    value: float = 0.0

    @classmethod
    def of(cls, rows: Iterable[Row], config: EarlyStopping) -> "BestEpoch":
        """Return the best of these epochs."""
        best = cls()
        for row in rows:
            best.update(row, config)
        return best

    def update(self, row: Row, config: EarlyStopping) -> bool:
        """Compare an epoch with the best so far, and return whether it is better."""
        value = row.get(config.monitor)
        if value is None:  # an epoch without a value is never the best
            return False
        if self.epoch and not is_better(config.monitor, value, self.value, config.min_delta):
            return False
        self.epoch, self.value = row["epoch"], value
        return True

    def is_patience_exhausted(self, epoch: int, config: EarlyStopping) -> bool:
        """Return whether a run with `epoch` finished epochs is stopped."""
        return bool(self.epoch) and epoch - self.epoch >= config.patience

    def to_record(self) -> dict[str, Any]:
        """Return the epoch and its value as plain numbers."""
        return asdict(self)
