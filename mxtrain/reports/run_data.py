"""Data of a run report, read from the folder of the run."""

import json
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from mxtrain.atomic_io import read_file
from mxtrain.config import RunConfig, read_run
from mxtrain.data import Data, DataParts
from mxtrain.errors import ConfigError, MxtrainError
from mxtrain.training import Comparison, LoadedRun, Row, load_run
from mxtrain.training.model_factory import ModelFactory
from mxtrain.training.run_folder.history import NOT_METRICS, best_epoch, final_epoch, monitored_metric, read_history
from mxtrain.training.run_folder.run_directory import RunDirectory, with_saved_defaults
from mxtrain.training.run_folder.run_status import Status, read_status


@dataclass(frozen=True, slots=True)
class RunData:
    """Everything that the report of a run shows.

    Attributes:
        path: the run's folder.
        config: the resolved config.
        status: the state of the run.
        history: the metrics of each finished epoch.
        seconds: duration of the finished epochs; None if it is not known of each.
        environment: the machine and the versions that the run was trained with; empty if unknown.
        loaded: the run with its model; None if it has no model yet, or a damaged one.
        comparison: predictions and targets; None if the data are missing.
        notes: parts that cannot be shown, with the reasons.
    """

    path: Path
    config: RunConfig
    status: Status
    history: list[Row]
    seconds: float | None
    environment: dict[str, Any]
    loaded: LoadedRun | None
    comparison: Comparison | None
    notes: tuple[str, ...]

    @property
    def epoch(self) -> int:
        """The epoch of the model; 0 before the first is finished."""
        return final_epoch(self.config, self.history)

    @property
    def metrics(self) -> list[str]:
        """The names of the metrics, the loss first, without those of validation."""
        row = self.history[-1] if self.history else {}
        return [name for name in row if name not in NOT_METRICS and not name.startswith("val_")]

    @property
    def monitor(self) -> str | None:
        """The metric that epochs are compared by; None without validation."""
        return monitored_metric(self.config, self.history)

    @property
    def best(self) -> Row | None:
        """The best epoch by the monitored metric, the first of several."""
        return best_epoch(self.config, self.history)


def read_run_data(path: Path, model: ModelFactory | None = None, data: Data | DataParts | None = None) -> RunData:
    """Read the folder of a run; damaged and missing parts become notes.

    Args:
        path: the folder.
        model: the factory of the run's model, if that is a custom one.
        data: the data that the run was trained on, if they were passed in memory.

    Raises:
        TrainingError: the folder holds no run.
        ConfigError: the run's config is invalid, or its model was not passed.
    """
    directory = RunDirectory.open(path)
    config = with_saved_defaults(read_run(directory.config_file, data_must_exist=False))
    history = read_history(directory.path)
    loaded, comparison = None, None
    notes: list[str] = []
    try:
        loaded = load_run(path, model=model)
        notes.extend(loaded.notes)
    except ConfigError:
        raise
    except MxtrainError as error:
        notes.append(f"The run has no usable model: {error}.")
    if loaded is not None:
        try:
            comparison = loaded.compare(data=data)
        except (MxtrainError, OSError) as error:
            notes.append(f"The predictions cannot be shown, because the data are not available: {error}.")
    return RunData(
        path=directory.path,
        config=config,
        status=read_status(directory.path),
        history=history,
        seconds=_seconds(directory.path, len(history)),
        environment=_environment(directory.path),
        loaded=loaded,
        comparison=comparison,
        notes=tuple(notes),
    )


def _seconds(path: Path, epochs: int) -> float | None:
    try:
        rows = [json.loads(line) for line in read_file(path / "timings.jsonl").splitlines()]
        seconds = {int(row["epoch"]): float(row["seconds"]) for row in rows}
    except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return None
    total = sum(seconds.values())
    return total if len(seconds) >= epochs and isfinite(total) else None


def _environment(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_file(path / "environment.json"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
