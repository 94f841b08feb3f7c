"""Checks that a config and its data belong to the run that is resumed."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mxtrain.config import RunConfig
from mxtrain.config.data_sources import IN_MEMORY
from mxtrain.config.dotted_paths import first_differences, flatten
from mxtrain.config.error_messages import DATA_PATHS
from mxtrain.data import DatasetCache, FingerprintedDataset, InMemoryData, data_fingerprint, read_data
from mxtrain.errors import ConfigError, ConfigProblem, DataChangedError, DataError, ModelError
from mxtrain.paths import normalize_path
from mxtrain.training.checkpoints.snapshot import Snapshot
from mxtrain.training.model_factory import ModelFactory
from mxtrain.training.trainer import Trainer

CHANGEABLE = ("name", "data.source", "fit.epochs", "fit.checkpoint", "fit.loggers", "plugins")
"""Settings that may change, because completed epochs do not depend on them.

Exceptions: `fit.epochs` is fixed if a schedule is relative to the length of the run, and is at least the
number of completed epochs. Data at another `data.source` must have the same SHA-256.
"""
CPU_BACKENDS = ("auto", "numpy", "compiled")
"""Backends that may replace each other: they give the same bits, and the products of the model stay on the CPU."""
EARLIER_VALUES = {"data.max_categories": 1000, "model.output_init": "glorot"}
"""The values of fields before runs recorded them."""
_GROUPS = "optimizer.groups."
_DATA_PATHS = [f"data.{name}" for name in DATA_PATHS]
_SETTINGS = "model.settings."


def restored_trainer(
    snapshot: Snapshot | None,
    config: RunConfig,
    model: ModelFactory | None,
    cache: DatasetCache | None = None,
    *,
    given: InMemoryData | None = None,
    reading: RunConfig | None = None,
) -> Trainer:
    """Return a trainer that continues from a snapshot, or starts from the beginning.

    Args:
        snapshot: the state to continue from; None for the beginning.
        config: the resolved config.
        model: makes the model if the config has a custom one.
        cache: reads the data if they are files; left out, they are read again.
        given: the data if they were passed in Python.
        reading: the config to read the data with, if it differs.

    Raises:
        ConfigError, TrainingError: as `check_continuation`; if the data have changed so that they do not suit the
            config, that is reported instead of a DataError.
        DataError, ModelError, BackendError: as `Trainer`.
    """
    try:
        data = cache.read(config) if cache else read_data(reading or config, given)
        config = resolve_with_data(config, data, snapshot)
        trainer = Trainer(config, model, data)
    except (DataError, ModelError):
        if snapshot is not None:
            check_continuation(snapshot, config, data_fingerprint(config, given))
        raise
    if snapshot is not None:
        check_continuation(snapshot, config, trainer.data_fingerprint)
        trainer.restore(snapshot)
    return trainer


def resolve_with_data(config: RunConfig, data: FingerprintedDataset, snapshot: Snapshot | None = None) -> RunConfig:
    """Return a config with the values that depend on the data: the format and the kinds of a table, and `scale`.

    Args:
        config: the resolved config.
        data: the data of the run.
        snapshot: the state from which the run continues; what earlier versions did not record stays unset.
    """
    by_column = ("columns", "date_format")
    unset = [name for name in data[0].found if name in by_column or getattr(config.data, name) is None]
    found = {name: data[0].found[name] for name in unset}
    if snapshot is not None:
        recorded = snapshot.record["config"]["data"]
        found = {name: value for name, value in found.items() if recorded.get(name) is not None}
    for name in by_column:
        if name in found:
            found[name] = {**found[name], **(getattr(config.data, name) or {})}
    if found:
        config = config.model_copy(update={"data": config.data.model_copy(update=found)})
    return limit_scale_to_training_size(config, data, snapshot)


def limit_scale_to_training_size(
    config: RunConfig, data: FingerprintedDataset, snapshot: Snapshot | None = None
) -> RunConfig:
    """Replace a `scale` of `1/batch_size` by one over the number of training samples if these are fewer.

    Args:
        config: the resolved config.
        data: the data of the run.
        snapshot: the state from which the run continues; earlier versions trained with `1/batch_size`, which is kept.

    Example:
        >>> from mxtrain.config import run_from_dict
        >>> config = run_from_dict({
        ...     "data": {"source": "digits", "batch_size": 4096}, "model": {"kind": "linear"},
        ...     "loss": "softmax_cross_entropy", "optimizer": {"kind": "adam"}}).resolve()
        >>> 1 / limit_scale_to_training_size(config, read_data(config)).optimizer.scale
        1438.0
    """
    size, samples, scale = config.data.batch_size, len(data[0].training), config.optimizer.scale
    if not 0 < samples < size or scale != 1 / size:
        return config
    if snapshot is not None and snapshot.record["config"]["optimizer"]["scale"] == scale:
        return config
    return config.model_copy(update={"optimizer": config.optimizer.model_copy(update={"scale": 1 / samples})})


def check_continuation(snapshot: Snapshot, config: RunConfig, data: str) -> None:
    """Check that a run with this config and these data may continue from a snapshot.

    Raises:
        ConfigError: values differ that may not change; every one of them at once.
        DataChangedError: the data differ from those of the snapshot.
    """
    before, now = flatten(snapshot.record["config"]), flatten(config.to_dict())
    if changed := first_differences(changed_paths(before, now), before, now):
        raise ConfigError([ConfigProblem(path, _refusal(*values)) for path, values in changed.items()])
    _check_order(snapshot.record["config"]["optimizer"], config.to_dict()["optimizer"])
    _check_run_length(before, now, config)
    epoch, _, _ = snapshot.position
    if config.fit.epochs < epoch:
        message = f"the run has reached epoch {epoch}: set at least {epoch}, got {config.fit.epochs}"
        raise ConfigError([ConfigProblem("fit.epochs", message)])
    check_data(snapshot.record["data"], data, config, "start a new run")


def _check_run_length(before: Mapping[str, Any], now: Mapping[str, Any], config: RunConfig) -> None:
    """Refuse another number of epochs if a schedule depends on it, because past learning rates would differ."""
    epochs = [each["fit.epochs"] for each in (before, now)]
    found = (
        (path, schedule.run_length)
        for path, schedule in config.optimizer.all_schedules().items()
        if schedule.run_length is not None
    )
    path, length = next(found, (None, None))
    if path is not None and epochs[0] != epochs[1]:
        field, values = ("per" if length == "fraction" else "T"), "learning rates" if path == "η_sched" else "values"
        reason = f"optimizer.{path}.{field} is {length}, so past {values} would have been different"
        message = f"was {epochs[0]} when the run started, and cannot become {epochs[1]}: {reason}; start a new run"
        raise ConfigError([ConfigProblem("fit.epochs", message)])


def with_earlier_config(snapshot: Snapshot, earlier: Snapshot) -> Snapshot:
    """Return a snapshot with the config of an earlier one if they mean the same, although one lacks newer fields."""
    before, now = (flatten(each.record["config"]) for each in (earlier, snapshot))
    if changed_paths(before, now):
        return snapshot
    return replace(snapshot, record={**snapshot.record, "config": earlier.record["config"]})


def changed_paths(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the paths at which two flattened configs differ, except where that does not affect completed epochs."""
    paths = {**before, **now}
    return [path for path in paths if _differ(path, before, now) and not _is_changeable(path, before, now)]


def _check_order(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse another order of groups, because the first one that fits a parameter holds."""
    orders = [", ".join(optimizer.get("groups", {})) for optimizer in (before, now)]
    if orders[0] != orders[1]:
        raise ConfigError([ConfigProblem("optimizer.groups", _refusal(*(f"in the order {order}" for order in orders)))])


def check_data(before: str, now: str, config: RunConfig, alternative: str) -> None:
    """Compare the SHA-256 of data with that of a run.

    Args:
        before: the SHA-256 of the data of the run.
        now: the SHA-256 of the data now.
        config: the resolved config.
        alternative: the remedy in the message, besides restoring the data.

    Raises:
        DataChangedError: they differ.
    """
    if before == now:
        return
    which, remedy = f"in {config.data.source}", "restore the file"
    if config.data.is_in_memory:
        which, remedy = "passed in Python", "pass the original data"
    raise DataChangedError(
        f"the data {which} are not those that the run was trained on: their SHA-256 differs; {remedy}, or {alternative}"
    )


def _differ(path: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether a value differs; in the settings of a custom model, 1, 1.0 and true are different values."""
    if path not in before and not path.startswith(_SETTINGS):
        return now[path] not in (None, EARLIER_VALUES.get(path))  # earlier versions had fewer fields
    if path not in now and path.startswith(_GROUPS) and before[path] is None:
        return False  # earlier versions wrote null where a group sets nothing
    if path not in before or path not in now:
        return True
    if path in _DATA_PATHS and all(isinstance(each[path], str) for each in (before, now)):
        return normalize_path(before[path]) != normalize_path(now[path])  # earlier versions did not normalize paths
    return json.dumps(before[path], sort_keys=True) != json.dumps(now[path], sort_keys=True)


def _is_changeable(path: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    if path == "backend":
        return before[path] in CPU_BACKENDS and now[path] in CPU_BACKENDS
    if path == "data.source" and IN_MEMORY in (before[path], now[path]):
        return False  # a file is hashed by its bytes, data in memory by their values
    return any(path == free or path.startswith(free + ".") for free in CHANGEABLE)


def _refusal(before: str, now: str) -> str:
    return f"was {before} when the run started, and cannot become {now}: start a new run"
