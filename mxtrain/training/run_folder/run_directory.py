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
from mxtrain.errors import (
    DataError,
    FolderBusyError,
    RunRequestError,
    TrainingError,
    is_wrong_path,
    resume_command,
)
from mxtrain.optim.rules import Rule
from mxtrain.paths import expand_home
from mxtrain.training.checkpoints.snapshot import Snapshot
from mxtrain.training.checkpoints.storage import begins_with, write_if_changed
from mxtrain.training.environment import ENVIRONMENT, environment, environment_json
from mxtrain.training.run_folder.history import METRICS, to_line
from mxtrain.training.run_folder.locking import LOCK, folder_lock
from mxtrain.training.run_folder.run_status import MODEL, STATUS

PREPROCESSING = "preprocessing.json"


@lru_cache(maxsize=2)  # a process may train many runs on the same data
def preprocessing_json(dataset: Dataset, data_fingerprint: str) -> bytes:
    """Format the content of preprocessing.json: the preprocessing, and the SHA-256 of its data."""
    record = {"format": 1, "data": data_fingerprint, "preprocessing": dataset.preprocessing.to_dict()}
    return json.dumps(record, ensure_ascii=False, indent=1).encode()


def with_saved_defaults(config: RunConfig) -> RunConfig:
    """Return the config of a run's folder, with the values that fields had before they were saved."""
    config = config.model_copy(update={"data": config.data.as_saved_before_imputation()})
    if not config.lacks_output_init:
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"output_init": "glorot"})})


def with_saved_kinds(config: RunConfig, run_dir: Path) -> RunConfig:
    """Return the config with the kinds of the features of a run of an earlier version, whose config lacks them."""
    if config.data.columns is not None or not config.data.is_table or not (run_dir / PREPROCESSING).is_file():
        return config
    kinds = dict(read_record(run_dir)[0].kinds)
    return config.model_copy(update={"data": config.data.model_copy(update={"columns": kinds})})


def read_record(run_dir: Path) -> tuple[Preprocessing, str]:
    """Read the preprocessing of a run, and the SHA-256 of its data.

    Raises:
        TrainingError: the file is missing or damaged.
    """
    file = run_dir / PREPROCESSING
    remedy = f"`{resume_command(run_dir)}` restores it"
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
"""The files that only the process that has locked the folder writes."""


class FolderUsedError(RunRequestError):
    """The folder for a new run is not empty."""


class RunDirectory:
    """The folder of a run.

    config.yaml        the resolved config, which can be trained again
    environment.json   versions, machine and backend of the process that trained last
    metrics.jsonl      the metrics of each epoch, which depend only on config and seed, so files of two runs are equal
    timings.jsonl      the duration of each epoch
    preprocessing.json the preprocessing of features, and the meaning of the outputs
    status.json        finished, unfinished, pruned, or failed with the reason
    model.safetensors  the final parameters
    checkpoints/       the complete state of the run at its newest checkpoints
    checkpoints.jsonl  the rows of metrics.jsonl that checkpoints need, flushed to the disk before each checkpoint
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / CONFIG
        self.checkpoints = path / "checkpoints"

    @classmethod
    @contextmanager
    def create(cls, config: RunConfig, path: str | os.PathLike[str] | None, backend: str) -> "Iterator[RunDirectory]":
        """Create and lock the folder of a new run, and write its config and environment.

        Nothing is written before the folder is locked and known to be empty, so if several processes start at once,
        one gets the folder, and the others change nothing.

        Args:
            config: the resolved config.
            path: the folder, which must be new or empty; None chooses runs/NAME-1, runs/NAME-2 and so on.
            backend: the name of the backend.

        Raises:
            FolderBusyError: another process has locked the folder.
            TrainingError: the folder is not empty, or cannot be created.
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
                raise _creation_error(f"run directory {path}", error) from error
            with suppress(FolderBusyError, FolderUsedError):  # another process was faster
                return cls._claim_empty(path, held)
        raise AssertionError("unreachable: itertools.count has no end")

    @classmethod
    def claim(cls, path: Path) -> "RunDirectory":
        """Return a folder for a run, created if missing; `rewind_files` repairs files of an earlier process.

        Raises:
            TrainingError: the folder cannot be created.
        """
        _make_run_folder(path)
        return cls(path)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "RunDirectory":
        """Return the folder of an existing run.

        Raises:
            RunRequestError: the folder does not hold a run.
        """
        directory = cls(Path(expand_home(os.fspath(path))))
        if not directory.config_file.is_file():
            is_sweep = (directory.path / "sweep.yaml").is_file()
            seeds = sorted(directory.path.glob("seed-*/config.yaml"))
            remedy = "name the folder of a run"
            if is_sweep:
                remedy = f"name a run in {Path(path, 'trials')}"
            elif seeds:
                remedy = f"it is a trial with several seeds: name {Path(path, seeds[0].parent.name)}"
            raise RunRequestError(f"there is no run in {path}: it holds no config.yaml; {remedy}")
        return directory

    @contextmanager
    def locked(self, wait: float = 0.0) -> Iterator[None]:
        """Lock the folder, so that no other process trains the run; the end of the process releases the lock.

        Args:
            wait: the seconds to wait for another process.

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
        """Restore the files to the state from which the run continues: the config, and a line for each finished epoch.

        Args:
            config: the resolved config.
            rows: the metrics of the finished epochs.
            backend: the name of the backend; None if nothing is left to train.

        Returns:
            A message for each damaged file that was repaired.

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
        return [f"{self.path / METRICS} was damaged and has been repaired"] if is_damaged else []

    def add_metrics(self, row: Mapping[str, Any]) -> None:
        """Append one epoch to metrics.jsonl."""
        self._append(METRICS, row)

    def add_timings(self, row: Mapping[str, Any]) -> None:
        """Append one epoch to timings.jsonl."""
        self._append(TIMINGS, row)

    def save_preprocessing(self, text: bytes) -> None:
        """Write preprocessing.json."""
        with self._translate_errors():
            write_if_changed(self.path / "preprocessing.json", text)

    def save_model(self, parameters: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Write the final parameters atomically."""
        with self._translate_errors():
            write_file(self.path / MODEL, save(dict(parameters)))

    def differences(self, snapshot: Snapshot, rule: Rule, is_end: bool) -> list[str]:
        """Return the names of files that differ from a snapshot; at the end of the run also the model."""
        metrics = b"".join(map(to_line, snapshot.record["rows"]))
        model = save(snapshot.evaluation_parameters(rule)) if is_end else b""
        wanted = {METRICS: metrics, MODEL: model}
        return [name for name, content in wanted.items() if content and not begins_with(self.path / name, content)]

    def _append(self, name: str, row: Mapping[str, Any]) -> None:
        if not self.config_file.exists():
            raise TrainingError(f"{self.config_file} is missing: the run's folder was removed during the run")
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
                "earlier checkpoints are intact"
            ) from error

    def _timings(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of timings.jsonl up to the first damaged line, such as a last line that a kill cut off."""
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
        raise _creation_error(f"run directory {path}", error) from error
    if CONFIG in names:
        command = resume_command(path)
        raise FolderUsedError(f"{path} holds a run; continue it with `{command}`, or name another folder")
    # a process killed before it wrote its config leaves its lock file and a temporary config
    if any(name != LOCK and temporary_target(name) != CONFIG for name in names):
        raise FolderUsedError(f"the run directory {path} is not empty; name another one, or delete it first")


def _make_run_folder(folder: Path) -> None:
    try:
        make_folder(folder)
    except OSError as error:
        what = f"folder {folder}" if folder == RUNS else f"run directory {folder}"
        raise _creation_error(what, error) from error


def _creation_error(what: str, error: OSError) -> TrainingError:
    kind = RunRequestError if is_wrong_path(error) else TrainingError
    return kind(f"the {what} cannot be created: {error.strerror}")
