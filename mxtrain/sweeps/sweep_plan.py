"""The plan of a sweep (`--plan`): its first trials, and the number of workers and threads."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mxtrain.config import Sweep
from mxtrain.errors import SweepRequestError

_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "MXTRAIN_THREADS")


def allocate_workers(sweep: Sweep, workers: int | None, is_remote: bool = False) -> tuple[int, int]:
    """Return the number of BLAS threads of each trial, and the number of workers.

    A trial has one thread unless the file sets `threads`, for any number of workers: with another number of threads the
    products of a custom model would be rounded differently.

    Args:
        sweep: the sweep.
        workers: replaces `sweep.workers`.
        is_remote: True if the workers are on other machines; then `auto` is the largest useful number.

    Raises:
        SweepRequestError: `workers` is below 1.
    """
    threads = sweep.threads or 1
    parallel = min(sweep.total, sweep.settings.parallel) if sweep.is_adaptive else sweep.total
    useful = max(1, parallel * sweep.settings.seeds)
    requested = workers if workers is not None else sweep.settings.workers
    if requested == "auto":
        requested = (
            useful if is_remote else max(1, count_gpus() if sweep.backend == "cupy" else count_cores() // threads)
        )
    if not isinstance(requested, int) or isinstance(requested, bool) or requested < 1:
        raise SweepRequestError(f"workers must be a whole number at least 1, got {requested!r}")
    return threads, min(requested, useful)


def worker_environments(sweep: Sweep, count: int, threads: int) -> list[dict[str, str]]:
    """Return the environment variables of each worker process: threads, and one GPU with the CuPy backend."""
    common = dict.fromkeys(_THREAD_VARIABLES, str(threads))
    devices = _gpu_names() if sweep.backend == "cupy" else []
    return [common | ({"CUDA_VISIBLE_DEVICES": devices[i % len(devices)]} if devices else {}) for i in range(count)]


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count_gpus() -> int:
    """Return the number of GPUs that this process may use."""
    return len(_gpu_names())


def _gpu_names() -> list[str]:
    """Return the names of the GPUs as in CUDA_VISIBLE_DEVICES."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device for device in visible.split(",") if device]
    from mxtrain.optim.backends import select_backend

    select_backend("cupy")  # raises an error with the remedy if CuPy is missing
    import cupy

    return [str(i) for i in range(cupy.cuda.runtime.getDeviceCount())]


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """The plan of a sweep.

    Attributes:
        sweep: the sweep.
        folder: its folder.
        rungs: the epochs at which a trial may be pruned.
        workers: the number of trials that are trained in parallel.
        threads: BLAS threads of each.
        points: the parameters of the first trials, as far as they depend on no result.
    """

    sweep: Sweep
    folder: Path
    rungs: tuple[int, ...]
    workers: int
    threads: int
    points: tuple[Mapping[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: the section `sweep`, and the plan."""
        return {
            "name": self.sweep.name,
            "run_dir": str(self.folder),
            **self.sweep.redacted()["sweep"],
            "trials": self.sweep.total,
            "epochs": self.sweep.max_epochs,
            "rungs": list(self.rungs),
            "workers": self.workers,
            "threads": self.threads,
            "points": [dict(point) for point in self.points],
        }

    def search(self) -> dict[str, str]:
        """Return a one-line description of the distribution of each path that is searched."""
        return {path: _inline_text(value) for path, value in self.sweep.to_dict()["sweep"]["search"].items()}

    def facts(self) -> dict[str, str]:
        """Return one-line descriptions of everything else."""
        settings = self.sweep.settings
        each = f", each with {settings.seeds} seeds" if settings.seeds > 1 else ""
        turns = f", {settings.stratify} in turn among {len(self.sweep.strata)}" if settings.stratify else ""
        rungs = f", compared after {_join_epochs(self.rungs)}" if self.rungs else ""
        return {
            "sweep": self.sweep.name,
            "folder": str(self.folder),
            "trials": f"{self.sweep.total}{each}",
            "objective": ", ".join(_inline_text(goal.to_dict()) for goal in settings.goals),
            "sampler": _inline_text(settings.sampler.to_dict()) + turns,
            "pruner": _inline_text(settings.pruner.to_dict()),
            "epochs": f"at most {self.sweep.max_epochs}{rungs}",
            "workers": f"{self.workers}, with {self.threads} thread{'s' * (self.threads > 1)} each",
        }


def make_sweep_plan(sweep: Sweep, folder: Path, workers: int | None) -> SweepPlan:
    """Make the plan of a sweep.

    Args:
        sweep: the sweep.
        folder: its folder.
        workers: replaces `sweep.workers`.
    """
    from mxtrain.sweeps.samplers_and_pruners import TrialSampler, rung_epochs

    threads, count = allocate_workers(sweep, workers)
    sampler = TrialSampler(sweep)
    points = tuple(sampler.draw(number).params for number in range(min(sweep.total, sweep.settings.parallel)))
    return SweepPlan(sweep, folder, tuple(rung_epochs(sweep, sweep.max_epochs)), count, threads, points)


def _join_epochs(epochs: Sequence[int]) -> str:
    shown = [*map(str, epochs[:6]), "…", str(epochs[-1])] if len(epochs) > 7 else list(map(str, epochs))
    return ", ".join(shown)


def _inline_text(value: Any) -> str:
    """Format a value on one line.

    >>> _inline_text({"log": [0.0001, 0.1]}), _inline_text({"kind": "asha", "reduction": 3})
    ('log [0.0001, 0.1]', 'asha, reduction 3')
    """
    match value:
        case {"kind": str() as kind, **rest}:
            return ", ".join([kind, *(f"{name} {_inline_text(item)}" for name, item in rest.items())])
        case dict():
            return ", ".join(f"{name} {_inline_text(item)}" for name, item in value.items())
        case list() if any(isinstance(item, dict) for item in value):
            return f"[{'; '.join(map(_inline_text, value))}]"
        case str():
            return value
    return json.dumps(value, ensure_ascii=False)
