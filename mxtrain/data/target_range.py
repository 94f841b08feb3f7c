"""Refusal of targets for which a loss is not defined, and of values whose squares overflow."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.data.batches import InMemorySamples, Samples
from mxtrain.data.dataset_config import DatasetConfig
from mxtrain.data.preprocessing.feature_problems import feature_overflow_error, overflow_error
from mxtrain.data.preprocessing.preprocessing import Preprocessing
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
            2 on, one that is not positive; or a target is too large for the dtype.
    """
    kind, loss = loss_kind(config.loss_spec), as_loss_config(config.loss_spec)
    if kind not in ("poisson", "gamma", "tweedie"):
        return
    if (np.abs(targets) > float(np.finfo(config.dtype).max)).any():
        values = np.ravel(targets).astype(np.float64)
        raise overflow_error(config.data.source, name, config.dtype, values, "scale it down")
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


def check_squares(config: DatasetConfig, fitted: Preprocessing, training: Samples) -> None:
    """Check that squares of a table's targets, and of its features that are not standardized, are finite in the dtype.

    Otherwise the first loss, or the gradients of the weights of a feature, would overflow. Arrays are not checked:
    `fit.on_nonfinite` decides about them.

    Args:
        config: the config of the run.
        fitted: its preprocessing.
        training: the training set.

    Raises:
        DataError: a value is too large.
    """
    if not config.data.is_table:
        return
    limit, source = np.sqrt(float(np.finfo(config.dtype).max)), config.data.source
    is_squared = loss_kind(config.loss_spec) == "squared_error" and not config.has_custom_loss
    if is_squared and len(training.targets) and (np.abs(training.targets) > limit).any():
        remedy = "scale it down" if fitted.target_scale else "set data.standardize_target: true"
        raise overflow_error(source, fitted.target, config.dtype, training.targets.astype(np.float64), remedy)
    if config.data.standardize != "none" or not isinstance(training, InMemorySamples) or not len(training.inputs):
        return
    largest = np.abs(training.inputs).max(axis=0)
    if (largest > limit).any():
        index = int(largest.argmax())
        values = training.inputs[:, index].astype(np.float64)
        raise feature_overflow_error(source, fitted.feature_names[index], config.dtype, values, fitted.standardization)
