"""The dataset of a run: read, split, and preprocessed, with a cache for repeated reads."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from mxtrain.config.data_section import has_ending
from mxtrain.config.run_section import RunConfig
from mxtrain.data.batches import DiskSamples, InMemorySamples, Samples
from mxtrain.data.fingerprint import fingerprint
from mxtrain.data.inference_data import encode_target_array, load_held_out_file
from mxtrain.data.preprocessing.fitting import fit_preprocessing
from mxtrain.data.preprocessing.preprocessing import Number, Preprocessing, feature_overflow_error
from mxtrain.data.preprocessing.scalers import DiskStatistics, Standardization, TargetScale, compute_disk_statistics
from mxtrain.data.preprocessing.targets import encode_targets
from mxtrain.data.readers.npy_files import DiskArrays, open_array_pair, open_shards
from mxtrain.data.readers.npz_file import array_feature_names, check_finite_numbers, classes_of
from mxtrain.data.sources import InMemoryData, load
from mxtrain.data.splits import split
from mxtrain.errors import DataError
from mxtrain.types import CLASS_LOSSES


def check_classes(config: RunConfig, target: str, class_names: tuple[str, ...] | None) -> None:
    """A DataError where logistic, which is for two classes, has another number of them."""
    if config.decoding == "logistic" and len(class_names or ()) != 2:
        which, remedy = "logistic", "loss: softmax_cross_entropy"
        if config.has_custom_loss:
            which, remedy = "model.targets: binary", "model.targets: classes"
        raise DataError(
            f"{config.data.source}: {target!r} has {len(class_names or ())} classes, and {which} is for two; "
            f"set {remedy}"
        )


def check_batch_size(config: RunConfig, samples: int) -> None:
    """A DataError where no batch would be left to train on."""
    if config.data.last_batch == "drop" and config.data.batch_size > samples:
        raise DataError(
            f"data.batch_size: must be at most {samples}, the samples to train on, as last_batch: drop would "
            f"leave no batch, got {config.data.batch_size}; lower it, or set last_batch: keep"
        )


_TARGET_NAME = "targets"


def prepare_on_disk(config: RunConfig) -> tuple[tuple[Samples, Samples, Samples], Preprocessing]:
    """The training, the validation and the test part, and what was fitted to the first."""
    data, classes = config.data, config.decoding in CLASS_LOSSES
    arrays = (
        open_array_pair(data.source, data.target) if has_ending(data.source, (".npy",)) else open_shards(data.source)
    )
    found = arrays.read_targets()
    if found is None:
        raise DataError(f"{data.source}: holds no targets-*.npy to train on")
    where = data.target or f"{data.source}targets-*.npy"
    class_names, class_dtype = None, "str"
    if classes:
        class_names, found, class_dtype = classes_of(found, where)
    else:
        check_finite_numbers(found, where)
    check_classes(config, _TARGET_NAME, class_names)
    rows = split(found, data.split_fraction("validation"), data.split_fraction("test"), config.seed, stratified=classes)
    check_batch_size(config, len(rows.training))

    is_training = np.zeros(len(arrays), dtype=bool)
    is_training[rows.training] = True
    statistics = compute_disk_statistics(arrays, is_training)
    standardization = statistics.standardization(data.resolve().standardize or "features")
    _check_range(arrays, statistics, standardization, config)
    target_scale = TargetScale.fit(found[rows.training], where, _TARGET_NAME) if data.standardize_target else None
    preprocessing = _disk_preprocessing(arrays, standardization, class_names, class_dtype, target_scale, config)
    targets = encode_targets(found, preprocessing, where)

    def part(name: str) -> Samples:
        path, own = getattr(data, name, None), getattr(rows, name)
        if isinstance(path, str):
            return _load_held_out_folder(path, arrays, preprocessing, standardization, config)
        return DiskSamples(arrays, own, targets[own], standardization, config.dtype)

    return (part("training"), part("validation"), part("test")), preprocessing


def _load_held_out_folder(
    path: str, like: DiskArrays, preprocessing: Preprocessing, standardization: Standardization, config: RunConfig
) -> DiskSamples:
    arrays = open_shards(path)
    if arrays.width != like.width:
        raise DataError(f"{path}: must have {like.width} features, as {like.source} has, got {arrays.width}")
    found = arrays.read_targets()
    if found is None:
        raise DataError(f"{path}: holds no targets-*.npy")
    targets = encode_target_array(found, preprocessing, f"{path}targets-*.npy")
    statistics = compute_disk_statistics(arrays, np.zeros(len(arrays), dtype=bool))
    _check_range(arrays, statistics, standardization, config)
    return DiskSamples(arrays, np.arange(len(arrays)), targets, standardization, config.dtype)


def _check_range(
    arrays: DiskArrays, statistics: DiskStatistics, standardization: Standardization, config: RunConfig
) -> None:
    """The map is monotonic, so that the least and the largest value stand for all."""
    ends = np.stack([statistics.least, statistics.most])
    finite = np.isfinite(standardization.apply(ends, config.dtype)).all(axis=0) & np.isfinite(standardization.scale)
    if not finite.all():
        index = int(finite.argmin())
        values = standardization.apply(ends, np.float64)[:, index]
        raise feature_overflow_error(arrays.source, f"inputs[{index}]", config.dtype, values, standardization)


def _disk_preprocessing(
    arrays: DiskArrays,
    standardization: Standardization,
    class_names: tuple[str, ...] | None,
    class_dtype: str,
    target_scale: TargetScale | None,
    config: RunConfig,
) -> Preprocessing:
    maps = zip(
        array_feature_names("inputs", arrays.width),
        standardization.mean.tolist(),
        standardization.scale.tolist(),
        standardization.constant.tolist(),
        strict=True,
    )
    return Preprocessing(
        columns=tuple(Number(name, mean, scale, constant=constant) for name, mean, scale, constant in maps),
        target=_TARGET_NAME,
        class_names=class_names,
        dtype=config.dtype,
        target_dtype="int64" if config.decoding == "softmax_cross_entropy" else config.dtype,
        array="inputs",
        target_scale=target_scale,
        class_dtype=class_dtype,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """What a run works on, ready for its model and loss.

    Attributes:
        training, validation, test: the parts; the last two may be empty.
        preprocessing: what was fitted to the training part, to be saved with the run.
        n_outputs: how many outputs the model needs: one for each class for softmax_cross_entropy, else 1.
    """

    training: Samples
    validation: Samples
    test: Samples
    preprocessing: Preprocessing
    n_outputs: int

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What the model's d inputs are called."""
        return self.preprocessing.feature_names

    @property
    def target_name(self) -> str:
        """What is predicted."""
        return self.preprocessing.target

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The classes in the order of their indices, or None for squared_error."""
        return self.preprocessing.class_names

    @property
    def n_features(self) -> int:
        """How many inputs the model has."""
        return len(self.feature_names)


def prepare(config: RunConfig, given: InMemoryData | None = None) -> Dataset:
    """Load, split and standardize what a run works on.

    A pure function of the config and of the files it names, or of what was handed over in their place. Whatever is
    fitted is fitted to the training part. All parts keep the order of their file. Arrays in `.npy` files stay on the
    disk.

    Raises:
        DataError: the data cannot be read, or do not suit the loss, the batch size or the dtype.

    Example:
        >>> dataset = prepare(RunConfig.model_validate({
        ...     "data": {"source": "digits", "test": 0.1}, "model": {"kind": "mlp"}, "loss": "softmax_cross_entropy",
        ...     "optimizer": {"kind": "adam"}}))
        >>> len(dataset.training), len(dataset.validation), len(dataset.test), dataset.n_features, dataset.n_outputs
        (1258, 359, 180, 64, 10)
    """
    parts, preprocessing = prepare_on_disk(config) if config.data.is_streamed else _prepare_table(config, given)
    classes = len(preprocessing.class_names or ())
    return Dataset(*parts, preprocessing, classes if config.decoding == "softmax_cross_entropy" else 1)


def _prepare_table(
    config: RunConfig, given: InMemoryData | None
) -> tuple[tuple[Samples, Samples, Samples], Preprocessing]:
    data = config.data
    classes = config.decoding in CLASS_LOSSES
    table = given.table(config) if given else load(data, classes)
    check_classes(config, table.target_name, table.class_names)
    rows = split(
        table.targets, data.split_fraction("validation"), data.split_fraction("test"), config.seed, stratified=classes
    )
    check_batch_size(config, len(rows.training))
    preprocessing = fit_preprocessing(table, rows.training, config)
    targets = encode_targets(table.targets, preprocessing, data.source)

    def part(name: str) -> InMemorySamples:
        path, own = getattr(data, name, None), getattr(rows, name)
        if isinstance(path, str):
            return load_held_out_file(path, preprocessing, data.missing)
        inputs = preprocessing.transform(
            table.inputs[own], table.labels, lambda row: table.place(int(own[row])), data.source
        )
        return InMemorySamples(inputs, targets[own])

    return (part("training"), part("validation"), part("test")), preprocessing


FingerprintedDataset: TypeAlias = tuple[Dataset, str]
"""The samples of a run, ready for it, and the SHA-256 of what they are from."""

_BATCHING_FIELDS = ("batch_size", "shuffle", "last_batch")
"""Fields of `data` that say how samples are taken, not which there are."""


def read_data(config: RunConfig, given: InMemoryData | None = None) -> FingerprintedDataset:
    """Read what a run works on: the files that its config names, or what was handed over.

    Raises:
        DataError: as `prepare`, and `fingerprint`.
    """
    return prepare(config, given), data_fingerprint(config, given)


def data_fingerprint(config: RunConfig, given: InMemoryData | None = None) -> str:
    """The SHA-256 of what a run reads."""
    return given.fingerprint() if given else fingerprint(config.data)


class DatasetCache:
    """Reads data as `read_data` does, and remembers the newest few: for many runs on the same files.

    Args:
        room: how many are remembered, at least 1.

    Example:
        >>> from mxtrain.config import run_from_dict
        >>> parts = {"model": {"kind": "linear"}, "loss": "softmax_cross_entropy", "optimizer": {"kind": "adam"}}
        >>> one, other = (run_from_dict({**parts, "data": {"source": "digits", "batch_size": n}}) for n in (16, 32))
        >>> memory = DatasetCache()
        >>> memory.read(one) is memory.read(other)
        True
    """

    def __init__(self, room: int = 4) -> None:
        self._max_size = room
        self._cached: dict[str, FingerprintedDataset] = {}

    def read(self, config: RunConfig) -> FingerprintedDataset:
        """What `read_data` returns; from memory, where a run before read the same.

        Raises:
            DataError: as `read_data`.
        """
        key = _cache_key(config)
        data = self._cached.pop(key, None) or read_data(config)
        check_batch_size(config, len(data[0].training))
        self._cached[key] = data  # the newest last
        while len(self._cached) > self._max_size:
            del self._cached[next(iter(self._cached))]
        return data


def _cache_key(config: RunConfig) -> str:
    """Everything that `prepare` looks at, but for how batches are made."""
    data = config.data.resolve().model_copy(update=dict.fromkeys(_BATCHING_FIELDS))
    return repr((data, config.seed, config.dtype, config.decoding))
