"""Stop conditions of `minimize` and of `Optimizer.steps`."""

from mxtrain.optim.stopping.conditions import StopConditions
from mxtrain.optim.stopping.progress import Progress
from mxtrain.optim.stopping.stop_test import Stop, StopTest

__all__ = ["Progress", "Stop", "StopConditions", "StopTest"]
