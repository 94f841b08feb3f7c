"""Training: the fit loop, what watches it, and the folder of a run."""

from mxtrain.training.callbacks import Callback, Row, RunInfo
from mxtrain.training.loop import FitResult, fit
from mxtrain.training.trainer import Trainer

__all__ = ["Callback", "FitResult", "Row", "RunInfo", "Trainer", "fit"]
