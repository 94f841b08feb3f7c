"""A sweep: its settings, its space, and the run that each point stands for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from mxtrain.config.nodes import MapNode, plain
from mxtrain.config.report import Report
from mxtrain.config.run import RunConfig
from mxtrain.config.search.section import SweepConfig
from mxtrain.config.search.space import Point, Space, spelled
from mxtrain.config.search.trials import trial_run
from mxtrain.config.shape import kind, models
from mxtrain.config.validating import data_paths
from mxtrain.config.writer import yaml_text
from mxtrain.names import spelling
from mxtrain.redaction import without_password
from mxtrain.types import Config


@dataclass(frozen=True)
class Sweep:
    """A sweep that was read from a file or a dict, and checked.

    Args:
        settings: objectives, sampler, pruner, how many trials.
        space: what is searched.
        run: the run that the values of a point are laid over, every default filled in; it may lack what is searched.
        max_epochs: the epochs of the longest trial.
        base: the same run, as it was read.
    """

    settings: SweepConfig
    space: Space
    run: Mapping[str, Any]
    max_epochs: int
    base: MapNode = field(compare=False, repr=False)

    @property
    def name(self) -> str:
        """What the run, and so the sweep, is called."""
        return str(self.run["name"])

    @property
    def threads(self) -> int | None:
        """BLAS threads of a run, where the file says how many."""
        threads: int | None = self.run.get("threads")
        return threads

    @property
    def backend(self) -> str:
        """What runs the updates."""
        return str(self.run["backend"])

    @property
    def total(self) -> int:
        """How many trials there are."""
        asked = self.settings.trials
        if self.settings.sampler.kind == "grid":
            points = self.space.size
            assert points is not None, "checked when the sweep was read"
            return min(asked or points, points)
        assert asked is not None, "checked when the sweep was read"
        return asked

    @property
    def learns(self) -> bool:
        """Whether a trial depends on what came of earlier ones."""
        return self.settings.sampler.kind not in ("grid", "random", "qmc") or self.settings.pruner.kind != "none"

    def run_config(self, point: Point, member: int = 0) -> RunConfig:
        """The run of a point.

        Args:
            point: the point.
            member: which of its runs, from 0, where `sweep.seeds` says several; it is added to the seed.

        Raises:
            ConfigError: it is not valid, which can only be for combinations of values that are too many to be tried
                beforehand; each problem is told where the value is written.
        """
        run = trial_run(self.base, self.space.filled(point.drawn))
        return run.model_copy(update={"seed": (run.seed + member) % 2**64}) if member else run

    def to_dict(self) -> dict[str, Any]:
        """The file that this sweep is as plain values, every setting filled in."""
        search = {
            ".".join(map(spelling, parameter.path)): spelled(plain(parameter.node))
            for parameter in self.space.parameters
        }
        return {**self.run, "sweep": {"search": search, **self.settings.to_dict()}}

    def shown(self) -> dict[str, Any]:
        """Return `to_dict()` without the password of the storage, for printing."""
        values = self.to_dict()
        if values["sweep"]["storage"] is not None:
            values["sweep"]["storage"] = without_password(values["sweep"]["storage"])
        return values

    def to_yaml(self) -> str:
        """The text of that file; it reads back to an equal sweep."""
        return yaml_text(self.to_dict())


def filled_in(base: MapNode) -> dict[str, Any]:
    """The plain values of a run, with defaults wherever the part they belong to is valid by itself."""
    raw = plain(base)
    assert isinstance(raw, dict), "a run is a mapping"
    if isinstance(raw.get("data"), dict):
        raw["data"].update(data_paths(base, Report(), must_exist=False))
    values: dict[str, Any] = {}
    for name, info in RunConfig.model_fields.items():
        if name in raw:
            values[name] = _part(raw[name], info.annotation)
        elif not info.is_required():
            values[name] = info.default.to_dict() if isinstance(info.default, Config) else info.default
    return values


def _part(value: Any, annotation: Any) -> Any:
    for model in models(annotation):
        if isinstance(value, dict) and kind(model) in (None, value.get("kind")):
            try:
                return model.model_validate(value).to_dict()
            except ValidationError:
                break
    return spelled(value)
