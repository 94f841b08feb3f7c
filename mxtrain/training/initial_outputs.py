"""Initial biases of losses whose predictions are exponentials, from the targets of the training part."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.loss_config import LOG_LINK_LOSSES, LossSpec, loss_kind
from mxtrain.training.checkpoints.snapshot import to_host
from mxtrain.types import Array


def start_at_mean(
    loss: LossSpec, params: dict[str, NDArray[Any]], targets: Array, weights: Array | None = None
) -> None:
    """Set the biases of the outputs to the logarithm of the mean target if predictions are exponentials of outputs.

    A model without a bias, or with a mean of 0, starts at its initial values.

    Args:
        loss: the loss.
        params: the initial parameters of a built-in model, by name; the last bias is changed.
        targets: (n,) or (n, k), the targets of the training part.
        weights: (n,), the weights of the samples, for a weighted mean; None if all count alike.

    Example:
        >>> params = {"W1": np.zeros((2, 1)), "b1": np.zeros(1)}
        >>> start_at_mean("poisson", params, np.array([0.0, 6.0])); float(np.exp(params["b1"][0]).round(6))
        3.0
    """
    biases = [name for name in params if name.startswith("b")]
    if loss_kind(loss) not in LOG_LINK_LOSSES or not biases or not len(targets):
        return
    values = to_host(targets).astype(np.float64)
    if weights is None:
        means = np.atleast_1d(values.mean(axis=0))
    else:
        means = np.atleast_1d(np.average(values, axis=0, weights=to_host(weights).astype(np.float64)))
    if (means > 0).all():
        params[biases[-1]][...] = np.log(means)
