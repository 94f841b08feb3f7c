"""Entry points of training: `fit`, `resume`, `advance` and `verify`, and the loop over epochs."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from mxtrain.config import RunConfig, read_run, run_from_dict
from mxtrain.config.overrides import check_overrides, spelled_as_typed
from mxtrain.data import Data, read_data, read_in_memory_data
from mxtrain.errors import ConfigError, ConfigProblem, RunInterrupted, RunPaused, TrainingError, resume_command
from mxtrain.nn import ModelFactory, with_factory
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
from mxtrain.training.checkpoints.snapshot import Snapshot
from mxtrain.training.checkpoints.storage import Checkpoints
from mxtrain.training.environment import environment_changes, limit_blas_threads, with_blas_threads
from mxtrain.training.history import best_epoch, figures, target_moments
from mxtrain.training.loggers.registry import isolate_loggers, open_loggers
from mxtrain.training.resume_checks import check_data, restored_trainer, scaled_to_data
from mxtrain.training.run_directory import RunDirectory
from mxtrain.training.run_directory import preprocessing_json as preprocessing_text
from mxtrain.training.run_status import Status, read_status, write_failed, write_finished, write_status
from mxtrain.training.trainer import Trainer
from mxtrain.types import describe

Config = RunConfig | Mapping[str, Any] | str | PathLike[str]


@dataclass(frozen=True, eq=False)
class FitResult:
    """The outcome of a run.

    Attributes:
        config: the resolved config.
        history: the metrics of each epoch, as in metrics.jsonl.
        state: where the run stood at its end.
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
        """The metrics of the best epoch, by the metric that early stopping or `checkpoint.best` watches, or else by
        `val_loss`; None without a metric to choose by."""
        return best_epoch(self.config, self.history)

    def __repr__(self) -> str:
        last = f"last {figures(self.history[-1])}" if self.history else "no epoch is finished"
        return f"FitResult({str(self.run_dir)!r}, {last})"


def fit(
    config: Config,
    *,
    run_dir: str | PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
    stop: StopRequest | None = None,
    model: ModelFactory | None = None,
    data: Data | None = None,
) -> FitResult:
    """Train a model as `mxtrain.fit` does, without progress; the result has no methods that need the model."""
    check_callbacks(callbacks)
    run = with_blas_threads(with_factory(_run_config(config, overrides, data is not None).resolve(), model))
    loggers = open_loggers(run.fit.loggers)
    found = read_data(run, read_in_memory_data(run, data))
    trainer = Trainer(scaled_to_data(run, found), model, found)
    backend = trainer.optimizer.backend.name
    with RunDirectory.create(trainer.config, run_dir, backend) as directory, limit_blas_threads(run.threads):
        return train(trainer, directory, (*loggers, *callbacks), stop)


def resume(
    run_dir: str | PathLike[str],
    *,
    overrides: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
    stop: StopRequest | None = None,
    model: ModelFactory | None = None,
    data: Data | None = None,
) -> FitResult:
    """Continue a run as `mxtrain.resume` does, without progress."""
    check_callbacks(callbacks)
    directory = RunDirectory.open(run_dir)
    with directory.locked():
        run = read_run(directory.config_file, overrides, in_memory=data is not None)
        run = with_factory(run.resolve(), model)
        loggers = open_loggers(run.fit.loggers)
        checkpoints = Checkpoints(directory.checkpoints, run.fit.checkpoint.keep)
        snapshot = checkpoints.newest()
        with spelled_as_typed(overrides):
            trainer = restored_trainer(snapshot, run, model, given=read_in_memory_data(run, data))
        over = _completion_notes(trainer, directory)
        mended = directory.rewind_files(trainer.config, trainer.rows, None if over else trainer.optimizer.backend.name)
        anew = ["no checkpoint is whole: the run begins anew"] if checkpoints.damaged and snapshot is None else []
        notes = [*checkpoints.damaged, *anew, *mended, *over]
        with limit_blas_threads(run.threads):
            return train(trainer, directory, (*loggers, *callbacks), stop, notes)


def advance(
    config: RunConfig,
    snapshot: Snapshot | None,
    epochs: int,
    *,
    model: ModelFactory | None = None,
    data: Data | None = None,
) -> Snapshot:
    """From one snapshot to the next: train until `epochs` epochs are finished, or early stopping ends the run.

    A pure function: it reads the data that the config names, or that are handed over, and writes nothing, so equal
    arguments give equal snapshots, to the byte.

    Args:
        config: the resolved config.
        snapshot: where to start; None for the beginning.
        epochs: how many epochs shall be finished, at least those that are.
        model, data: as for `fit`.

    Raises:
        TrainingError: the data are not those that the snapshot was trained on.
    """
    found = read_data(config, read_in_memory_data(config, data))
    trainer = Trainer(scaled_to_data(config, found, snapshot), model, found)
    if snapshot is not None:
        check_data(snapshot.record["data"], trainer.data_fingerprint, config, "begin anew without a snapshot")
        trainer.restore(snapshot)
    with limit_blas_threads(config.threads):
        while trainer.epochs < epochs and not trainer.has_stopped_early:
            trainer.run_epoch()
            snapshot = trainer.snapshot()
    return trainer.snapshot() if snapshot is None else snapshot


def train(
    trainer: Trainer,
    directory: RunDirectory,
    callbacks: Sequence[object],
    stop: StopRequest | None,
    notes: Sequence[str] = (),
    *,
    until: int | None = None,
    share: float | None = None,
) -> FitResult:
    """Train to the end, or until `until` epochs are finished; then the run is saved, and ends with RunPaused."""
    fit, callbacks = trainer.config.fit, isolate_loggers(callbacks)
    saver = CheckpointPolicy(trainer, Checkpoints(directory.checkpoints, fit.checkpoint.keep), share)
    info = RunInfo(
        config=trainer.config,
        run_dir=directory.path,
        batches=len(trainer.batches),
        samples=(len(trainer.dataset.training), len(trainer.dataset.validation)),
        parameters=sum(len(buffer) for buffer in trainer.params.buffers.values()),
        target_moments=target_moments(trainer.config, trainer.dataset.validation.targets),
        history=tuple(map(dict, trainer.rows)),
        notes=(*notes, *trainer.undefined_metrics()),
    )
    write_status(directory.path, Status("unfinished"))
    try:
        directory.save_preprocessing(preprocessing_text(trainer.dataset, trainer.data_fingerprint))
        begin = time.perf_counter()
        try:
            notify(callbacks, "on_start", info)
            begin = time.perf_counter()
            while not trainer.is_over:
                if until is not None and trainer.epochs >= until:
                    saver.save()
                    raise RunPaused(directory.path)
                _run_epoch(trainer, directory, callbacks, saver, stop)
        except StopTraining:
            saver.save()
        parameters = trainer.final_parameters()
        directory.save_model(parameters)
        directory.flush_logs()
        with suppress(StopTraining):  # it has stopped
            notify(callbacks, "on_end", time.perf_counter() - begin)
    except (Exception, KeyboardInterrupt) as error:
        if not isinstance(error, RunInterrupted | RunPaused | KeyboardInterrupt):
            write_failed(directory.path, str(error) or type(error).__name__)
        notify_error(callbacks, error)
        raise
    write_finished(directory.path)
    return FitResult(trainer.config, trainer.rows, trainer.state, parameters, directory.path)


def _completion_notes(trainer: Trainer, directory: RunDirectory) -> list[str]:
    """That there is nothing to do, where that is so."""
    epochs = trainer.config.fit.epochs
    if trainer.has_stopped_early:
        return [f"the run is over: early stopping ended it after epoch {trainer.epochs}"]
    if trainer.epochs < epochs:
        return []
    schedule = trainer.config.optimizer.η_sched
    if schedule is not None and schedule.run_length is not None:
        return [f"the run is over: all {epochs} epochs are done"]
    more = f"{resume_command(directory.path)} --set fit.epochs={2 * trainer.epochs}"
    return [f"the run is over: all {epochs} epochs are done; to train on, say `{more}`"]


def _run_epoch(
    trainer: Trainer,
    directory: RunDirectory,
    callbacks: Sequence[object],
    saver: CheckpointPolicy,
    stop: StopRequest | None,
) -> None:
    begin = time.perf_counter()
    watchers = [watch for callback in callbacks if (watch := getattr(callback, "on_batch", None))]
    for loss in trainer.steps():
        for watch in watchers:
            watch(trainer.state, loss)
        saver.after_step()
        if stop is not None and stop.signal:
            saver.save()
            raise RunInterrupted(directory.path, stop.signal)
    row = trainer.finish_epoch()
    directory.add_metrics(row)
    directory.add_timings({"epoch": row["epoch"], "seconds": round(time.perf_counter() - begin, 6)})
    saver.after_epoch(row)
    notify(callbacks, "on_epoch", trainer.state, row)


def _run_config(config: Config, overrides: Sequence[str], in_memory: bool) -> RunConfig:
    match config:
        case str() | PathLike():
            return read_run(config, overrides, in_memory=in_memory)
        case _ if len(check_overrides(overrides)):
            raise ConfigError([ConfigProblem("overrides", "only a run file takes overrides; change the config itself")])
        case RunConfig():
            reason = config.fit.rollback_problem()
            if reason is not None:
                raise ConfigError([ConfigProblem("fit.checkpoint.every", reason)])
            return config
        case Mapping():
            return run_from_dict(config)
    raise ConfigError([ConfigProblem("config", f"must be a path, a dict or a RunConfig, got {describe(config)}")])


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of a replay.

    Attributes:
        differences: the names of what differs; empty where the replay is exact.
        changes: of an inexact one, what is not as it was when the run was trained: versions, machine, backend.
        notes: what else the user should know, such as a damaged checkpoint that was skipped.
    """

    differences: list[str]
    changes: list[str]
    notes: list[str]


def verify(run_dir: str | PathLike[str], *, model: ModelFactory | None = None, data: Data | None = None) -> list[str]:
    """Train again from the last checkpoint but one to the last, and compare: what differs, to the byte.

    A short run that has written only one checkpoint is trained again from its beginning.
    The last checkpoint is also compared with metrics.jsonl and, where the run is finished, with model.safetensors.

    Args:
        run_dir: the run's folder.
        model, data: as for `fit`; those that the run was begun with.

    Returns:
        The names of what differs; empty where the replay is exact.

    Raises:
        TrainingError: there is no checkpoint to compare with, or only one was kept, or the data have changed.
    """
    return replay(run_dir, model=model, data=data).differences


def replay(run_dir: str | PathLike[str], *, model: ModelFactory | None = None, data: Data | None = None) -> Replay:
    """As `verify`, with the likely causes."""
    directory = RunDirectory.open(run_dir)
    checkpoints = Checkpoints(directory.checkpoints, keep=1)
    whole = checkpoints.intact()
    last, previous = next(whole, None), next(whole, None)
    if last is None or (previous is None and (checkpoints.damaged or _keeps_one(last))):
        raise TrainingError(f"{run_dir} does not hold two checkpoints to compare; set fit.checkpoint.keep to 2 or more")
    run = with_factory(run_from_dict(last.record["config"], will_be_trained=False), model)
    trainer = restored_trainer(previous or last, run, model, given=read_in_memory_data(run, data))
    if previous is None:
        trainer = Trainer(run, model, (trainer.dataset, trainer.data_fingerprint))
    changes = environment_changes(directory.path, trainer.optimizer.backend.name)
    try:
        with limit_blas_threads(run.threads):
            _train_to(trainer, last.position)
    except TrainingError as error:
        cause = f"; not as it was when the run was trained: {', '.join(changes)}" if changes else ""
        raise TrainingError(f"the replay failed: {error}{cause}") from error
    is_end = checkpoints.name(last.position) == checkpoints.names()[-1] and read_status(directory.path).is_finished
    differences = trainer.snapshot().differences(last) + directory.differences(last, is_end)
    return Replay(differences, changes if differences else [], checkpoints.damaged)


def _keeps_one(snapshot: Snapshot) -> bool:
    """Return whether earlier checkpoints were removed; otherwise a single one is the only one that was written."""
    return bool(snapshot.record["config"]["fit"]["checkpoint"]["keep"] == 1)


def _train_to(trainer: Trainer, end: tuple[int, int, int]) -> None:
    """Train to a position, as `Snapshot.position` has it."""
    _, _, finished = end
    while trainer.epochs < finished:
        trainer.run_epoch()
    if trainer.position != end:
        for _ in trainer.steps():
            if trainer.position == end:
                break
