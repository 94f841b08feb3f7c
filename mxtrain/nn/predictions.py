"""Predictions and probabilities from a model's outputs."""

from types import ModuleType

from mxtrain.loss_config import LOG_LINK_LOSSES, LossSpec, QuantileConfig, as_loss_config, loss_family, loss_kind
from mxtrain.nn.activations import sigmoid
from mxtrain.types import Array


def predictions_from_outputs(xp: ModuleType, loss: LossSpec, outputs: Array) -> Array:
    """Return the prediction for each sample, (n,): a class index, or a number.

    Several targets, and a list of quantiles, have a prediction each, (n, k). Boolean targets are predicted as 0 and 1.

    Args:
        xp: `numpy` or `cupy`.
        loss: the loss, which determines the meaning of the outputs.
        outputs: (n, k).

    Example:
        >>> import numpy as np
        >>> predictions_from_outputs(np, "softmax_cross_entropy", np.array([[1.0, 3.0, 2.0], [5.0, 4.0, 3.0]]))
        array([1, 0])
        >>> predictions_from_outputs(np, "logistic", np.array([[-1.0], [2.0]]))
        array([0, 1])
        >>> predictions_from_outputs(np, "poisson", np.array([[0.0], [np.log(3)]]))
        array([1., 3.])
        >>> predictions_from_outputs(np, QuantileConfig(q=[0.1, 0.9]), np.array([[2.0, 5.0]]))
        array([[2., 5.]])
    """
    match loss_family(loss):
        case "softmax_cross_entropy":
            return outputs.argmax(axis=1)
        case "logistic":
            decided = (outputs > 0).astype(xp.int64)
            return decided[:, 0] if outputs.shape[1] == 1 else decided
    if loss_kind(loss) in LOG_LINK_LOSSES:
        outputs = xp.exp(outputs)
    config = as_loss_config(loss)
    is_list = isinstance(config, QuantileConfig) and config.is_list
    return outputs if is_list or outputs.shape[1] > 1 else outputs[:, 0]


def point_predictions(xp: ModuleType, loss: LossSpec, outputs: Array) -> Array:
    """Return the predictions that metrics compare with the targets: of several quantiles, the one near the median.

    Returns:
        (n,), or (n, k) for several targets.

    Example:
        >>> import numpy as np
        >>> point_predictions(np, QuantileConfig(q=[0.1, 0.5, 0.9]), np.array([[2.0, 3.0, 5.0]]))
        array([3.])
    """
    config, predicted = as_loss_config(loss), predictions_from_outputs(xp, loss, outputs)
    if not isinstance(config, QuantileConfig) or not config.is_list:
        return predicted
    levels = config.quantiles
    return predicted[:, min(range(len(levels)), key=lambda i: abs(levels[i] - 0.5))]


def probabilities(xp: ModuleType, loss: LossSpec, outputs: Array) -> Array:
    """Return the probability of each class for each sample, (n, classes); for several boolean targets, of each one.

    Raises:
        ValueError: the loss does not predict classes.

    Example:
        >>> import numpy as np
        >>> probabilities(np, "softmax_cross_entropy", np.array([[0.0, np.log(3)]]))
        array([[0.25, 0.75]])
        >>> probabilities(np, "logistic", np.array([[np.log(3)]]))
        array([[0.25, 0.75]])
        >>> probabilities(np, "logistic", np.array([[np.log(3), 0.0]]))
        array([[0.75, 0.5 ]])
    """
    match loss_family(loss):
        case "softmax_cross_entropy":
            likelihood = xp.exp(outputs - outputs.max(axis=1, keepdims=True))
            return likelihood / likelihood.sum(axis=1, keepdims=True)
        case "logistic":
            both = outputs.copy() if outputs.shape[1] > 1 else xp.concatenate([-outputs, outputs], axis=1)
            sigmoid(xp, both)
            return both
    raise ValueError(f"{loss_kind(loss)} predicts numbers, which have no probabilities; use predictions_from_outputs")
