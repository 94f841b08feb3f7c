"""What a model's outputs mean, by its loss."""

from types import ModuleType

from mxtrain.config.run import LossName
from mxtrain.passes import sigmoid
from mxtrain.types import Array


def decide(xp: ModuleType, loss: LossName, outputs: Array) -> Array:
    """What is predicted for each sample, (n,): the index of a class, or for squared_error the number itself.

    Example:
        >>> import numpy as np
        >>> decide(np, "softmax_cross_entropy", np.array([[1.0, 3.0, 2.0], [5.0, 4.0, 3.0]]))
        array([1, 0])
        >>> decide(np, "logistic", np.array([[-1.0], [2.0]]))
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
    """How likely each class is for each sample, (n, classes).

    Raises:
        ValueError: the loss is squared_error, which predicts no classes.

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
            raise ValueError("squared_error predicts numbers, which have no probabilities; use decide")
