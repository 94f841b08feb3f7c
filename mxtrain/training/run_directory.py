"""The folder of a run: what went in, what came out, and how long it took."""

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from mxtrain.config import RunConfig, to_yaml
from mxtrain.errors import TrainingError, resume_command
from mxtrain.training.durable import keep_file, remove_leftovers, write_file
from mxtrain.training.environment import ENVIRONMENT, environment, to_text
from mxtrain.training.folder_lock import folder_lock
from mxtrain.training.json_text import parse
from mxtrain.training.ledger import METRICS, to_line
from mxtrain.training.snapshot import Snapshot
from mxtrain.training.status import MODEL

RUNS = Path("runs")


class RunDirectory:
    """The folder of a run.

    config.yaml        the resolved config, which runs again unchanged
    environment.json   versions, machine, backend: of the process that trained last
    metrics.jsonl      a line for each epoch: only what follows from config and seed, so two runs' files are equal
    timings.jsonl      a line for each epoch: how long it took
    preprocessing.json what was done to the features, and what the outputs mean
    status.json        finished, unfinished, pruned, or failed and why
    model.safetensors  the parameters that the run ended with
    checkpoints/       the whole state of the run, at the newest few moments
    checkpoints.jsonl  the lines of metrics.jsonl that the checkpoints need, flushed to the disk before they are
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.yaml"
        self.checkpoints = path / "checkpoints"

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
        directory.begin_again(config, [], backend)
        return directory

    @classmethod
    def claim(cls, path: Path) -> "RunDirectory":
        """A folder that is the run's, whatever an earlier process left in it; `begin_again` brings it into order.

        Raises:
            TrainingError: it cannot be made.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(f"the run directory {path} cannot be made: {error.strerror}") from error
        return cls(path)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "RunDirectory":
        """The folder of a run that was begun.

        Raises:
            TrainingError: there is no run in it.
        """
        directory = cls(Path(path))
        if not directory.config_file.is_file():
            raise TrainingError(f"there is no run in {path}: it holds no config.yaml; name the folder of a run")
        return directory

    @contextmanager
    def locked(self, wait: float = 0.0) -> Iterator[None]:
        """Keep other processes from training this run; the lock goes with the process, however it ends.

        Args:
            wait: for how many seconds to wait for another process.

        Raises:
            FolderBusyError: another process is training it.
            TrainingError: the folder cannot be written.
        """
        refusal = f"another process is training the run in {self.path}; wait for it"
        with ExitStack() as held:
            with self._writing():
                held.enter_context(folder_lock(self.path, refusal, wait))
            yield

    def begin_again(self, config: RunConfig, rows: Sequence[Mapping[str, Any]], backend: str | None) -> list[str]:
        """Bring the files to the moment from which the run goes on: the config, and a line for each finished epoch.

        Args:
            config: the resolved config.
            rows: the metrics of the finished epochs.
            backend: what runs the updates from here on; None where nothing more is trained.

        Returns:
            What was damaged, and is mended.

        Raises:
            TrainingError: a file cannot be written.
        """
        timings = [row for row in self._timings() if row["epoch"] <= len(rows)]
        metrics = b"".join(map(to_line, rows))
        with self._writing():
            is_damaged = not self._begins_with(METRICS, metrics)
            remove_leftovers(self.path)
            keep_file(self.config_file, to_yaml(config).encode())
            if backend is not None:
                keep_file(self.path / ENVIRONMENT, to_text(environment(backend)))
            keep_file(self.path / METRICS, metrics)
            keep_file(self.path / "timings.jsonl", b"".join(map(to_line, timings)))
        return [f"{self.path / METRICS} was damaged, and is written anew"] if is_damaged else []

    def add_metrics(self, row: Mapping[str, Any]) -> None:
        """Append one epoch to metrics.jsonl."""
        self._append(METRICS, row)

    def add_timings(self, row: Mapping[str, Any]) -> None:
        """Append one epoch to timings.jsonl."""
        self._append("timings.jsonl", row)

    def save_preprocessing(self, text: bytes) -> None:
        """Write what predictions from other data need."""
        with self._writing():
            keep_file(self.path / "preprocessing.json", text)

    def save_model(self, parameters: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Write the parameters; a reader sees the whole file or none."""
        with self._writing():
            write_file(self.path / MODEL, save(dict(parameters)))

    def differences(self, snapshot: Snapshot, is_end: bool) -> list[str]:
        """The files that are not as a snapshot wants them; of the run's end, the model too."""
        metrics = b"".join(map(to_line, snapshot.record["rows"]))
        model = save(snapshot.best or snapshot.parameters) if is_end else b""
        wanted = {METRICS: metrics, MODEL: model}
        return [name for name, content in wanted.items() if not self._begins_with(name, content)]

    def _begins_with(self, name: str, content: bytes) -> bool:
        file = self.path / name
        return not content or (file.is_file() and file.read_bytes().startswith(content))

    def _append(self, name: str, row: Mapping[str, Any]) -> None:
        if not self.config_file.exists():
            raise TrainingError(f"{self.config_file} is gone: the run's folder was taken away while the run went on")
        with self._writing(), (self.path / name).open("ab") as file:
            file.write(to_line(row))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"the run directory {self.path} cannot be written: {error.strerror}; what was saved before is whole"
            ) from error

    def _timings(self) -> Iterator[dict[str, Any]]:
        """The lines of timings.jsonl that are whole; a kill may have torn the last one."""
        file = self.path / "timings.jsonl"
        for line in file.read_bytes().splitlines() if file.is_file() else ():
            try:
                row = parse(line)
                yield {"epoch": int(row["epoch"]), "seconds": float(row["seconds"])}
            except (ValueError, KeyError, TypeError):
                return


def _claimed(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
        names = {entry.name for entry in path.iterdir()}
    except OSError as error:
        raise TrainingError(f"the run directory {path} cannot be made: {error.strerror}") from error
    if "config.yaml" in names:
        command = resume_command(path)
        raise TrainingError(f"{path} holds a run; continue it with `{command}`, or name another folder")
    if names:
        raise TrainingError(f"the run directory {path} is not empty; name another one, or delete it first")
    return path


def _numbered(name: str) -> Path:
    try:
        RUNS.mkdir(exist_ok=True)
    except OSError as error:
        raise TrainingError(f"the folder {RUNS} cannot be made: {error.strerror}") from error
    for number in itertools.count(1):
        path = RUNS / f"{name}-{number}"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise TrainingError(f"the run directory {path} cannot be made: {error.strerror}") from error
        return path
    raise AssertionError("unreachable: itertools.count has no end")
