"""Refusal of targets for which a loss is not defined."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.data.in_memory_data import DatasetConfig
from mxtrain.errors import DataError
from mxtrain.loss_config import TweedieConfig, as_loss_config, loss_kind


def check_target_range(config: DatasetConfig, name: str, targets: NDArray[Any]) -> None:
    """Check that the losses of counts and of positive numbers get such targets.

    Args:
        config: the config of the run.
        name: the name of the target.
        targets: (n,) or (n, k), in the original unit.

    Raises:
        DataError: poisson, or tweedie with a power below 2, gets a negative target; gamma, or tweedie with a power from
            2 on, one that is not positive.
    """
    kind, loss = loss_kind(config.loss_spec), as_loss_config(config.loss_spec)
    if kind not in ("poisson", "gamma", "tweedie"):
        return
    is_positive = kind == "gamma" or (isinstance(loss, TweedieConfig) and loss.power >= 2)
    is_wrong = targets <= 0 if is_positive else targets < 0
    if not is_wrong.any():
        return
    wrong, least = targets[is_wrong], "above 0" if is_positive else "at least 0"
    remedy = "poisson, tweedie with a power below 2, or squared_error" if (targets >= 0).all() else "squared_error"
    raise DataError(
        f"{config.data.source}: {name!r} must be {least} for loss: {kind}, got {np.asarray(wrong).flat[0]:g} "
        f"({len(wrong):,} of {targets.size:,} are not); correct it, or set loss: {remedy}"
    )
