"""Loading of trained runs from their folders."""

from os import PathLike
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from mxtrain.atomic_io import read_safetensors
from mxtrain.config import read_run
from mxtrain.errors import StateError, TrainingError, resume_command
from mxtrain.loss_config import count_outputs
from mxtrain.optim.rules import Rule
from mxtrain.training.callbacks import Row
from mxtrain.training.checkpoints.snapshot import Arrays
from mxtrain.training.checkpoints.storage import Checkpoints
from mxtrain.training.loaded_run import LoadedRun
from mxtrain.training.model_factory import ModelFactory, make_model
from mxtrain.training.run_folder.history import METRICS, read_history
from mxtrain.training.run_folder.run_directory import PREPROCESSING, RunDirectory, read_record, with_saved_defaults
from mxtrain.training.run_folder.run_status import MODEL, Status, read_status


def load_run(path: str | PathLike[str], *, model: ModelFactory | None = None) -> LoadedRun:
    """Load a run, finished or not. Its folder is not changed, and its data need not exist.

    Args:
        path: the run's folder.
        model: the model factory with which the run was trained, if its model is a custom one.

    Raises:
        TrainingError: there is no run, it has no checkpoint yet, or a file that is needed is damaged.
        ConfigError: its config is wrong, or its model was not passed.

    Example:
        >>> import mxtrain, tempfile
        >>> run_dir = mxtrain.fit({
        ...     "data": {"source": "digits"}, "model": {"kind": "linear"}, "loss": "softmax_cross_entropy",
        ...     "optimizer": {"kind": "adam"}, "fit": {"epochs": 1}}, run_dir=tempfile.mkdtemp()).run_dir
        >>> mxtrain.load_run(run_dir).epoch
        1
    """
    directory = RunDirectory.open(path)
    config = with_saved_defaults(read_run(directory.config_file, data_must_exist=False))
    status = read_status(directory.path)
    _check_unchanged(directory.path / PREPROCESSING, status)
    preprocessing, data_fingerprint = read_record(directory.path)
    classes, targets = len(preprocessing.class_names or ()), len(preprocessing.target_names)
    outputs = count_outputs(config.loss_spec, classes, targets)
    built = make_model(config, model, len(preprocessing.feature_names), outputs, np)
    parameters, history, notes = _read_result(directory, status, config.optimizer)
    if {name: tuple(array.shape) for name, array in parameters.items()} != built.shapes():
        raise StateError(f"the parameters in {path} belong to another model: they have other names or shapes")
    return LoadedRun(
        path=directory.path,
        config=config,
        history=history,
        parameters=parameters,
        preprocessing=preprocessing,
        status=status,
        notes=tuple(notes),
        model=built,
        data_fingerprint=data_fingerprint,
    )


def _read_result(directory: RunDirectory, status: Status, rule: Rule) -> tuple[Arrays, list[Row], list[str]]:
    """Return the parameters, the metrics of the epochs up to them, and messages for the user."""
    if status.state == "finished":
        file = directory.path / MODEL
        _check_unchanged(file, status)
        try:
            parameters = load(read_safetensors(file))
        except (OSError, ValueError, SafetensorError) as error:
            raise _damaged(file) from error
        return parameters, read_history(directory.path), _metrics_notes(directory.path / METRICS, status)
    checkpoints = Checkpoints(directory.checkpoints, keep=1)
    snapshot = checkpoints.newest()
    if snapshot is None:
        raise TrainingError(f"the run in {directory.path} has no intact checkpoint; resume it, or start a new run")
    return snapshot.evaluation_parameters(rule), snapshot.record["rows"], checkpoints.damaged


def _check_unchanged(file: Path, status: Status) -> None:
    """Refuse a file that has changed since the run was finished."""
    try:
        if status.is_damaged(file):
            raise _damaged(file)
    except OSError:
        return  # reported when the file is read


def _metrics_notes(metrics: Path, status: Status) -> list[str]:
    """Return a message if the metrics are damaged, on which no prediction depends."""
    try:
        is_damaged = status.is_damaged(metrics)
    except OSError:
        is_damaged = True
    return [str(_damaged(metrics))] if is_damaged else []


def _damaged(file: Path) -> TrainingError:
    return TrainingError(f"{file} is damaged; `{resume_command(file.parent)}` restores it")
