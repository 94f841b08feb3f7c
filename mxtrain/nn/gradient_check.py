"""Comparison of a model's gradients with central differences of its loss."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mxtrain.config import RunConfig, run_from_dict
from mxtrain.errors import DataError, ModelError
from mxtrain.nn.custom_models import ModelFactory, check_methods, check_returned, factory_name
from mxtrain.nn.model import Model
from mxtrain.optim.flat_parameters import FlatParameters
from mxtrain.random import permutation, uniform

_STEP = float(np.finfo(np.float64).eps ** (1 / 3))
"""Of a central difference, for a parameter around 1: a longer one bends, a shorter one is lost in rounding."""
_SHIFT = 0.1
"""How far from the first values to look."""
_NOISE = 1e-5
"""Slopes below this share of the loss are measured by what they are against it: differences see nothing finer."""


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
        model: the model, of NumPy arrays; or `(config, n_features, n_outputs, xp)` to one, as `fit` takes it.
        inputs: (n, d) numbers; a handful of samples will do.
        targets: (n,), as the loss takes them: indices of classes for softmax_cross_entropy, else numbers.
        config: what a model is made by, where `model` makes one: a RunConfig, or a dict of its shape.
        params: where to look, an array for each parameter; left out, near the first values, but on none of them, as
            many models have a corner at 0.
        seed: of the first values, and of the elements that are looked at.
        elements: of each parameter, at most so many are looked at.

    Returns:
        For each parameter its largest relative error: below 1e-5 or so where the gradient is right, about 1 where it is
        wrong, and infinite where it has elements that are not written, or are not finite. Where a loss has a corner,
        as at the 0 of a relu, it has no slope; another seed then gives another answer.

    Raises:
        ModelError: what is given is no model, its loss is no scalar, or `params` are not those that it has.
        DataError: inputs and targets are not one for each sample, and at least one.
        ArrayTypeError: the model puts another array in the place of a gradient, which training does not see.

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
        ...         return (error * error).sum(), error  # the loss is twice what the gradient is of
        >>> {name: round(error, 3) for name, error in check_gradient(Line(), [[1, 2], [3, 4]], [1, 2]).items()}
        {'w': 0.5}
    """
    if elements < 1:
        raise ValueError(f"elements: must be at least 1, got {elements}")
    samples, wanted = _check_samples(np.array(inputs, dtype=np.float64), np.array(targets))
    maker: Any = model
    found = _build_model(maker, samples, wanted, config)
    start = found.init(seed, np.float64) if params is None else params
    first = {name: np.array(value, dtype=np.float64) for name, value in start.items()}
    _check_shapes(
        found, {name: value.shape for name, value in first.items()}, "its init" if params is None else "params"
    )
    point = FlatParameters(first)  # as training has them, whose arrays are written to and stay
    if params is None:
        for name, value in point.items():
            value += _SHIFT * (2 * uniform(seed, f"check {name}", size=value.size) - 1).reshape(value.shape)
    grads, scratch = point.zeros_like(), point.zeros_like()
    for value in grads.values():
        value[...] = np.nan

    def loss(into: FlatParameters = scratch) -> float:
        returned = found.loss_and_grad(point, samples, wanted, into)
        check_returned(returned, maker, len(samples))
        return float(returned[0])

    errors = {}
    with np.errstate(all="ignore"):
        floor = _NOISE * abs(loss(grads))
        for name, value in point.items():
            chosen = permutation(seed, f"check {name}", size=value.size)[:elements]
            slopes = np.array([_slope(loss, value, np.unravel_index(int(i), value.shape)) for i in chosen])
            errors[name] = _largest_error(grads[name].reshape(-1), chosen, slopes, floor)
    return errors


def _check_samples(inputs: NDArray[Any], targets: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Inputs, (n, d), and targets, (n,)."""
    if inputs.ndim != 2 or not inputs.size:
        remedy = "; inputs.reshape(len(inputs), -1) makes rows" if inputs.ndim > 2 else ""
        raise DataError(f"inputs: must hold a row of numbers for each sample, got the shape {inputs.shape}{remedy}")
    if targets.shape not in ((len(inputs),), (len(inputs), 1)):
        raise DataError(f"targets: must hold {len(inputs)} values, one for each sample, got the shape {targets.shape}")
    return inputs, targets.reshape(-1).astype(np.int64 if targets.dtype.kind in "iu" else np.float64)


def _check_shapes(model: Model, found: Mapping[str, tuple[int, ...]], whose: str) -> None:
    wanted = {name: tuple(shape) for name, shape in model.shapes().items()}
    if found != wanted:
        raise ModelError(f"the model says it has the shapes {wanted}, but {whose} has {dict(found)}")


def _build_model(
    model: Any, inputs: NDArray[Any], targets: NDArray[Any], config: RunConfig | Mapping[str, Any] | None
) -> Model:
    if not isinstance(model, type) and (hasattr(model, "loss_and_grad") or not callable(model)):
        check_methods(model, factory_name(model))
        made: Model = model
        return made
    if config is None:
        name = factory_name(model)
        if hasattr(model, "loss_and_grad"):
            raise ModelError(f"{name} is a class; hand over the model that it makes, or a config with config=")
        raise ModelError(f"{name} makes a model of a config; hand one over with config=")
    run = config if isinstance(config, RunConfig) else run_from_dict(config)
    outputs = int(targets.max()) + 1 if run.decoding == "softmax_cross_entropy" else 1
    made = model(run, inputs.shape[1], outputs, np)
    check_methods(made, f"what {factory_name(model)} returns")
    return made


def _slope(loss: Callable[[], float], value: NDArray[np.float64], place: tuple[Any, ...]) -> float:
    """The central difference at one element, which is left as it was."""
    before = float(value[place])
    step = _STEP * max(1.0, abs(before))
    losses = []
    for moved in (before + step, before - step):
        value[place] = moved
        losses.append(loss())
    value[place] = before
    return (losses[0] - losses[1]) / (2 * step)


def _largest_error(grad: NDArray[Any], chosen: NDArray[np.int64], slopes: NDArray[np.float64], floor: float) -> float:
    if not np.isfinite(grad).all() or not np.isfinite(slopes).all():
        return float("inf")
    differences = np.abs(grad[chosen] - slopes)
    scales = np.maximum(np.maximum(np.abs(grad[chosen]), np.abs(slopes)), floor)
    return float(np.divide(differences, scales, out=np.zeros_like(slopes), where=scales > 0).max(initial=0.0))
