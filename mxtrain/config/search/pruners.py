"""The catalogue of pruners: who ends trials that do badly before their last epoch. They are Optuna's."""

from typing import Annotated, Literal

from pydantic import Field

from mxtrain.types import Bounds, Config, Count, Whole

Reduction = Annotated[int, Bounds(ge=2, whole=True, ceiling=2**31 - 1)]


class NoPruner(Config):
    """Every trial is trained to its end."""

    kind: Literal["none"] = "none"


class Median(Config):
    """A trial ends where its best value so far is worse than the median of earlier trials at the same epoch.

    Args:
        startup: trials that are trained to their end before any is ended early, at least 1.
        warmup: epochs of each trial in which it is left alone, at least 0.
        interval: epochs from one look at a trial to the next, at least 1.
    """

    kind: Literal["median"] = "median"
    startup: Count = 5
    warmup: Whole = 0
    interval: Count = 1


class ASHA(Config):
    """Successive halving, asynchronous: of the trials that reach a rung, one in `reduction` goes on to the next.

    The rungs stand at `min_epochs`, `min_epochs`·`reduction`, `min_epochs`·`reduction`² and so on.

    Args:
        reduction: how many times fewer trials, and more epochs, from rung to rung, at least 2.
        min_epochs: the epoch of the first rung, at least 1.
    """

    kind: Literal["asha"] = "asha"
    reduction: Reduction = 4
    min_epochs: Count = 1


class Hyperband(Config):
    """Several successive halvings side by side, whose first rungs stand at different epochs.

    Args:
        reduction: how many times fewer trials, and more epochs, from rung to rung, at least 2.
        min_epochs: the epoch of the first rung of all, at least 1.
    """

    kind: Literal["hyperband"] = "hyperband"
    reduction: Reduction = 3
    min_epochs: Count = 1


PRUNERS = (NoPruner, Median, ASHA, Hyperband)
AnyPruner = Annotated[NoPruner | Median | ASHA | Hyperband, Field(discriminator="kind")]
