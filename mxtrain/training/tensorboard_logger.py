"""Metrics for TensorBoard: an event file in the run's folder, written by tensorboardX."""

import os
import socket
import time
from pathlib import Path
from typing import Any

from tensorboardX import RecordWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import hparams, scalar

from mxtrain.atomic_io import refuse_link
from mxtrain.state import OptimizationState
from mxtrain.training.callbacks import Callback, Row, RunInfo
from mxtrain.training.loggers import hyperparameters, scalars

FOLDER = "tensorboard"


class TensorBoard(Callback):
    """Draws each metric over the epochs: `tensorboard --logdir RUN/tensorboard`, or `--logdir runs` for all of them.

    A resumed run gets a new event file with all epochs so far, and the old one goes: no point is there twice, and a
    TensorBoard that is open at the time is told to begin anew. The file is complete to the last epoch at any moment.
    """

    def on_start(self, info: RunInfo) -> None:
        folder = info.run_dir / FOLDER
        refuse_link(folder)
        folder.mkdir(exist_ok=True)
        old = list(folder.glob("events.*"))
        self._file = RecordWriter(str(_new_file(folder)))
        self._write(file_version="brain.Event:2")
        if old:
            self._write(step=1, session_log=SessionLog(status=SessionLog.START))
        settings = hyperparameters(info.config.to_dict())
        names = ("loss", "val_loss") if info.samples[1] else ("loss",)
        for summary in hparams(settings, dict.fromkeys(names, 0.0))[:2]:
            self._write(summary=summary)
        for row in info.history:
            self._write_row(row)
        self._file.flush()
        for file in old:
            file.unlink()

    def on_epoch(self, state: OptimizationState, row: Row) -> None:
        self._write_row(row)
        self._file.flush()

    def on_end(self, seconds: float) -> None:
        self._file.close()

    def on_error(self, error: BaseException) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def _write_row(self, row: Row) -> None:
        for name, value in scalars(row):
            self._write(step=row["epoch"], summary=scalar(name, value))

    def _write(self, **fields: Any) -> None:
        self._file.write(Event(wall_time=time.time(), **fields).SerializeToString())


def _new_file(folder: Path) -> Path:
    """A name as TensorBoard looks for; the later ones sort behind the earlier ones."""
    return folder / f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
