"""What a sweep would do, without doing any of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mxtrain.config import Sweep
from mxtrain.sweeps.resources import share


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """What a sweep would do.

    Attributes:
        search: each path that is searched, and for what.
        facts: everything else, by name, in words.
        points: what the first trials will try; as many as follow from the file alone.
    """

    search: Mapping[str, str]
    facts: Mapping[str, str]
    points: tuple[Mapping[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {"search": dict(self.search), **self.facts, "points": [dict(point) for point in self.points]}


def plan_of(sweep: Sweep, folder: Path, workers: int | None) -> SweepPlan:
    """The plan of a sweep.

    Args:
        sweep: the sweep.
        folder: its folder.
        workers: where they are not as the file says.
    """
    from mxtrain.sweeps.pruning import rungs
    from mxtrain.sweeps.sampling import Sampling

    settings = sweep.settings
    threads, count = share(sweep, workers)
    looked_at = rungs(sweep, sweep.max_epochs)
    sampling = Sampling(sweep)
    first = min(sweep.total, settings.parallel)
    facts = {
        "sweep": sweep.name,
        "folder": str(folder),
        "trials": f"{sweep.total}" + (f", each with {settings.seeds} seeds" if settings.seeds > 1 else ""),
        "objective": _told([goal.to_dict() for goal in settings.goals]),
        "sampler": _told(settings.sampler.to_dict()),
        "pruner": _told(settings.pruner.to_dict()),
        "epochs": f"at most {sweep.max_epochs}" + (f", looked at after {_listed(looked_at)}" if looked_at else ""),
        "workers": f"{count}, with {threads} thread{'s' * (threads > 1)} each",
    }
    points = tuple(sampling.draw(number).point.params for number in range(first))
    return SweepPlan(dict(_searched(sweep)), facts, points)


def _searched(sweep: Sweep) -> list[tuple[str, str]]:
    return [(path, _told(value)) for path, value in sweep.to_dict()["sweep"]["search"].items()]


def _listed(epochs: list[int]) -> str:
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
