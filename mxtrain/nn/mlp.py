"""Multi-layer perceptron of dense layers; without a hidden layer, a linear model."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from operator import is_
from threading import get_ident
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mxtrain.loss_config import LossSpec
from mxtrain.nn.activations import ACTIVATIONS, Activation
from mxtrain.nn.losses import build_loss
from mxtrain.optim.backends.matmul import MatMul, MatMulPlan, single_threaded_blas
from mxtrain.random import uniform
from mxtrain.types import ActivationName, Array

Names = Sequence[tuple[str, str | None]]
"""The names of each layer's weight and bias; None where there is no bias."""


class LayerPlans(NamedTuple):
    """Plans of matrix products, and the arrays that they use, for inputs of one shape.

    Attributes:
        arrays: the parameters, and the gradients if there are any, for which the plans are made.
        outputs: (n, k).
        delta: the gradient with respect to the outputs, (n, k).
        forward: from inputs to outputs.
        backward: from `delta` to the gradients; `forward` if there are none.
    """

    arrays: list[Array]
    outputs: Array
    delta: Array
    forward: MatMulPlan
    backward: MatMulPlan


def build_layer_plans(
    xp: ModuleType,
    names: Names,
    activation: Activation,
    params: Mapping[str, Array],
    inputs: Array,
    grads: Mapping[str, Array] | None,
    arrays: list[Array],
) -> LayerPlans:
    """Build the plans for inputs of this shape and dtype, and allocate their arrays."""

    def new_layers() -> list[Array]:
        return [xp.empty((len(inputs), params[weight].shape[1]), dtype=inputs.dtype) for weight, _ in names]

    layers = new_layers()
    forward = MatMulPlan(_forward(names, activation, params, layers), inputs.shape, xp)
    if grads is None:
        return LayerPlans(arrays, layers[-1], layers[-1], forward, forward)
    deltas = new_layers()
    ones = xp.ones((1, len(inputs)), dtype=inputs.dtype)
    backward = MatMulPlan(_backward(names, activation, params, grads, layers, deltas, ones), inputs.shape, xp)
    return LayerPlans(arrays, layers[-1], deltas[-1], forward, backward)


def _forward(
    names: Names, activation: Activation, params: Mapping[str, Array], layers: Sequence[Array]
) -> Iterator[list[MatMul]]:
    """`hᵢ = activation(hᵢ₋₁·Wᵢ + bᵢ)`, without an activation for the outputs."""
    below = None
    for (weight, bias), layer in zip(names, layers, strict=True):
        follows = None if layer is layers[-1] else activation
        yield [MatMul(below, params[weight], layer, bias=params[bias] if bias else None, activation=follows)]
        below = layer


def _backward(
    names: Names,
    activation: Activation,
    params: Mapping[str, Array],
    grads: Mapping[str, Array],
    layers: Sequence[Array],
    deltas: Sequence[Array],
    ones: Array,
) -> Iterator[list[MatMul]]:
    """`δᵢ₋₁ = (δᵢ·Wᵢᵀ)⊙activation'`, `∂Wᵢ = hᵢ₋₁ᵀ·δᵢ`, `∂bᵢ = 1ᵀ·δᵢ`, from the last layer to the first."""
    for i in reversed(range(len(names))):
        (weight, bias), delta, below = names[i], deltas[i], layers[i - 1] if i else None
        stage = [MatMul(below, delta, grads[weight], transpose_a=True)]
        if i:
            lower = MatMul(
                delta, params[weight], deltas[i - 1], transpose_b=True, activation=activation, activation_output=below
            )
            stage.insert(0, lower)
        if bias:
            stage.append(MatMul(ones, delta, grads[bias][None]))
        yield stage


_ignore_float_errors = np.errstate(all="ignore")
"""Overflow and NaN appear in the loss, and BLAS may raise flags for unused vector lanes."""
_MAX_PLANS = 16
"""Largest number of cached plans.

Training and validation each need a plan for full batches and one for the smaller last batch.
"""


class MLP:
    """A multi-layer perceptron: `h₀ = x`, `hᵢ = activation(hᵢ₋₁·Wᵢ + bᵢ)`, and outputs without an activation.

    Parameters are `W1` of shape (d, width), `b1` of shape (width,), `W2`, `b2` and so on. Weights are initially
    uniform within ±√(6 / inputs) below a relu (He) and ±√(6 / (inputs + outputs)) elsewhere (Glorot),
    biases at 0. With `zero_outputs` the weights of the last layer are initially 0, so that all outputs are.

    Several threads may use a model at once: each has its own arrays for intermediate values.

    Args:
        widths: the widths of the inputs, of each hidden layer, and of the outputs.
        activation: `relu`, `tanh` or `sigmoid`, after each hidden layer.
        loss: the loss that `loss_and_grad` computes.
        bias: True if layers have biases.
        xp: `numpy` or `cupy`, the module of all arrays.
        zero_outputs: True to start with outputs of 0 for all inputs.

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
        loss: LossSpec,
        bias: bool = True,
        xp: ModuleType = np,
        zero_outputs: bool = False,
    ) -> None:
        self._widths = tuple(widths)
        self._names = [(f"W{i}", f"b{i}" if bias else None) for i in range(1, len(self._widths))]
        self._parameters = tuple(name for pair in self._names for name in pair if name)
        self._rectified = activation == "relu"
        self._activation = ACTIVATIONS[activation]
        self._loss = build_loss(loss)
        self._xp = xp
        self._zero_outputs = zero_outputs
        self._plans: dict[Any, LayerPlans] = {}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter by name."""
        shapes: dict[str, tuple[int, ...]] = {}
        for (weight, bias), (below, above) in zip(self._names, pairwise(self._widths), strict=True):
            shapes[weight] = (below, above)
            if bias:
                shapes[bias] = (above,)
        return shapes

    def init(self, seed: int, dtype: DTypeLike) -> dict[str, NDArray[Any]]:
        """Return the initial value of each parameter, on the CPU: a pure function of the seed and of its name."""
        params = {}
        for name, shape in self.shapes().items():
            is_last = name == self._names[-1][0]
            if len(shape) == 1 or (is_last and self._zero_outputs):
                params[name] = np.zeros(shape, dtype=dtype)
                continue
            he = self._rectified and not is_last
            limit = np.sqrt(6 / (shape[0] if he else sum(shape)))
            deviates = uniform(seed, f"init/{name}", size=shape[0] * shape[1])
            params[name] = ((2 * deviates - 1) * limit).reshape(shape).astype(dtype)
        return params

    @_ignore_float_errors
    def loss_and_grad(
        self,
        params: Mapping[str, Array],
        inputs: Array,
        targets: Array,
        grads: Mapping[str, Array],
        weights: Array | None = None,
    ) -> tuple[Any, Array]:
        """Compute the sum of a batch's losses and the outputs, and write the sums of the gradients into `grads`.

        Args and results as for `Model.loss_and_grad`.
        """
        inputs = self._xp.ascontiguousarray(inputs)
        plans = self._plans_for(params, inputs, grads)
        with single_threaded_blas:
            plans.forward.run(inputs)
            loss = self._loss(self._xp, plans.outputs, targets, plans.delta, weights)
            plans.backward.run(inputs)
        return loss, plans.outputs

    @_ignore_float_errors
    def predict(self, params: Mapping[str, Array], inputs: Array) -> Array:
        """Return the outputs, (n, k), for inputs, (n, d), in a new array."""
        inputs = self._xp.ascontiguousarray(inputs)
        plans = self._plans_for(params, inputs)
        with single_threaded_blas:
            plans.forward.run(inputs)
        return plans.outputs.copy()

    def _plans_for(
        self, params: Mapping[str, Array], inputs: Array, grads: Mapping[str, Array] | None = None
    ) -> LayerPlans:
        """Return the plans of this thread for these arrays; they are built on first use."""
        arrays = [each[name] for each in (params, grads) if each is not None for name in self._parameters]
        key = get_ident(), inputs.shape, inputs.dtype, grads is not None
        plans = self._plans.get(key)
        if plans is None or not all(map(is_, arrays, plans.arrays)):
            for oldest in list(self._plans)[: max(0, len(self._plans) - _MAX_PLANS + 1)]:
                self._plans.pop(oldest, None)  # another thread may have removed it
            plans = build_layer_plans(self._xp, self._names, self._activation, params, inputs, grads, arrays)
            self._plans[key] = plans
        return plans

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the plans, because they contain addresses of arrays."""
        return self.__dict__ | {"_plans": {}}
