"""Checks of a config and its data against the run that is resumed."""

import json
from collections.abc import Mapping
from typing import Any

from mxtrain.config import RunConfig
from mxtrain.config.data_section import IN_MEMORY
from mxtrain.config.dotted_paths import describe_at, first_difference, flatten
from mxtrain.config.validation import DATA_PATHS
from mxtrain.data import DatasetCache, FingerprintedDataset, InMemoryData, data_fingerprint, read_data
from mxtrain.errors import ConfigError, ConfigProblem, DataChangedError, DataError, ModelError
from mxtrain.paths import normalize_path
from mxtrain.training.checkpoints.snapshot import Snapshot
from mxtrain.training.model_factory import ModelFactory
from mxtrain.training.trainer import Trainer

CHANGEABLE = ("name", "data.source", "fit.epochs", "fit.checkpoint", "fit.loggers")
"""What may change: it would not have changed the past. A data source may move, as its content is looked at."""
CPU_BACKENDS = ("auto", "numpy", "compiled")
"""Backends that may take over from each other: they give the same bits, and the model's products stay on the CPU."""
_GROUPS = "optimizer.groups."
_DATA_PATHS = [f"data.{name}" for name in DATA_PATHS]
_SETTINGS = "model.settings."


def restored_trainer(
    snapshot: Snapshot | None,
    config: RunConfig,
    model: ModelFactory | None,
    memory: DatasetCache | None = None,
    *,
    given: InMemoryData | None = None,
) -> Trainer:
    """A trainer that goes on from a snapshot, or from the beginning; `memory` may know the data already.

    Args:
        snapshot, config, model: what the run is.
        memory: reads the data, if they are files.
        given: the data, if they were handed over.

    Raises:
        ConfigError, TrainingError: as `check_continuation`; where other data do not even suit the config, they are
            named as the cause.
        DataError, ModelError, BackendError: as `Trainer`.
    """
    try:
        data = memory.read(config) if memory else read_data(config, given)
        config = scaled_to_data(config, data, snapshot)
        trainer = Trainer(config, model, data)
    except (DataError, ModelError):
        if snapshot is not None:
            check_continuation(snapshot, config, data_fingerprint(config, given))
        raise
    if snapshot is not None:
        check_continuation(snapshot, config, trainer.data_fingerprint)
        trainer.restore(snapshot)
    return trainer


def scaled_to_data(config: RunConfig, data: FingerprintedDataset, snapshot: Snapshot | None = None) -> RunConfig:
    """Replace a `scale` of `1/batch_size` by one over the number of training samples if these are fewer.

    Args:
        config: the resolved config.
        data: the data of the run.
        snapshot: the state from which the run continues; one of an earlier version keeps the scale it was trained with.

    Example:
        >>> from mxtrain.config import run_from_dict
        >>> config = run_from_dict({
        ...     "data": {"source": "digits", "batch_size": 4096}, "model": {"kind": "linear"},
        ...     "loss": "softmax_cross_entropy", "optimizer": {"kind": "adam"}}).resolve()
        >>> 1 / scaled_to_data(config, read_data(config)).optimizer.scale
        1438.0
    """
    size, samples, scale = config.data.batch_size, len(data[0].training), config.optimizer.scale
    if not 0 < samples < size or scale != 1 / size:
        return config
    if snapshot is not None and snapshot.record["config"]["optimizer"]["scale"] == scale:
        return config
    return config.model_copy(update={"optimizer": config.optimizer.model_copy(update={"scale": 1 / samples})})


def check_continuation(snapshot: Snapshot, config: RunConfig, data: str) -> None:
    """Refuse to continue a run as another one.

    Raises:
        ConfigError: a value differs that may not; every one of them at once.
        TrainingError: the data are not those that the run was trained on.
    """
    before, now = flatten(snapshot.record["config"]), flatten(config.to_dict())
    changed = changed_paths(before, now)
    if changed:
        causes = dict.fromkeys(first_difference(path, before, now) for path in changed)
        raise ConfigError(
            [ConfigProblem(path, _refusal(describe_at(before, path), describe_at(now, path))) for path in causes]
        )
    _check_order(before, now)
    _check_run_length(before, now)
    epoch, _, _ = snapshot.position
    if config.fit.epochs < epoch:
        message = f"the run has come to epoch {epoch}: set at least {epoch}, got {config.fit.epochs}"
        raise ConfigError([ConfigProblem("fit.epochs", message)])
    check_data(snapshot.record["data"], data, config, "begin a new run")


def _check_run_length(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse another number of epochs for a schedule that depends on it, as past learning rates would differ."""
    T = now.get("optimizer.η_sched.T")
    epochs = [each["fit.epochs"] for each in (before, now)]
    if isinstance(T, str) and epochs[0] != epochs[1]:
        reason = f"optimizer.η_sched.T is {T}, so past learning rates would have been others"
        message = f"was {epochs[0]} when the run began, and cannot become {epochs[1]}: {reason}; begin a new run"
        raise ConfigError([ConfigProblem("fit.epochs", message)])


def changed_paths(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the paths at which two flattened configs differ, except where that does not affect completed epochs."""
    paths = {**before, **now}
    return [path for path in paths if _differ(path, before, now) and not _is_changeable(path, before, now)]


def _check_order(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse another order of groups, of which the first that fits a parameter holds."""
    orders = [", ".join(_patterns(each)) for each in (before, now)]
    if orders[0] != orders[1]:
        raise ConfigError([ConfigProblem("optimizer.groups", _refusal(*(f"in the order {order}" for order in orders)))])


def _patterns(flat: Mapping[str, Any]) -> dict[str, None]:
    return dict.fromkeys(path.rpartition(".")[0].removeprefix(_GROUPS) for path in flat if path.startswith(_GROUPS))


def check_data(before: str, now: str, config: RunConfig, alternative: str) -> None:
    """Refuse other data than a run was trained on, by their SHA-256, with what may be done instead.

    Raises:
        DataChangedError: they are others.
    """
    if before == now:
        return
    which, remedy = f"in {config.data.source}", "bring the old file back"
    if config.data.is_in_memory:
        which, remedy = "that were handed over", "hand the old ones over"
    raise DataChangedError(
        f"the data {which} are not those that the run was trained on: their SHA-256 differs; {remedy}, or {alternative}"
    )


def _differ(path: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a value is another one; among a custom model's settings, 1, 1.0 and true are."""
    if path not in before and not path.startswith(_SETTINGS):
        return now[path] is not None  # earlier versions lack fields that came later
    if path not in before or path not in now:
        return True
    if path in _DATA_PATHS and all(isinstance(each[path], str) for each in (before, now)):
        return normalize_path(before[path]) != normalize_path(now[path])  # earlier versions kept the spelling
    return json.dumps(before[path], sort_keys=True) != json.dumps(now[path], sort_keys=True)


def _is_changeable(path: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    if path == "backend":
        return before[path] in CPU_BACKENDS and now[path] in CPU_BACKENDS
    if path == "data.source" and IN_MEMORY in (before[path], now[path]):
        return False  # the SHA-256 of a file is that of its bytes, and never that of values in memory
    return any(path == free or path.startswith(free + ".") for free in CHANGEABLE)


def _refusal(before: str, now: str) -> str:
    return f"was {before} when the run began, and cannot become {now}: begin a new run"
