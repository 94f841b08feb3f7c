"""Losses with their gradients, and predictions and probabilities from a model's outputs.

Values and gradients are sums over the batch; the optimizer's `scale` turns them into means.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from mxtrain.nn.activations import sigmoid
from mxtrain.types import Array, LossName


def predictions_from_outputs(xp: ModuleType, loss: LossName, outputs: Array) -> Array:
    """Return the prediction for each sample, (n,): a class index, or for squared_error a number.

    Example:
        >>> import numpy as np
        >>> predictions_from_outputs(np, "softmax_cross_entropy", np.array([[1.0, 3.0, 2.0], [5.0, 4.0, 3.0]]))
        array([1, 0])
        >>> predictions_from_outputs(np, "logistic", np.array([[-1.0], [2.0]]))
        array([0, 1])
    """
    match loss:
        case "softmax_cross_entropy":
            return outputs.argmax(axis=1)
        case "logistic":
            return (outputs[:, 0] > 0).astype(xp.int64)
        case "squared_error":
            return outputs[:, 0]


def probabilities(xp: ModuleType, loss: LossName, outputs: Array) -> Array:
    """Return the probability of each class for each sample, (n, classes).

    Raises:
        ValueError: the loss is squared_error, which does not predict classes.

    Example:
        >>> import numpy as np
        >>> probabilities(np, "softmax_cross_entropy", np.array([[0.0, np.log(3)]]))
        array([[0.25, 0.75]])
        >>> probabilities(np, "logistic", np.array([[np.log(3)]]))
        array([[0.25, 0.75]])
    """
    match loss:
        case "softmax_cross_entropy":
            likelihood = xp.exp(outputs - outputs.max(axis=1, keepdims=True))
            return likelihood / likelihood.sum(axis=1, keepdims=True)
        case "logistic":
            both = xp.concatenate([-outputs, outputs], axis=1)
            sigmoid(xp, both)
            return both
        case "squared_error":
            raise ValueError(
                "squared_error predicts numbers, which have no probabilities; use predictions_from_outputs"
            )


Loss = Callable[[ModuleType, Array, Array, Array], Any]
"""`loss(xp, outputs, targets, gradient)`: the sum of the batch's losses, as a scalar of `xp`; it stays on
the device. The gradient with respect to the outputs is written into `gradient`, C-contiguous and of their shape."""


def softmax_cross_entropy(xp: ModuleType, outputs: Array, targets: Array, gradient: Array) -> Any:
    """`Σ log(Σⱼ exp(zⱼ)) - z_y`, the negative log-likelihood of class y among k.

    The gradient is `softmax(z) - onehot(y)`. The largest output is subtracted first, so nothing overflows.

    Args:
        xp: `numpy` or `cupy`.
        outputs: (n, k), z.
        targets: (n,), int64, at least 0 and below k, y.
        gradient: (n, k), written.

    Example:
        >>> import numpy as np
        >>> gradient = np.empty((1, 2))
        >>> float(softmax_cross_entropy(np, np.array([[0.0, np.log(3)]]), np.array([1]), gradient)), gradient
        (0.28768207245178..., array([[ 0.25, -0.25]]))
    """
    n, k = outputs.shape
    xp.subtract(outputs, outputs.max(axis=1, keepdims=True), out=gradient)
    flat = gradient.reshape(-1)
    index = xp.arange(0, n * k, k) + targets
    chosen = flat[index]
    xp.exp(gradient, out=gradient)
    total = gradient.sum(axis=1, keepdims=True)
    xp.divide(gradient, total, out=gradient)
    flat[index] -= 1
    return xp.log(total).sum() - chosen.sum()


def logistic(xp: ModuleType, outputs: Array, targets: Array, gradient: Array) -> Any:
    """`Σ log(1 + exp(z)) - y·z`, the negative log-likelihood of y, 0 or 1.

    The gradient is `sigmoid(z) - y`.

    Args:
        xp: `numpy` or `cupy`.
        outputs: (n, 1), z.
        targets: (n,), 0 or 1 in the outputs' dtype, y.
        gradient: (n, 1), written.

    Example:
        >>> import numpy as np
        >>> gradient = np.empty((2, 1))
        >>> float(logistic(np, np.array([[np.log(3)], [0.0]]), np.array([1.0, 0.0]), gradient)), gradient
        (0.98082925301172..., array([[-0.25], [ 0.5 ]]))
    """
    # With s = 1 - 2y: log(1 + exp(s·z)), and s·sigmoid(s·z), which do not subtract nearly equal numbers.
    sign = 1 - 2 * targets
    margin = sign * outputs[:, 0]
    loss = xp.logaddexp(0, margin).sum()
    sigmoid(xp, margin)
    xp.multiply(sign, margin, out=gradient[:, 0])
    return loss


def squared_error(xp: ModuleType, outputs: Array, targets: Array, gradient: Array) -> Any:
    """`Σ ½·(ŷ - y)²`, with the half, so that the gradient is `ŷ - y`.

    Args:
        xp: `numpy` or `cupy`.
        outputs: (n, 1), ŷ.
        targets: (n,), in the outputs' dtype, y.
        gradient: (n, 1), written.

    Example:
        >>> import numpy as np
        >>> gradient = np.empty((2, 1))
        >>> float(squared_error(np, np.array([[3.0], [5.0]]), np.array([1.0, 6.0]), gradient)), gradient
        (2.5, array([[ 2.], [-1.]]))
    """
    error = gradient[:, 0]
    xp.subtract(outputs[:, 0], targets, out=error)
    return 0.5 * xp.dot(error, error)


LOSSES: dict[LossName, Loss] = {
    "softmax_cross_entropy": softmax_cross_entropy,
    "logistic": logistic,
    "squared_error": squared_error,
}
