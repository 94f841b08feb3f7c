"""Dense layers with an activation between them; with no hidden layer, a linear model."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mxtrain.config.run import Activation as ActivationName
from mxtrain.config.run import LossName
from mxtrain.models.activations import ACTIVATIONS
from mxtrain.models.losses import LOSSES
from mxtrain.philox import uniform
from mxtrain.types import Array

_quietly = np.errstate(all="ignore")
"""Overflow and NaN are results, told of by the loss; and BLAS may raise flags for lanes that it does not use."""


class Workspace(NamedTuple):
    """The arrays that one batch size needs.

    Attributes:
        layers: the values of each layer above the inputs, (n, width).
        deltas: the gradients with respect to each of these before its activation, (n, width).
        ones: (n,), by which a product sums over the batch.
    """

    layers: list[Array]
    deltas: list[Array]
    ones: Array


class MLP:
    """A multi-layer perceptron: `h₀ = x`, `hᵢ = activation(hᵢ₋₁·Wᵢ + bᵢ)`, and outputs without an activation.

    Parameters are `W1` of shape (d, width), `b1` of shape (width,), `W2`, `b2` and so on. Weights begin
    uniform within ±√(6 / inputs) below a relu (He) and ±√(6 / (inputs + outputs)) elsewhere (Glorot),
    biases at 0.

    One thread may use a model at a time, as it keeps the arrays that it computes in.

    Args:
        widths: of the inputs, of each hidden layer and of the outputs.
        activation: `relu`, `tanh` or `sigmoid`, after each hidden layer.
        loss: what `loss_and_grad` computes.
        bias: whether there are `b`.
        xp: `numpy` or `cupy`, the module of all arrays that are handed over.

    Example:
        >>> model = MLP((2, 3, 1), "tanh", "squared_error")
        >>> model.shapes()
        {'W1': (2, 3), 'b1': (3,), 'W2': (3, 1), 'b2': (1,)}
        >>> params = model.init(seed=0, dtype="float32")
        >>> grads = {name: np.empty_like(value) for name, value in params.items()}
        >>> inputs, targets = np.zeros((4, 2), "float32"), np.ones(4, "float32")
        >>> loss, outputs = model.loss_and_grad(params, inputs, targets, grads)
        >>> float(loss), grads["b2"]
        (2.0, array([-4.], dtype=float32))

    Source: He et al., arXiv:1502.01852; Glorot and Bengio, AISTATS 2010.
    """

    def __init__(
        self,
        widths: Sequence[int],
        activation: ActivationName,
        loss: LossName,
        bias: bool = True,
        xp: ModuleType = np,
    ) -> None:
        self._widths = tuple(widths)
        self._names = [(f"W{i}", f"b{i}" if bias else None) for i in range(1, len(self._widths))]
        self._rectified = activation == "relu"
        self._activation = ACTIVATIONS[activation]
        self._loss = LOSSES[loss]
        self._xp = xp
        self._workspaces: dict[tuple[int, Any], Workspace] = {}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Each parameter's name and shape."""
        shapes: dict[str, tuple[int, ...]] = {}
        for (weight, bias), (below, above) in zip(self._names, pairwise(self._widths), strict=True):
            shapes[weight] = (below, above)
            if bias:
                shapes[bias] = (above,)
        return shapes

    def init(self, seed: int, dtype: DTypeLike) -> dict[str, NDArray[Any]]:
        """The first value of each parameter, on the host: a pure function of the seed and of its name."""
        params = {}
        for name, shape in self.shapes().items():
            if len(shape) == 1:
                params[name] = np.zeros(shape, dtype=dtype)
                continue
            he = self._rectified and name != self._names[-1][0]
            limit = np.sqrt(6 / (shape[0] if he else sum(shape)))
            deviates = uniform(seed, f"init/{name}", size=shape[0] * shape[1])
            params[name] = ((2 * deviates - 1) * limit).reshape(shape).astype(dtype)
        return params

    @_quietly
    def loss_and_grad(
        self, params: Mapping[str, Array], inputs: Array, targets: Array, grads: Mapping[str, Array]
    ) -> tuple[Any, Array]:
        """The sum of a batch's losses, and the outputs; the sums of its gradients are written into `grads`.

        As `Model` says.
        """
        work = self._workspace(inputs)
        outputs = self._forward(params, inputs, work.layers)
        loss = self._loss(self._xp, outputs, targets, work.deltas[-1])
        self._backward(params, inputs, work, grads)
        return loss, outputs

    @_quietly
    def predict(self, params: Mapping[str, Array], inputs: Array) -> Array:
        """The outputs, (n, k), for inputs, (n, d), in a new array."""
        return self._forward(params, inputs, self._new_layers(inputs))

    def _forward(self, params: Mapping[str, Array], inputs: Array, layers: Sequence[Array]) -> Array:
        xp, below = self._xp, inputs
        for (weight, bias), layer in zip(self._names, layers, strict=True):
            xp.dot(below, params[weight], out=layer)
            if bias:
                xp.add(layer, params[bias], out=layer)
            if layer is not layers[-1]:
                self._activation.forward(xp, layer)
            below = layer
        return below

    def _backward(
        self, params: Mapping[str, Array], inputs: Array, work: Workspace, grads: Mapping[str, Array]
    ) -> None:
        xp = self._xp
        for i in reversed(range(len(self._names))):
            (weight, bias), delta = self._names[i], work.deltas[i]
            below = work.layers[i - 1] if i else inputs
            xp.dot(below.T, delta, out=grads[weight])
            if bias:
                xp.dot(work.ones, delta, out=grads[bias])
            if i:
                xp.dot(delta, params[weight].T, out=work.deltas[i - 1])
                self._activation.backward(xp, below, work.deltas[i - 1])

    def _workspace(self, inputs: Array) -> Workspace:
        key = len(inputs), inputs.dtype
        work = self._workspaces.get(key)
        if work is None:
            if len(self._workspaces) == 2:  # an epoch has two sizes of batch, counting the one left over
                self._workspaces.clear()
            ones = self._xp.ones(len(inputs), dtype=inputs.dtype)
            work = Workspace(self._new_layers(inputs), self._new_layers(inputs), ones)
            self._workspaces[key] = work
        return work

    def _new_layers(self, inputs: Array) -> list[Array]:
        return [self._xp.empty((len(inputs), width), dtype=inputs.dtype) for width in self._widths[1:]]
