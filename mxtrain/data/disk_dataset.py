"""What a run works on, from arrays that stay on the disk."""

import numpy as np

from mxtrain.config.data_section import has_ending
from mxtrain.config.run import CLASS_LOSSES, RunConfig
from mxtrain.data.arrays import check_numbers, classes_of
from mxtrain.data.disk_part import DiskPart
from mxtrain.data.disk_statistics import DiskStatistics, measure_disk
from mxtrain.data.npy_folder import DiskArrays, array_pair, folder_of_inputs
from mxtrain.data.npz_file import array_features
from mxtrain.data.other_files import array_targets
from mxtrain.data.part import Samples
from mxtrain.data.preparing import check_batch_size, check_classes
from mxtrain.data.preprocessing import Number, Preprocessing, too_large_feature
from mxtrain.data.split import split
from mxtrain.data.standardization import Standardization
from mxtrain.data.target_scale import TargetScale
from mxtrain.data.targets import as_targets
from mxtrain.errors import DataError

_TARGET = "targets"


def prepare_disk(config: RunConfig) -> tuple[tuple[Samples, Samples, Samples], Preprocessing]:
    """The training, the validation and the test part, and what was fitted to the first."""
    data, classes = config.data, config.decoding in CLASS_LOSSES
    arrays = (
        array_pair(data.source, data.target) if has_ending(data.source, (".npy",)) else folder_of_inputs(data.source)
    )
    found = arrays.read_targets()
    if found is None:
        raise DataError(f"{data.source}: holds no targets-*.npy to train on")
    where = data.target or f"{data.source}targets-*.npy"
    class_names, class_dtype = None, "str"
    if classes:
        class_names, found, class_dtype = classes_of(found, where)
    else:
        check_numbers(found, where)
    check_classes(config, _TARGET, class_names)
    rows = split(found, data.share("validation"), data.share("test"), config.seed, stratified=classes)
    check_batch_size(config, len(rows.training))

    is_training = np.zeros(len(arrays), dtype=bool)
    is_training[rows.training] = True
    statistics = measure_disk(arrays, is_training)
    standardization = statistics.standardization(data.resolve().standardize or "features")
    _check_dtype(arrays, statistics, standardization, config)
    target_scale = TargetScale.fit(found[rows.training], where, _TARGET) if data.standardize_target else None
    preprocessing = _preprocessing(arrays, standardization, class_names, class_dtype, target_scale, config)
    targets = as_targets(found, preprocessing, where)

    def part(name: str) -> Samples:
        path, own = getattr(data, name, None), getattr(rows, name)
        if isinstance(path, str):
            return _of_its_own(path, arrays, preprocessing, standardization, config)
        return DiskPart(arrays, own, targets[own], standardization, config.dtype)

    return (part("training"), part("validation"), part("test")), preprocessing


def _of_its_own(
    path: str, like: DiskArrays, preprocessing: Preprocessing, standardization: Standardization, config: RunConfig
) -> DiskPart:
    arrays = folder_of_inputs(path)
    if arrays.width != like.width:
        raise DataError(f"{path}: must have {like.width} features, as {like.source} has, got {arrays.width}")
    found = arrays.read_targets()
    if found is None:
        raise DataError(f"{path}: holds no targets-*.npy")
    targets = array_targets(found, preprocessing, f"{path}targets-*.npy")
    statistics = measure_disk(arrays, np.zeros(len(arrays), dtype=bool))
    _check_dtype(arrays, statistics, standardization, config)
    return DiskPart(arrays, np.arange(len(arrays)), targets, standardization, config.dtype)


def _check_dtype(
    arrays: DiskArrays, statistics: DiskStatistics, standardization: Standardization, config: RunConfig
) -> None:
    """The map is monotonic, so that the least and the largest value stand for all."""
    ends = np.stack([statistics.least, statistics.most])
    finite = np.isfinite(standardization.apply(ends, config.dtype)).all(axis=0) & np.isfinite(standardization.scale)
    if not finite.all():
        index = int(finite.argmin())
        values = standardization.apply(ends, np.float64)[:, index]
        raise too_large_feature(arrays.source, f"inputs[{index}]", config.dtype, values, standardization)


def _preprocessing(
    arrays: DiskArrays,
    standardization: Standardization,
    class_names: tuple[str, ...] | None,
    class_dtype: str,
    target_scale: TargetScale | None,
    config: RunConfig,
) -> Preprocessing:
    maps = zip(
        array_features("inputs", arrays.width),
        standardization.mean.tolist(),
        standardization.scale.tolist(),
        standardization.constant.tolist(),
        strict=True,
    )
    return Preprocessing(
        columns=tuple(Number(name, mean, scale, constant=constant) for name, mean, scale, constant in maps),
        target=_TARGET,
        class_names=class_names,
        dtype=config.dtype,
        target_dtype="int64" if config.decoding == "softmax_cross_entropy" else config.dtype,
        array="inputs",
        target_scale=target_scale,
        class_dtype=class_dtype,
    )
