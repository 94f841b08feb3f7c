"""Weights of classes in the loss, and initial outputs, both from the targets of the training part."""

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.config import RunConfig
from mxtrain.data import Dataset
from mxtrain.errors import ConfigError, ConfigProblem
from mxtrain.loss_config import LOG_LINK_LOSSES, LossSpec, loss_kind
from mxtrain.names import nearest
from mxtrain.training.checkpoints.snapshot import to_host
from mxtrain.types import Array


def class_weights(config: RunConfig, dataset: Dataset, xp: ModuleType) -> Array | None:
    """Return the weight of each class in the loss, (classes,), in the dtype of the run; None without `class_weight`.

    `balanced` is `n / (classes·n_c)` for a class of n_c of the n training samples, as in scikit-learn; its mean over
    the samples is 1.

    Args:
        config: the resolved config.
        dataset: the data.
        xp: the array module.

    Raises:
        ConfigError: the target is not one column of classes, a class of the mapping does not exist, or one is missing.

    Source: King and Zeng, Political Analysis 9 (2001).
    """
    if config.class_weight is None:
        return None
    names = dataset.class_names
    if names is None or dataset.training.targets.ndim != 1:
        raise _error("class_weight", "is for one target with classes; remove class_weight")
    if isinstance(config.class_weight, dict):
        values = _by_name(config.class_weight, names)
    else:
        counts = np.bincount(to_host(dataset.training.targets).astype(np.int64), minlength=len(names))
        values = counts.sum() / (len(names) * np.maximum(counts, 1))
    return xp.asarray(values.astype(config.dtype))


def _by_name(weights: dict[str, float], names: tuple[str, ...]) -> NDArray[np.float64]:
    unknown = []
    for label in weights:
        if label not in names:
            guess = nearest(label, names)
            remedy = f"did you mean {guess}?" if guess else f"the classes are {', '.join(names[:8])}"
            unknown.append(ConfigProblem(f"class_weight.{label}", f"is not a class of the data; {remedy}"))
    if unknown:
        raise ConfigError(unknown)
    missing = [name for name in names if name not in weights]
    if missing:
        raise _error("class_weight", f"lacks the class {missing[0]!r}; add {{{missing[0]}: 1.0}}")
    return np.array([weights[name] for name in names])


def _error(path: str, message: str) -> ConfigError:
    return ConfigError([ConfigProblem(path, message)])


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
