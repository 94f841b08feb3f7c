"""From a run's folder to what the run has come to."""

from os import PathLike
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from mxtrain.atomic_io import read_safetensors
from mxtrain.config import read_run
from mxtrain.errors import StateError, TrainingError, resume_command
from mxtrain.models import ModelFactory, make_model
from mxtrain.training.callbacks import Row
from mxtrain.training.checkpoints import Checkpoints
from mxtrain.training.history import read_history
from mxtrain.training.ledger import METRICS
from mxtrain.training.loaded_run import LoadedRun
from mxtrain.training.preprocessing_file import FILE, read_record
from mxtrain.training.run_directory import RunDirectory
from mxtrain.training.snapshot import Arrays
from mxtrain.training.status import MODEL, Status, read_status


def load_run(path: str | PathLike[str], *, model: ModelFactory | None = None) -> LoadedRun:
    """Load what a run has come to, be it finished or not. Nothing in its folder is changed, and its data may be gone.

    Args:
        path: the run's folder.
        model: what the run was trained with, where its model is a custom one.

    Raises:
        TrainingError: there is no run, it has no checkpoint yet, or what it needs is damaged.
        ConfigError: its config is wrong, or its model was not handed over.
    """
    directory = RunDirectory.open(path)
    config = read_run(directory.config_file, data_must_exist=False)
    status = read_status(directory.path)
    _check(directory.path / FILE, status)
    preprocessing, data_fingerprint = read_record(directory.path)
    outputs = len(preprocessing.class_names or ()) if config.decoding == "softmax_cross_entropy" else 1
    made = make_model(config, model, len(preprocessing.feature_names), outputs, np)
    parameters, history, notes = _course(directory, status)
    if {name: tuple(array.shape) for name, array in parameters.items()} != made.shapes():
        raise StateError(f"the parameters in {path} belong to another model: they have other names or shapes")
    return LoadedRun(
        path=directory.path,
        config=config,
        history=history,
        parameters=parameters,
        preprocessing=preprocessing,
        status=status,
        notes=tuple(notes),
        model=made,
        data_fingerprint=data_fingerprint,
    )


def _course(directory: RunDirectory, status: Status) -> tuple[Arrays, list[Row], list[str]]:
    """The parameters, the epochs that led to them, and what there is to say of it."""
    if status.state == "finished":
        file = directory.path / MODEL
        _check(file, status)
        try:
            parameters = load(read_safetensors(file))
        except (OSError, ValueError, SafetensorError) as error:
            raise _damaged(file) from error
        return parameters, read_history(directory.path), _notes(directory.path / METRICS, status)
    checkpoints = Checkpoints(directory.checkpoints, keep=1)
    snapshot = checkpoints.newest()
    if snapshot is None:
        raise TrainingError(f"the run in {directory.path} has no checkpoint that is whole; resume it, or begin anew")
    return snapshot.best or snapshot.parameters, snapshot.record["rows"], checkpoints.damaged


def _check(file: Path, status: Status) -> None:
    """Refuse a file that is not what it was when the run was finished."""
    try:
        if status.is_damaged(file):
            raise _damaged(file)
    except OSError:
        return  # whoever reads it says so


def _notes(metrics: Path, status: Status) -> list[str]:
    """What there is to say of the metrics, upon which no prediction depends."""
    try:
        is_damaged = status.is_damaged(metrics)
    except OSError:
        is_damaged = True
    return [str(_damaged(metrics))] if is_damaged else []


def _damaged(file: Path) -> TrainingError:
    return TrainingError(f"{file} is damaged; `{resume_command(file.parent)}` writes it anew")
