"""A validated sweep: its settings, its search space, and the run config of each point."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from mxtrain.config.data_sources import IN_MEMORY
from mxtrain.config.error_messages import reject_data_fields, resolve_data_paths, validate_run
from mxtrain.config.introspection import allowed_models, model_kind
from mxtrain.config.run_section import RunConfig
from mxtrain.config.search.distributions import Scalar
from mxtrain.config.search.search_paths import SEARCH
from mxtrain.config.search.space import (
    KeyPath,
    ParameterValue,
    ParsedChoice,
    Point,
    Space,
    with_canonical_names,
)
from mxtrain.config.search.sweep_section import SweepConfig
from mxtrain.config.yaml.dump import mapping_to_yaml
from mxtrain.config.yaml.merge import Override
from mxtrain.config.yaml.nodes import MapNode, format_path, to_python, typed_path
from mxtrain.config.yaml.source_text import ProblemReport
from mxtrain.errors import ConfigError, ConfigProblem
from mxtrain.formatting import strip_password
from mxtrain.kinds import find_user_classes, plugin_name
from mxtrain.names import display_name
from mxtrain.types import Config

_IN_MEMORY_DATA_MESSAGE = (
    "in-memory data cannot be passed to the processes of a sweep; name a file, such as one written by np.savez"
)
_WHOLE_FLOAT = re.compile(r"got (-?\d+)\.0$")


def trial_run_config(
    base: MapNode, values: Sequence[ParameterValue], changed: Sequence[ParameterValue] | None = None
) -> RunConfig:
    """Merge the values of a point into a run, and validate it.

    Args:
        base: the run without the sweep.
        values: the values of the point.
        changed: the values that `base` does not hold yet; by default all of them.

    Raises:
        ConfigError: the run is invalid; problems of values that are searched are reported where these are written.
    """
    report = ProblemReport()
    try:
        tree = merge_values(base, values if changed is None else changed, report)
        run = validate_run(tree, report)
        in_memory = (name for name in ("source", "validation", "test") if getattr(run.data, name) == IN_MEMORY)
        reject_data_fields(((name, _IN_MEMORY_DATA_MESSAGE) for name in in_memory), tree, report)
        return run
    except ConfigError as error:
        raise ConfigError([_relocate_problem(problem, values) for problem in error.problems]) from None


def merge_values(base: MapNode, values: Sequence[ParameterValue], report: ProblemReport) -> MapNode:
    """Merge values into a run by the rules of `extends`; kinds come first, because another kind replaces its mapping.

    Raises:
        ConfigError: the run has no place for a value.
    """
    tree = base
    for value in sorted(values, key=lambda value: value.parameter.path[-1] != "kind"):
        tree = Override(value.parameter.path, value.node, value.parameter.location).apply(tree, report)
    return tree


def _relocate_problem(problem: ConfigProblem, values: Sequence[ParameterValue]) -> ConfigProblem:
    """Move a problem of a trial's run to the place where the value is written."""
    sources = {format_path(path): source for value in values for path, source in value.sources.items()}
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
    if any(format_path(value.parameter.path).startswith(f"{problem.path}.") for value in values):
        return replace(problem, path=f"{format_path(SEARCH)}.{problem.path}")
    return problem


def _reword_number_message(message: str, written_path: KeyPath) -> str:
    """Reword a message about a drawn number: format whole numbers as such, and add a remedy."""
    if message.startswith("must be a whole number") and {"uniform", "log", "normal"} & set(written_path[-2:]):
        return f"{message}; int draws whole numbers"
    if written_path[-1] == "normal":
        return f"{message}; exclude such values with within"
    return _WHOLE_FLOAT.sub(r"got \1", message)


@dataclass(frozen=True)
class Sweep:
    """A validated sweep.

    Args:
        settings: objectives, sampler, pruner, number of trials and so on.
        space: the search space.
        run: the run that the values of a point are merged into, with all defaults; searched values may be missing.
        max_epochs: the epochs of the longest trial.
        base: the same run as it was read.
        tree: the whole config as it was read, whose names error messages use.
    """

    settings: SweepConfig
    space: Space
    run: Mapping[str, Any]
    max_epochs: int
    base: MapNode = field(compare=False, repr=False)
    tree: MapNode = field(compare=False, repr=False)

    @property
    def name(self) -> str:
        """The name of the run, and so of the sweep."""
        return str(self.run["name"])

    @property
    def threads(self) -> int | None:
        """BLAS threads of a run; None if the file does not set them."""
        threads: int | None = self.run.get("threads")
        return threads

    @property
    def backend(self) -> str:
        """The backend of the updates."""
        return str(self.run["backend"])

    @property
    def strata(self) -> tuple[Scalar, ...]:
        """The labels of the choice in `sweep.stratify`, which trials take in turn; empty without one."""
        for parameter in self.space.parameters:
            if parameter.name == self.settings.stratify and isinstance(parameter.distribution, ParsedChoice):
                return parameter.distribution.labels
        return ()

    @property
    def total(self) -> int:
        """Number of trials."""
        trials = self.settings.trials
        if self.settings.sampler.kind == "grid":
            points = self.space.size
            assert points is not None, "checked when the sweep was read"
            return min(trials or points, points)
        assert trials is not None, "checked when the sweep was read"
        return trials

    @property
    def is_adaptive(self) -> bool:
        """True if trials depend on the results of earlier ones."""
        return self.settings.sampler.kind not in ("grid", "random", "qmc") or self.settings.pruner.kind != "none"

    def run_config(self, point: Point, seed_index: int = 0) -> RunConfig:
        """Return the config of a run of a point.

        Args:
            point: the point.
            seed_index: the index of the run among `sweep.seeds`, from 0; it is added to the seed.

        Raises:
            ConfigError: the run is invalid, which is possible only for combinations that were not validated before
                because there are too many; problems are reported where the values are written.
        """
        try:
            run = trial_run_config(self.base, self.space.parameter_values(point.drawn))
        except ConfigError as error:
            problems = [replace(problem, path=typed_path(self.tree, problem.path)) for problem in error.problems]
            raise ConfigError(problems) from None
        return run.model_copy(update={"seed": (run.seed + seed_index) % 2**64}) if seed_index else run

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the sweep's file as plain values, with all defaults."""
        search = {
            ".".join(map(display_name, parameter.path)): with_canonical_names(to_python(parameter.node))
            for parameter in self.space.parameters
        }
        return {**self.run, "sweep": {"search": search, **self.settings.to_dict()}}

    def redacted(self) -> dict[str, Any]:
        """Return `to_dict()` without the password of the storage, for printing."""
        values = self.to_dict()
        if values["sweep"]["storage"] is not None:
            values["sweep"]["storage"] = strip_password(values["sweep"]["storage"])
        return values

    def to_yaml(self) -> str:
        """Return the text of the sweep's file; reading it gives an equal sweep."""
        return mapping_to_yaml(self.to_dict())


def with_defaults(base: MapNode, space: Space) -> dict[str, Any]:
    """Return the plain values of a run, with the defaults of every section that is valid by itself.

    Args:
        base: the run.
        space: the search space, whose choices may also need plugins.
    """
    raw = to_python(base)
    assert isinstance(raw, dict), "a run is a mapping"
    if isinstance(raw.get("data"), dict):
        raw["data"].update(resolve_data_paths(base, ProblemReport(), must_exist=False))
    values: dict[str, Any] = {}
    for name, info in RunConfig.model_fields.items():
        if name in raw:
            values[name] = _section_with_defaults(raw[name], info.annotation)
        elif not info.is_required() and name != "plugins":
            values[name] = info.default.to_dict() if isinstance(info.default, Config) else info.default
    searched = [{parameter.name: to_python(parameter.node)} for parameter in space.parameters]
    plugins = [*values.get("plugins", ()), *map(plugin_name, find_user_classes([values, searched]))]
    return values | {"plugins": list(dict.fromkeys(plugins))} if plugins else values


def _section_with_defaults(value: Any, annotation: Any) -> Any:
    for model in allowed_models(annotation):
        if isinstance(value, dict) and model_kind(model) in (None, value.get("kind")):
            try:
                return model.validate_raw(value).to_dict()
            except ValidationError:
                break
    return with_canonical_names(value)
