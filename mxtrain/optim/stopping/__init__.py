"""Stop conditions of `minimize` and of `Optimizer.steps`."""

from mxtrain.optim.stopping.conditions import StopConditions, errors_below, read_until
from mxtrain.optim.stopping.progress import Progress
from mxtrain.optim.stopping.stop_test import Stop, StopTest
from mxtrain.optim.stopping.stop_training import StopTraining

__all__ = ["Progress", "Stop", "StopConditions", "StopTest", "StopTraining", "errors_below", "read_until"]
