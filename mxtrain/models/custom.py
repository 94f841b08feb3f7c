"""Models of users: handed over by Python or by a module that the user names, never by a config alone."""

from collections.abc import Callable
from numbers import Real
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from mxtrain.config.run import CustomConfig, RunConfig
from mxtrain.errors import ConfigError, ModelError, Problem
from mxtrain.models.build import build_model
from mxtrain.models.model import Model
from mxtrain.types import describe

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
        raise _wrong("model", f"a model was handed over, but the config has {model.kind}; set model: {{kind: custom}}")
    if factory is None:
        called = f" {model.plugin}" if model.plugin else ""
        raise _wrong("model", f"the model{called} is not in the config; hand it over with --plugin, or with model=")
    name = factory_name(factory)
    if model.plugin not in (None, name):
        raise _wrong("model.plugin", f"is {model.plugin}, but {name} was handed over; hand over {model.plugin}")
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
    _check(model, config, n_features, n_outputs, xp, factory_name(factory))
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
        got = f"{len(returned)} things" if isinstance(returned, tuple | list) else describe_returned(returned)
        raise ModelError(f"{place} must return two things, the loss and the outputs, got {got}")
    loss, outputs = returned
    if not is_scalar(loss):
        got = describe_returned(loss)
        raise ModelError(f"{place} must return a scalar as the loss, got {got}; return the sum of the batch's losses")
    shape = tuple(getattr(outputs, "shape", ()))
    if len(shape) != 2 or shape[0] != rows or columns not in (None, shape[1]):
        wanted = f"({rows}, {columns or 'k'})"
        raise ModelError(f"{place} must return outputs of the shape {wanted}, got {describe_returned(outputs)}")


def check_methods(model: Any, called: str) -> None:
    """A ModelError where something is no model."""
    lacking = [method for method in _METHODS if not callable(getattr(model, method, None))]
    if lacking:
        raise ModelError(f"{called} is no model: it lacks {', '.join(lacking)}")


def factory_name(factory: ModelFactory) -> str:
    """What a factory is called: its module and its name.

    >>> factory_name(make_model)
    'mxtrain.models.custom.make_model'
    """
    named = factory if hasattr(factory, "__qualname__") else type(factory)
    return f"{named.__module__}.{named.__qualname__}"


def _check(model: Any, config: RunConfig, n_features: int, n_outputs: int, xp: ModuleType, name: str) -> None:
    """Try a model once, so that what is wrong with it is told before anything is trained."""
    check_methods(model, f"what {name} returns")
    shapes = model.shapes()
    params = {key: xp.asarray(value) for key, value in model.init(config.seed, config.dtype).items()}
    found = {key: tuple(value.shape) for key, value in params.items()}
    if found != dict(shapes):
        raise ModelError(f"the model of {name} says it has the shapes {shapes}, but its init returns {found}")
    for pattern, message in config.optimizer.idle_groups(found):
        raise _wrong(f"optimizer.groups.{pattern}", message)
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


def describe_returned(value: Any) -> str:
    """A value as a message shows it: an array by its shape, unless it has none."""
    return f"an array of the shape {tuple(shape)}" if (shape := getattr(value, "shape", ())) else describe(value)


def _wrong(path: str, message: str) -> ConfigError:
    return ConfigError([Problem(path, message)])
