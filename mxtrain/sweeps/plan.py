"""What a sweep would do, without doing any of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mxtrain.config import Sweep
from mxtrain.sweeps.resources import share


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
        return {path: _told(value) for path, value in self.sweep.to_dict()["sweep"]["search"].items()}

    def facts(self) -> dict[str, str]:
        """Everything else in words."""
        settings = self.sweep.settings
        each = f", each with {settings.seeds} seeds" if settings.seeds > 1 else ""
        looks = f", looked at after {_listed(self.rungs)}" if self.rungs else ""
        return {
            "sweep": self.sweep.name,
            "folder": str(self.folder),
            "trials": f"{self.sweep.total}{each}",
            "objective": ", ".join(_told(goal.to_dict()) for goal in settings.goals),
            "sampler": _told(settings.sampler.to_dict()),
            "pruner": _told(settings.pruner.to_dict()),
            "epochs": f"at most {self.sweep.max_epochs}{looks}",
            "workers": f"{self.workers}, with {self.threads} thread{'s' * (self.threads > 1)} each",
        }


def plan_of(sweep: Sweep, folder: Path, workers: int | None) -> SweepPlan:
    """The plan of a sweep.

    Args:
        sweep: the sweep.
        folder: its folder.
        workers: where they are not as the file says.
    """
    from mxtrain.sweeps.pruning import rungs_of
    from mxtrain.sweeps.sampling import Sampling

    threads, count = share(sweep, workers)
    sampling = Sampling(sweep)
    first = range(min(sweep.total, sweep.settings.parallel))
    points = tuple(sampling.draw(number).point.params for number in first)
    return SweepPlan(sweep, folder, tuple(rungs_of(sweep, sweep.max_epochs)), count, threads, points)


def _listed(epochs: Sequence[int]) -> str:
    shown = [*map(str, epochs[:6]), "…", str(epochs[-1])] if len(epochs) > 7 else list(map(str, epochs))
    return ", ".join(shown)


def _told(value: Any) -> str:
    """A value as one would write it on one line.

    >>> _told({"log": [0.0001, 0.1]}), _told({"kind": "asha", "reduction": 3})
    ('log [0.0001, 0.1]', 'asha, reduction 3')
    """
    match value:
        case {"kind": str() as kind, **rest}:
            return ", ".join([kind, *(f"{name} {_told(item)}" for name, item in rest.items())])
        case dict():
            return ", ".join(f"{name} {_told(item)}" for name, item in value.items())
        case list() if any(isinstance(item, dict) for item in value):
            return f"[{'; '.join(map(_told, value))}]"
        case str():
            return value
    return json.dumps(value, ensure_ascii=False)
