"""A part of a run: from wherever its folder stands, until so many epochs are finished."""

from contextlib import suppress
from math import prod
from pathlib import Path
from typing import NamedTuple

from safetensors import safe_open

from mxtrain.atomic_io import open_file
from mxtrain.config import RunConfig
from mxtrain.data import DataMemory
from mxtrain.errors import RunPaused
from mxtrain.models import ModelFactory, with_factory
from mxtrain.training.blas_threads import blas_limited
from mxtrain.training.callbacks import Row
from mxtrain.training.checkpoints import Checkpoints
from mxtrain.training.continuing import taken_up
from mxtrain.training.history import read_history
from mxtrain.training.loggers import open_loggers
from mxtrain.training.loop import train
from mxtrain.training.run_directory import RunDirectory
from mxtrain.training.status import MODEL, read_status
from mxtrain.training.stopping import StopRequest

SHARE = 0.02
"""How much of the time of a segment goes into saving it, whatever its config says: a kill costs what is not saved."""

WAIT = 60.0
"""Seconds to wait for another process in the folder: one that lost its driver goes away by itself."""


class Progress(NamedTuple):
    """How far a run has come.

    Attributes:
        rows: the metrics of every epoch that is finished, as in metrics.jsonl.
        is_over: whether there is nothing left to train.
        parameters: how many numbers are trained.
    """

    rows: list[Row]
    is_over: bool
    parameters: int


def train_until(
    config: RunConfig,
    run_dir: Path,
    epochs: int,
    *,
    stop: StopRequest | None = None,
    model: ModelFactory | None = None,
    memory: DataMemory | None = None,
) -> Progress:
    """Train a run in its folder until `epochs` epochs are finished, or the run is over.

    The folder may be new, or stand anywhere: the outcome is the same, to the byte, as when it was never left. Nothing
    is trained twice but what was lost with a process that was killed.

    Args:
        config: the resolved config.
        run_dir: the run's folder; made where it is not there.
        epochs: how many epochs shall be finished.
        stop: looked at after every step, as by `fit`.
        model: as for `fit`.
        memory: remembers data from one call to the next.

    Raises:
        RunInterrupted: `stop` named a signal; the run is saved.
        MxtrainError: as `fit` and `resume`.
    """
    run = with_factory(config, model)
    if read_status(run_dir).state == "finished":
        return _finished(run_dir)
    directory = RunDirectory.claim(run_dir)
    with directory.locked(WAIT), blas_limited(run.threads):
        snapshot = Checkpoints(directory.checkpoints, run.fit.checkpoint.keep).newest()
        trainer = taken_up(snapshot, run, model, memory)
        if trainer.epochs < epochs or trainer.is_over:
            # what a rollback goes back to must not depend on time
            share = None if run.fit.on_nonfinite == "rollback" else SHARE
            directory.begin_again(run, trainer.rows, trainer.optimizer.backend.name)
            with suppress(RunPaused):
                train(trainer, directory, open_loggers(run.fit.loggers), stop, until=epochs, share=share)
    return Progress(trainer.rows, trainer.is_over, sum(len(buffer) for buffer in trainer.params.buffers.values()))


def _finished(run_dir: Path) -> Progress:
    with open_file(run_dir / MODEL), safe_open(run_dir / MODEL, "numpy") as file:  # which opens anything, pipes too
        parameters = sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 - not a dict
    return Progress(read_history(run_dir), True, parameters)
