"""Comparison of a model's gradients with central differences of its loss."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mxtrain.errors import DataError, ModelError
from mxtrain.nn.model import Model, check_methods, check_returned, qualified_name
from mxtrain.optim.flat_parameters import FlatParameters
from mxtrain.random import permutation, uniform

_STEP = float(np.finfo(np.float64).eps ** (1 / 3))
"""Step of central differences for a parameter around 1: it balances truncation and rounding errors."""
_SHIFT = 0.1
"""Largest distance from the initial values at which gradients are compared."""
_NOISE = 1e-5
"""Fraction of the loss below which slopes are compared with it, because rounding hides smaller differences."""


def check_gradient(
    model: Model,
    inputs: ArrayLike,
    targets: ArrayLike,
    *,
    params: Mapping[str, ArrayLike] | None = None,
    seed: int = 0,
    elements: int = 100,
    name: str | None = None,
) -> dict[str, float]:
    """Compare the gradients of a model with central differences, as `mxtrain.check_gradient` does.

    Args:
        model: a model of NumPy arrays.
        inputs, targets, params, seed, elements: as for `mxtrain.check_gradient`.
        name: the name of the model in messages; left out, that of its class.

    Returns:
        The largest relative error of each parameter.

    Raises:
        ModelError, DataError, ArrayTypeError, ValueError: as for `mxtrain.check_gradient`.
    """
    if elements < 1:
        raise ValueError(f"elements: must be at least 1, got {elements}")
    samples, expected = check_samples(inputs, targets)
    check_methods(model, called := name or qualified_name(model))
    start = model.init(seed, np.float64) if params is None else params
    first = {name: np.array(value, dtype=np.float64) for name, value in start.items()}
    _check_shapes(
        model, {name: value.shape for name, value in first.items()}, "its init" if params is None else "params"
    )
    point = FlatParameters(first)  # as in training, where arrays are written to and never replaced
    if params is None:
        for name, value in point.items():
            value += _SHIFT * (2 * uniform(seed, f"check {name}", size=value.size) - 1).reshape(value.shape)
    grads, scratch = point.zeros_like(), point.zeros_like()
    for value in grads.values():
        value[...] = np.nan

    def loss(into: FlatParameters = scratch) -> float:
        returned = model.loss_and_grad(point, samples, expected, into)
        check_returned(returned, called, len(samples))
        return float(returned[0])

    errors = {}
    with np.errstate(all="ignore"):
        floor = _NOISE * abs(loss(grads))
        for name, value in point.items():
            chosen = permutation(seed, f"check {name}", size=value.size)[:elements]
            slopes = np.array([_slope(loss, value, np.unravel_index(int(i), value.shape)) for i in chosen])
            errors[name] = _largest_error(grads[name].reshape(-1), chosen, slopes, floor)
    return errors


def check_samples(inputs: ArrayLike, targets: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return inputs, (n, d), in float64, and targets, (n,) or (n, k), in int64 or float64.

    Raises:
        DataError: they do not have the same number of samples, at least one.
    """
    samples, expected = np.array(inputs, dtype=np.float64), np.array(targets)
    if samples.ndim != 2 or not samples.size:
        remedy = "; inputs.reshape(len(inputs), -1) makes rows" if samples.ndim > 2 else ""
        raise DataError(f"inputs: must hold a row of numbers for each sample, got the shape {samples.shape}{remedy}")
    if expected.ndim not in (1, 2) or len(expected) != len(samples):
        raise DataError(
            f"targets: must hold {len(samples)} values, one for each sample, got the shape {expected.shape}"
        )
    if expected.ndim == 2 and expected.shape[1] == 1:
        expected = expected.reshape(-1)
    return samples, expected.astype(np.int64 if expected.dtype.kind in "iu" else np.float64)


def _check_shapes(model: Model, found: Mapping[str, tuple[int, ...]], source: str) -> None:
    expected = {name: tuple(shape) for name, shape in model.shapes().items()}
    if found != expected:
        raise ModelError(f"the model has the shapes {expected}, but {source} has {dict(found)}")


def _slope(loss: Callable[[], float], value: NDArray[np.float64], index: tuple[Any, ...]) -> float:
    """Return the central difference of the loss at one element, which is restored."""
    before = float(value[index])
    step = _STEP * max(1.0, abs(before))
    losses = []
    for moved in (before + step, before - step):
        value[index] = moved
        losses.append(loss())
    value[index] = before
    return (losses[0] - losses[1]) / (2 * step)


def _largest_error(grad: NDArray[Any], chosen: NDArray[np.int64], slopes: NDArray[np.float64], floor: float) -> float:
    if not np.isfinite(grad).all() or not np.isfinite(slopes).all():
        return float("inf")
    differences = np.abs(grad[chosen] - slopes)
    scales = np.maximum(np.maximum(np.abs(grad[chosen]), np.abs(slopes)), floor)
    return float(np.divide(differences, scales, out=np.zeros_like(slopes), where=scales > 0).max(initial=0.0))
