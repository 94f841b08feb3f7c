"""Training of a run up to a given epoch, for sweeps."""

from collections.abc import Mapping
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

from mxtrain.atomic_io import open_file, read_file
from mxtrain.config import RunConfig, read_run, to_yaml
from mxtrain.config.dotted_paths import describe_at, flatten
from mxtrain.data import DatasetCache
from mxtrain.errors import ConfigError, RunMismatchError, RunPaused
from mxtrain.training.callbacks import Row, StopRequest
from mxtrain.training.checkpoints.snapshot import Snapshot
from mxtrain.training.checkpoints.storage import Checkpoints
from mxtrain.training.environment import limit_blas_threads
from mxtrain.training.loggers.registry import open_loggers
from mxtrain.training.loop import train
from mxtrain.training.model_factory import ModelFactory, with_factory
from mxtrain.training.resume_checks import changed_paths, restored_trainer
from mxtrain.training.run_folder.history import METRICS, read_history, stopped_early
from mxtrain.training.run_folder.run_directory import CONFIG, RunDirectory
from mxtrain.training.run_folder.run_status import MODEL, STATUS, Status, read_status

MAX_CHECKPOINT_TIME_FRACTION = 0.02
"""Largest fraction of the training time of a sweep that checkpoints may take; it replaces `fit.checkpoint`.

A killed worker repeats the work since its last checkpoint.
"""

_FOUND_IN_DATA = tuple(
    f"data.{name}"
    for name in (
        *("columns", "date_format", "separator", "header", "quote", "decimal", "thousands", "comment", "encoding"),
    )
)
"""Fields that are recorded when the data are read, if they are not set."""

LOCK_TIMEOUT = 60.0
"""Seconds to wait for another process in the folder; a worker whose driver has died exits by itself."""


class Progress(NamedTuple):
    """Progress of a run.

    Attributes:
        rows: the metrics of each finished epoch, as in metrics.jsonl.
        is_finished: True if nothing is left to train.
        parameters: the number of trained numbers.
    """

    rows: list[Row]
    is_finished: bool
    parameters: int


def train_until(
    config: RunConfig,
    run_dir: Path,
    epochs: int,
    *,
    stop: StopRequest | None = None,
    model: ModelFactory | None = None,
    cache: DatasetCache | None = None,
) -> Progress:
    """Train a run in its folder until `epochs` epochs are finished, or the run is complete.

    The folder may be new, or hold the run at any epoch: the result is the same, byte for byte, as without an
    interruption. Only work that was lost with a killed process is repeated.

    Args:
        config: the resolved config.
        run_dir: the run's folder; created if it does not exist.
        epochs: the number of finished epochs to reach.
        stop: checked after every batch, as by `fit`.
        model: as for `fit`.
        cache: keeps data from one call to the next.

    Raises:
        RunInterrupted: `stop` named a signal; the run is saved.
        RunMismatchError: the folder holds another run, or its files have changed since they were written.
        MxtrainError: as `fit` and `resume`.
    """
    run = with_factory(config, model)
    check_same_run(run, run_dir)
    if (status := read_status(run_dir)).is_finished:
        return _finished_progress(run, run_dir, status)
    directory = RunDirectory.claim(run_dir)
    with directory.locked(LOCK_TIMEOUT), limit_blas_threads(run.threads):
        snapshot = Checkpoints(directory.checkpoints, run.fit.checkpoint.keep).newest()
        if snapshot is not None:
            _check_snapshot(run, snapshot, directory.checkpoints)
        trainer = restored_trainer(snapshot, run, model, cache)
        if trainer.epochs < epochs or trainer.is_finished:
            # the checkpoint that a rollback restores must not depend on time
            share = None if run.fit.on_nonfinite == "rollback" else MAX_CHECKPOINT_TIME_FRACTION
            directory.rewind_files(trainer.config, trainer.rows, trainer.optimizer.backend.name)
            with suppress(RunPaused):
                train(trainer, directory, open_loggers(run.fit.loggers), stop, until=epochs, share=share)
    return Progress(trainer.rows, trainer.is_finished, sum(len(buffer) for buffer in trainer.params.buffers.values()))


def check_same_run(config: RunConfig, run_dir: Path) -> None:
    """Check that a folder that holds a run holds the run of a config.

    Raises:
        RunMismatchError: its config.yaml is damaged, or belongs to another run.
    """
    file = run_dir / CONFIG
    try:
        if read_file(file) == to_yaml(config).encode():
            return
        found = read_run(file, data_must_exist=False)
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunMismatchError(f"{file} cannot be read: {error.strerror or error}") from error
    except ConfigError as error:
        raise RunMismatchError(f"{file} is damaged: {error.problems[0]}") from error
    _check_values(flatten(found.to_dict()), config, str(file))


def check_failed(run_dir: Path, status: Status) -> None:
    """Check that the files of a failed run have not changed since it failed.

    Raises:
        RunMismatchError: one has changed.
    """
    if status.has_changed_reason:
        raise RunMismatchError(f"{run_dir / STATUS} is damaged: the SHA-256 of its reason differs")
    if METRICS in status.sha256:
        _check_file(run_dir / METRICS, status)


def _check_file(file: Path, status: Status) -> None:
    try:
        is_damaged = status.is_damaged(file) or not file.is_file()
    except OSError as error:
        raise RunMismatchError(f"{file} cannot be read: {error.strerror or error}") from error
    if is_damaged:
        raise RunMismatchError(f"{file} is damaged: its SHA-256 is not that in {file.with_name(STATUS)}")


def _check_snapshot(config: RunConfig, snapshot: Snapshot, checkpoints: Path) -> None:
    _check_values(flatten(snapshot.record["config"]), config, str(checkpoints))
    epoch, _, _ = snapshot.position
    if epoch > config.fit.epochs:
        raise RunMismatchError(f"{checkpoints} was trained to epoch {epoch}, beyond fit.epochs {config.fit.epochs}")


def _check_values(found: Mapping[str, Any], config: RunConfig, place: str) -> None:
    wanted = flatten(config.to_dict())
    for path in changed_paths(found, wanted):
        if path == "model.plugin" and wanted.get(path) is None:
            continue  # recorded when the model is imported
        if path.startswith(_FOUND_IN_DATA) and wanted.get(path) is None:
            continue  # recorded when the data are read
        size = config.data.batch_size
        if (
            path == "optimizer.scale"
            and wanted[path] == 1 / size
            and found.get(path) in [1 / n for n in range(1, size)]
        ):
            continue  # one over the number of training samples, see `limit_scale_to_training_size`
        values = f"{path} is {describe_at(found, path)}, expected {describe_at(wanted, path)}"
        raise RunMismatchError(f"{place} belongs to another run: {values}")


def _finished_progress(config: RunConfig, run_dir: Path, status: Status) -> Progress:
    """Return the progress of a finished run, after checking that its files have not changed since."""
    model = run_dir / MODEL
    for file in (run_dir / CONFIG, model, run_dir / METRICS):
        _check_file(file, status)
    try:
        with open_file(model), safe_open(model, "numpy") as content:  # safe_open alone would wait for a pipe
            parameters = sum(prod(content.get_slice(name).get_shape()) for name in content.keys())  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise RunMismatchError(f"{model} is damaged: {error}") from error
    rows = read_history(run_dir)[: config.fit.epochs]  # the run may have been continued since
    if len(rows) < config.fit.epochs and not stopped_early(config, rows):
        raise RunMismatchError(f"{run_dir / METRICS} is damaged: it holds {len(rows)} of {config.fit.epochs} epochs")
    return Progress(rows, True, parameters)
