"""The folder of a run: what went in, what came out, and how long it took."""

import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from mxtrain.config import RunConfig, to_yaml
from mxtrain.errors import TrainingError
from mxtrain.training.environment import environment

RUNS = Path("runs")


class RunDirectory:
    """The folder of a run.

    config.yaml        the resolved config, which runs again unchanged
    environment.json   versions, machine, backend
    metrics.jsonl      a line for each epoch: only what follows from config and seed, so two runs' files are equal
    timings.jsonl      a line for each epoch: how long it took
    model.safetensors  the parameters after the last epoch
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, config: RunConfig, path: str | os.PathLike[str] | None, backend: str) -> "RunDirectory":
        """Make the folder and write what is known before the first step.

        Args:
            config: the resolved config.
            path: the folder, which must be new or empty; None makes runs/NAME-1, runs/NAME-2 and so on.
            backend: the name of the backend that runs the updates.

        Raises:
            TrainingError: there is something in the folder, or it cannot be made.
        """
        directory = cls(_numbered(config.name) if path is None else _claimed(Path(path)))
        directory._write("config.yaml", to_yaml(config))
        directory._write("environment.json", json.dumps(environment(backend), indent=2) + "\n")
        return directory

    def add_metrics(self, row: Mapping[str, Any]) -> None:
        """Append one epoch to metrics.jsonl."""
        self._append("metrics.jsonl", row)

    def add_timings(self, row: Mapping[str, Any]) -> None:
        """Append one epoch to timings.jsonl."""
        self._append("timings.jsonl", row)

    def save_model(self, parameters: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Write the parameters; a reader sees the whole file or none."""
        temporary = self.path / "model.safetensors.tmp"
        temporary.write_bytes(save(dict(parameters)))
        temporary.replace(self.path / "model.safetensors")

    def _write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text, encoding="utf-8")

    def _append(self, name: str, row: Mapping[str, Any]) -> None:
        line = json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
        with (self.path / name).open("a", encoding="utf-8") as file:
            file.write(line)


def _claimed(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
        taken = any(path.iterdir())
    except OSError as error:
        raise TrainingError(f"the run directory {path} cannot be made: {error.strerror}") from error
    if taken:
        raise TrainingError(f"the run directory {path} is not empty; name another one, or delete it first")
    return path


def _numbered(name: str) -> Path:
    for number in itertools.count(1):
        path = RUNS / f"{name}-{number}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise TrainingError(f"the run directory {path} cannot be made: {error.strerror}") from error
        return path
    raise AssertionError("unreachable: itertools.count has no end")
