"""The passes of a network of dense layers, in products."""

from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import NamedTuple

from mxtrain.passes import Activation, Plan, Product
from mxtrain.types import Array

Names = Sequence[tuple[str, str | None]]
"""The names of each layer's weight and bias; None where there is no bias."""


class Passes(NamedTuple):
    """What one shape of inputs needs.

    Attributes:
        arrays: the parameters, and the gradients where there are any, that the plans are for.
        outputs: (n, k).
        delta: the gradient with respect to the outputs, (n, k).
        forward: from inputs to outputs.
        backward: from `delta` to the gradients, for whom there are gradients.
    """

    arrays: list[Array]
    outputs: Array
    delta: Array
    forward: Plan
    backward: Plan


def new_passes(
    xp: ModuleType,
    names: Names,
    activation: Activation,
    params: Mapping[str, Array],
    inputs: Array,
    grads: Mapping[str, Array] | None,
    arrays: list[Array],
) -> Passes:
    """Plans for inputs of this shape and dtype, with the arrays to compute in."""

    def new_layers() -> list[Array]:
        return [xp.empty((len(inputs), params[weight].shape[1]), dtype=inputs.dtype) for weight, _ in names]

    layers = new_layers()
    forward = Plan(_forward(names, activation, params, layers), inputs.shape, xp)
    if grads is None:
        return Passes(arrays, layers[-1], layers[-1], forward, forward)
    deltas = new_layers()
    ones = xp.ones((1, len(inputs)), dtype=inputs.dtype)
    backward = Plan(_backward(names, activation, params, grads, layers, deltas, ones), inputs.shape, xp)
    return Passes(arrays, layers[-1], deltas[-1], forward, backward)


def _forward(
    names: Names, activation: Activation, params: Mapping[str, Array], layers: Sequence[Array]
) -> Iterator[list[Product]]:
    """`hᵢ = activation(hᵢ₋₁·Wᵢ + bᵢ)`, without an activation for the outputs."""
    below = None
    for (weight, bias), layer in zip(names, layers, strict=True):
        follows = None if layer is layers[-1] else activation
        yield [Product(below, params[weight], layer, bias=params[bias] if bias else None, activation=follows)]
        below = layer


def _backward(
    names: Names,
    activation: Activation,
    params: Mapping[str, Array],
    grads: Mapping[str, Array],
    layers: Sequence[Array],
    deltas: Sequence[Array],
    ones: Array,
) -> Iterator[list[Product]]:
    """`δᵢ₋₁ = (δᵢ·Wᵢᵀ)⊙activation'`, `∂Wᵢ = hᵢ₋₁ᵀ·δᵢ`, `∂bᵢ = 1ᵀ·δᵢ`, from the last layer to the first."""
    for i in reversed(range(len(names))):
        (weight, bias), delta, below = names[i], deltas[i], layers[i - 1] if i else None
        stage = [Product(below, delta, grads[weight], turn_left=True)]
        if i:
            lower = Product(delta, params[weight], deltas[i - 1], turn_right=True, activation=activation, at=below)
            stage.insert(0, lower)
        if bias:
            stage.append(Product(ones, delta, grads[bias][None]))
        yield stage
