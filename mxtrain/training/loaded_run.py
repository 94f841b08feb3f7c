"""Trained runs loaded from their folders, for prediction and evaluation."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mxtrain.config import RunConfig
from mxtrain.data import (
    Data,
    DataParts,
    InMemorySamples,
    PartName,
    Preprocessing,
    Samples,
    data_fingerprint,
    inputs_from_memory,
    load_samples,
    prepare,
    read_in_memory_data,
    read_samples,
)
from mxtrain.data.prediction_chunks import prediction_chunks
from mxtrain.errors import DataError
from mxtrain.loss_config import QuantileConfig, as_loss_config
from mxtrain.nn import Model, point_predictions, predictions_from_outputs, probabilities
from mxtrain.training.callbacks import Row
from mxtrain.training.checkpoints.snapshot import Arrays
from mxtrain.training.class_report import ClassReport, class_report
from mxtrain.training.comparison import Comparison
from mxtrain.training.environment import limit_blas_threads
from mxtrain.training.model_factory import custom_loss
from mxtrain.training.resume_checks import check_data
from mxtrain.training.run_folder.history import final_epoch, format_metrics
from mxtrain.training.run_folder.run_status import Status
from mxtrain.training.target_metrics import metrics_by_target
from mxtrain.training.thresholds import Threshold, best_threshold, check_threshold
from mxtrain.training.trainer import EVALUATION_BATCH, build_metrics, evaluate_metrics
from mxtrain.types import CLASS_LOSSES, MetricName

_DATA_CHANGED_REMEDY = "evaluate on a separate file"
Inputs: TypeAlias = str | PathLike[str] | Mapping[str, Iterable[object]] | ArrayLike
"""The path of a file, columns by name, a data frame, or an array, (n, ...), with the features in order."""


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
        >>> run.compare().class_report().matrix.shape
        (10, 10)
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
        """The class names in the order of their probabilities; None for a regression, and for several targets."""
        return self.preprocessing.class_names

    @property
    def prediction_names(self) -> tuple[str, ...]:
        """The names of the columns of `predict`: several targets, or a list of quantiles; empty for one column."""
        if self.preprocessing.target_columns:
            return self.preprocessing.target_columns
        loss = as_loss_config(self.config.loss_spec)
        return tuple(map(str, loss.quantiles)) if isinstance(loss, QuantileConfig) and loss.is_list else ()

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

    def predict(self, inputs: Inputs, threshold: Threshold | None = None) -> NDArray[Any]:
        """Predict the class or the number of each sample, (n,); for k targets or a list of k quantiles, (n, k).

        Numbers have the run's dtype; those of a standardized target are in its original unit, in float64. Classes have
        the dtype of the training labels, so `np.mean(run.predict(X) == y)` is the accuracy. A CSV file has no types:
        its labels are integers or booleans if all of them can be parsed as such.

        Args:
            inputs: the path of a file, columns by name, a data frame, or an array, (n, ...).
            threshold: for two classes, the probability of the second one, `class_names[1]`, from which it is predicted;
                or a metric, for the threshold that `fit_threshold` chooses. Left out, the more likely class.

        Raises:
            DataError: the file cannot be read, a feature is missing, or a value has another type than in training.
            ValueError: the threshold is not between 0 and 1, or there are not two classes.
        """
        number = self.threshold(threshold)
        return self.decide(self.outputs(inputs), number)

    def probabilities(self, inputs: Inputs) -> NDArray[Any]:
        """Return the probability of each class for each sample, (n, classes), in the order of `class_names`.

        For k boolean targets it is the probability that each is true, (n, k).

        Raises:
            DataError: as for `predict`.
            ValueError: the run is a regression.
        """
        return self.likelihood(self.outputs(inputs))

    def outputs(self, inputs: Inputs) -> NDArray[Any]:
        """Return the outputs of the model, (n, k), for `decide` and `likelihood`; standardized if the target is."""
        return self.outputs_of_prepared(self._prepared(inputs))

    def outputs_of_prepared(self, prepared: NDArray[Any]) -> NDArray[Any]:
        """Return the outputs of the model, (n, k), for preprocessed inputs, (n, d)."""
        with np.errstate(all="ignore"), limit_blas_threads(self.config.threads):
            return np.concatenate([self.model.predict(self.parameters, block) for block in _blocks(prepared)])

    def decide(self, outputs: NDArray[Any], threshold: float | None = None) -> NDArray[Any]:
        """Return the predictions for outputs of the model, (n,) or (n, k); see `predict`."""
        decided = self._decide(outputs, threshold)
        classes = self.preprocessing.classes
        return self.preprocessing.restore_target_unit(decided) if classes is None else classes[decided]

    def decide_texts(self, outputs: NDArray[Any], threshold: float | None = None) -> list[str]:
        """Return predictions, (n,), as text: classes as spelled in the training data, and numbers that round-trip."""
        if self.class_names is None:
            return [str(value) for value in self.decide(outputs)]
        return [self.class_names[index] for index in self._decide(outputs, threshold)]

    def _decide(self, outputs: NDArray[Any], threshold: float | None) -> NDArray[Any]:
        """Return predictions as the loss takes them: indices of classes, or numbers."""
        if threshold is None:
            return cast("NDArray[Any]", predictions_from_outputs(np, self.config.loss_spec, outputs))
        return (self.likelihood(outputs)[:, 1].astype(np.float64) >= threshold).astype(np.int64)

    def _decide_points(self, outputs: NDArray[Any], threshold: float | None) -> NDArray[Any]:
        """Return the predictions that are compared with the targets: of several quantiles, the one near the median."""
        if self.class_names is None:
            return cast("NDArray[Any]", point_predictions(np, self.config.loss_spec, outputs))
        return self._decide(outputs, threshold)

    def threshold(self, threshold: Threshold | None, *, data: Data | DataParts | None = None) -> float | None:
        """Return a threshold as a number: that of `fit_threshold` for the name of a metric; None stays None.

        Raises:
            ValueError: it is not between 0 and 1, or there are not two classes.
        """
        if threshold is None:
            return None
        checked = check_threshold(threshold)
        self._check_two_classes()
        return checked if isinstance(checked, float) else self.fit_threshold(checked, data=data)

    def fit_threshold(self, metric: Threshold = "balanced_accuracy", *, data: Data | DataParts | None = None) -> float:
        """Return the threshold that maximizes a metric on the validation part of the run's data.

        Args:
            metric: `f1` of the second class; or `balanced_accuracy`, of which `fitted` is another name.
            data: the run's data if they were passed to `fit`, because a run does not store them; if validation data or
                weights were passed too, all of them as `DataParts`.

        Raises:
            DataError: the run has no validation part, or its validation part lacks a class.
            ValueError: there are not two classes, or the metric is unknown.
        """
        checked = check_threshold(metric)
        self._check_two_classes()
        if isinstance(checked, float):
            return checked
        remedy = "set data.validation, or choose a number"
        if not self.config.data.validation:
            raise DataError(f"a threshold is chosen on the validation part, which the run does not have; {remedy}")
        parts, _ = self._parts(data)
        samples = parts["validation"]
        targets = np.asarray(samples.targets).astype(np.int64)
        weights = None if samples.weights is None else np.asarray(samples.weights, dtype=np.float64)
        if len(np.unique(targets if weights is None else targets[weights > 0])) < 2:
            raise DataError(f"a threshold is chosen on the validation part, which has only one class; {remedy}")
        scores: list[NDArray[Any]] = []
        with np.errstate(all="ignore"), limit_blas_threads(self.config.threads):
            evaluate_metrics(
                self.model, self.parameters, samples, {}, lambda found: scores.append(self.likelihood(found)[:, 1])
            )
        return best_threshold(np.concatenate(scores), targets, checked, weights)

    def _check_two_classes(self) -> None:
        if self.class_names is None or len(self.class_names) != 2:
            got = f"has {len(self.class_names or ())} classes"
            if self.class_names is None:
                got = "has several targets" if self.preprocessing.is_multilabel else "predicts numbers"
            raise ValueError(f"a threshold is for two classes, and the run {got}; leave it out")

    def likelihood(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return the class probabilities for outputs of the model, (n, classes)."""
        return cast("NDArray[Any]", probabilities(np, self.config.loss_spec, outputs))

    def evaluate(
        self,
        samples: str | PathLike[str] | Data | None = None,
        *,
        part: PartName | None = None,
        data: Data | DataParts | None = None,
        threshold: Threshold | None = None,
    ) -> dict[str, float | None]:
        """Return the loss; `accuracy` for classes, `mae` and `r2` for numbers; and the metrics of `fit.metrics`.

        `r2` is None for a single sample, and if all targets are equal, because it is not defined for them. For a
        standardized target the loss is that of the standardized numbers, and `mae` is in the original unit.

        If the run was trained with `data.missing: drop`, samples that lack a value are left out, with a warning that
        gives their number.

        Args:
            samples: features and targets: the path of a file, or `(X, y)`, `(X, y, weights)`, columns by name or a data
                frame; left out, a part of the run's data. Samples are weighted if they have the column `data.weight`.
            part: `training`, `validation` or `test`; left out, `last_part`.
            data: the run's data if they were passed to `fit`, because a run does not store them; if validation data or
                weights were passed too, all of them as `DataParts`.
            threshold: for two classes, as for `predict`; the metrics of decisions, such as `accuracy`, depend on it.

        Raises:
            ConfigError: `data` are missing, or the run reads files.
            DataError: the samples cannot be read or have no targets, or the run has no such part.
            TrainingError: the run's data have changed.
        """
        return self.compare(part, samples=samples, data=data, threshold=threshold).metrics

    def compare(
        self,
        part: PartName | None = None,
        *,
        samples: str | PathLike[str] | Data | None = None,
        data: Data | DataParts | None = None,
        threshold: Threshold | None = None,
    ) -> Comparison:
        """Return the predictions for each sample of a part of the run's data, or for others, with targets and metrics.

        Args and errors as for `evaluate`.
        """
        if part not in (None, *get_args(PartName)):
            raise DataError(f"there is no part {part!r}; the parts are {', '.join(get_args(PartName))}")
        number = self.threshold(threshold, data=data)
        if samples is not None:
            return self._compare(None, self._samples(samples, part, data), None, {}, number)
        parts, mean = self._parts(data)
        sizes = {name: len(found) for name, found in parts.items() if len(found)}
        if part is not None and part not in sizes:
            raise DataError(f"the run has no {part} part; it has {' and '.join(sizes)}")
        name = part or self.last_part
        return self._compare(name, parts[name], mean, sizes, number)

    def _parts(self, data: Data | DataParts | None) -> tuple[dict[PartName, Samples], Any]:
        """Return the parts of the run's data, and the mean target of the training part."""
        given = read_in_memory_data(self.config, data)
        check_data(self.data_fingerprint, data_fingerprint(self.config, given), self.config, _DATA_CHANGED_REMEDY)
        dataset = prepare(self.config, given)
        mean = dataset.training.targets.mean(axis=0)
        return {"training": dataset.training, "validation": dataset.validation, "test": dataset.test}, mean

    def _samples(
        self, samples: str | PathLike[str] | Data, part: PartName | None, data: Data | DataParts | None
    ) -> InMemorySamples:
        """Return samples that are not the run's own."""
        name = fspath(samples) if isinstance(samples, str | PathLike) else "data"
        if part is not None or data is not None:
            given = "part" if part is not None else "data"
            raise DataError(f"{name}: has no parts; leave out `{given}`, or the samples")
        data_config = self.config.data
        missing, weight = data_config.missing, data_config.weight_column
        if isinstance(samples, str | PathLike):
            return load_samples(name, self.preprocessing, missing, weight=weight, settings=data_config)
        return read_samples(samples, self.preprocessing, missing, weight=weight, settings=data_config)

    def _compare(
        self,
        part: PartName | None,
        samples: Samples,
        mean: Any,
        sizes: dict[PartName, int],
        threshold: float | None,
    ) -> Comparison:
        found: list[NDArray[Any]] = []
        mean = samples.targets.mean(axis=0) if mean is None else mean
        metrics = self._measure(samples, mean, found.append)
        outputs, targets = np.concatenate(found), samples.targets
        predicted = self._decide_points(outputs, threshold)
        if self.class_names is None:
            restore, each = self.preprocessing.restore_target_unit, {}
            if self.preprocessing.target_columns:
                names = self._measured_names()
                each = metrics_by_target(
                    names, self.config, self.preprocessing, outputs, targets, mean, samples.weights
                )
            return Comparison(part, restore(targets), restore(predicted), metrics, sizes, by_target=each)
        indices = np.asarray(targets).astype(np.int64)
        weights = None if samples.weights is None else np.asarray(samples.weights, dtype=np.float64)
        if threshold is not None:
            metrics |= _metrics_of_decisions(metrics, class_report(self.class_names, indices, predicted, weights))
        return Comparison(part, indices, predicted, metrics, sizes, self.class_names, threshold, weights)

    def _measure(
        self, samples: Samples, mean: Any, see: Callable[[NDArray[Any]], object] | None = None
    ) -> dict[str, float | None]:
        own = custom_loss(self.config, self.model, self.parameters) if self.config.has_custom_loss else None
        metrics = build_metrics(self._measured_names(), self.config, self.preprocessing, mean)
        with np.errstate(all="ignore"), limit_blas_threads(self.config.threads):
            return evaluate_metrics(self.model, self.parameters, samples, metrics, see, own)

    def _measured_names(self) -> list[MetricName]:
        """Return the metrics of `evaluate`; the loss of a custom model is measured apart."""
        is_classifier = self.config.equivalent_builtin_loss in CLASS_LOSSES
        defaults: tuple[MetricName, ...] = ("accuracy",) if is_classifier else ("mae", "r2")
        loss: tuple[MetricName, ...] = () if self.config.has_custom_loss else ("loss",)
        return list(dict.fromkeys((*loss, *defaults, *self.config.measures())))

    def _prepared(self, inputs: Inputs) -> NDArray[Any]:
        """Return preprocessed inputs."""
        if isinstance(inputs, str | PathLike):
            chunks = list(prediction_chunks(fspath(inputs), self.preprocessing, self.config.data, strict=True))
            for note in (note for chunk in chunks for note in chunk.notes):
                warnings.warn(note, UserWarning, stacklevel=4)  # the caller of `predict`
            return np.concatenate([chunk.inputs for chunk in chunks])
        return inputs_from_memory(inputs, self.preprocessing, self.config.data)


def _blocks(inputs: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield blocks of inputs; one empty block if there are none."""
    for start in range(0, max(1, len(inputs)), EVALUATION_BATCH):
        yield inputs[start : start + EVALUATION_BATCH]


def _metrics_of_decisions(metrics: Mapping[str, float | None], report: ClassReport) -> dict[str, float | None]:
    """Return those of the measured metrics that depend on the threshold."""
    found = {
        "accuracy": report.accuracy,
        "balanced_accuracy": report.balanced_accuracy,
        "precision": float(report.precision[1]),
        "recall": float(report.recall[1]),
        "f1": float(report.f1[1]),
    }
    return {name: value for name, value in found.items() if name in metrics}
