"""Activation functions and their gradients."""

from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

from mxtrain.types import ActivationName, Array


class Activation(NamedTuple):
    """A function h(z), element by element, in place.

    Attributes:
        name: `relu`, `tanh` or `sigmoid`.
        forward: `forward(xp, z)` turns z into h(z).
        backward: `backward(xp, h, gradient)`, given h = h(z), turns the gradient with respect to h into that
            with respect to z.
    """

    name: ActivationName
    forward: Callable[[ModuleType, Array], None]
    backward: Callable[[ModuleType, Array, Array], None]


def relu(xp: ModuleType, z: Array) -> None:
    """`max(z, 0)`.

    >>> import numpy as np
    >>> z = np.array([-2.0, 3.0]); relu(np, z); z
    array([0., 3.])
    """
    xp.maximum(z, 0, out=z)


def relu_backward(xp: ModuleType, h: Array, gradient: Array) -> None:
    """`h' = 1 where h > 0, else 0`: at z = 0 the slope is taken to be 0."""
    xp.multiply(gradient, xp.greater(h, 0), out=gradient)


def tanh(xp: ModuleType, z: Array) -> None:
    """The hyperbolic tangent."""
    xp.tanh(z, out=z)


def tanh_backward(xp: ModuleType, h: Array, gradient: Array) -> None:
    """`h' = 1 - h²`."""
    slope = xp.multiply(h, h)
    xp.subtract(1, slope, out=slope)
    xp.multiply(gradient, slope, out=gradient)


def sigmoid(xp: ModuleType, z: Array) -> None:
    """`1 / (1 + exp(-z))`, without overflow for any z.

    >>> import numpy as np
    >>> z = np.array([-1e4, 0.0, 1e4]); sigmoid(np, z); z.round(6)
    array([0. , 0.5, 1. ])
    """
    xp.negative(z, out=z)
    xp.minimum(z, 88, out=z)  # exp(88) is about the largest number of float32, and its inverse as good as 0
    xp.exp(z, out=z)
    xp.add(z, 1, out=z)
    xp.divide(1, z, out=z)


def sigmoid_backward(xp: ModuleType, h: Array, gradient: Array) -> None:
    """`h' = h·(1 - h)`."""
    xp.multiply(gradient, h, out=gradient)
    xp.multiply(gradient, xp.subtract(1, h), out=gradient)


ACTIVATIONS: dict[ActivationName, Activation] = {
    "relu": Activation("relu", relu, relu_backward),
    "tanh": Activation("tanh", tanh, tanh_backward),
    "sigmoid": Activation("sigmoid", sigmoid, sigmoid_backward),
}
