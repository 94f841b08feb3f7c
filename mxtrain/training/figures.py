"""An epoch's metrics in a few words."""

from mxtrain.numbers import short
from mxtrain.training.callbacks import Row

NOT_METRICS = ("epoch", "iteration", "η", "μ", "diagnostics")
"""What else stands in a row."""


def figures(row: Row) -> str:
    """The epoch and its metrics.

    >>> figures({"epoch": 3, "iteration": 90, "loss": 0.25, "val_loss": 0.5, "η": 0.001})
    'epoch 3: loss 0.2500, val_loss 0.5000'
    """
    values = ", ".join(f"{name} {short(value)}" for name, value in row.items() if name not in NOT_METRICS)
    return f"epoch {row['epoch']}: {values}"
