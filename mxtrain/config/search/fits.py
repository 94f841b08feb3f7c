"""Whether the parts of a sweep fit together: objectives, sampler, pruner, and what is searched."""

from collections.abc import Iterator

from mxtrain.config.nodes import MapNode, dotted, find
from mxtrain.config.report import Report
from mxtrain.config.search.checks import objective_paths
from mxtrain.config.search.distributions import Distribution, Uniform
from mxtrain.config.search.pruners import ASHA, Hyperband, NoPruner
from mxtrain.config.search.samplers import CMAES, QMC, Grid
from mxtrain.config.search.section import SweepConfig
from mxtrain.config.search.space import Path, Space, everything

MAX_GRID = 1_000_000
"""Points of a grid."""
_COUNTABLE = 10**15
"""The largest number of points that a message states exactly; larger ones may have more digits than Python prints."""

_SAMPLER, _PRUNER = ("sweep", "sampler", "kind"), ("sweep", "pruner", "kind")


def check_fit(settings: SweepConfig, space: Space, max_epochs: int, tree: MapNode, report: Report) -> None:
    """Report what does not go together; `max_epochs` is 0 where it is unknown."""
    problems = [
        *_objectives(settings),
        *_sampler(settings, space),
        *_grid(settings, space),
        *_pruner(settings, max_epochs),
    ]
    for path, message in problems:
        node, place = find(tree, path)
        report.add(dotted(path), message, node.location if node else place)


def _objectives(settings: SweepConfig) -> Iterator[tuple[Path, str]]:
    seen = set()
    for path, metric in objective_paths(settings):
        if metric in seen:
            yield path, f"{metric} is there already; keep one"
        seen.add(metric)


def _sampler(settings: SweepConfig, space: Space) -> Iterator[tuple[Path, str]]:
    sampler = settings.sampler
    if isinstance(sampler, CMAES) and len(settings.objectives) > 1:
        yield _SAMPLER, f"cmaes takes one objective, got {len(settings.objectives)}; use tpe, gp or nsga2"
    numbers = sum(isinstance(parameter.distribution, Distribution) for parameter in space.parameters)
    needed = {CMAES: 2, QMC: 1}.get(type(sampler), 0)
    if space.parameters and numbers < needed:
        wanted = "two numbers" if needed == 2 else "a number"
        yield _SAMPLER, f"{sampler.kind} needs {wanted} to search in every trial, got {numbers}; use tpe or random"
    if settings.trials is None and not isinstance(sampler, Grid):
        yield ("sweep", "trials"), "required; only a grid has a number of points of its own"


def _grid(settings: SweepConfig, space: Space) -> Iterator[tuple[Path, str]]:
    if not isinstance(settings.sampler, Grid):
        return
    for parameter in everything(space.parameters):
        distribution = parameter.distribution
        if isinstance(distribution, Distribution) and distribution.count is None:
            remedy = "give it a step, or write a choice" if isinstance(distribution, Uniform) else "write a choice"
            yield parameter.written, f"{distribution.word} has no points for a grid; {remedy}"
    if space.size is not None and space.size > MAX_GRID:
        points = f"{space.size:,}" if space.size < _COUNTABLE else f"more than {_COUNTABLE:,}"
        yield _SAMPLER, f"the grid has {points} points, at most {MAX_GRID:,} can be; use another sampler"


def _pruner(settings: SweepConfig, max_epochs: int) -> Iterator[tuple[Path, str]]:
    pruner, objectives = settings.pruner, settings.objectives
    if isinstance(pruner, NoPruner):
        return
    if len(objectives) > 1:
        yield _PRUNER, f"{pruner.kind} compares trials by one objective, got {len(objectives)}; leave the pruner out"
    elif objectives[0].metric == "parameters":
        yield _PRUNER, f"{pruner.kind} compares trials from epoch to epoch, and parameters never changes; leave it out"
    if isinstance(pruner, ASHA | Hyperband) and 0 < max_epochs < pruner.min_epochs:
        message = f"must be at most {max_epochs}, the epochs of the longest trial, got {pruner.min_epochs}"
        yield ("sweep", "pruner", "min_epochs"), message
