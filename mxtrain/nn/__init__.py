"""What is trained: models, their losses and their metrics, as pure functions of arrays."""

from mxtrain.nn.custom_models import (
    ModelFactory,
    build_model,
    check_returned,
    compare_losses,
    custom_loss,
    factory_name,
    make_model,
    with_factory,
)
from mxtrain.nn.gradient_check import check_gradient
from mxtrain.nn.losses import decide, probabilities
from mxtrain.nn.metrics import Metric, build_metric, metric_sums, restore_metric
from mxtrain.nn.mlp import MLP
from mxtrain.nn.model import Model

__all__ = [
    "MLP",
    "Metric",
    "Model",
    "ModelFactory",
    "build_metric",
    "build_model",
    "check_gradient",
    "check_returned",
    "compare_losses",
    "custom_loss",
    "decide",
    "factory_name",
    "make_model",
    "metric_sums",
    "probabilities",
    "restore_metric",
    "with_factory",
]
