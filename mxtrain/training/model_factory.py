"""Models built from a config or by a user's factory, and checks of custom models and their losses."""

import math
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from mxtrain import nn
from mxtrain.config import CustomConfig, LinearConfig, MLPConfig, ModelConfig, RunConfig, run_from_dict
from mxtrain.errors import ConfigError, ConfigProblem, ModelError
from mxtrain.formatting import format_number
from mxtrain.loss_config import LossSpec, count_outputs, loss_kind
from mxtrain.nn import MLP, CustomLoss, Model, accepts_weights, build_loss, check_methods, qualified_name
from mxtrain.nn.gradient_check import check_samples
from mxtrain.nn.model import describe_returned_value, is_scalar
from mxtrain.optim.backends import array_kind, array_module, zeros_like
from mxtrain.optim.param_groups import check_groups
from mxtrain.types import CLASS_LOSSES, Array

ModelFactory: TypeAlias = Callable[[RunConfig, int, int, ModuleType], Model]
"""`(config, n_features, n_outputs, xp)` to a model with arrays of the module `xp`, `numpy` or `cupy`."""

_TOLERANCE = 1e-3
"""Relative difference of two sums of one loss; float32 sums in different orders differ by less."""


def build_model(config: ModelConfig, loss: LossSpec, n_features: int, n_outputs: int, xp: ModuleType = np) -> Model:
    """Build a built-in model from its config.

    Args:
        config: the `model` section of a run, of a built-in kind.
        loss: the `loss` of the run.
        n_features: the number of features.
        n_outputs: the number of outputs that the loss needs.
        xp: the array module, `numpy` or `cupy`.

    Example:
        >>> build_model(LinearConfig(bias=False), "logistic", n_features=4, n_outputs=1).shapes()
        {'W1': (4, 1)}
    """
    match config:
        case LinearConfig(bias=bias, output_init=init):
            return MLP((n_features, n_outputs), "relu", loss, bias, xp, zero_outputs=init == "zero")
        case MLPConfig(hidden=hidden, activation=activation, output_init=init):
            widths = (n_features, *hidden, n_outputs)
            return MLP(widths, activation, loss, xp=xp, zero_outputs=init == "zero")
        case _:
            raise TypeError("a custom model is built by make_model, with the user's factory")


def with_factory(config: RunConfig, factory: ModelFactory | None) -> RunConfig:
    """Return the config with the name of the factory, so that the run's folder records it.

    Raises:
        ConfigError: the factory is missing, differs from that of the run, or the config has a built-in model.
    """
    model = config.model
    if not isinstance(model, CustomConfig):
        if factory is None:
            return config
        message = f"a model was passed, but the config has kind: {model.kind}; set model: {{kind: custom}}"
        raise _config_error("model", message)
    if factory is None:
        name = f" {model.plugin}" if model.plugin else ""
        message = f"the model{name} is not in the config; pass it with --plugin, or with model="
        raise _config_error("model", message)
    name = qualified_name(factory)
    if model.plugin not in (None, name):
        raise _config_error("model.plugin", f"is {model.plugin}, but {name} was passed; pass {model.plugin}")
    return config.model_copy(update={"model": model.model_copy(update={"plugin": name})})


def make_model(
    config: RunConfig, factory: ModelFactory | None, n_features: int, n_outputs: int, xp: ModuleType
) -> Model:
    """Make the model of a run: a built-in one, or what the factory returns.

    Raises:
        ConfigError: as `with_factory`, or a group of the optimizer takes none of the parameters.
        ModelError: the factory does not return a model.
    """
    with_factory(config, factory)
    if factory is None:
        built = build_model(config.model, config.loss_spec, n_features, n_outputs, xp)
        check_groups(config.optimizer, built.shapes())
        return built
    model = factory(config.model_copy(deep=True), n_features, n_outputs, xp)  # it may change the settings
    _check_model(model, config, n_features, n_outputs, xp, qualified_name(factory))
    return model


def _check_model(model: Any, config: RunConfig, n_features: int, n_outputs: int, xp: ModuleType, name: str) -> None:
    """Call the methods of a custom model once, so that errors are found before training."""
    check_methods(model, f"what {name} returns")
    shapes = model.shapes()
    params = {key: xp.asarray(value) for key, value in model.init(config.seed, config.dtype).items()}
    found = {key: tuple(value.shape) for key, value in params.items()}
    if found != dict(shapes):
        raise ModelError(f"the model of {name} has the shapes {shapes}, but its init returns {found}")
    check_groups(config.optimizer, found)
    for key, value in params.items():
        if value.dtype != config.dtype:
            raise ModelError(f"the model of {name}: its init returns {key} as {value.dtype}, not {config.dtype}")
    with np.errstate(all="ignore"):
        outputs = model.predict(params, xp.zeros((2, n_features), config.dtype))
    if getattr(outputs, "shape", None) != (2, n_outputs):
        got = getattr(outputs, "shape", type(outputs).__name__)
        raise ModelError(f"the model of {name}: predict must return {(2, n_outputs)} for two samples, got {got}")


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
        return lambda inputs, outputs, targets, weights: _check_scalar(
            config, "loss", own(outputs, targets, **weights_argument(config, own, weights))
        )
    grads = {name: zeros_like(value) for name, value in params.items()}

    def value(inputs: Array, outputs: Array, targets: Array, weights: Array | None) -> Any:
        given = weights_argument(config, model.loss_and_grad, weights)
        return _check_scalar(config, "loss_and_grad", model.loss_and_grad(params, inputs, targets, grads, **given)[0])

    return value


def weights_argument(config: RunConfig, method: Callable[..., Any], weights: Array | None) -> dict[str, Array]:
    """Return the weights of samples as a keyword argument of a model's method; nothing without weights.

    Raises:
        ModelError: there are weights, and the method does not take them.
    """
    if weights is None:
        return {}
    if not accepts_weights(method):
        name = getattr(method, "__name__", "loss_and_grad")
        raise ModelError(
            f"{_model_name(config)}: {name} must take `weights`, because samples or classes have weights, and multiply "
            "the losses and gradients of the samples by them"
        )
    return {"weights": weights}


def compare_losses(
    config: RunConfig,
    model: Model,
    loss: Any,
    outputs: Array,
    predict: Callable[[], Array],
    targets: Array,
    weights: Array | None = None,
) -> bool:
    """Compare the loss of a training batch with the loss that evaluation uses.

    Args:
        config: the resolved config.
        model: the custom model.
        loss, outputs: what its `loss_and_grad` returned for the batch.
        predict: returns the outputs of `predict` for the batch, from which those in training differ with dropout.
        targets: the targets of the batch.
        weights: the weights of its samples.

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
    candidates: tuple[Callable[[], Array], ...] = (lambda: outputs, predict)
    for candidate in candidates:
        found_outputs = candidate()
        if config.loss == "custom":
            given = weights_argument(config, own, weights) if callable(own) else {}
            value = own(found_outputs, targets, **given) if callable(own) else None
            other = float(_check_scalar(config, "loss", value))
        else:
            xp = array_module(array_kind(found_outputs) or "numpy")
            scratch = xp.empty(found_outputs.shape, found_outputs.dtype)
            other = float(build_loss(config.loss_spec)(xp, found_outputs, targets, scratch, weights))
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
    family, kind = config.equivalent_builtin_loss, loss_kind(config.loss)
    if family in CLASS_LOSSES:
        remedy += f" and model.targets: {'binary' if family == 'logistic' else 'classes'}"
    raise _config_error(
        "loss",
        f"is {kind}, but {_model_name(config)} computes another loss: {format_number(found)} "
        f"for the first batch, where {kind} is {format_number(other)}; {remedy}",
    )


def check_gradient(
    model: Model | ModelFactory,
    inputs: ArrayLike,
    targets: ArrayLike,
    *,
    config: RunConfig | Mapping[str, Any] | None = None,
    params: Mapping[str, ArrayLike] | None = None,
    seed: int = 0,
    elements: int = 100,
) -> dict[str, float]:
    """Compare the gradients of a model's `loss_and_grad` with central differences of its loss, in float64.

    Args:
        model: a model of NumPy arrays, or its factory `(config, n_features, n_outputs, xp)`, as `fit` takes it.
        inputs: (n, d) numbers; a few samples are enough.
        targets: (n,), or (n, k) for several targets, as the loss expects them: class indices for
            softmax_cross_entropy and focal, otherwise numbers.
        config: the config for the factory: a RunConfig, or a dict of the same shape.
        params: an array for each parameter, at which to compare; left out, values near the initial ones, but not equal
            to them, because many models are not differentiable at 0.
        seed: the seed of the initial values and of the choice of elements.
        elements: the largest number of elements of each parameter that are compared, at least 1.

    Returns:
        The largest relative error of each parameter: below about 1e-5 for a correct gradient, about 1 for a wrong one,
        and infinite if elements are not written or not finite. At a point where a loss is not differentiable, such as
        the 0 of a relu, the error is meaningless; another seed avoids it.

    Raises:
        ModelError: the object is not a model, its loss is not a scalar, or `params` have other names or shapes.
        ConfigError: `config` is wrong; every problem at once.
        DataError: inputs and targets do not have the same number of samples, at least one.
        ArrayTypeError: the model replaces an array in `grads` instead of writing into it.
        ValueError: `elements` is below 1.

    Example:
        >>> class Line:
        ...     def shapes(self):
        ...         return {"w": (2, 1)}
        ...     def init(self, seed, dtype):
        ...         return {"w": np.zeros((2, 1), dtype)}
        ...     def predict(self, params, inputs):
        ...         return inputs @ params["w"]
        ...     def loss_and_grad(self, params, inputs, targets, grads):
        ...         error = self.predict(params, inputs) - targets[:, None]
        ...         grads["w"][...] = inputs.T @ error
        ...         return (error * error).sum(), error  # twice the loss that has this gradient
        >>> {name: round(error, 3) for name, error in check_gradient(Line(), [[1, 2], [3, 4]], [1, 2]).items()}
        {'w': 0.5}
    """
    made: Any = model
    if isinstance(model, type) or (callable(model) and not hasattr(model, "loss_and_grad")):
        made = _call_factory(model, inputs, targets, config)
    name = qualified_name(model)
    return nn.check_gradient(made, inputs, targets, params=params, seed=seed, elements=elements, name=name)


def _call_factory(
    factory: Any, inputs: ArrayLike, targets: ArrayLike, config: RunConfig | Mapping[str, Any] | None
) -> Model:
    name = qualified_name(factory)
    samples, expected = check_samples(inputs, targets)
    if config is None:
        if hasattr(factory, "loss_and_grad"):
            raise ModelError(f"{name} is a class; pass an instance, or a config with config=")
        raise ModelError(f"{name} makes a model from a config; pass one with config=")
    run = config if isinstance(config, RunConfig) else run_from_dict(config)
    outputs = count_outputs(run.loss_spec, int(expected.max()) + 1, 1 if expected.ndim == 1 else expected.shape[1])
    model: Model = factory(run, samples.shape[1], outputs, np)
    check_methods(model, f"what {name} returns")
    return model


def _check_scalar(config: RunConfig, method: str, value: Any) -> Any:
    if not is_scalar(value):
        got = describe_returned_value(value)
        raise ModelError(
            f"{_model_name(config)}: {method} must return a scalar, got {got}; return the sum of the batch's losses"
        )
    return value


def _model_name(config: RunConfig) -> str:
    plugin = config.model.plugin if isinstance(config.model, CustomConfig) else None
    return f"the model of {plugin}" if plugin else "the model"


def _config_error(path: str, message: str) -> ConfigError:
    return ConfigError([ConfigProblem(path, message)])
