"""The runs in a folder, side by side; nothing is changed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from mxtrain.config import read_run
from mxtrain.config.fit_section import is_better
from mxtrain.config.source import expand_home
from mxtrain.errors import ConfigError, DataError
from mxtrain.names import spelling
from mxtrain.training.figures import NOT_METRICS
from mxtrain.training.flattened import flattened
from mxtrain.training.history import final_epoch, read_rows
from mxtrain.training.status import STATUS, Status, read_status, status_is_damaged
from mxtrain.types import Config

_OF_A_RUN = ("config.yaml", "metrics.jsonl", "environment.json", "checkpoints")


@dataclass(frozen=True, slots=True)
class ListedRun:
    """What a list of runs says of one.

    Attributes:
        path: its folder.
        status: how it stands.
        epochs: how many are finished.
        planned: how many there shall be.
        config: every value of its config, by its path.
        metrics: the metrics with a value of the epoch that its model is from; empty before the first epoch.
        chosen: the paths of the values that differ from their defaults.
    """

    path: Path
    status: Status
    epochs: int
    planned: int
    config: dict[str, Any]
    metrics: dict[str, float | None]
    chosen: frozenset[str] = frozenset()


def list_runs(folder: str | PathLike[str], sort: str | None = None) -> tuple[list[ListedRun], list[str]]:
    """The runs in a folder, and what is wrong with those that are damaged.

    Args:
        folder: whose folders are looked at.
        sort: a metric, such as `val_loss`: the best first, and last those that lack it. Left out, by name.

    Raises:
        DataError: the folder cannot be read.
    """
    folder = expand_home(fspath(folder))
    try:
        folders = [path for path in Path(folder).iterdir() if any((path / name).exists() for name in _OF_A_RUN)]
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise DataError(f"{folder}: no such folder; name the folder that holds the runs") from None
        raise DataError(f"{folder}: cannot be read: {error.strerror or error}") from None
    runs, damaged = [], []
    for path in sorted(folders, key=_by_number):
        try:
            run, problem = _listed(path)
            runs.append(run)
            if problem:
                damaged.append(f"{path}/{problem}; the epochs before it are listed")
        except ConfigError as error:
            damaged.append(f"{path} is damaged and was skipped: {error.problems[0]}")
        except (DataError, OSError) as error:
            damaged.append(f"{path} is damaged and was skipped: {error}")
        if status_is_damaged(path):
            damaged.append(f"{path / STATUS} is damaged: the state of the run is not known for certain")
    return (runs if sort is None else _best_first(runs, sort)), damaged


def differing(runs: Sequence[ListedRun]) -> list[str]:
    """The paths of the values in which the configs of runs differ.

    Names are left out, and so are values that were not set by the user: the number of threads, a scale of one over the
    batch size in all runs, and defaults that differ only because a kind does.
    """
    paths = dict.fromkeys(path for run in runs for path in run.config)
    chosen_by_none = {"name", "threads"} | ({"optimizer.scale"} if all(map(_has_usual_scale, runs)) else set())
    return [
        path
        for path in paths
        if path not in chosen_by_none
        and len({repr(run.config.get(path)) for run in runs}) > 1
        and not _is_derived(path, runs)
    ]


def _is_derived(path: str, runs: Sequence[ListedRun]) -> bool:
    """Return whether a value is a default in all runs, and differs only because another value does, such as a kind."""
    return all(path not in run.chosen for run in runs)


def _has_usual_scale(run: ListedRun) -> bool:
    return bool(run.config["optimizer.scale"] == 1 / run.config["data.batch_size"])


def _listed(path: Path) -> tuple[ListedRun, str]:
    """Return a run with the metrics before the first damaged row, and what is wrong with that row, or ""."""
    config = read_run(path / "config.yaml", data_must_exist=False)
    history, problem = read_rows(path)
    epoch = final_epoch(config, history)
    row = history[epoch - 1] if epoch else {}
    listed = ListedRun(
        path=path,
        status=read_status(path),
        epochs=len(history),
        planned=config.fit.epochs,
        config=flattened(config.to_dict()),
        metrics={name: value for name, value in row.items() if name not in NOT_METRICS and value is not None},
        chosen=frozenset(_chosen(config)),
    )
    return listed, problem


def _chosen(config: Config, above: str = "") -> Iterator[str]:
    """Yield the paths of the values that are not the defaults of the section that they belong to."""
    for name, field in type(config).model_fields.items():
        value, path = getattr(config, name), f"{above}{spelling(name)}"
        if isinstance(value, Config):
            yield from _chosen(value, f"{path}.")
        elif isinstance(value, Mapping) and value:
            yield from flattened(config.to_dict()[spelling(name)], above=f"{path}.")
        elif name == "kind" or value != field.get_default(call_default_factory=True):
            yield path


def _best_first(runs: list[ListedRun], metric: str) -> list[ListedRun]:
    sign = -1 if is_better(metric, 1.0, than=0.0) else 1
    values = {run.path: run.metrics.get(metric) for run in runs}
    return sorted(runs, key=lambda run: (values[run.path] is None, sign * (values[run.path] or 0.0)))


def _by_number(path: Path) -> list[tuple[int, str]]:
    """So that run-10 comes after run-9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]
