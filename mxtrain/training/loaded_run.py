"""Trained runs loaded from their folders, for prediction and evaluation."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from mxtrain.atomic_io import read_safetensors
from mxtrain.config import RunConfig, read_run
from mxtrain.data import (
    Data,
    InMemorySamples,
    Preprocessing,
    Samples,
    data_fingerprint,
    inputs_from_memory,
    load_for_prediction,
    prepare,
    read_in_memory_data,
    samples_from_memory,
)
from mxtrain.errors import DataError, StateError, TrainingError, resume_command
from mxtrain.nn import Model, build_metric, predictions_from_outputs, probabilities
from mxtrain.optim.rules import Rule
from mxtrain.training.callbacks import Row
from mxtrain.training.checkpoints.snapshot import Arrays
from mxtrain.training.checkpoints.storage import Checkpoints
from mxtrain.training.environment import limit_blas_threads
from mxtrain.training.model_factory import ModelFactory, custom_loss, make_model
from mxtrain.training.resume_checks import check_data
from mxtrain.training.run_folder.history import METRICS, final_epoch, format_metrics, read_history
from mxtrain.training.run_folder.run_directory import PREPROCESSING, RunDirectory, read_record
from mxtrain.training.run_folder.run_status import MODEL, Status, read_status
from mxtrain.training.trainer import EVALUATION_BATCH, evaluate_metrics
from mxtrain.types import CLASS_LOSSES, METRIC_INFO, MetricName

_DATA_CHANGED_REMEDY = "evaluate on a separate file"
PartName = Literal["training", "validation", "test"]
Inputs: TypeAlias = str | PathLike[str] | Mapping[str, Iterable[object]] | ArrayLike
"""The path of a file, columns by name, a data frame, or an array, (n, ...), with the features in order."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Predictions for the samples of a part, and their targets.

    Attributes:
        part: the name of the part.
        targets: (n,), class indices, or numbers in the original unit of the target.
        predicted: (n,), of the same kind.
        metrics: the metrics that `evaluate` returns for the part.
        samples: the number of samples in each part of the run's data.
    """

    part: PartName
    targets: NDArray[Any]
    predicted: NDArray[Any]
    metrics: dict[str, float | None]
    samples: dict[PartName, int]


@dataclass(frozen=True, slots=True, eq=False)
class LoadedRun:
    """A trained run. It computes with NumPy, also if the run was trained on a GPU.

    Attributes:
        path: the run's folder.
        config: the resolved config.
        history: the metrics of each finished epoch.
        parameters: by name; for an unfinished run, those of its newest intact checkpoint.
        preprocessing: the preprocessing of features, and the meaning of the outputs.
        status: the status of the run.
        notes: messages for the user, such as a damaged checkpoint that was skipped.
        model: the model.
        data_fingerprint: the SHA-256 of the data on which the run was trained.

    Example:
        >>> import mxtrain, tempfile
        >>> run_dir = mxtrain.fit({
        ...     "data": {"source": "digits"}, "model": {"kind": "linear"}, "loss": "softmax_cross_entropy",
        ...     "optimizer": {"kind": "adam", "η": 0.01}, "fit": {"epochs": 3}}, run_dir=tempfile.mkdtemp()).run_dir
        >>> run = mxtrain.load_run(run_dir)
        >>> run.evaluate()["accuracy"] > 0.9
        True
        >>> blank = np.zeros((1, 64))
        >>> run.predict(blank).shape, run.probabilities(blank).shape
        ((1,), (1, 10))
    """

    path: Path
    config: RunConfig
    history: list[Row]
    parameters: Arrays
    preprocessing: Preprocessing
    status: Status
    notes: tuple[str, ...]
    model: Model
    data_fingerprint: str

    def __repr__(self) -> str:
        found = format_metrics(self.history[self.epoch - 1]) if self.history else "no epoch is finished"
        return f"LoadedRun({str(self.path)!r}, {self.status.state}, {found})"

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The class names in the order of their probabilities; None for a regression."""
        return self.preprocessing.class_names

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the features, in the order of the model's inputs."""
        return self.preprocessing.feature_names

    @property
    def epoch(self) -> int:
        """The epoch of the parameters: the best if early stopping restores it, otherwise the last."""
        return final_epoch(self.config, self.history)

    @property
    def last_part(self) -> PartName:
        """The last part of the run's data that exists: `test`, otherwise `validation`, otherwise `training`."""
        data = self.config.data
        return "test" if data.test else "validation" if data.validation else "training"

    def predict(self, inputs: Inputs) -> NDArray[Any]:
        """Predict the class or the number of each sample, (n,).

        Numbers have the run's dtype; those of a standardized target are in its original unit, in float64. Classes have
        the dtype of the training labels, so `np.mean(run.predict(X) == y)` is the accuracy. A CSV file has no types:
        its labels are integers or booleans if all of them can be parsed as such.

        Raises:
            DataError: the file cannot be read, a feature is missing, or a value has another type than in training.
        """
        return self.decide(self.outputs(inputs))

    def probabilities(self, inputs: Inputs) -> NDArray[Any]:
        """Return the probability of each class for each sample, (n, classes), in the order of `class_names`.

        Raises:
            DataError: as for `predict`.
            ValueError: the run is a regression.
        """
        return self.likelihood(self.outputs(inputs))

    def outputs(self, inputs: Inputs) -> NDArray[Any]:
        """Return the outputs of the model, (n, k), for `decide` and `likelihood`; standardized if the target is."""
        prepared = self._prepared(inputs)
        with np.errstate(all="ignore"), limit_blas_threads(self.config.threads):
            return np.concatenate([self.model.predict(self.parameters, block) for block in _blocks(prepared)])

    def decide(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return the predictions for outputs of the model, (n,)."""
        decided = self.preprocessing.restore_target_unit(
            predictions_from_outputs(np, self.config.equivalent_builtin_loss, outputs)
        )
        classes = self.preprocessing.classes
        return decided if classes is None else classes[decided]

    def decide_texts(self, outputs: NDArray[Any]) -> list[str]:
        """Return predictions as text: classes as spelled in the training data, and numbers that round-trip."""
        if self.class_names is None:
            return [str(value) for value in self.decide(outputs)]
        return [
            self.class_names[index]
            for index in predictions_from_outputs(np, self.config.equivalent_builtin_loss, outputs)
        ]

    def likelihood(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return the class probabilities for outputs of the model, (n, classes)."""
        return cast("NDArray[Any]", probabilities(np, self.config.equivalent_builtin_loss, outputs))

    def evaluate(
        self,
        samples: str | PathLike[str] | Data | None = None,
        *,
        part: PartName | None = None,
        data: Data | None = None,
    ) -> dict[str, float | None]:
        """Return the loss, and the metrics that suit it: `accuracy` for classes, `mae` and `r2` for numbers.

        `r2` is None for a single sample, and if all targets are equal, because it is not defined for them. For a
        standardized target the loss is that of the standardized numbers, and `mae` is in the original unit.

        If the run was trained with `data.missing: drop`, samples that lack a value are left out, with a warning that
        gives their number.

        Args:
            samples: features and targets: the path of a file, or `(X, y)`, columns by name or a data frame; left out,
                a part of the run's data.
            part: `training`, `validation` or `test`; left out, `last_part`.
            data: the run's data if they were passed to `fit`, because a run does not store them.

        Raises:
            ConfigError: `data` are missing, or the run reads files.
            DataError: the samples cannot be read or have no targets, or the run has no such part.
            TrainingError: the run's data have changed.
        """
        if samples is None:
            return self.compare(part, data=data).metrics
        name = fspath(samples) if isinstance(samples, str | PathLike) else "data"
        if part is not None or data is not None:
            given = "part" if part is not None else "data"
            raise DataError(f"{name}: has no parts; leave out `{given}`, or the samples")
        missing = self.config.data.missing
        if isinstance(samples, str | PathLike):
            inputs, targets = load_for_prediction(name, self.preprocessing, with_targets=True, missing=missing)
        else:
            inputs, targets = samples_from_memory(samples, self.preprocessing, missing)
        if targets is None:
            raise DataError(f"{name}: has no {self.preprocessing.target!r} to compare predictions with")
        return self._measure(InMemorySamples(inputs, targets), float(targets.mean()))

    def compare(self, part: PartName | None = None, *, data: Data | None = None) -> Comparison:
        """Return the predictions for each sample of a part of the run's data, with targets and metrics.

        Args and errors as for `evaluate`.
        """
        if part not in (None, *get_args(PartName)):
            raise DataError(f"there is no part {part!r}; the parts are {', '.join(get_args(PartName))}")
        given = read_in_memory_data(self.config, data)
        check_data(self.data_fingerprint, data_fingerprint(self.config, given), self.config, _DATA_CHANGED_REMEDY)
        dataset = prepare(self.config, given)
        parts: dict[PartName, Samples] = {
            "training": dataset.training,
            "validation": dataset.validation,
            "test": dataset.test,
        }
        sizes = {name: len(samples) for name, samples in parts.items() if len(samples)}
        if part is not None and part not in sizes:
            raise DataError(f"the run has no {part} part; it has {' and '.join(sizes)}")
        name = part or self.last_part
        predicted: list[NDArray[Any]] = []
        metrics = self._measure(
            parts[name],
            float(dataset.training.targets.mean()),
            lambda outputs: predicted.append(
                predictions_from_outputs(np, self.config.equivalent_builtin_loss, outputs)
            ),
        )
        restore = self.preprocessing.restore_target_unit
        return Comparison(name, restore(parts[name].targets), restore(np.concatenate(predicted)), metrics, sizes)

    def _measure(
        self, samples: Samples, mean: float, see: Callable[[NDArray[Any]], object] | None = None
    ) -> dict[str, float | None]:
        loss, shift = self.config.equivalent_builtin_loss, 0.0 if self.class_names else mean
        kind = "classes" if loss in CLASS_LOSSES else "numbers"
        suiting = [name for name in get_args(MetricName) if METRIC_INFO[name].targets == kind]
        unit = self.preprocessing.target_unit
        own = custom_loss(self.config, self.model, self.parameters) if self.config.has_custom_loss else None
        metrics = {} if own else {"loss": build_metric("loss", loss)}
        metrics |= {name: build_metric(name, loss, shift, unit=unit) for name in suiting}
        with np.errstate(all="ignore"), limit_blas_threads(self.config.threads):
            return evaluate_metrics(self.model, self.parameters, samples, metrics, see, own)

    def _prepared(self, inputs: Inputs) -> NDArray[Any]:
        """Return preprocessed inputs."""
        if isinstance(inputs, str | PathLike):
            return load_for_prediction(fspath(inputs), self.preprocessing)[0]
        return inputs_from_memory(inputs, self.preprocessing)


def _blocks(inputs: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield blocks of inputs; one empty block if there are none."""
    for start in range(0, max(1, len(inputs)), EVALUATION_BATCH):
        yield inputs[start : start + EVALUATION_BATCH]


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
    config = read_run(directory.config_file, data_must_exist=False)
    status = read_status(directory.path)
    _check_unchanged(directory.path / PREPROCESSING, status)
    preprocessing, data_fingerprint = read_record(directory.path)
    outputs = len(preprocessing.class_names or ()) if config.equivalent_builtin_loss == "softmax_cross_entropy" else 1
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
