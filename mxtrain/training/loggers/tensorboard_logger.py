"""Logger for TensorBoard: an event file in the run's folder.

tensorboardX's SummaryWriter is not used: it writes from a background thread, so a full disk would go unnoticed and a
kill would lose epochs, and its `purge_step` leaves the purged points in the old file.
"""

import os
import re
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tensorboardX import RecordWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import hparams, scalar

from mxtrain.atomic_io import refuse_link
from mxtrain.optim.optimization_state import OptimizationState
from mxtrain.training.callbacks import Logger, Row, RunInfo
from mxtrain.training.loggers.delivery import allowed_names, hyperparameters, scalars

FOLDER = "tensorboard"
_REFUSED = re.compile(r"[^-/\w.]|^/+")
_LONGEST_TAG = 1000


class TensorBoard(Logger):
    """Logs each metric over the epochs: `tensorboard --logdir RUN/tensorboard`, or `--logdir runs` for all runs.

    A resumed run gets a new event file with all epochs so far, and the old one is removed: no point appears twice, and
    a TensorBoard that is open at the time restarts. The file contains all finished epochs at any moment. If it cannot
    be written, the whole file is written again at the end of the run.
    """

    def __init__(self) -> None:
        self._file: RecordWriter | None = None

    def on_start(self, info: RunInfo) -> None:
        self._info, self._rows = info, list(info.history)
        self._open()

    def on_epoch(self, state: OptimizationState, row: Row) -> None:
        self._rows.append(row)
        if self._file is not None:
            try:
                self._write_row(row)
                self._flush()
            except BaseException:
                self._truncate_file()
                raise

    def on_end(self, seconds: float) -> None:
        if self._file is None:
            self._open()
        self._close()

    def on_error(self, error: BaseException) -> None:
        self._close()

    def _open(self) -> None:
        """Write a new event file with all epochs so far, and remove the old ones."""
        folder = self._info.run_dir / FOLDER
        refuse_link(folder)
        folder.mkdir(exist_ok=True)
        old = list(folder.glob("events.*"))
        self._path = _new_file(folder)
        self._file = RecordWriter(str(self._path))
        try:
            self._write(file_version="brain.Event:2")
            if old:
                self._write(step=1, session_log=SessionLog(status=SessionLog.START))
            settings = hyperparameters(self._info.config.to_dict())
            names = ("loss", "val_loss") if self._info.samples[1] else ("loss",)
            for summary in hparams(settings, dict.fromkeys(names, 0.0))[:2]:
                self._write(summary=summary)
            for row in self._rows:
                self._write_row(row)
            self._flush()
        except BaseException:
            self._length = 0
            self._truncate_file()
            raise
        for file in old:
            file.unlink()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _flush(self) -> None:
        assert self._file is not None, "opened when the run started"
        self._file.flush()
        self._length = self._path.stat().st_size

    def _truncate_file(self) -> None:
        """Close the file and truncate it to its last whole epoch, because readers stop at a torn event."""
        with suppress(OSError):
            self._close()
        with suppress(OSError):
            if self._length:
                os.truncate(self._path, self._length)
            else:
                self._path.unlink()

    def _write_row(self, row: Row) -> None:
        values = dict(scalars(row))
        for name, tag in allowed_names(values, _REFUSED, _LONGEST_TAG).items():
            self._write(step=row["epoch"], summary=scalar(tag, values[name]))

    def _write(self, **fields: Any) -> None:
        assert self._file is not None, "opened when the run started"
        self._file.write(Event(wall_time=time.time(), **fields).SerializeToString())


def _new_file(folder: Path) -> Path:
    """Return the path of a new event file, which sorts after earlier ones."""
    return folder / f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
