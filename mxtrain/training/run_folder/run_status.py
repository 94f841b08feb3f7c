"""Status of a run in status.json, and the list of runs in a folder."""

import errno
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from hashlib import file_digest, sha256
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal, get_args

from mxtrain.atomic_io import MAX_TEXT, check_safetensors, is_regular, open_file, parse_json, read_file, write_file
from mxtrain.config import read_run
from mxtrain.config.dotted_paths import flatten
from mxtrain.errors import ConfigError, DataError
from mxtrain.names import display_name
from mxtrain.paths import expand_home
from mxtrain.training.early_stopping import is_better
from mxtrain.training.run_folder.history import METRICS, NOT_METRICS, final_epoch, read_rows
from mxtrain.types import Config

STATUS = "status.json"
MODEL = "model.safetensors"
REASON = "reason"
SEALED = (MODEL, "preprocessing.json", METRICS)
"""The files of a finished run whose SHA-256 is in status.json."""

State = Literal["finished", "unfinished", "pruned", "failed"]
_STATES: tuple[State, ...] = get_args(State)

_PAUSED = "paused; the run is saved"
"""The start of the reason with which earlier versions recorded a paused run as failed."""


@dataclass(frozen=True, slots=True)
class Status:
    """Status of a run.

    Attributes:
        state: `finished`: training is complete, and the model is saved; `failed`: an error was raised; `unfinished`:
            the run is in progress, or was interrupted or killed; `pruned`: unfinished, and stopped by its sweep.
        reason: the message of the error of a failed run.
        sha256: for a finished run, the SHA-256 of each file on which its predictions and metrics depend; for a failed
            run, that of its metrics and of `reason`.
    """

    state: State
    reason: str = ""
    sha256: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """True if training is complete."""
        return self.state == "finished"

    @property
    def has_changed_reason(self) -> bool:
        """True if the reason has changed since it was written."""
        return REASON in self.sha256 and self.sha256[REASON] != sha256(self.reason.encode()).hexdigest()

    def is_damaged(self, file: Path) -> bool:
        """Return whether a file has changed since the run was finished.

        Raises:
            OSError: the file cannot be read.
        """
        return file.name in self.sha256 and sha256_of(file) != self.sha256[file.name]


def write_status(run_dir: Path, status: Status) -> None:
    """Write status.json; errors of the disk are ignored, because no result depends on it."""
    with suppress(OSError):
        write_file(run_dir / STATUS, json.dumps(asdict(status), ensure_ascii=False).encode() + b"\n")


def write_finished(run_dir: Path) -> None:
    """Record that a run is finished, with the SHA-256 of its files."""
    with suppress(OSError):
        write_status(run_dir, Status("finished", sha256={name: sha256_of(run_dir / name) for name in SEALED}))


def write_failed(run_dir: Path, reason: str) -> None:
    """Record that a run failed and why, with the SHA-256 of the reason and of the metrics up to the failure."""
    with suppress(OSError):
        sums = {REASON: sha256(reason.encode()).hexdigest()}
        if (metrics := run_dir / METRICS).exists():
            sums[METRICS] = sha256_of(metrics)
        write_status(run_dir, Status("failed", reason, sums))


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file of a run, in hexadecimal.

    Raises:
        OSError: the file cannot be read, or is larger than such a file can be.
    """
    with open_file(file) as content:
        if file.suffix == ".safetensors":
            try:
                check_safetensors(content)
            except ValueError as error:
                raise OSError(errno.EINVAL, str(error), str(file)) from error
            content.seek(0)
        elif os.fstat(content.fileno()).st_size > MAX_TEXT:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(file))
        return file_digest(content, "sha256").hexdigest()


def read_status(run_dir: Path) -> Status:
    """Read the status of a run; without a readable status.json, a run with a model is finished."""
    return _written_status(run_dir) or Status("finished" if is_regular(run_dir / MODEL) else "unfinished")


def status_is_damaged(run_dir: Path) -> bool:
    """Return whether status.json exists and cannot be read."""
    return (run_dir / STATUS).exists() and _written_status(run_dir) is None


def _written_status(run_dir: Path) -> Status | None:
    try:
        found = parse_json(read_file(run_dir / STATUS))
        state, reason, sums = found["state"], found["reason"], found.get("sha256", {})
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    is_whole = (
        isinstance(state, str)
        and state in _STATES
        and isinstance(reason, str)
        and isinstance(sums, dict)
        and all(isinstance(each, str) for each in sums.values())
    )
    if not is_whole:
        return None
    if state == "failed" and reason.startswith(_PAUSED):
        return Status("unfinished")
    return Status(state, reason, sums)


_RUN_FILES = ("config.yaml", "metrics.jsonl", "environment.json", "checkpoints")


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run in a list of runs.

    Attributes:
        path: the run's folder.
        status: the status of the run.
        epochs: the number of finished epochs.
        total_epochs: the number of epochs in the config.
        config: every value of the config, by its path.
        metrics: the metrics that have a value, of the epoch of the final parameters; empty before the first epoch.
        non_defaults: the paths of the values that differ from their defaults.
    """

    path: Path
    status: Status
    epochs: int
    total_epochs: int
    config: dict[str, Any]
    metrics: dict[str, float | None]
    non_defaults: frozenset[str] = frozenset()


def list_runs(folder: str | PathLike[str], sort: str | None = None) -> tuple[list[ListedRun], list[str]]:
    """List the runs in a folder, with a message for each damaged run.

    Args:
        folder: the folder that contains the folders of the runs.
        sort: a metric, such as `val_loss`: the best run first, runs without the metric last; left out, by name.

    Raises:
        DataError: the folder cannot be read.
    """
    folder = expand_home(fspath(folder))
    try:
        folders = [path for path in Path(folder).iterdir() if any((path / name).exists() for name in _RUN_FILES)]
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise DataError(f"{folder}: no such folder; name the folder that holds the runs") from None
        raise DataError(f"{folder}: cannot be read: {error.strerror or error}") from None
    runs, damaged = [], []
    for path in sorted(folders, key=_natural_key):
        try:
            run, problem = _list_run(path)
            runs.append(run)
            if problem:
                damaged.append(f"{path}/{problem}; the epochs before it are listed")
        except ConfigError as error:
            damaged.append(f"{path} is damaged and was skipped: {error.problems[0]}")
        except (DataError, OSError) as error:
            damaged.append(f"{path} is damaged and was skipped: {error}")
        if status_is_damaged(path):
            damaged.append(f"{path / STATUS} is damaged: the state of the run is uncertain")
    return (runs if sort is None else _best_first(runs, sort)), damaged


def differing_settings(runs: Sequence[ListedRun]) -> list[str]:
    """Return the paths of the settings in which runs differ.

    Names are left out, and so are values that the user did not set: the number of threads, a scale of one over the
    batch size in all runs, defaults that differ only because a kind does, and the formats and kinds of columns of
    different files.
    """
    paths = dict.fromkeys(path for run in runs for path in run.config)
    ignored = {"name", "threads"} | ({"optimizer.scale"} if all(map(_has_usual_scale, runs)) else set())
    differing = [
        path
        for path in paths
        if path not in ignored and len({repr(run.config.get(path)) for run in runs}) > 1 and not _is_derived(path, runs)
    ]
    return [path for path in differing if "data.source" not in differing or not path.startswith(_OF_THE_FILE)]


_OF_THE_FILE = (
    "data.columns.",
    "data.date_format.",
    *(f"data.{name}" for name in ("separator", "header", "quote", "decimal", "thousands", "comment", "encoding")),
)
"""Beginnings of the paths of settings that a run finds in its file."""


def _is_derived(path: str, runs: Sequence[ListedRun]) -> bool:
    """Return whether a value is a default in all runs, and differs only because another value does, such as a kind."""
    return all(path not in run.non_defaults for run in runs)


def _has_usual_scale(run: ListedRun) -> bool:
    return bool(run.config["optimizer.scale"] == 1 / run.config["data.batch_size"])


def _list_run(path: Path) -> tuple[ListedRun, str]:
    """Return a run with the metrics before the first damaged row, and what is wrong with that row, or ""."""
    config = read_run(path / "config.yaml", data_must_exist=False)
    history, problem = read_rows(path)
    epoch = final_epoch(config, history)
    row = history[epoch - 1] if epoch else {}
    listed = ListedRun(
        path=path,
        status=read_status(path),
        epochs=len(history),
        total_epochs=config.fit.epochs,
        config=flatten(config.to_dict()),
        metrics={name: value for name, value in row.items() if name not in NOT_METRICS and value is not None},
        non_defaults=frozenset(_changed_settings(config)),
    )
    return listed, problem


def _changed_settings(config: Config, above: str = "") -> Iterator[str]:
    """Yield the paths of the values that differ from the defaults of their section."""
    for name, info in type(config).model_fields.items():
        value, path = getattr(config, name), f"{above}{display_name(name)}"
        if isinstance(value, Config):
            yield from _changed_settings(value, f"{path}.")
        elif isinstance(value, Mapping) and value:
            yield from flatten(config.to_dict()[display_name(name)], above=f"{path}.")
        elif name == "kind" or value != info.get_default(call_default_factory=True):
            yield path


def _best_first(runs: list[ListedRun], metric: str) -> list[ListedRun]:
    sign = -1 if is_better(metric, 1.0, than=0.0) else 1
    values = {run.path: run.metrics.get(metric) for run in runs}
    return sorted(runs, key=lambda run: (values[run.path] is None, sign * (values[run.path] or 0.0)))


def _natural_key(path: Path) -> list[tuple[int, str]]:
    """Return a sort key by which run-10 comes after run-9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]
