"""The dry run of a sweep: its first trials, and the number of workers and threads."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mxtrain.config import Sweep
from mxtrain.errors import SweepError

_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "MXTRAIN_THREADS")


def allocate_workers(sweep: Sweep, workers: int | None, elsewhere: bool = False) -> tuple[int, int]:
    """BLAS threads for each trial, and how many workers there are.

    A trial has one thread, unless the file says otherwise, however many workers there are: on another number the
    products of a model of one's own would round differently.

    Args:
        sweep: the sweep.
        workers: where it is not as the file says.
        elsewhere: whether the workers are on other machines; then `auto` is as many as can be of use.

    Raises:
        SweepError: `workers` is below 1.
    """
    threads = sweep.threads or 1
    most = max(
        1, min(sweep.total, sweep.settings.parallel if sweep.is_adaptive else sweep.total) * sweep.settings.seeds
    )
    wanted = workers if workers is not None else sweep.settings.workers
    if wanted == "auto":
        wanted = most if elsewhere else max(1, count_gpus() if sweep.backend == "cupy" else count_cores() // threads)
    if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
        raise SweepError(f"workers must be a whole number at least 1, got {wanted!r}")
    return threads, min(wanted, most)


def worker_environments(sweep: Sweep, count: int, threads: int) -> list[dict[str, str]]:
    """What each worker's process finds in its environment: its share of the cores, and one GPU where there are any."""
    common = dict.fromkeys(_THREAD_VARIABLES, str(threads))
    devices = _gpu_names() if sweep.backend == "cupy" else []
    return [common | ({"CUDA_VISIBLE_DEVICES": devices[i % len(devices)]} if devices else {}) for i in range(count)]


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count_gpus() -> int:
    """GPUs that this process may use."""
    return len(_gpu_names())


def _gpu_names() -> list[str]:
    """The names of the GPUs, as CUDA_VISIBLE_DEVICES has them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [device for device in named.split(",") if device]
    from mxtrain.optim.backends import select_backend

    select_backend("cupy")  # or it says what is missing
    import cupy

    return [str(i) for i in range(cupy.cuda.runtime.getDeviceCount())]


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """What a sweep would do.

    Attributes:
        sweep: the sweep.
        folder: its folder.
        rungs: the epochs after which a trial is looked at.
        workers: how many trials are trained side by side.
        threads: of BLAS, for each.
        points: what the first trials will try; as many as follow from the file alone.
    """

    sweep: Sweep
    folder: Path
    rungs: tuple[int, ...]
    workers: int
    threads: int
    points: tuple[Mapping[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain values: the section `sweep`, and what follows from it."""
        return {
            "name": self.sweep.name,
            "run_dir": str(self.folder),
            **self.sweep.shown()["sweep"],
            "trials": self.sweep.total,
            "epochs": self.sweep.max_epochs,
            "rungs": list(self.rungs),
            "workers": self.workers,
            "threads": self.threads,
            "points": [dict(point) for point in self.points],
        }

    def search(self) -> dict[str, str]:
        """Each path that is searched, and for what, in words."""
        return {path: _inline_text(value) for path, value in self.sweep.to_dict()["sweep"]["search"].items()}

    def facts(self) -> dict[str, str]:
        """Everything else in words."""
        settings = self.sweep.settings
        each = f", each with {settings.seeds} seeds" if settings.seeds > 1 else ""
        looks = f", looked at after {_join_epochs(self.rungs)}" if self.rungs else ""
        return {
            "sweep": self.sweep.name,
            "folder": str(self.folder),
            "trials": f"{self.sweep.total}{each}",
            "objective": ", ".join(_inline_text(goal.to_dict()) for goal in settings.goals),
            "sampler": _inline_text(settings.sampler.to_dict()),
            "pruner": _inline_text(settings.pruner.to_dict()),
            "epochs": f"at most {self.sweep.max_epochs}{looks}",
            "workers": f"{self.workers}, with {self.threads} thread{'s' * (self.threads > 1)} each",
        }


def make_sweep_plan(sweep: Sweep, folder: Path, workers: int | None) -> SweepPlan:
    """The plan of a sweep.

    Args:
        sweep: the sweep.
        folder: its folder.
        workers: where they are not as the file says.
    """
    from mxtrain.sweeps.pruning import rung_epochs
    from mxtrain.sweeps.sampling import TrialSampler

    threads, count = allocate_workers(sweep, workers)
    sampling = TrialSampler(sweep)
    first = range(min(sweep.total, sweep.settings.parallel))
    points = tuple(sampling.draw(number).point.params for number in first)
    return SweepPlan(sweep, folder, tuple(rung_epochs(sweep, sweep.max_epochs)), count, threads, points)


def _join_epochs(epochs: Sequence[int]) -> str:
    shown = [*map(str, epochs[:6]), "…", str(epochs[-1])] if len(epochs) > 7 else list(map(str, epochs))
    return ", ".join(shown)


def _inline_text(value: Any) -> str:
    """A value as one would write it on one line.

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
