"""Models built from a config or by the user's own factory, and the loss of a custom model."""

import math
from collections.abc import Callable, Mapping
from numbers import Real
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from mxtrain.config.model_section import CustomConfig, LinearConfig, MLPConfig, ModelConfig
from mxtrain.config.run_section import RunConfig
from mxtrain.errors import ConfigError, ConfigProblem, ModelError
from mxtrain.formatting import format_number
from mxtrain.nn.losses import LOSSES
from mxtrain.nn.mlp import MLP
from mxtrain.nn.model import Model
from mxtrain.optim.backends import array_kind, array_module, zeros_like
from mxtrain.types import CLASS_LOSSES, Array, LossName, describe


def build_model(config: ModelConfig, loss: LossName, n_features: int, n_outputs: int, xp: ModuleType = np) -> Model:
    """The model that a config describes, for data of `n_features`.

    Args:
        config: the run's `model`, one of the package's.
        loss: the run's `loss`.
        n_features, n_outputs: as the data have them and the loss needs them.
        xp: `numpy` or `cupy`.

    Example:
        >>> build_model(LinearConfig(bias=False), "logistic", n_features=4, n_outputs=1).shapes()
        {'W1': (4, 1)}
    """
    match config:
        case LinearConfig(bias=bias):
            return MLP((n_features, n_outputs), "relu", loss, bias, xp)
        case MLPConfig(hidden=hidden, activation=activation):
            return MLP((n_features, *hidden, n_outputs), activation, loss, xp=xp)
        case _:
            raise TypeError("a custom model is made by make_model, with what its user hands over")


ModelFactory: TypeAlias = Callable[[RunConfig, int, int, ModuleType], Model]
"""`(config, n_features, n_outputs, xp)` to a model, whose arrays are of `xp`, `numpy` or `cupy`."""

_METHODS = ("shapes", "init", "loss_and_grad", "predict")


def with_factory(config: RunConfig, factory: ModelFactory | None) -> RunConfig:
    """The config with the name of the factory that was handed over, so that the run tells what it was trained with.

    Raises:
        ConfigError: a factory is missing, is another one than the run was begun with, or is not asked for.
    """
    model = config.model
    if not isinstance(model, CustomConfig):
        if factory is None:
            return config
        raise _config_error(
            "model", f"a model was handed over, but the config has {model.kind}; set model: {{kind: custom}}"
        )
    if factory is None:
        called = f" {model.plugin}" if model.plugin else ""
        raise _config_error(
            "model", f"the model{called} is not in the config; hand it over with --plugin, or with model="
        )
    name = factory_name(factory)
    if model.plugin not in (None, name):
        raise _config_error("model.plugin", f"is {model.plugin}, but {name} was handed over; hand over {model.plugin}")
    return config.model_copy(update={"model": model.model_copy(update={"plugin": name})})


def make_model(
    config: RunConfig, factory: ModelFactory | None, n_features: int, n_outputs: int, xp: ModuleType
) -> Model:
    """The model of a run: one of the package's, or what the factory makes.

    Raises:
        ConfigError: as `with_factory`.
        ModelError: what the factory makes is no model.
    """
    with_factory(config, factory)
    if factory is None:
        return build_model(config.model, config.decoding, n_features, n_outputs, xp)
    model = factory(config.model_copy(deep=True), n_features, n_outputs, xp)  # its settings are the user's to change
    _check_model(model, config, n_features, n_outputs, xp, factory_name(factory))
    return model


def check_returned(returned: Any, factory: ModelFactory, rows: int, columns: int | None = None) -> None:
    """Look at what the first step of a model returned: what is wrong with it is wrong with every step.

    Args:
        returned: what `loss_and_grad` returned.
        factory: what made the model.
        rows, columns: of the outputs, n and k; None for any k.

    Raises:
        ModelError: it is not the loss and the outputs, the loss is not a scalar, or the outputs have another shape.
    """
    place = f"the model of {factory_name(factory)}: loss_and_grad"
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        got = f"{len(returned)} things" if isinstance(returned, tuple | list) else describe_returned_value(returned)
        raise ModelError(f"{place} must return two things, the loss and the outputs, got {got}")
    loss, outputs = returned
    if not is_scalar(loss):
        got = describe_returned_value(loss)
        raise ModelError(f"{place} must return a scalar as the loss, got {got}; return the sum of the batch's losses")
    shape = tuple(getattr(outputs, "shape", ()))
    if len(shape) != 2 or shape[0] != rows or columns not in (None, shape[1]):
        wanted = f"({rows}, {columns or 'k'})"
        raise ModelError(f"{place} must return outputs of the shape {wanted}, got {describe_returned_value(outputs)}")


def check_methods(model: Any, called: str) -> None:
    """A ModelError where something is no model."""
    lacking = [method for method in _METHODS if not callable(getattr(model, method, None))]
    if lacking:
        raise ModelError(f"{called} is no model: it lacks {', '.join(lacking)}")


def factory_name(factory: ModelFactory) -> str:
    """What a factory is called: its module and its name.

    >>> factory_name(make_model)
    'mxtrain.nn.custom_models.make_model'
    """
    named = factory if hasattr(factory, "__qualname__") else type(factory)
    return f"{named.__module__}.{named.__qualname__}"


def _check_model(model: Any, config: RunConfig, n_features: int, n_outputs: int, xp: ModuleType, name: str) -> None:
    """Try a model once, so that what is wrong with it is told before anything is trained."""
    check_methods(model, f"what {name} returns")
    shapes = model.shapes()
    params = {key: xp.asarray(value) for key, value in model.init(config.seed, config.dtype).items()}
    found = {key: tuple(value.shape) for key, value in params.items()}
    if found != dict(shapes):
        raise ModelError(f"the model of {name} says it has the shapes {shapes}, but its init returns {found}")
    for pattern, message in config.optimizer.unused_groups(found):
        raise _config_error(f"optimizer.groups.{pattern}", message)
    for key, value in params.items():
        if value.dtype != config.dtype:
            raise ModelError(f"the model of {name}: its init returns {key} as {value.dtype}, not {config.dtype}")
    with np.errstate(all="ignore"):
        outputs = model.predict(params, xp.zeros((2, n_features), config.dtype))
    if getattr(outputs, "shape", None) != (2, n_outputs):
        got = getattr(outputs, "shape", type(outputs).__name__)
        raise ModelError(f"the model of {name}: predict must return {(2, n_outputs)} for two samples, got {got}")


def is_scalar(value: Any) -> bool:
    """Whether it is a number, or an array without dimensions that holds one, on the host or on a device."""
    kind = getattr(getattr(value, "dtype", None), "kind", "f")
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    return is_number or (getattr(value, "shape", None) == () and kind not in "bcmMOSU")


def describe_returned_value(value: Any) -> str:
    """A value as a message shows it: an array by its shape, unless it has none."""
    return f"an array of the shape {tuple(shape)}" if (shape := getattr(value, "shape", ())) else describe(value)


def _config_error(path: str, message: str) -> ConfigError:
    return ConfigError([ConfigProblem(path, message)])


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
        return lambda inputs, outputs, targets: _checked_scalar(config, "loss", own(outputs, targets))
    grads = {name: zeros_like(value) for name, value in params.items()}

    def value(inputs: Array, outputs: Array, targets: Array) -> Any:
        return _checked_scalar(config, "loss_and_grad", model.loss_and_grad(params, inputs, targets, grads)[0])

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
            other = float(_checked_scalar(config, "loss", own(found_outputs, targets) if callable(own) else None))
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
            f"{_model_name(config)}: loss must return what loss_and_grad returns as the loss, the sum over the batch, "
            f"got {format_number(other)} instead of {format_number(found)} for the first batch"
        )
    remedy = "set loss: custom"
    if config.loss in CLASS_LOSSES:
        remedy += f" and model.targets: {'binary' if config.loss == 'logistic' else 'classes'}"
    raise ConfigError(
        [
            ConfigProblem(
                "loss",
                f"is {config.loss}, but {_model_name(config)} computes another loss: {format_number(found)} "
                f"for the first batch, where {config.loss} is {format_number(other)}; {remedy}",
            )
        ]
    )


def _checked_scalar(config: RunConfig, method: str, value: Any) -> Any:
    if not is_scalar(value):
        got = describe_returned_value(value)
        raise ModelError(
            f"{_model_name(config)}: {method} must return a scalar, got {got}; return the sum of the batch's losses"
        )
    return value


def _model_name(config: RunConfig) -> str:
    plugin = config.model.plugin if isinstance(config.model, CustomConfig) else None
    return f"the model of {plugin}" if plugin else "the model"
