"""The arrays that a run trains and validates on."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.run import CLASS_LOSSES, RunConfig
from mxtrain.data.load import load
from mxtrain.data.split import split
from mxtrain.data.standardization import Standardization
from mxtrain.data.table import Table
from mxtrain.errors import DataError
from mxtrain.types import Array


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Samples to train or to validate on.

    Attributes:
        inputs: (n, d), C-contiguous, in the run's dtype.
        targets: (n,); for softmax_cross_entropy int64 class indices; for logistic 0 and 1, and for
            squared_error numbers, in the run's dtype.
    """

    inputs: Array
    targets: Array

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, xp: ModuleType) -> "Part":
        """The same samples as arrays of `xp`, `numpy` or `cupy`, not copied where they are that already."""
        return Part(xp.asarray(self.inputs), xp.asarray(self.targets))


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """What a run trains and validates on, ready for its model and loss.

    Attributes:
        training, validation: the two parts; the second may be empty.
        feature_names: d names.
        target_name: what is predicted.
        class_names: the classes in the order of their indices, or None for squared_error.
        standardization: what was done to the features, to be done to any that a prediction is made from.
        n_outputs: how many outputs the model needs: one for each class for softmax_cross_entropy, else 1.
    """

    training: Part
    validation: Part
    feature_names: tuple[str, ...]
    target_name: str
    class_names: tuple[str, ...] | None
    standardization: Standardization
    n_outputs: int

    @property
    def n_features(self) -> int:
        return len(self.feature_names)


def prepare(config: RunConfig) -> Dataset:
    """Load, split and standardize what a run trains on.

    A pure function of the config and of the file it names. Features are standardized as measured on the
    training part. Both parts keep the order of the file.

    Raises:
        DataError: the data cannot be read, or do not suit the loss, the batch size or the dtype.

    Example:
        >>> dataset = prepare(RunConfig.model_validate({
        ...     "data": {"source": "digits"}, "model": {"kind": "mlp"}, "loss": "softmax_cross_entropy",
        ...     "optimizer": {"kind": "adam"}}))
        >>> len(dataset.training), len(dataset.validation), dataset.n_features, dataset.n_outputs
        (1438, 359, 64, 10)
    """
    classes = config.loss in CLASS_LOSSES
    table = load(config.data, classes)
    n_classes = len(table.class_names or ())
    if config.loss == "logistic" and n_classes != 2:
        raise DataError(
            f"{config.data.source}: {table.target_name!r} has {n_classes} classes, and logistic is for two; "
            "set loss: softmax_cross_entropy"
        )
    training_rows, validation_rows = split(table, config.data.validation, config.seed, stratified=classes)
    _check_batch_size(config, len(training_rows))
    training_inputs = table.inputs[training_rows]
    standardization = _standardization(training_inputs, config)
    targets = _targets(table, config)
    return Dataset(
        training=Part(_inputs(training_inputs, standardization, table, config), targets[training_rows]),
        validation=Part(
            _inputs(table.inputs[validation_rows], standardization, table, config), targets[validation_rows]
        ),
        feature_names=table.feature_names,
        target_name=table.target_name,
        class_names=table.class_names,
        standardization=standardization,
        n_outputs=n_classes if config.loss == "softmax_cross_entropy" else 1,
    )


def _check_batch_size(config: RunConfig, samples: int) -> None:
    if config.data.last_batch == "drop" and config.data.batch_size > samples:
        raise DataError(
            f"data.batch_size: must be at most {samples}, the samples to train on, as last_batch: drop would "
            f"leave no batch, got {config.data.batch_size}; lower it, or set last_batch: keep"
        )


def _standardization(training_inputs: NDArray[Any], config: RunConfig) -> Standardization:
    match config.data.resolve().standardize:
        case "features":
            return Standardization.fit(training_inputs)
        case "whole":
            return Standardization.fit_whole(training_inputs)
        case _:
            return Standardization.identity(training_inputs.shape[1])


def _inputs(inputs: NDArray[Any], standardization: Standardization, table: Table, config: RunConfig) -> NDArray[Any]:
    mapped = standardization.apply(inputs, config.dtype)
    finite = np.isfinite(mapped).all(axis=0) & np.isfinite(standardization.scale)
    if not finite.all():
        raise _does_not_fit(table.feature_names[int(finite.argmin())], config)
    return mapped


def _targets(table: Table, config: RunConfig) -> NDArray[Any]:
    if config.loss == "softmax_cross_entropy":
        return table.targets
    with np.errstate(over="ignore"):
        targets = table.targets.astype(config.dtype)
    if not np.isfinite(targets).all():
        raise _does_not_fit(table.target_name, config)
    return targets


def _does_not_fit(name: str, config: RunConfig) -> DataError:
    remedy = "set dtype: float64, or scale it down" if config.dtype == "float32" else "scale it down"
    return DataError(f"{config.data.source}: {name!r} has values too large to compute with in {config.dtype}; {remedy}")
