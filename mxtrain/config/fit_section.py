"""The run file's `fit`: how long to train, and what to report."""

from typing import Annotated, Literal

from mxtrain.config.data_section import Listed
from mxtrain.types import Config, Count

MetricName = Literal["accuracy", "loss", "mae", "r2"]


class FitConfig(Config):
    """How long to train, and what to report.

    Args:
        epochs: passes over the training part, at least 1.
        metrics: what to report for each epoch besides `loss`: `accuracy`, `mae`, `r2`.
    """

    epochs: Count = 10
    metrics: Annotated[tuple[MetricName, ...], Listed] = ()
