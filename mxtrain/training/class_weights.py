"""Weights of classes in the loss, from the targets of the training part."""

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from mxtrain.config import RunConfig
from mxtrain.data import Dataset
from mxtrain.errors import ConfigError, ConfigProblem
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
    if values.max() > (largest := float(np.finfo(config.dtype).max)):
        raise _error("class_weight", f"must be at most {largest:.3g} in {config.dtype}, got {values.max():g}")
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
