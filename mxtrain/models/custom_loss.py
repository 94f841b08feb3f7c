"""The loss of a custom model, used for training, validation, early stopping, evaluation and sweeps."""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from mxtrain.backends import array_kind, array_module, zeros_like
from mxtrain.config.run import CLASS_LOSSES, CustomConfig, RunConfig
from mxtrain.errors import ConfigError, ModelError, Problem
from mxtrain.models.custom import describe_returned, is_scalar
from mxtrain.models.losses import LOSSES
from mxtrain.models.model import Model
from mxtrain.numbers import short
from mxtrain.types import Array

CustomLoss: TypeAlias = Callable[[Array, Array, Array], Any]
"""`(inputs, outputs, targets)` to the sum of the batch's losses."""

_TOLERANCE = 1e-3
"""Relative difference of two sums of one loss; float32 sums in another order differ by less."""


def custom_loss(config: RunConfig, model: Model, params: Mapping[str, Array]) -> CustomLoss:
    """Return the loss of a model with `loss: custom`: its method `loss`, or else the value of its `loss_and_grad`.

    Args:
        config: the resolved config.
        model: the custom model.
        params: its parameters, by name.

    Raises:
        ModelError: when called, if the model does not return a scalar.
    """
    own = getattr(model, "loss", None)
    if callable(own):
        return lambda inputs, outputs, targets: _scalar(config, "loss", own(outputs, targets))
    grads = {name: zeros_like(value) for name, value in params.items()}

    def value(inputs: Array, outputs: Array, targets: Array) -> Any:
        return _scalar(config, "loss_and_grad", model.loss_and_grad(params, inputs, targets, grads)[0])

    return value


def compare_losses(
    config: RunConfig, model: Model, loss: Any, outputs: Array, predicted: Callable[[], Array], targets: Array
) -> bool:
    """Compare the loss of a training batch with the loss that evaluation uses.

    Args:
        config: the resolved config.
        model: the custom model.
        loss, outputs: what its `loss_and_grad` returned for the batch.
        predicted: the outputs of `predict` for the batch; a model with dropout returns others in training.
        targets: of the batch.

    Returns:
        False if they cannot be compared because one is infinite or NaN.

    Raises:
        ConfigError: the config names a built-in loss, and the model computes another one.
        ModelError: the model's `loss` and `loss_and_grad` differ, or `loss` does not return a scalar.
    """
    own = getattr(model, "loss", None)
    if config.loss == "custom" and not callable(own):
        return True
    found = float(loss)
    if not math.isfinite(found):
        return False
    candidates: tuple[Callable[[], Array], ...] = (lambda: outputs, predicted)
    for candidate in candidates:
        found_outputs = candidate()
        if config.loss == "custom":
            other = float(_scalar(config, "loss", own(found_outputs, targets) if callable(own) else None))
        else:
            xp = array_module(array_kind(found_outputs) or "numpy")
            scratch = xp.empty(found_outputs.shape, found_outputs.dtype)
            other = float(LOSSES[config.loss](xp, found_outputs, targets, scratch))
        if math.isclose(found, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE * _TOLERANCE * len(targets)):
            return True
    if not math.isfinite(other):
        return False
    if config.loss == "custom":
        raise ModelError(
            f"{_name(config)}: loss must return what loss_and_grad returns as the loss, the sum over the batch, "
            f"got {short(other)} instead of {short(found)} for the first batch"
        )
    remedy = "set loss: custom"
    if config.loss in CLASS_LOSSES:
        remedy += f" and model.targets: {'binary' if config.loss == 'logistic' else 'classes'}"
    raise ConfigError(
        [
            Problem(
                "loss",
                f"is {config.loss}, but {_name(config)} computes another loss: {short(found)} for the first batch, "
                f"where {config.loss} is {short(other)}; {remedy}",
            )
        ]
    )


def _scalar(config: RunConfig, method: str, value: Any) -> Any:
    if not is_scalar(value):
        got = describe_returned(value)
        raise ModelError(
            f"{_name(config)}: {method} must return a scalar, got {got}; return the sum of the batch's losses"
        )
    return value


def _name(config: RunConfig) -> str:
    plugin = config.model.plugin if isinstance(config.model, CustomConfig) else None
    return f"the model of {plugin}" if plugin else "the model"
