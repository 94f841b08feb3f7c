"""From the config's `model` to a model."""

from types import ModuleType

import numpy as np

from mxtrain.config.run import LinearConfig, LossName, MLPConfig, ModelConfig
from mxtrain.models.mlp import MLP
from mxtrain.models.model import Model


def build_model(config: ModelConfig, loss: LossName, n_features: int, n_outputs: int, xp: ModuleType = np) -> Model:
    """The model that a config describes, for data of `n_features`.

    Args:
        config: the run's `model`, one of the package's.
        loss: the run's `loss`.
        n_features, n_outputs: as the data have them and the loss needs them.
        xp: `numpy` or `cupy`.

    Example:
        >>> build_model(LinearConfig(bias=False), "logistic", n_features=4, n_outputs=1).shapes()
        {'W1': (4, 1)}
    """
    match config:
        case LinearConfig(bias=bias):
            return MLP((n_features, n_outputs), "relu", loss, bias, xp)
        case MLPConfig(hidden=hidden, activation=activation):
            return MLP((n_features, *hidden, n_outputs), activation, loss, xp=xp)
        case _:
            raise TypeError("a custom model is made by make_model, with what its user hands over")
