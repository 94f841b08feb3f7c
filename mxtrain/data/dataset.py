"""The prepared dataset of a run, and the fingerprint that detects changed data when a run is resumed."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from hashlib import file_digest, sha256
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import IN_MEMORY, DataConfig, has_ending
from mxtrain.data.batches import InMemorySamples, Samples
from mxtrain.data.evaluation_data import read_samples
from mxtrain.data.held_out_digest import held_out_digest
from mxtrain.data.in_memory_data import DatasetConfig, InMemoryData
from mxtrain.data.preprocessing.preprocessing import Preprocessing
from mxtrain.data.preprocessing.weights import check_part_weights, scale_weights
from mxtrain.data.readers.open_file import open_data_file, unreadable_error
from mxtrain.data.readers.table_bytes import expand_paths
from mxtrain.data.sources import open_source
from mxtrain.data.splits import split, split_groups
from mxtrain.data.target_range import check_squares, check_target_range
from mxtrain.errors import DataError
from mxtrain.loss_config import count_outputs, describe_loss, several_targets_problem
from mxtrain.types import CLASS_LOSSES

PartName: TypeAlias = Literal["training", "validation", "test"]
"""A part of the samples of a run."""


def fingerprint(config: DataConfig) -> str:
    """Return the SHA-256, in hexadecimal, of all files that a run reads: its source, and separate held-out sets.

    It is the hash of a text with a line for each file: the field of the config, in a folder or for a pattern also the
    name of the file, and the SHA-256 of its bytes. It depends neither on the folders of the files nor on their times of
    modification.

    Raises:
        DataError: a file cannot be read.

    Example:
        >>> fingerprint(DataConfig(source="digits"))[:16]
        '683d74786cbd9849'
    """
    named = list(_named_files(config))
    with ThreadPoolExecutor(2) as pool:
        digests = pool.map(_file_digest, (path for _, path in named))
        text = "".join(f"{name} {digest}\n" for (name, _), digest in zip(named, digests, strict=True))
    return sha256(text.encode()).hexdigest()


def _named_files(config: DataConfig) -> Iterator[tuple[str, Path]]:
    if not config.is_file:
        with as_file(files("mxtrain.data").joinpath("tables", f"{config.source}.npz")) as packaged:
            yield "source", packaged
        return
    paths: dict[str, float | str] = {"source": config.source, "validation": config.validation, "test": config.test}
    if has_ending(config.source, (".npy",)):
        paths["target"] = config.target_names[0]
    for name, path in paths.items():
        if not isinstance(path, str) or path == IN_MEMORY:
            continue
        if not path.endswith("/"):
            yield from _matching_files(name, path)
            continue
        try:
            members = sorted(member for member in Path(path).iterdir() if has_ending(member.name, (".npy",)))
        except OSError as error:
            raise unreadable_error(path, error) from None
        yield from ((f"{name}/{member.name}", member) for member in members)


def _matching_files(name: str, path: str) -> Iterator[tuple[str, Path]]:
    """Yield the file of a field, or the files that match its pattern, each with the field and its own name."""
    found = expand_paths(path)
    if found == [path]:
        yield name, Path(path)
        return
    yield from ((f"{name}/{Path(each).name}", Path(each)) for each in found)


def _file_digest(path: Path) -> str:
    with open_data_file(str(path)) as file:
        return file_digest(file, "sha256").hexdigest()


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
    data = config.data
    source = open_source(config, given)
    check_target_count(config, source.target_name, source.targets)
    if source.targets.ndim == 1:
        check_classes(config, source.target_name, source.class_names)
    check_target_range(config, source.target_name, source.targets)
    validation, test = data.split_fraction("validation"), data.split_fraction("test")
    stratified = config.equivalent_builtin_loss in CLASS_LOSSES and source.targets.ndim == 1
    if source.groups is None:
        rows = split(source.targets, validation, test, config.seed, stratified)
    else:
        rows = split_groups(source.targets, source.groups, validation, test, config.seed, stratified)
    check_batch_size(config, len(rows.training))
    fitted = source.fit(rows.training)
    targets = fitted.encode_targets(source.targets, source.targets_source)
    weights = None
    if source.weights is not None:
        check_part_weights(source.weights, rows.training, "training")
        weights = scale_weights(source.weights, rows.training, config.dtype)
        for part, chosen in rows._asdict().items():  # scaled, as small weights can become 0
            check_part_weights(weights, chosen, part)
    notes: list[str] = []

    def held_out(name: PartName) -> Samples:
        path = getattr(data, name)
        if path == IN_MEMORY:
            if given is None or name not in given.held_out:
                raise DataError(f"data.{name}: the {name} data are not in the config; pass them in Python as {name}=")
            found = given.held_out[name]
            unset = {field: value for field, value in source.found.items() if getattr(data, field) is None}
            return read_samples(
                found,
                fitted,
                data.missing,
                weight=data.weight_column,
                settings=data.model_copy(update=unset),
                source=name,
                notes=notes,
            )
        if isinstance(path, str):
            return source.held_out(path, fitted)
        return of_rows(getattr(rows, name), name)

    def of_rows(chosen: NDArray[np.int64], part: PartName) -> Samples:
        samples = source.samples(chosen, targets, fitted)
        if weights is None or not isinstance(samples, InMemorySamples):
            return samples
        return replace(samples, weights=weights[chosen])

    classes = len(source.class_names or ())
    training = of_rows(rows.training, "training")
    check_squares(config, fitted, training)
    return Dataset(
        training=training,
        validation=held_out("validation"),
        test=held_out("test"),
        preprocessing=fitted,
        n_outputs=count_outputs(config.loss_spec, classes, source.targets.shape[1] if source.targets.ndim > 1 else 1),
        notes=(*source.notes, *notes),
        found=source.found,
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


def data_fingerprint(config: DatasetConfig, given: InMemoryData | None = None) -> str:
    """Return the SHA-256 of the files of a run, and of the data that Python passes."""
    is_given = given is not None and given.columns is not None
    source = given.fingerprint() if given and is_given else fingerprint(config.data)
    lines = [source]
    for name in ("validation", "test"):
        path = getattr(config.data, name)
        if path == IN_MEMORY and given is not None:
            lines.append(f"{name} {held_out_digest(given.held_out[name], config, name)}")
        elif isinstance(path, str) and is_given:
            lines += [f"{label} {_file_digest(each)}" for label, each in _matching_files(name, path)]
    return source if len(lines) == 1 else sha256("\n".join(lines).encode()).hexdigest()


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
