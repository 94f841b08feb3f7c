"""The run that a point of a space stands for."""

import re
from collections.abc import Sequence
from dataclasses import replace

from mxtrain.config.laying import Layer
from mxtrain.config.nodes import MapNode, dotted
from mxtrain.config.report import Report
from mxtrain.config.run import RunConfig
from mxtrain.config.search.flat import SEARCH
from mxtrain.config.search.space import Filled, Path
from mxtrain.config.validating import refuse_source, validated_run
from mxtrain.errors import ConfigError, Problem

_NOT_IN_A_SWEEP = "the data cannot be handed over to the processes of a sweep; name a file, as np.savez writes one"
_WHOLE = re.compile(r"got (-?\d+)\.0$")


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
        run = validated_run(tree, report)
        refuse_source(_NOT_IN_A_SWEEP if run.data.is_handed_over else None, tree, report)
        return run
    except ConfigError as error:
        raise ConfigError([_as_written(problem, values) for problem in error.problems]) from None


def _as_written(problem: Problem, values: Sequence[Filled]) -> Problem:
    """A problem of a trial's run, under the path at which the value is written."""
    sources = {dotted(path): source for filled in values for path, source in filled.sources.items()}
    for path in sorted(sources, key=len, reverse=True):
        if problem.path == path or problem.path.startswith(f"{path}."):
            source, rest = sources[path], problem.path.removeprefix(path)
            if problem.message.startswith("unknown field") and not rest:
                return replace(problem, path=dotted(source.key))
            return replace(problem, path=dotted(source.value) + rest, message=_told(problem.message, source.value))
    if any(dotted(filled.parameter.path).startswith(f"{problem.path}.") for filled in values):
        return replace(problem, path=f"{dotted(SEARCH)}.{problem.path}")
    return problem


def _told(message: str, written: Path) -> str:
    """A message about a number that was drawn: as whole numbers are written, and with a remedy."""
    if message.startswith("must be a whole number") and {"uniform", "log", "normal"} & set(written[-2:]):
        return f"{message}; int draws whole numbers"
    if written[-1] == "normal":
        return f"{message}; keep such values off with within"
    return _WHOLE.sub(r"got \1", message)
