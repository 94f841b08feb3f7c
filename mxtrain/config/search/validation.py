"""Validation of a sweep before its first trial: combinations of values, objectives, sampler and pruner."""

from collections.abc import Iterator, Sequence

from mxtrain.config.run_section import RunConfig
from mxtrain.config.search.distributions import Distribution, Uniform
from mxtrain.config.search.samplers_and_pruners import ASHA, CMAES, QMC, Grid, Hyperband, NoPruner
from mxtrain.config.search.space import (
    KeyPath,
    ParameterValue,
    Space,
    all_parameters,
    boundary_values,
    index_combinations,
)
from mxtrain.config.search.sweep_definition import trial_run_config
from mxtrain.config.search.sweep_section import SweepConfig
from mxtrain.config.yaml.nodes import MapNode, find_node, format_path
from mxtrain.config.yaml.problem_report import ProblemReport
from mxtrain.errors import ConfigError, ConfigProblem

ALL_COMBINATIONS = 500
"""Up to so many combinations of ends and choices are all tried; of more, each value alone, and pairs of two."""


class CombinationValidator:
    """Tries the runs of a sweep, and reports each problem once, where what causes it is written.

    Args:
        tree: the whole file.
        base: the run, without the sweep.
        space: what is searched.
        faulty: what is searched too but could not be read; nothing is said of it.
        settings: None where they are not valid.
    """

    def __init__(
        self,
        tree: MapNode,
        base: MapNode,
        space: Space,
        unparsed: Sequence[tuple[str, ...]],
        settings: SweepConfig | None,
    ) -> None:
        self.tree, self.base, self.space, self.settings = tree, base, space, settings
        self.unparsed = [format_path(path) for path in unparsed]
        self.seen: set[ConfigProblem] = set()
        self.max_epochs = 0

    def check(self, report: ProblemReport) -> int:
        """Report what is wrong; the most epochs that a trial can have, 0 where none is valid."""
        choices = [boundary_values(parameter) for parameter in self.space.parameters]
        unexplained: Sequence[ConfigProblem] = ()
        can_compare = True
        for indices in index_combinations([len(choice) for choice in choices], ALL_COMBINATIONS):
            parts = [choice[i] for i, choice in zip(indices, choices, strict=True)]
            values = self.space.filled({name: value for part in parts for name, value in part.items()})
            varied = [i for i, index in enumerate(indices) if index]
            found = [problem for problem in self._problems(values) if not self._is_unparsed(problem)]
            problems = [problem for problem in found if problem not in self.seen]
            self.seen.update(problems)
            if not varied:
                reference, unexplained, can_compare = values, problems, self.max_epochs > 0
                continue
            if len(varied) == 1 and not found:  # so it is this one's first value that something was wrong with
                _report_problems(report, unexplained, [reference[varied[0]]])
                unexplained = ()
            _report_problems(report, problems, [values[i] for i in varied] if can_compare else [])
        _report_problems(report, unexplained, [])
        return self.max_epochs

    def _problems(self, values: Sequence[ParameterValue]) -> Sequence[ConfigProblem]:
        try:
            run = trial_run_config(self.base, values)
        except ConfigError as error:
            return error.problems
        self.max_epochs = max(self.max_epochs, run.fit.epochs)
        return [] if self.settings is None else list(self._unavailable_objectives(run, self.settings))

    def _unavailable_objectives(self, run: RunConfig, settings: SweepConfig) -> Iterator[ConfigProblem]:
        for path, metric in objective_paths(settings):
            if metric != "parameters" and (reason := run.monitor_problem(metric)):
                node, place = find_node(self.tree, path)
                yield ConfigProblem(format_path(path), reason, node.location if node else place)

    def _is_unparsed(self, problem: ConfigProblem) -> bool:
        return any(
            f"{problem.path}.".startswith(f"{path}.") or f"{path}.".startswith(f"{problem.path}.")
            for path in self.unparsed
        )


def objective_paths(settings: SweepConfig) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where each objective's metric is written, and the metric."""
    several = isinstance(settings.objective, tuple)
    for i, objective in enumerate(settings.objectives):
        below = (i,) if several else ()
        yield ("sweep", "objective", *below, "maximize" if objective.maximize else "minimize"), objective.metric


def _report_problems(
    report: ProblemReport, problems: Sequence[ConfigProblem], varied: Sequence[ParameterValue]
) -> None:
    for problem in problems:
        attributed = _attribute_problem(problem, varied)
        report.add(attributed.path, attributed.message, attributed.location)


def _attribute_problem(problem: ConfigProblem, varied: Sequence[ParameterValue]) -> ConfigProblem:
    """A problem that only some trials have, at the value that makes the difference."""
    if not varied or problem.path.startswith("sweep.search"):
        return problem
    *others, last = varied
    beside = "".join(f" and {format_path(other.source.value)}" for other in others)
    message = f"with this{beside}, {problem.path}: {problem.message}"
    return ConfigProblem(format_path(last.source.value), message, last.node.location)


MAX_GRID = 1_000_000
"""Points of a grid."""
_MAX_SHOWN_SIZE = 10**15
"""The largest number of points that a message states exactly; larger ones may have more digits than Python prints."""

_SAMPLER_PATH, _PRUNER_PATH = ("sweep", "sampler", "kind"), ("sweep", "pruner", "kind")


def check_compatibility(
    settings: SweepConfig, space: Space, max_epochs: int, tree: MapNode, report: ProblemReport
) -> None:
    """Report what does not go together; `max_epochs` is 0 where it is unknown."""
    problems = [
        *_check_objectives(settings),
        *_check_sampler(settings, space),
        *_check_grid(settings, space),
        *_check_pruner(settings, max_epochs),
    ]
    for path, message in problems:
        node, place = find_node(tree, path)
        report.add(format_path(path), message, node.location if node else place)


def _check_objectives(settings: SweepConfig) -> Iterator[tuple[KeyPath, str]]:
    seen = set()
    for path, metric in objective_paths(settings):
        if metric in seen:
            yield path, f"{metric} is there already; keep one"
        seen.add(metric)


def _check_sampler(settings: SweepConfig, space: Space) -> Iterator[tuple[KeyPath, str]]:
    sampler = settings.sampler
    if isinstance(sampler, CMAES) and len(settings.objectives) > 1:
        yield _SAMPLER_PATH, f"cmaes takes one objective, got {len(settings.objectives)}; use tpe, gp or nsga2"
    numbers = sum(isinstance(parameter.distribution, Distribution) for parameter in space.parameters)
    needed = {CMAES: 2, QMC: 1}.get(type(sampler), 0)
    if space.parameters and numbers < needed:
        wanted = "two numbers" if needed == 2 else "a number"
        yield _SAMPLER_PATH, f"{sampler.kind} needs {wanted} to search in every trial, got {numbers}; use tpe or random"
    if settings.trials is None and not isinstance(sampler, Grid):
        yield ("sweep", "trials"), "required; only a grid has a number of points of its own"


def _check_grid(settings: SweepConfig, space: Space) -> Iterator[tuple[KeyPath, str]]:
    if not isinstance(settings.sampler, Grid):
        return
    for parameter in all_parameters(space.parameters):
        distribution = parameter.distribution
        if isinstance(distribution, Distribution) and distribution.count is None:
            remedy = "give it a step, or write a choice" if isinstance(distribution, Uniform) else "write a choice"
            yield parameter.written, f"{distribution.word} has no points for a grid; {remedy}"
    if space.size is not None and space.size > MAX_GRID:
        points = f"{space.size:,}" if space.size < _MAX_SHOWN_SIZE else f"more than {_MAX_SHOWN_SIZE:,}"
        yield _SAMPLER_PATH, f"the grid has {points} points, at most {MAX_GRID:,} can be; use another sampler"


def _check_pruner(settings: SweepConfig, max_epochs: int) -> Iterator[tuple[KeyPath, str]]:
    pruner, objectives = settings.pruner, settings.objectives
    if isinstance(pruner, NoPruner):
        return
    if len(objectives) > 1:
        yield (
            _PRUNER_PATH,
            f"{pruner.kind} compares trials by one objective, got {len(objectives)}; leave the pruner out",
        )
    elif objectives[0].metric == "parameters":
        yield (
            _PRUNER_PATH,
            f"{pruner.kind} compares trials from epoch to epoch, and parameters never changes; leave it out",
        )
    if isinstance(pruner, ASHA | Hyperband) and 0 < max_epochs < pruner.min_epochs:
        message = f"must be at most {max_epochs}, the epochs of the longest trial, got {pruner.min_epochs}"
        yield ("sweep", "pruner", "min_epochs"), message
