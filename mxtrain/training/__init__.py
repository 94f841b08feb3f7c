"""Training: the fit loop, what watches it, its checkpoints, and the folder of a run."""

from mxtrain.atomic_io import write_file
from mxtrain.training.blas_threads import hold_blas_threads
from mxtrain.training.callbacks import Callback, Logger, Row, RunInfo, StopTraining
from mxtrain.training.checkpoints import Checkpoints
from mxtrain.training.folder_lock import folder_lock, is_folder_locked
from mxtrain.training.history import final_epoch, read_history
from mxtrain.training.load_folder import load_run
from mxtrain.training.loaded_run import Comparison, LoadedRun
from mxtrain.training.loop import FitResult, advance, fit, resume
from mxtrain.training.replay import Replay, replay, verify
from mxtrain.training.run_list import ListedRun, differing, list_runs
from mxtrain.training.segment import Progress, check_failed, check_same_run, train_until
from mxtrain.training.snapshot import Snapshot
from mxtrain.training.status import Status, read_status, write_failed, write_status
from mxtrain.training.stopping import StopRequest, graceful_stop
from mxtrain.training.trainer import Trainer

__all__ = [
    "Callback",
    "Checkpoints",
    "Comparison",
    "FitResult",
    "ListedRun",
    "LoadedRun",
    "Logger",
    "Progress",
    "Replay",
    "Row",
    "RunInfo",
    "Snapshot",
    "Status",
    "StopRequest",
    "StopTraining",
    "Trainer",
    "advance",
    "check_failed",
    "check_same_run",
    "differing",
    "final_epoch",
    "fit",
    "folder_lock",
    "graceful_stop",
    "hold_blas_threads",
    "is_folder_locked",
    "list_runs",
    "load_run",
    "read_history",
    "read_status",
    "replay",
    "resume",
    "train_until",
    "verify",
    "write_failed",
    "write_file",
    "write_status",
]
