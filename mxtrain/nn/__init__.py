"""Models, losses and metrics, as pure functions of NumPy or CuPy arrays."""

from mxtrain.nn.gradient_check import check_gradient
from mxtrain.nn.losses import LOSSES, predictions_from_outputs, probabilities
from mxtrain.nn.metrics import Metric, build_metric, metric_sums, restore_metric
from mxtrain.nn.mlp import MLP
from mxtrain.nn.model import CustomLoss, Model, check_methods, check_returned, qualified_name

__all__ = [
    "LOSSES",
    "MLP",
    "CustomLoss",
    "Metric",
    "Model",
    "build_metric",
    "check_gradient",
    "check_methods",
    "check_returned",
    "predictions_from_outputs",
    "metric_sums",
    "probabilities",
    "qualified_name",
    "restore_metric",
]
