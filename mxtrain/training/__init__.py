"""Training: the fit loop, what watches it, its checkpoints, and the folder of a run."""

from mxtrain.training.callbacks import Callback, Row, RunInfo, StopTraining
from mxtrain.training.load_folder import load_run
from mxtrain.training.loaded_run import LoadedRun
from mxtrain.training.loop import FitResult, advance, fit, resume
from mxtrain.training.replay import Replay, replay, verify
from mxtrain.training.run_list import ListedRun, differing, list_runs
from mxtrain.training.snapshot import Snapshot
from mxtrain.training.stopping import StopRequest, graceful_stop
from mxtrain.training.trainer import Trainer

__all__ = [
    "Callback",
    "FitResult",
    "ListedRun",
    "LoadedRun",
    "Replay",
    "Row",
    "RunInfo",
    "Snapshot",
    "StopRequest",
    "StopTraining",
    "Trainer",
    "advance",
    "differing",
    "fit",
    "graceful_stop",
    "list_runs",
    "load_run",
    "replay",
    "resume",
    "verify",
]
