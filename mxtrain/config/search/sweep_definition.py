"""A validated sweep: its settings, its search space, and the run config of each point."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from mxtrain.config.introspection import allowed_models, model_kind
from mxtrain.config.run_section import RunConfig
from mxtrain.config.search.search_paths import SEARCH
from mxtrain.config.search.space import KeyPath, ParameterValue, Point, Space, with_canonical_names
from mxtrain.config.search.sweep_section import SweepConfig
from mxtrain.config.validation import reject_data_source, resolve_data_paths, validate_run
from mxtrain.config.yaml.dump import mapping_to_yaml
from mxtrain.config.yaml.merge import Override
from mxtrain.config.yaml.nodes import MapNode, format_path, to_python
from mxtrain.config.yaml.problem_report import ProblemReport
from mxtrain.errors import ConfigError, ConfigProblem
from mxtrain.names import display_name
from mxtrain.redaction import strip_password
from mxtrain.types import Config

_IN_MEMORY_DATA_MESSAGE = (
    "the data cannot be handed over to the processes of a sweep; name a file, as np.savez writes one"
)
_WHOLE_FLOAT = re.compile(r"got (-?\d+)\.0$")


def trial_run_config(base: MapNode, values: Sequence[ParameterValue]) -> RunConfig:
    """The run with the values of a point laid over it, by the rule of `extends`.

    Kinds come first, because another kind starts its mapping afresh.

    Raises:
        ConfigError: what is wrong with a value that is searched is told where that is written.
    """
    report = ProblemReport()
    try:
        tree = base
        for filled in sorted(values, key=lambda filled: filled.parameter.path[-1] != "kind"):
            tree = Override(filled.parameter.path, filled.node, filled.parameter.place).apply(tree, report)
        run = validate_run(tree, report)
        reject_data_source(_IN_MEMORY_DATA_MESSAGE if run.data.is_in_memory else None, tree, report)
        return run
    except ConfigError as error:
        raise ConfigError([_relocate_problem(problem, values) for problem in error.problems]) from None


def _relocate_problem(problem: ConfigProblem, values: Sequence[ParameterValue]) -> ConfigProblem:
    """A problem of a trial's run, under the path at which the value is written."""
    sources = {format_path(path): source for filled in values for path, source in filled.sources.items()}
    for path in sorted(sources, key=len, reverse=True):
        if problem.path == path or problem.path.startswith(f"{path}."):
            source, rest = sources[path], problem.path.removeprefix(path)
            if problem.message.startswith("unknown field") and not rest:
                return replace(problem, path=format_path(source.key))
            return replace(
                problem,
                path=format_path(source.value) + rest,
                message=_reword_number_message(problem.message, source.value),
            )
    if any(format_path(filled.parameter.path).startswith(f"{problem.path}.") for filled in values):
        return replace(problem, path=f"{format_path(SEARCH)}.{problem.path}")
    return problem


def _reword_number_message(message: str, written: KeyPath) -> str:
    """A message about a number that was drawn: as whole numbers are written, and with a remedy."""
    if message.startswith("must be a whole number") and {"uniform", "log", "normal"} & set(written[-2:]):
        return f"{message}; int draws whole numbers"
    if written[-1] == "normal":
        return f"{message}; keep such values off with within"
    return _WHOLE_FLOAT.sub(r"got \1", message)


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
    def is_adaptive(self) -> bool:
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
        run = trial_run_config(self.base, self.space.filled(point.drawn))
        return run.model_copy(update={"seed": (run.seed + member) % 2**64}) if member else run

    def to_dict(self) -> dict[str, Any]:
        """The file that this sweep is as plain values, every setting filled in."""
        search = {
            ".".join(map(display_name, parameter.path)): with_canonical_names(to_python(parameter.node))
            for parameter in self.space.parameters
        }
        return {**self.run, "sweep": {"search": search, **self.settings.to_dict()}}

    def shown(self) -> dict[str, Any]:
        """Return `to_dict()` without the password of the storage, for printing."""
        values = self.to_dict()
        if values["sweep"]["storage"] is not None:
            values["sweep"]["storage"] = strip_password(values["sweep"]["storage"])
        return values

    def to_yaml(self) -> str:
        """The text of that file; it reads back to an equal sweep."""
        return mapping_to_yaml(self.to_dict())


def with_defaults(base: MapNode) -> dict[str, Any]:
    """The plain values of a run, with defaults wherever the part they belong to is valid by itself."""
    raw = to_python(base)
    assert isinstance(raw, dict), "a run is a mapping"
    if isinstance(raw.get("data"), dict):
        raw["data"].update(resolve_data_paths(base, ProblemReport(), must_exist=False))
    values: dict[str, Any] = {}
    for name, info in RunConfig.model_fields.items():
        if name in raw:
            values[name] = _section_with_defaults(raw[name], info.annotation)
        elif not info.is_required():
            values[name] = info.default.to_dict() if isinstance(info.default, Config) else info.default
    return values


def _section_with_defaults(value: Any, annotation: Any) -> Any:
    for model in allowed_models(annotation):
        if isinstance(value, dict) and model_kind(model) in (None, value.get("kind")):
            try:
                return model.validate_raw(value).to_dict()
            except ValidationError:
                break
    return with_canonical_names(value)
