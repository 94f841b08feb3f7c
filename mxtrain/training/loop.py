"""The training loop; `fit`, `resume` and `advance`, which train a run."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np

from mxtrain.config import RunConfig, read_run, run_from_dict
from mxtrain.config.overrides import check_overrides, located_at_overrides
from mxtrain.data import DataParts, GivenData, as_parts, read_data, read_in_memory_data
from mxtrain.errors import (
    ConfigError,
    ConfigProblem,
    RunInterrupted,
    RunPaused,
    resume_command,
)
from mxtrain.optim.optimization_state import OptimizationState
from mxtrain.training.callbacks import (
    Callback,
    Row,
    RunInfo,
    StopRequest,
    StopTraining,
    check_callbacks,
    notify,
    notify_error,
)
from mxtrain.training.checkpoints.checkpoint_policy import CheckpointPolicy
from mxtrain.training.checkpoints.snapshot import Position, Snapshot
from mxtrain.training.checkpoints.storage import Checkpoints
from mxtrain.training.environment import limit_blas_threads, with_blas_threads
from mxtrain.training.loggers.registry import isolate_loggers, open_loggers
from mxtrain.training.model_factory import ModelFactory, with_factory
from mxtrain.training.resume_checks import check_data, resolve_with_data, restored_trainer
from mxtrain.training.run_folder.history import best_epoch, format_metrics, target_moments
from mxtrain.training.run_folder.run_directory import (
    RunDirectory,
    preprocessing_json,
    with_saved_defaults,
    with_saved_kinds,
)
from mxtrain.training.run_folder.run_status import Status, write_failed, write_finished, write_status
from mxtrain.training.trainer import Trainer
from mxtrain.types import describe

Config = RunConfig | Mapping[str, Any] | str | PathLike[str]


class RunOptions(TypedDict, total=False):
    """Keyword arguments of `fit` and `resume`, as `mxtrain.fit` documents them."""

    overrides: Sequence[str]
    callbacks: Sequence[Callback]
    stop: StopRequest | None
    model: ModelFactory | None
    data: GivenData


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """The outcome of training a run.

    Attributes:
        config: the resolved config.
        history: the metrics of each epoch, as in metrics.jsonl.
        state: the counts at the end of training.
        parameters: the trained parameters by name, as NumPy arrays.
        run_dir: the run's folder.
    """

    config: RunConfig
    history: list[Row]
    state: OptimizationState
    parameters: dict[str, np.ndarray[Any, Any]]
    run_dir: Path

    @property
    def best(self) -> Row | None:
        """The metrics of the best epoch, by the metric of early stopping or `checkpoint.best`, otherwise by `val_loss`;
        None if there is no such metric."""
        return best_epoch(self.config, self.history)

    def __repr__(self) -> str:
        last = f"last {format_metrics(self.history[-1])}" if self.history else "no epoch is finished"
        return f"{type(self).__name__}({str(self.run_dir)!r}, {last})"


def run_epochs(trainer: Trainer, until: int | Position) -> Iterator[tuple[Any, None] | tuple[None, Row]]:
    """Train until a number of epochs is finished, a position is reached, or early stopping ends the run.

    Args:
        trainer: the run, at any position.
        until: the number of finished epochs, or a position as `Trainer.position` returns it.

    Yields:
        `(loss, None)` after each batch, and `(None, row)` after each epoch, with its metrics.

    Raises:
        TrainingError, ModelError, ConfigError: as `Trainer.steps` and `Trainer.finish_epoch`.
    """
    position, epochs = (until, until[2]) if isinstance(until, tuple) else (None, until)
    while trainer.epochs < epochs and not trainer.has_stopped_early:
        for loss in trainer.steps():
            yield loss, None
        yield None, trainer.finish_epoch()
    if position and trainer.position != position:
        for loss in trainer.steps():
            yield loss, None
            if trainer.position == position:
                return


def fit(config: Config, *, run_dir: str | PathLike[str] | None = None, **options: Unpack[RunOptions]) -> TrainedRun:
    """Train a model as `mxtrain.fit` does, without progress."""
    model, data, overrides = options.get("model"), options.get("data"), options.get("overrides", ())
    check_callbacks(options.get("callbacks", ()))
    run = with_blas_threads(with_factory(_run_config(config, overrides, as_parts(data)).resolve(), model))
    loggers = open_loggers(run.fit.loggers)
    found = read_data(run, read_in_memory_data(run, data))
    trainer = Trainer(resolve_with_data(run, found), model, found)
    backend = trainer.optimizer.backend.name
    with RunDirectory.create(trainer.config, run_dir, backend) as directory, limit_blas_threads(run.threads):
        return train(trainer, directory, (*loggers, *options.get("callbacks", ())), options.get("stop"))


def resume(run_dir: str | PathLike[str], **options: Unpack[RunOptions]) -> TrainedRun:
    """Continue a run as `mxtrain.resume` does, without progress."""
    model, data, overrides = options.get("model"), options.get("data"), options.get("overrides", ())
    check_callbacks(options.get("callbacks", ()))
    directory = RunDirectory.open(run_dir)
    with directory.locked():
        parts = as_parts(data)
        values = parts.config_values()
        run = read_run(directory.config_file, overrides, in_memory=parts.arguments, data_values=values)
        run = with_saved_defaults(run)
        run = with_factory(run.resolve(), model)
        loggers = open_loggers(run.fit.loggers)
        checkpoints = Checkpoints(directory.checkpoints, run.fit.checkpoint.keep)
        snapshot = checkpoints.newest()
        with located_at_overrides(overrides):
            reading = with_saved_kinds(run, directory.path)
            trainer = restored_trainer(snapshot, run, model, given=read_in_memory_data(reading, data), reading=reading)
        complete = _completion_notes(trainer, directory)
        backend = None if complete else trainer.optimizer.backend.name
        repaired = directory.rewind_files(trainer.config, trainer.rows, backend)
        is_lost = checkpoints.damaged and snapshot is None
        restarted = ["no checkpoint is intact: the run starts again from the beginning"] if is_lost else []
        notes = [*checkpoints.damaged, *restarted, *repaired, *complete]
        with limit_blas_threads(run.threads):
            return train(trainer, directory, (*loggers, *options.get("callbacks", ())), options.get("stop"), notes)


def advance(
    config: RunConfig,
    snapshot: Snapshot | None,
    epochs: int,
    *,
    model: ModelFactory | None = None,
    data: GivenData = None,
) -> Snapshot:
    """Train from a snapshot until `epochs` epochs are finished, or early stopping ends the run.

    A pure function: it reads the data of the config, or those that are passed, and writes nothing. Equal arguments
    return equal snapshots, byte for byte.

    Args:
        config: the resolved config.
        snapshot: the state to start from; None for the beginning of the run.
        epochs: the number of finished epochs to reach.
        model, data: as for `fit`.

    Returns:
        The snapshot after the last of these epochs; `snapshot` itself if it has as many.

    Raises:
        TrainingError: the data differ from those of the snapshot.
    """
    found = read_data(config, read_in_memory_data(config, data))
    trainer = Trainer(resolve_with_data(config, found, snapshot), model, found)
    if snapshot is not None:
        check_data(snapshot.record["data"], trainer.data_fingerprint, config, "start again without a snapshot")
        trainer.restore(snapshot)
    is_trained = False
    with limit_blas_threads(config.threads):
        for _ in run_epochs(trainer, epochs):
            is_trained = True
    return trainer.snapshot() if is_trained or snapshot is None else snapshot


def train(
    trainer: Trainer,
    directory: RunDirectory,
    callbacks: Sequence[object],
    stop: StopRequest | None,
    notes: Sequence[str] = (),
    *,
    until: int | None = None,
    share: float | None = None,
) -> TrainedRun:
    """Train a run in its folder to the end, or until `until` epochs are finished.

    Args:
        trainer: the run.
        directory: its folder, which this process has locked.
        callbacks: objects whose methods are called during the run.
        stop: checked after every batch.
        notes: messages about the past of the run, for `RunInfo`.
        until: the number of finished epochs at which to pause; left out, the run is trained to the end.
        share: as for `CheckpointPolicy`.

    Raises:
        RunPaused: `until` epochs are finished, and the run has more; it is saved.
        RunInterrupted: `stop` named a signal; the run is saved.
        MxtrainError: the run failed.
    """
    config, callbacks = trainer.config, isolate_loggers(callbacks)
    policy = CheckpointPolicy(trainer, Checkpoints(directory.checkpoints, config.fit.checkpoint.keep), share)
    info = _run_info(trainer, directory, notes)
    write_status(directory.path, Status("unfinished"))
    try:
        directory.save_preprocessing(preprocessing_json(trainer.dataset, trainer.data_fingerprint))
        begin = time.perf_counter()
        try:
            notify(callbacks, "on_start", info)
            begin = time.perf_counter()
            epochs = config.fit.epochs if until is None else min(until, config.fit.epochs)
            _train_epochs(trainer, epochs, directory, callbacks, policy, stop)
            if not trainer.is_finished:
                policy.save()
                raise RunPaused(directory.path)
        except StopTraining:
            policy.save()
        parameters = trainer.final_parameters()
        directory.save_model(parameters)
        directory.flush_logs()
        with suppress(StopTraining):  # training has ended already
            notify(callbacks, "on_end", time.perf_counter() - begin)
    except (Exception, KeyboardInterrupt) as error:
        if not isinstance(error, RunInterrupted | RunPaused | KeyboardInterrupt):
            write_failed(directory.path, str(error) or type(error).__name__)
        notify_error(callbacks, error)
        raise
    write_finished(directory.path)
    return TrainedRun(config, trainer.rows, trainer.state, parameters, directory.path)


def _run_info(trainer: Trainer, directory: RunDirectory, notes: Sequence[str]) -> RunInfo:
    """Return the facts about a run that callbacks receive at its start."""
    config, dataset = trainer.config, trainer.dataset
    return RunInfo(
        config=config,
        run_dir=directory.path,
        batches=len(trainer.batches),
        samples=(len(dataset.training), len(dataset.validation)),
        parameters=sum(len(buffer) for buffer in trainer.params.buffers.values()),
        target_moments=target_moments(config, dataset.validation.targets),
        history=tuple(map(dict, trainer.rows)),
        notes=(*notes, *dataset.notes, *trainer.undefined_metrics()),
    )


def _train_epochs(
    trainer: Trainer,
    epochs: int,
    directory: RunDirectory,
    callbacks: Sequence[object],
    policy: CheckpointPolicy,
    stop: StopRequest | None,
) -> None:
    """Train until `epochs` epochs are finished; call callbacks, and write checkpoints, metrics and timings."""
    begin, on_batch = time.perf_counter(), _on_batch_methods(callbacks)
    for loss, row in run_epochs(trainer, epochs):
        if row is None:
            for call in on_batch:
                call(trainer.state, loss)
            policy.after_step()
            if stop is not None and stop.signal:
                policy.save()
                raise RunInterrupted(directory.path, stop.signal)
        else:
            directory.add_metrics(row)
            directory.add_timings({"epoch": row["epoch"], "seconds": round(time.perf_counter() - begin, 6)})
            policy.after_epoch(row)
            notify(callbacks, "on_epoch", trainer.state, row)
            begin, on_batch = time.perf_counter(), _on_batch_methods(callbacks)


def _on_batch_methods(callbacks: Sequence[object]) -> list[Any]:
    return [method for callback in callbacks if (method := getattr(callback, "on_batch", None))]


def _completion_notes(trainer: Trainer, directory: RunDirectory) -> list[str]:
    """Return a message that a run is complete, if it is."""
    epochs = trainer.config.fit.epochs
    if trainer.has_stopped_early:
        return [f"the run is complete: early stopping ended it after epoch {trainer.epochs}"]
    if trainer.epochs < epochs:
        return []
    if any(schedule.run_length is not None for schedule in trainer.config.optimizer.all_schedules().values()):
        return [f"the run is complete: all {epochs} epochs are finished"]
    command = f"{resume_command(directory.path)} --set fit.epochs={2 * trainer.epochs}"
    return [f"the run is complete: all {epochs} epochs are finished; to train longer, run `{command}`"]


def _run_config(config: Config, overrides: Sequence[str], parts: DataParts) -> RunConfig:
    values = parts.config_values()
    match config:
        case str() | PathLike():
            return read_run(config, overrides, in_memory=parts.arguments, data_values=values)
        case _ if len(check_overrides(overrides)):
            raise ConfigError([ConfigProblem("overrides", "only apply to a run file; change the config itself")])
        case RunConfig():
            reason = config.fit.rollback_problem()
            if reason is not None:
                raise ConfigError([ConfigProblem("fit.checkpoint.every", reason)])
            return run_from_dict(config.to_dict(), data_values=values) if values else config
        case Mapping():
            return run_from_dict(config, data_values=values)
    raise ConfigError([ConfigProblem("config", f"must be a path, a dict or a RunConfig, got {describe(config)}")])
