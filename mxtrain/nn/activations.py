"""Activation functions and their gradients."""

from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

from mxtrain.types import ActivationName, Array


class Activation(NamedTuple):
    """An elementwise function h(z), computed in place.

    Attributes:
        name: `relu`, `tanh` or `sigmoid`.
        forward: `forward(xp, z)` replaces z by h(z).
        backward: `backward(xp, h, gradient)`, with h = h(z), replaces the gradient with respect to h by the gradient
            with respect to z.
    """

    name: ActivationName
    forward: Callable[[ModuleType, Array], None]
    backward: Callable[[ModuleType, Array, Array], None]


def relu(xp: ModuleType, z: Array) -> None:
    """Compute `max(z, 0)`.

    >>> import numpy as np
    >>> z = np.array([-2.0, 3.0]); relu(np, z); z
    array([0., 3.])
    """
    xp.maximum(z, 0, out=z)


def relu_backward(xp: ModuleType, h: Array, gradient: Array) -> None:
    """Multiply by `h'`, which is 1 where h > 0 and 0 elsewhere, including z = 0."""
    xp.multiply(gradient, xp.greater(h, 0), out=gradient)


def tanh(xp: ModuleType, z: Array) -> None:
    """Compute the hyperbolic tangent."""
    xp.tanh(z, out=z)


def tanh_backward(xp: ModuleType, h: Array, gradient: Array) -> None:
    """Multiply by `h' = 1 - h²`."""
    slope = xp.multiply(h, h)
    xp.subtract(1, slope, out=slope)
    xp.multiply(gradient, slope, out=gradient)


def sigmoid(xp: ModuleType, z: Array) -> None:
    """Compute `1 / (1 + exp(-z))`, without overflow for any z.

    >>> import numpy as np
    >>> z = np.array([-1e4, 0.0, 1e4]); sigmoid(np, z); z.round(6)
    array([0. , 0.5, 1. ])
    """
    xp.negative(z, out=z)
    xp.minimum(z, 88, out=z)  # exp(88) is about the largest float32, and its inverse is negligible
    xp.exp(z, out=z)
    xp.add(z, 1, out=z)
    xp.divide(1, z, out=z)


def sigmoid_backward(xp: ModuleType, h: Array, gradient: Array) -> None:
    """Multiply by `h' = h·(1 - h)`."""
    xp.multiply(gradient, h, out=gradient)
    xp.multiply(gradient, xp.subtract(1, h), out=gradient)


ACTIVATIONS: dict[ActivationName, Activation] = {
    "relu": Activation("relu", relu, relu_backward),
    "tanh": Activation("tanh", tanh, tanh_backward),
    "sigmoid": Activation("sigmoid", sigmoid, sigmoid_backward),
}
