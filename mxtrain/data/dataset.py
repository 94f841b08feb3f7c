"""The prepared dataset of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_sources import IN_MEMORY
from mxtrain.data.batches import InMemorySamples, Samples
from mxtrain.data.dataset_config import DatasetConfig
from mxtrain.data.evaluation_data import read_samples
from mxtrain.data.fingerprints import data_fingerprint
from mxtrain.data.in_memory_data import InMemoryData
from mxtrain.data.preprocessing.preprocessing import Preprocessing
from mxtrain.data.preprocessing.weights import check_part_weights, scale_weights
from mxtrain.data.sources import Source, open_source
from mxtrain.data.splits import Split, split, split_groups
from mxtrain.data.target_range import check_squares, check_target_range
from mxtrain.errors import DataError
from mxtrain.loss_config import count_outputs, describe_loss, several_targets_problem
from mxtrain.types import CLASS_LOSSES

PartName: TypeAlias = Literal["training", "validation", "test"]
"""A part of the samples of a run."""


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """The samples of a run, as its model and loss take them.

    Attributes:
        training, validation, test: the sets of samples; the last two may be empty.
        preprocessing: the preprocessing fitted to the training set, which is saved with the run.
        n_outputs: the number of model outputs, as `count_outputs` returns it.
        notes: messages about samples and columns that were left out, and about unseen categories.
        found: the fields of `data` that describe a table as it was read: its format, and the kinds of its features.
    """

    training: Samples
    validation: Samples
    test: Samples
    preprocessing: Preprocessing
    n_outputs: int
    notes: tuple[str, ...] = ()
    found: Mapping[str, Any] = field(default_factory=dict)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the d inputs of the model."""
        return self.preprocessing.feature_names

    @property
    def target_name(self) -> str:
        """The name of the target; those of several columns are joined."""
        return self.preprocessing.target

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The classes in the order of their indices, or None if numbers, or several booleans, are predicted."""
        return self.preprocessing.class_names

    @property
    def n_features(self) -> int:
        """The number of inputs of the model."""
        return len(self.feature_names)


def prepare(config: DatasetConfig, given: InMemoryData | None = None) -> Dataset:
    """Load, split and preprocess the data of a run.

    The result depends only on the config and on the files that it names, or on the data passed in their place. The
    preprocessing is fitted to the training set. All sets keep the order of the source. Arrays in `.npy` files stay on
    disk.

    Args:
        config: the config of the run.
        given: the data passed from Python, if the source is in memory.

    Raises:
        DataError: the data cannot be read, or do not fit the loss, the batch size or the dtype.

    Example:
        >>> from mxtrain.config import run_from_dict
        >>> dataset = prepare(run_from_dict({
        ...     "data": {"source": "digits", "test": 0.1}, "model": {"kind": "mlp"}, "loss": "softmax_cross_entropy",
        ...     "optimizer": {"kind": "adam"}}))
        >>> len(dataset.training), len(dataset.validation), len(dataset.test), dataset.n_features, dataset.n_outputs
        (1258, 359, 180, 64, 10)
    """
    source = open_source(config, given)
    check_target_count(config, source.target_name, source.targets)
    if source.targets.ndim == 1:
        check_classes(config, source.target_name, source.class_names)
    check_target_range(config, source.target_name, source.targets)
    rows = _split_rows(config, source)
    check_batch_size(config, len(rows.training))
    fitted = source.fit(rows.training)
    targets = fitted.encode_targets(source.targets, source.targets_source)
    weights = _scaled_weights(config, source, rows)

    def samples_of(chosen: NDArray[np.int64]) -> Samples:
        samples = source.samples(chosen, targets, fitted)
        if weights is None or not isinstance(samples, InMemorySamples):
            return samples
        return replace(samples, weights=weights[chosen])

    training = samples_of(rows.training)
    check_squares(config, fitted, training)
    notes: list[str] = []
    validation = _separate_samples("validation", config, source, fitted, given, notes)
    test = _separate_samples("test", config, source, fitted, given, notes)
    classes = len(source.class_names or ())
    return Dataset(
        training=training,
        validation=samples_of(rows.validation) if validation is None else validation,
        test=samples_of(rows.test) if test is None else test,
        preprocessing=fitted,
        n_outputs=count_outputs(config.loss_spec, classes, source.targets.shape[1] if source.targets.ndim > 1 else 1),
        notes=(*source.notes, *notes),
        found=source.found,
    )


def _split_rows(config: DatasetConfig, source: Source) -> Split:
    """Return the rows of each part; a part that is separate data has none."""
    validation, test = config.data.split_fraction("validation"), config.data.split_fraction("test")
    stratified = config.equivalent_builtin_loss in CLASS_LOSSES and source.targets.ndim == 1
    if source.groups is None:
        return split(source.targets, validation, test, config.seed, stratified)
    return split_groups(source.targets, source.groups, validation, test, config.seed, stratified)


def _scaled_weights(config: DatasetConfig, source: Source, rows: Split) -> NDArray[Any] | None:
    """Return the weights of all samples, (n,), with mean 1 in the training set; None without weights.

    Raises:
        DataError: all weights of a part are 0.
    """
    if source.weights is None:
        return None
    check_part_weights(source.weights, rows.training, "training")
    weights = scale_weights(source.weights, rows.training, config.dtype)
    for part, chosen in rows._asdict().items():  # small weights can become 0 when they are scaled
        check_part_weights(weights, chosen, part)
    return weights


def _separate_samples(
    part: Literal["validation", "test"],
    config: DatasetConfig,
    source: Source,
    fitted: Preprocessing,
    given: InMemoryData | None,
    notes: list[str],
) -> Samples | None:
    """Return a part that is a separate file, or was passed from Python; None for a fraction of the source's samples.

    Args:
        part: the part.
        config: the config of the run.
        source: the training data.
        fitted: the preprocessing fitted to the training set.
        given: the data passed from Python.
        notes: receives messages about data passed from Python; those about files are in the notes of the source.
    """
    data, path = config.data, getattr(config.data, part)
    if not isinstance(path, str):
        return None
    if path != IN_MEMORY:
        return source.held_out(path, fitted)
    if given is None or part not in given.held_out:
        raise DataError(f"data.{part}: the {part} data are not in the config; pass them in Python as {part}=")
    unset = {field: value for field, value in source.found.items() if getattr(data, field) is None}
    settings = data.model_copy(update=unset)
    return read_samples(
        given.held_out[part],
        fitted,
        data.missing,
        weight=data.weight_column,
        settings=settings,
        source=part,
        notes=notes,
    )


def check_target_count(config: DatasetConfig, target: str, targets: NDArray[Any]) -> None:
    """Raise a DataError if the loss is for one target, and the data have several."""
    problem = several_targets_problem(config.loss_spec) if targets.ndim > 1 else None
    if problem is not None:
        raise DataError(f"{config.data.source}: {target!r} has {targets.shape[1]} columns, and {problem}")


def check_classes(config: DatasetConfig, target: str, class_names: tuple[str, ...] | None) -> None:
    """Raise a DataError if the loss is for two classes, and the data have another number of classes."""
    classes = len(class_names or ())
    if config.equivalent_builtin_loss == "logistic" and classes != 2:
        loss, remedy = "logistic", "loss: softmax_cross_entropy"
        if config.has_custom_loss:
            loss, remedy = "model.targets: binary", "model.targets: classes"
        raise DataError(f"{config.data.source}: {target!r} has {classes} classes, and {loss} is for two; set {remedy}")


def check_batch_size(config: DatasetConfig, samples: int) -> None:
    """Raise a DataError if `last_batch: drop` leaves no batch of the training samples."""
    if config.data.last_batch == "drop" and config.data.batch_size > samples:
        raise DataError(
            f"data.batch_size: must be at most {samples}, the number of training samples, as last_batch: drop would "
            f"leave no batch, got {config.data.batch_size}; lower it, or set last_batch: keep"
        )


FingerprintedDataset: TypeAlias = tuple[Dataset, str]
"""The dataset of a run, and the SHA-256 of its source."""


def read_data(config: DatasetConfig, given: InMemoryData | None = None) -> FingerprintedDataset:
    """Read the data of a run; see `prepare` for the arguments.

    Raises:
        DataError: as for `prepare` and `fingerprint`.
    """
    return prepare(config, given), data_fingerprint(config, given)


class DatasetCache:
    """Cache of the most recent datasets, for many runs on the same files.

    Args:
        max_size: the number of datasets to keep, at least 1.

    Example:
        >>> from mxtrain.config import run_from_dict
        >>> parts = {"model": {"kind": "linear"}, "loss": "softmax_cross_entropy", "optimizer": {"kind": "adam"}}
        >>> one, other = (run_from_dict({**parts, "data": {"source": "digits", "batch_size": n}}) for n in (16, 32))
        >>> cache = DatasetCache()
        >>> cache.read(one) is cache.read(other)
        True
    """

    def __init__(self, max_size: int = 4) -> None:
        self._max_size = max_size
        self._cached: dict[str, FingerprintedDataset] = {}

    def read(self, config: DatasetConfig) -> FingerprintedDataset:
        """Return the data of a run as `read_data` does, from the cache if another run has read the same.

        Raises:
            DataError: as for `read_data`.
        """
        key = _cache_key(config)
        data = self._cached.pop(key, None) or read_data(config)
        check_batch_size(config, len(data[0].training))
        self._cached[key] = data  # the most recent last
        while len(self._cached) > self._max_size:
            del self._cached[next(iter(self._cached))]
        return data


_BATCHING_FIELDS = ("batch_size", "shuffle", "last_batch")
"""The fields of `data` that determine only the batches, not the samples."""


def _cache_key(config: DatasetConfig) -> str:
    """Return a text of all settings on which `prepare` depends, except those of batches."""
    data = config.data.resolve().model_copy(update=dict.fromkeys(_BATCHING_FIELDS))
    return repr((data, config.seed, config.dtype, describe_loss(config.loss_spec), config.standardizes_target))
