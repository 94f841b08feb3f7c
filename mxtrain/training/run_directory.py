"""Folder of a run: its files, and preprocessing.json."""

import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from mxtrain.atomic_io import (
    STALE,
    append_file,
    describe_os_error,
    flush_file,
    flush_folder,
    is_regular,
    make_folder,
    parse_json,
    read_file,
    remove_temporary_files,
    temporary_target,
    write_file,
)
from mxtrain.config import RunConfig, to_yaml
from mxtrain.data import Dataset, Preprocessing
from mxtrain.errors import DataError, FolderBusyError, TrainingError, resume_command
from mxtrain.paths import expand_home
from mxtrain.training.checkpoints.snapshot import Snapshot
from mxtrain.training.checkpoints.storage import begins_with, write_if_changed
from mxtrain.training.environment import ENVIRONMENT, environment, environment_json
from mxtrain.training.history import METRICS, to_line
from mxtrain.training.locking import LOCK, folder_lock
from mxtrain.training.run_status import MODEL, STATUS

PREPROCESSING = "preprocessing.json"


@lru_cache(maxsize=2)  # a process may train many runs on the same data
def preprocessing_json(dataset: Dataset, data_fingerprint: str) -> bytes:
    """What is written: the preprocessing, and the SHA-256 of the data that it was fitted to."""
    record = {"format": 1, "data": data_fingerprint, "preprocessing": dataset.preprocessing.to_dict()}
    return json.dumps(record, ensure_ascii=False, indent=1).encode()


def read_record(run_dir: Path) -> tuple[Preprocessing, str]:
    """The preprocessing of a run, and the SHA-256 of its data.

    Raises:
        TrainingError: the file is missing or damaged.
    """
    file = run_dir / PREPROCESSING
    remedy = f"`{resume_command(run_dir)}` writes it anew"
    try:
        record = parse_json(read_file(file))
        return Preprocessing.from_dict(record["preprocessing"]), str(record["data"])
    except OSError as error:
        raise TrainingError(f"{file} cannot be read: {error.strerror or error}; {remedy}") from error
    except (ValueError, LookupError, TypeError, DataError) as error:
        raise TrainingError(f"{file} is damaged; {remedy}") from error


RUNS = Path("runs")
CONFIG = "config.yaml"
TIMINGS = "timings.jsonl"
_WRITTEN = (CONFIG, ENVIRONMENT, METRICS, TIMINGS, "preprocessing.json", STATUS, MODEL, "checkpoints.jsonl")
"""The files that only the process that holds the folder writes."""


class FolderUsedError(TrainingError):
    """A folder for a new run is not empty."""


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
        self.config_file = path / CONFIG
        self.checkpoints = path / "checkpoints"

    @classmethod
    @contextmanager
    def create(cls, config: RunConfig, path: str | os.PathLike[str] | None, backend: str) -> "Iterator[RunDirectory]":
        """Make the folder, hold it, and write what is known before the first step.

        Nothing is written before the folder is locked and known to be empty, so only one of several processes that
        start at once gets it, and the others change nothing.

        Args:
            config: the resolved config.
            path: the folder, which must be new or empty; None makes runs/NAME-1, runs/NAME-2 and so on.
            backend: the name of the backend that runs the updates.

        Raises:
            FolderBusyError: another process has the folder.
            TrainingError: there is something in the folder, or it cannot be made.
        """
        with ExitStack() as held:
            directory = (
                cls._claim_numbered(config.name, held)
                if path is None
                else cls._claim_empty(Path(expand_home(os.fspath(path))), held)
            )
            directory.rewind_files(config, [], backend)
            yield directory

    @classmethod
    def _claim_empty(cls, path: Path, held: ExitStack) -> "RunDirectory":
        refuse_if_used(path)  # before anything is written into a folder that is not for runs
        directory = cls.claim(path)
        with ExitStack() as lock:
            lock.enter_context(directory.locked())
            refuse_if_used(path)
            held.enter_context(lock.pop_all())
        return directory

    @classmethod
    def _claim_numbered(cls, name: str, held: ExitStack) -> "RunDirectory":
        _make_run_folder(RUNS)
        for number in itertools.count(1):
            path = RUNS / f"{name}-{number}"
            try:
                path.mkdir()
                flush_folder(RUNS)
            except FileExistsError:
                continue
            except OSError as error:
                raise TrainingError(f"the run directory {path} cannot be made: {error.strerror}") from error
            with suppress(FolderBusyError, FolderUsedError):  # another process was faster
                return cls._claim_empty(path, held)
        raise AssertionError("unreachable: itertools.count has no end")

    @classmethod
    def claim(cls, path: Path) -> "RunDirectory":
        """A folder that is the run's, whatever an earlier process left in it; `rewind_files` brings it into order.

        Raises:
            TrainingError: it cannot be made.
        """
        _make_run_folder(path)
        return cls(path)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "RunDirectory":
        """The folder of a run that was begun.

        Raises:
            TrainingError: there is no run in it.
        """
        directory = cls(Path(expand_home(os.fspath(path))))
        if not directory.config_file.is_file():
            is_sweep = (directory.path / "sweep.yaml").is_file()
            remedy = f"name a run in {Path(path, 'trials')}" if is_sweep else "name the folder of a run"
            raise TrainingError(f"there is no run in {path}: it holds no config.yaml; {remedy}")
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
            with self._translate_errors():
                held.enter_context(folder_lock(self.path, refusal, wait))
            yield

    def rewind_files(self, config: RunConfig, rows: Sequence[Mapping[str, Any]], backend: str | None) -> list[str]:
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
        metrics = b"".join(map(to_line, rows))
        with self._translate_errors():
            timings = [row for row in self._timings() if row["epoch"] <= len(rows)]
            is_damaged = bool(metrics) and not begins_with(self.path / METRICS, metrics)
            remove_temporary_files(self.path, _WRITTEN)
            remove_temporary_files(self.path, older_than=STALE)  # of files that other processes write, such as reports
            write_if_changed(self.config_file, to_yaml(config).encode())
            if backend is not None:
                write_if_changed(self.path / ENVIRONMENT, environment_json(environment(backend)))
            write_if_changed(self.path / METRICS, metrics)
            write_if_changed(self.path / TIMINGS, b"".join(map(to_line, timings)))
        return [f"{self.path / METRICS} was damaged, and is written anew"] if is_damaged else []

    def add_metrics(self, row: Mapping[str, Any]) -> None:
        """Append one epoch to metrics.jsonl."""
        self._append(METRICS, row)

    def add_timings(self, row: Mapping[str, Any]) -> None:
        """Append one epoch to timings.jsonl."""
        self._append(TIMINGS, row)

    def save_preprocessing(self, text: bytes) -> None:
        """Write what predictions from other data need."""
        with self._translate_errors():
            write_if_changed(self.path / "preprocessing.json", text)

    def save_model(self, parameters: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Write the parameters; a reader sees the whole file or none."""
        with self._translate_errors():
            write_file(self.path / MODEL, save(dict(parameters)))

    def differences(self, snapshot: Snapshot, is_end: bool) -> list[str]:
        """The files that are not as a snapshot wants them; of the run's end, the model too."""
        metrics = b"".join(map(to_line, snapshot.record["rows"]))
        model = save(snapshot.best or snapshot.parameters) if is_end else b""
        wanted = {METRICS: metrics, MODEL: model}
        return [name for name, content in wanted.items() if content and not begins_with(self.path / name, content)]

    def _append(self, name: str, row: Mapping[str, Any]) -> None:
        if not self.config_file.exists():
            raise TrainingError(f"{self.config_file} is gone: the run's folder was taken away while the run went on")
        with self._translate_errors():
            append_file(self.path / name, to_line(row))

    def flush_logs(self) -> None:
        """Flush the lines of all epochs to the disk."""
        with self._translate_errors():
            flush_file(self.path / METRICS)
            flush_file(self.path / TIMINGS)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"the run directory {self.path} cannot be written: {describe_os_error(error)}; "
                "what was saved before is whole"
            ) from error

    def _timings(self) -> Iterator[dict[str, Any]]:
        """The lines of timings.jsonl that are whole; a kill may have torn the last one."""
        file = self.path / TIMINGS
        for line in read_file(file).splitlines() if is_regular(file) else ():
            try:
                row = parse_json(line)
                timing = {"epoch": int(row["epoch"]), "seconds": float(row["seconds"])}
            except (ValueError, LookupError, TypeError, OverflowError):
                return
            if not isfinite(timing["seconds"]):
                return
            yield timing


def refuse_if_used(path: Path) -> None:
    """Refuse a folder for a new run that is not empty.

    Raises:
        FolderUsedError: it is not empty.
        TrainingError: it cannot be read.
    """
    try:
        names = {entry.name for entry in path.iterdir()}
    except FileNotFoundError:
        return
    except OSError as error:
        raise TrainingError(f"the run directory {path} cannot be made: {error.strerror}") from error
    if CONFIG in names:
        command = resume_command(path)
        raise FolderUsedError(f"{path} holds a run; continue it with `{command}`, or name another folder")
    # a process that was killed before it wrote its config leaves these two
    if any(name != LOCK and temporary_target(name) != CONFIG for name in names):
        raise FolderUsedError(f"the run directory {path} is not empty; name another one, or delete it first")


def _make_run_folder(folder: Path) -> None:
    try:
        make_folder(folder)
    except OSError as error:
        what = f"folder {folder}" if folder == RUNS else f"run directory {folder}"
        raise TrainingError(f"the {what} cannot be made: {error.strerror}") from error
