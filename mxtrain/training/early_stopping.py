"""Early stopping: the best epoch so far, and the number of epochs since."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from mxtrain.config.fit_section import EarlyStopping
from mxtrain.training.callbacks import Row


def is_better(metric: str, value: float, than: float, by: float = 0.0) -> bool:
    """Return True if a metric improved by more than a margin: upwards for accuracy and r2, downwards for others.

    >>> is_better("val_loss", 0.1, than=0.2), is_better("val_r2", 0.1, than=0.2)
    (True, False)
    """
    return value > than + by if metric.removeprefix("val_") in ("accuracy", "r2") else value < than - by


@dataclass(slots=True)
class Patience:
    """The best epoch so far by the monitored metric; epoch 0 stands for none yet.

    Example:
        >>> patience, config = Patience(), EarlyStopping(monitor="loss", patience=2)
        >>> [patience.see({"epoch": i + 1, "loss": loss}, config) for i, loss in enumerate([3, 2, 2.5, 2.1])]
        [True, True, False, False]
        >>> patience.is_over(4, config), patience.epoch
        (True, 2)
    """

    epoch: int = 0
    value: float = 0.0

    @classmethod
    def after(cls, rows: Iterable[Row], config: EarlyStopping) -> "Patience":
        """As it stands after these epochs."""
        patience = cls()
        for row in rows:
            patience.see(row, config)
        return patience

    def see(self, row: Row, config: EarlyStopping) -> bool:
        """Take note of an epoch; whether it is the best so far."""
        value = row.get(config.monitor)
        if value is None:  # an epoch without a value is never the best
            return False
        if self.epoch and not is_better(config.monitor, value, self.value, config.min_delta):
            return False
        self.epoch, self.value = row["epoch"], value
        return True

    def is_over(self, epoch: int, config: EarlyStopping) -> bool:
        """Whether a run that has finished `epoch` epochs has waited long enough."""
        return bool(self.epoch) and epoch - self.epoch >= config.patience

    def to_record(self) -> dict[str, Any]:
        """As it is saved."""
        return asdict(self)
