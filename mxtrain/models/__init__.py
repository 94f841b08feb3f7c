"""What is trained: models, their losses and their metrics, as pure functions of arrays."""

from mxtrain.models.build import build_model
from mxtrain.models.custom import ModelFactory, check_returned, factory_name, make_model, with_factory
from mxtrain.models.custom_loss import compare_losses, custom_loss
from mxtrain.models.decoding import decide, probabilities
from mxtrain.models.gradient_check import check_gradient
from mxtrain.models.metrics import Metric, build_metric, metric_sums, restore_metric
from mxtrain.models.mlp import MLP
from mxtrain.models.model import Model

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
