"""Training: the fit loop, what watches it, its checkpoints, and the folder of a run."""

from mxtrain.training.callbacks import Callback, Row, RunInfo
from mxtrain.training.loop import FitResult, advance, fit, resume, verify
from mxtrain.training.snapshot import Snapshot
from mxtrain.training.stopping import StopRequest, graceful_stop
from mxtrain.training.trainer import Trainer

__all__ = [
    "Callback",
    "FitResult",
    "Row",
    "RunInfo",
    "Snapshot",
    "StopRequest",
    "Trainer",
    "advance",
    "fit",
    "graceful_stop",
    "resume",
    "verify",
]
