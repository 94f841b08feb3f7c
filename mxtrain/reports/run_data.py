"""Data of a run report, read from the folder of the run."""

import json
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from mxtrain.atomic_io import read_file
from mxtrain.config import RunConfig, read_run
from mxtrain.data import Data
from mxtrain.errors import ConfigError, MxtrainError
from mxtrain.training import Comparison, LoadedRun, Row, load_run
from mxtrain.training.history import NOT_METRICS, best_epoch, final_epoch, monitored_metric, read_history
from mxtrain.training.model_factory import ModelFactory
from mxtrain.training.run_directory import RunDirectory
from mxtrain.training.run_status import Status, read_status


@dataclass(frozen=True, slots=True)
class RunData:
    """What there is to report of a run.

    Attributes:
        path: its folder.
        config: the resolved config.
        status: how it stands.
        history: the metrics of each finished epoch.
        seconds: how long the finished epochs took, all together; None where that is not known of each.
        environment: what it ran on; empty where that is not known.
        loaded: the run with its model; None where it has none yet, or a damaged one.
        comparison: predictions beside targets; None where the data are gone.
        notes: what could not be shown, and why.
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
        """The epoch that the model is from; 0 before the first is finished."""
        return final_epoch(self.config, self.history)

    @property
    def metrics(self) -> list[str]:
        """What is measured, the loss first, each without `val_`."""
        row = self.history[-1] if self.history else {}
        return [name for name in row if name not in NOT_METRICS and not name.startswith("val_")]

    @property
    def monitor(self) -> str | None:
        """By which metric epochs are compared; None where nothing is measured on samples that are not trained on."""
        return monitored_metric(self.config, self.history)

    @property
    def best(self) -> Row | None:
        """The best epoch by the monitored metric, the first of several."""
        return best_epoch(self.config, self.history)


def read_run_data(path: Path, model: ModelFactory | None = None, data: Data | None = None) -> RunData:
    """Read a run's folder; what is damaged or gone becomes a note.

    Args:
        path: the folder.
        model, data: what the run was trained with, where they were handed over.

    Raises:
        TrainingError: there is no run.
        ConfigError: its config is wrong, or its model was not handed over.
    """
    directory = RunDirectory.open(path)
    config = read_run(directory.config_file, data_must_exist=False)
    history = read_history(directory.path)
    loaded, comparison = None, None
    notes: list[str] = []
    try:
        loaded = load_run(path, model=model)
        notes.extend(loaded.notes)
    except ConfigError:
        raise
    except MxtrainError as error:
        notes.append(f"There is no model to look at: {error}.")
    if loaded is not None:
        try:
            comparison = loaded.compare(data=data)
        except (MxtrainError, OSError) as error:
            notes.append(f"The model's predictions cannot be shown, because its data are gone: {error}.")
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
