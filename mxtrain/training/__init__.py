"""Training: the fit loop, what watches it, its checkpoints, and the folder of a run."""

from mxtrain.atomic_io import write_file
from mxtrain.training.callbacks import Callback, Logger, Row, RunInfo, StopRequest, StopTraining, graceful_stop
from mxtrain.training.checkpoints.snapshot import Snapshot
from mxtrain.training.checkpoints.storage import Checkpoints
from mxtrain.training.class_report import ClassReport
from mxtrain.training.comparison import Comparison
from mxtrain.training.environment import set_blas_threads
from mxtrain.training.loaded_run import LoadedRun
from mxtrain.training.loop import TrainedRun, advance, fit, resume
from mxtrain.training.model_factory import ModelFactory
from mxtrain.training.replay import Replay, replay, verify
from mxtrain.training.run_folder.history import final_epoch, read_history
from mxtrain.training.run_folder.locking import folder_lock, is_folder_locked
from mxtrain.training.run_folder.run_status import (
    ListedRun,
    Status,
    differing_settings,
    list_runs,
    read_status,
    write_failed,
    write_status,
)
from mxtrain.training.run_loading import load_run
from mxtrain.training.run_segment import Progress, check_failed, check_same_run, train_until
from mxtrain.training.trainer import Trainer

__all__ = [
    "Callback",
    "Checkpoints",
    "ClassReport",
    "Comparison",
    "ListedRun",
    "LoadedRun",
    "Logger",
    "ModelFactory",
    "Progress",
    "Replay",
    "Row",
    "RunInfo",
    "Snapshot",
    "Status",
    "StopRequest",
    "StopTraining",
    "TrainedRun",
    "Trainer",
    "advance",
    "check_failed",
    "check_same_run",
    "differing_settings",
    "final_epoch",
    "fit",
    "folder_lock",
    "graceful_stop",
    "set_blas_threads",
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
