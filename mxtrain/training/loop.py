"""`fit`: from a config to a trained model in a folder."""

import time
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mxtrain.config import RunConfig, read_run, run_from_dict
from mxtrain.errors import ConfigError, Problem
from mxtrain.state import OptimizationState
from mxtrain.training.callbacks import Callback, Row, RunInfo
from mxtrain.training.run_directory import RunDirectory
from mxtrain.training.trainer import Trainer
from mxtrain.types import describe


class FitResult(NamedTuple):
    """What a run leaves behind.

    Attributes:
        history: the metrics of each epoch, as in metrics.jsonl.
        state: where the run stood at its end.
        parameters: the trained parameters by name, as NumPy arrays.
        run_dir: the run's folder.
    """

    history: list[Row]
    state: OptimizationState
    parameters: dict[str, np.ndarray[Any, Any]]
    run_dir: Path


def fit(
    config: RunConfig | Mapping[str, Any] | str | PathLike[str],
    *,
    run_dir: str | PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
) -> FitResult:
    """Train a model as a config says, and write the run's folder.

    The same config and seed give the same parameters, byte for byte, on one machine.

    Args:
        config: the path of a run file, a dict of the same shape, or a RunConfig; it is not changed. An unset
            `optimizer.scale` becomes `1/batch_size` in the resolved config, because gradients are sums over a batch.
        run_dir: the run's folder, new or empty; left out, runs/NAME-1, runs/NAME-2 and so on.
        overrides: `path=value` texts, as with `--set`; only for a run file.
        callbacks: what watches the run.

    Raises:
        ConfigError: a value in the config is wrong; every problem at once.
        DataError: the data cannot be read, or do not suit the loss.
        BackendError: the backend cannot run here.
        TrainingError: the run diverged, or its folder is taken.

    Example:
        >>> import mxtrain, tempfile
        >>> result = mxtrain.fit({
        ...     "data": {"source": "digits"}, "model": {"kind": "linear"}, "loss": "softmax_cross_entropy",
        ...     "optimizer": {"kind": "adam", "η": 0.01}, "fit": {"epochs": 3, "metrics": ["accuracy"]},
        ... }, run_dir=tempfile.mkdtemp())
        >>> result.state
        OptimizationState(batch_size=32, curr_epoch=3, curr_batch=45, curr_iter=135)
        >>> result.history[-1]["val_accuracy"] > 0.9
        True
    """
    run = _run_config(config, overrides).resolve()
    trainer = Trainer(run)
    directory = RunDirectory.create(run, run_dir, trainer.optimizer.backend.name)
    info = RunInfo(
        config=run,
        run_dir=directory.path,
        batches=len(trainer.batches),
        samples=(len(trainer.dataset.training), len(trainer.dataset.validation)),
        parameters=sum(len(buffer) for buffer in trainer.params.buffers.values()),
    )
    for callback in callbacks:
        callback.on_start(info)
    begin = time.perf_counter()
    history = [_epoch(trainer, directory, callbacks) for _ in range(run.fit.epochs)]
    parameters = trainer.parameters()
    directory.save_model(parameters)
    for callback in callbacks:
        callback.on_end(time.perf_counter() - begin)
    return FitResult(history, trainer.state, parameters, directory.path)


def _epoch(trainer: Trainer, directory: RunDirectory, callbacks: Sequence[Callback]) -> Row:
    def on_batch(state: OptimizationState, loss: Any) -> None:
        for callback in callbacks:
            callback.on_batch(state, loss)

    begin = time.perf_counter()
    row = trainer.run_epoch(on_batch)
    seconds = time.perf_counter() - begin
    directory.add_metrics(row)
    directory.add_timings({"epoch": row["epoch"], "seconds": round(seconds, 6)})
    for callback in callbacks:
        callback.on_epoch(trainer.state, row)
    return row


def _run_config(config: RunConfig | Mapping[str, Any] | str | PathLike[str], overrides: Sequence[str]) -> RunConfig:
    match config:
        case str() | PathLike():
            return read_run(config, overrides)
        case _ if overrides:
            raise ConfigError([Problem("overrides", "only a run file takes overrides; change the config itself")])
        case RunConfig():
            return config
        case Mapping():
            return run_from_dict(config)
    raise ConfigError([Problem("config", f"must be a path, a dict or a RunConfig, got {describe(config)}")])
