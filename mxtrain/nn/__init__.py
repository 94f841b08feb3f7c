"""Models, losses and metrics, as pure functions of NumPy or CuPy arrays."""

from mxtrain.nn.gradient_check import check_gradient
from mxtrain.nn.losses import LOSSES, build_loss
from mxtrain.nn.metrics import Metric, build_metric, metric_sums, restore_metric
from mxtrain.nn.mlp import MLP
from mxtrain.nn.model import CustomLoss, Model, accepts_weights, check_methods, check_returned, qualified_name
from mxtrain.nn.predictions import point_predictions, predictions_from_outputs, probabilities

__all__ = [
    "LOSSES",
    "MLP",
    "CustomLoss",
    "Metric",
    "Model",
    "accepts_weights",
    "build_loss",
    "build_metric",
    "check_gradient",
    "check_methods",
    "check_returned",
    "point_predictions",
    "predictions_from_outputs",
    "metric_sums",
    "probabilities",
    "qualified_name",
    "restore_metric",
]
