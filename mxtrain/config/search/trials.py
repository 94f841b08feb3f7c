"""The run that a point of a space stands for."""

from collections.abc import Sequence
from dataclasses import replace

from mxtrain.config.laying import Layer
from mxtrain.config.nodes import MapNode, dotted
from mxtrain.config.report import Report
from mxtrain.config.run import RunConfig
from mxtrain.config.search.flat import SEARCH
from mxtrain.config.search.space import Filled, Path
from mxtrain.config.validating import validated_run
from mxtrain.errors import ConfigError, Problem


def trial_run(base: MapNode, values: Sequence[Filled]) -> RunConfig:
    """The run with the values of a point laid over it, by the rule of `extends`.

    Kinds come first, because another kind starts its mapping afresh.

    Raises:
        ConfigError: what is wrong with a value that is searched is told where that is written.
    """
    report = Report()
    try:
        tree = base
        for filled in sorted(values, key=lambda filled: filled.parameter.path[-1] != "kind"):
            tree = Layer(filled.parameter.path, filled.node, filled.parameter.place).over(tree, report)
        return validated_run(tree, report)
    except ConfigError as error:
        raise ConfigError([_as_written(problem, values) for problem in error.problems]) from None


def _as_written(problem: Problem, values: Sequence[Filled]) -> Problem:
    """A problem of a trial's run, under the path at which the value is written."""
    places = {dotted(path): written for filled in values for path, written in filled.written.items()}
    for path in sorted(places, key=len, reverse=True):
        if problem.path == path or problem.path.startswith(f"{path}."):
            written = places[path]
            shown = dotted(written) + problem.path.removeprefix(path)
            return replace(problem, path=shown, message=f"{problem.message}{_remedy(problem.message, written)}")
    if problem.location and any(problem.location == filled.parameter.place for filled in values):
        return replace(problem, path=f"{dotted(SEARCH)}.{problem.path}")
    return problem


def _remedy(message: str, written: Path) -> str:
    if message.startswith("must be a whole number") and {"uniform", "log", "normal"} & set(written[-2:]):
        return "; int draws whole numbers"
    if written[-1] == "normal":
        return "; keep such values off with within"
    return ""
