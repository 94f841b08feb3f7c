"""Data sources of a run, from columns or arrays to samples: tables in memory, and arrays on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import DataConfig, Standardize, Unseen
from mxtrain.config.data_sources import TABLES, has_ending
from mxtrain.data.batches import DiskSamples, InMemorySamples, Samples
from mxtrain.data.dataset_config import DatasetConfig
from mxtrain.data.evaluation_data import load_samples
from mxtrain.data.in_memory_data import InMemoryData
from mxtrain.data.loading import load
from mxtrain.data.preprocessing.classes import classes_of_array
from mxtrain.data.preprocessing.feature_problems import feature_overflow_error
from mxtrain.data.preprocessing.features import Feature
from mxtrain.data.preprocessing.fitting import fit_features, numeric_features
from mxtrain.data.preprocessing.multilabel import boolean_array
from mxtrain.data.preprocessing.preprocessing import Preprocessing
from mxtrain.data.preprocessing.scalers import Standardization, TargetScale, moments_of_blocks, value_range
from mxtrain.data.preprocessing.table import Table, array_feature_names
from mxtrain.data.readers.numpy_files import DiskArrays, check_finite_numbers, open_array_pair, open_shards
from mxtrain.errors import DataError
from mxtrain.types import CLASS_LOSSES, DataType


class Source(Protocol):
    """A data set before it is split: targets in memory, and inputs in memory or on disk.

    Attributes:
        targets: (n,); numbers, or indices into `class_names`; (n, k) for k targets.
        target_name: the name of the column or array of the targets.
        target_columns: the names of k targets; empty for one.
        targets_source: the name of the file of the targets in error messages.
        class_names: the classes in order, or None if the targets are numbers, or several.
        groups: (n,), the number of each sample's group, or None.
        weights: (n,), the weights of the samples, or None.
        notes: messages about what was left out of the data, and about unseen categories in samples.
        found: the fields of `data` that describe a table as it was read.
    """

    @property
    def targets(self) -> NDArray[Any]: ...

    @property
    def groups(self) -> NDArray[np.int64] | None: ...

    @property
    def weights(self) -> NDArray[np.float64] | None: ...

    @property
    def notes(self) -> Sequence[str]: ...

    @property
    def found(self) -> Mapping[str, Any]: ...

    @property
    def target_name(self) -> str: ...

    @property
    def target_columns(self) -> tuple[str, ...]: ...

    @property
    def targets_source(self) -> str: ...

    @property
    def class_names(self) -> tuple[str, ...] | None: ...

    def fit(self, rows: NDArray[np.int64]) -> Preprocessing:
        """Fit the preprocessing to the rows of the training set."""

    def samples(self, rows: NDArray[np.int64], targets: NDArray[Any], fitted: Preprocessing) -> Samples:
        """Return the samples of the given rows.

        Args:
            rows: ascending.
            targets: the encoded targets of all rows.
            fitted: the preprocessing to apply.
        """

    def held_out(self, path: str, fitted: Preprocessing) -> Samples:
        """Return the samples of a separate file or folder of the same kind."""


@dataclass(frozen=True, slots=True)
class TableSource:
    """A data set in memory: a table file, an archive, a data set of the package, or data passed from Python."""

    table: Table
    config: DatasetConfig
    notes: list[str]

    @property
    def groups(self) -> NDArray[np.int64] | None:
        """See `Source`."""
        return self.table.groups

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """See `Source`."""
        return self.table.weights

    @property
    def found(self) -> Mapping[str, Any]:
        """See `Source`."""
        return self.table.found

    @property
    def targets(self) -> NDArray[Any]:
        """See `Source`."""
        return self.table.targets

    @property
    def target_name(self) -> str:
        """See `Source`."""
        return self.table.target_name

    @property
    def target_columns(self) -> tuple[str, ...]:
        """See `Source`."""
        return self.table.target_columns

    @property
    def targets_source(self) -> str:
        """See `Source`."""
        return self.config.data.source

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """See `Source`."""
        return self.table.class_names

    def fit(self, rows: NDArray[np.int64]) -> Preprocessing:
        """Fit the preprocessing to the rows of the training set."""
        data = self.config.data
        array = self.table.column_names[0].rpartition("[")[0] if data.has_one_array else None
        missing, unseen = (data.missing, data.unseen) if data.is_table else ("error", "error")
        features = fit_features(self.table, rows, missing, _standardize(data), data.max_categories)
        fitted = _preprocessing(self, features, rows, self.config, self.table.class_dtype, unseen, array)
        return replace(fitted, positions=self.table.positions)

    def samples(self, rows: NDArray[np.int64], targets: NDArray[Any], fitted: Preprocessing) -> InMemorySamples:
        """Return the samples of the given rows, standardized."""
        inputs = fitted.transform(
            self.table.inputs[rows],
            self.table.labels,
            lambda row: self.table.row_label(int(rows[row])),
            self.config.data.source,
            notes=self.notes,
            unseen="ignore",
        )
        return InMemorySamples(inputs, targets[rows])

    def held_out(self, path: str, fitted: Preprocessing) -> InMemorySamples:
        """Return the samples of a separate table file or archive."""
        data = self.config.data
        unset = {name: value for name, value in self.table.found.items() if getattr(data, name) is None}
        settings = data.model_copy(update=unset)
        kind = "column" if has_ending(path, TABLES) else "array"
        no_target = f"there is no {kind} {fitted.target!r}, the target"
        weight = data.weight_column
        return load_samples(
            path, fitted, data.missing, weight=weight, settings=settings, notes=self.notes, no_target=no_target
        )


@dataclass(frozen=True, slots=True)
class DiskSource:
    """Arrays on disk: their inputs are read once for statistics, and later batch by batch.

    Attributes:
        arrays: the files.
        targets, targets_source, class_names: see `Source`.
        class_dtype: the dtype of predicted classes.
        config: the config of the run.
    """

    arrays: DiskArrays
    targets: NDArray[Any]
    targets_source: str
    class_names: tuple[str, ...] | None
    class_dtype: str
    config: DatasetConfig

    @property
    def groups(self) -> None:
        """None, because arrays on disk have no groups."""
        return None

    @property
    def weights(self) -> None:
        """None, because arrays on disk have no weights."""
        return None

    @property
    def notes(self) -> tuple[str, ...]:
        """See `Source`."""
        return ()

    @property
    def found(self) -> Mapping[str, Any]:
        """Nothing, because arrays have no format."""
        return {}

    @classmethod
    def open(cls, config: DatasetConfig) -> "DiskSource":
        """Open an array and its targets, or a folder of them, and read the targets.

        Raises:
            DataError: a file is missing or malformed, or a target is invalid.
        """
        data = config.data
        is_array = has_ending(data.source, (".npy",))
        arrays = open_array_pair(data.source, data.target_names[0]) if is_array else open_shards(data.source)
        targets = arrays.read_targets()
        if targets is None:
            raise DataError(f"{data.source}: holds no targets-*.npy to train on")
        where = data.target_names[0] if data.target_names else f"{data.source}targets-*.npy"
        classes = config.equivalent_builtin_loss in CLASS_LOSSES
        if classes and targets.ndim > 1:
            values, class_dtype = boolean_array(targets, where)
            return cls(arrays, values, where, None, class_dtype, config)
        if classes:
            class_names, targets, class_dtype = classes_of_array(targets, where)
            return cls(arrays, targets, where, class_names, class_dtype, config)
        check_finite_numbers(targets, where)
        return cls(arrays, targets, where, None, "str", config)

    @property
    def target_name(self) -> str:
        """See `Source`."""
        return "targets"

    @property
    def target_columns(self) -> tuple[str, ...]:
        """See `Source`."""
        return array_feature_names("targets", self.targets.shape[1]) if self.targets.ndim > 1 else ()

    def fit(self, rows: NDArray[np.int64]) -> Preprocessing:
        """Fit the preprocessing to the rows of the training set; all inputs are read and checked."""
        is_training = np.zeros(len(self.arrays), dtype=bool)
        is_training[rows] = True
        moments, ends = moments_of_blocks(self.arrays, is_training)
        standardization = Standardization.from_moments(moments, _standardize(self.config.data))
        _check_range(self.arrays, ends, standardization, self.config.dtype)
        names = array_feature_names("inputs", self.arrays.width)
        features = tuple(numeric_features(names, standardization))
        return _preprocessing(self, features, rows, self.config, self.class_dtype, "error", "inputs")

    def samples(self, rows: NDArray[np.int64], targets: NDArray[Any], fitted: Preprocessing) -> DiskSamples:
        """Return the samples of the given rows, which are standardized batch by batch."""
        return DiskSamples(self.arrays, rows, targets[rows], fitted.standardization, self.config.dtype)

    def held_out(self, path: str, fitted: Preprocessing) -> DiskSamples:
        """Return the samples of a separate folder; all its inputs are read and checked."""
        arrays = open_shards(path)
        if arrays.width != self.arrays.width:
            width, source = self.arrays.width, self.arrays.source
            raise DataError(f"{path}: must have {width} features, as {source} has, got {arrays.width}")
        found = arrays.read_targets()
        if found is None:
            raise DataError(f"{path}: holds no targets-*.npy")
        targets = fitted.encode_target_array(found, f"{path}targets-*.npy")
        _check_range(arrays, value_range(arrays), fitted.standardization, self.config.dtype)
        return DiskSamples(arrays, np.arange(len(arrays)), targets, fitted.standardization, self.config.dtype)


def open_source(config: DatasetConfig, given: InMemoryData | None = None) -> Source:
    """Open the data source of a run.

    Args:
        config: the config of the run.
        given: the data passed from Python.

    Raises:
        DataError: the data cannot be read, or hold invalid values.
    """
    if config.data.is_streamed:
        return DiskSource.open(config)
    if given is not None and given.columns is not None:
        table = given.table(config)
    else:
        table = load(config.data, config.equivalent_builtin_loss in CLASS_LOSSES)
    return TableSource(table, config, list(table.notes))


def _standardize(data: DataConfig) -> Standardize:
    return data.resolve().standardize or "features"


def _preprocessing(
    source: Source,
    features: tuple[Feature, ...],
    rows: NDArray[np.int64],
    config: DatasetConfig,
    class_dtype: str,
    unseen: Unseen,
    array: str | None,
) -> Preprocessing:
    scale = None
    if config.standardizes_target:
        targets, where = source.targets[rows], source.targets_source
        if source.target_columns:
            scale = TargetScale.fit_each(targets, where, source.target_columns)
        else:
            scale = TargetScale.fit(targets, where, source.target_name)
    return Preprocessing(
        columns=features,
        target=source.target_name,
        class_names=source.class_names,
        dtype=config.dtype,
        target_dtype="int64" if config.equivalent_builtin_loss == "softmax_cross_entropy" else config.dtype,
        unseen=unseen,
        array=array,
        target_scale=scale,
        class_dtype=class_dtype,
        target_columns=source.target_columns,
    )


def _check_range(
    arrays: DiskArrays, ends: NDArray[np.float64], standardization: Standardization, dtype: DataType
) -> None:
    """Raise a DataError if a feature overflows; its smallest and largest values suffice, as the map is monotonic."""
    is_finite = np.isfinite(standardization.apply(ends, dtype)).all(axis=0) & np.isfinite(standardization.scale)
    if not is_finite.all():
        index = int(is_finite.argmin())
        values = standardization.apply(ends, np.float64)[:, index]
        raise feature_overflow_error(arrays.source, f"inputs[{index}]", dtype, values, standardization)
