"""Validation of a sweep before its first trial: combinations of values, objectives, sampler and pruner."""

from collections.abc import Iterator, Sequence

from mxtrain.config.run_section import RunConfig
from mxtrain.config.search.distributions import Distribution, Uniform
from mxtrain.config.search.space import (
    KeyPath,
    ParameterValue,
    ParsedChoice,
    Space,
    all_parameters,
    boundary_values,
    index_combinations,
)
from mxtrain.config.search.sweep_definition import merge_values, trial_run_config
from mxtrain.config.search.sweep_section import ASHA, CMAES, QMC, Grid, Hyperband, NoPruner, SweepConfig
from mxtrain.config.yaml.nodes import MapNode, find_node, format_path
from mxtrain.config.yaml.source_text import ProblemReport
from mxtrain.errors import ConfigError, ConfigProblem
from mxtrain.names import nearest
from mxtrain.types import describe

ALL_COMBINATIONS = 500
"""Largest number of combinations of bounds and options that are all validated; of more, each value and pairs of two."""
MAX_GRID = 1_000_000
"""Largest number of points of a grid."""
_MAX_SHOWN_SIZE = 10**15
"""The largest number of points that a message states exactly; larger ones may have more digits than Python prints."""
_SAMPLER_PATH, _PRUNER_PATH = ("sweep", "sampler", "kind"), ("sweep", "pruner", "kind")


class CombinationValidator:
    """Validates runs of a sweep, and reports each problem once, at the value that causes it.

    Args:
        tree: the whole file.
        base: the run without the sweep.
        space: the valid parameters.
        unparsed: the paths of the other parameters, whose problems were reported.
        settings: the settings of the sweep; None if they are invalid.
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
        self.max_epochs = 0
        # for each parameter, its bounds or options
        self._candidates = [
            [Space((parameter,)).parameter_values(drawn)[0] for drawn in boundary_values(parameter)]
            for parameter in space.parameters
        ]
        self._reference = self._merge_reference()

    def check(self, report: ProblemReport) -> int:
        """Report problems, and return the most epochs that a trial can have; 0 if none is valid."""
        seen: set[ConfigProblem] = set()
        unexplained: Sequence[ConfigProblem] = ()
        can_compare = True
        for indices in index_combinations([len(values) for values in self._candidates], ALL_COMBINATIONS):
            values = [candidates[i] for i, candidates in zip(indices, self._candidates, strict=True)]
            varied = [i for i, index in enumerate(indices) if index]
            found = [problem for problem in self._problems(values, varied) if not self._is_unparsed(problem)]
            problems = [problem for problem in found if problem not in seen]
            seen.update(problems)
            if not varied:
                reference, unexplained, can_compare = values, problems, self.max_epochs > 0
                continue
            if len(varied) == 1 and not found:  # then the first value of this parameter is the cause
                _report_problems(report, unexplained, [reference[varied[0]]])
                unexplained = ()
            _report_problems(report, problems, [values[i] for i in varied] if can_compare else [])
        _report_problems(report, unexplained, [])
        return self.max_epochs

    def _merge_reference(self) -> MapNode | None:
        """Return the run with the first value of each parameter; None if it cannot be merged."""
        try:
            return merge_values(self.base, [candidates[0] for candidates in self._candidates], ProblemReport())
        except ConfigError:
            return None

    def _problems(self, values: Sequence[ParameterValue], varied: Sequence[int]) -> Sequence[ConfigProblem]:
        try:
            if self._reference is not None and all(map(self._is_replaceable, varied)):
                run = trial_run_config(self._reference, values, changed=[values[i] for i in varied])
            else:
                run = trial_run_config(self.base, values)
        except ConfigError as error:
            return error.problems
        self.max_epochs = max(self.max_epochs, run.fit.epochs)
        return [] if self.settings is None else list(self._unavailable_objectives(run, self.settings))

    def _is_replaceable(self, index: int) -> bool:
        """Return True if a value of a parameter can be merged over the reference as well as into the base.

        Not a mapping, which is merged with the previous value, nor a kind, because another one replaces its mapping.
        """
        is_kind = self.space.parameters[index].path[-1] == "kind"
        return not is_kind and not any(isinstance(value.node, MapNode) for value in self._candidates[index])

    def _unavailable_objectives(self, run: RunConfig, settings: SweepConfig) -> Iterator[ConfigProblem]:
        for path, metric in objective_paths(settings):
            if metric != "parameters" and (reason := run.monitor_problem(metric)):
                node, location = find_node(self.tree, path)
                yield ConfigProblem(format_path(path), reason, node.location if node else location)

    def _is_unparsed(self, problem: ConfigProblem) -> bool:
        return any(
            f"{problem.path}.".startswith(f"{path}.") or f"{path}.".startswith(f"{problem.path}.")
            for path in self.unparsed
        )


def objective_paths(settings: SweepConfig) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the path in the file of each objective's metric, and the metric."""
    has_several = isinstance(settings.objective, tuple)
    for i, objective in enumerate(settings.objectives):
        index = (i,) if has_several else ()
        yield ("sweep", "objective", *index, "maximize" if objective.maximize else "minimize"), objective.metric


def _report_problems(
    report: ProblemReport, problems: Sequence[ConfigProblem], varied: Sequence[ParameterValue]
) -> None:
    for problem in problems:
        attributed = _attribute_problem(problem, varied)
        report.add(attributed.path, attributed.message, attributed.location)


def _attribute_problem(problem: ConfigProblem, varied: Sequence[ParameterValue]) -> ConfigProblem:
    """Move a problem that only some trials have to the value that causes it."""
    if not varied or problem.path.startswith("sweep.search"):
        return problem
    *others, last = varied
    beside = "".join(f" and {format_path(other.source.value)}" for other in others)
    message = f"with this{beside}, {problem.path}: {problem.message}"
    return ConfigProblem(format_path(last.source.value), message, last.node.location)


def check_compatibility(
    settings: SweepConfig,
    space: Space,
    unparsed: Sequence[tuple[str, ...]],
    max_epochs: int,
    tree: MapNode,
    report: ProblemReport,
) -> None:
    """Report settings that cannot be combined.

    Args:
        settings: the settings of the sweep.
        space: the valid parameters.
        unparsed: the paths of the other parameters, whose problems were reported.
        max_epochs: the most epochs that a trial can have; 0 if it is unknown.
        tree: the whole file.
        report: collects the problems.
    """
    problems = [
        *_check_objectives(settings),
        *_check_sampler(settings, space),
        *_check_grid(settings, space),
        *_check_stratify(settings, space, [format_path(path) for path in unparsed]),
        *_check_pruner(settings, max_epochs),
    ]
    for path, message in problems:
        node, location = find_node(tree, path)
        report.add(format_path(path), message, node.location if node else location)


def _check_objectives(settings: SweepConfig) -> Iterator[tuple[KeyPath, str]]:
    seen = set()
    for path, metric in objective_paths(settings):
        if metric in seen:
            yield path, f"{metric} is given twice; keep one"
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
        yield ("sweep", "trials"), "required; only a grid has a fixed number of points"


def _check_grid(settings: SweepConfig, space: Space) -> Iterator[tuple[KeyPath, str]]:
    if not isinstance(settings.sampler, Grid):
        return
    for parameter in all_parameters(space.parameters):
        distribution = parameter.distribution
        if isinstance(distribution, Distribution) and distribution.count is None:
            remedy = "give it a step, or write a choice" if isinstance(distribution, Uniform) else "write a choice"
            yield parameter.written_path, f"{distribution.keyword} has no points for a grid; {remedy}"
    if space.size is not None and space.size > MAX_GRID:
        points = f"{space.size:,}" if space.size < _MAX_SHOWN_SIZE else f"more than {_MAX_SHOWN_SIZE:,}"
        yield _SAMPLER_PATH, f"the grid has {points} points, the limit is {MAX_GRID:,}; use another sampler"


def _check_stratify(settings: SweepConfig, space: Space, unparsed: Sequence[str]) -> Iterator[tuple[KeyPath, str]]:
    path: KeyPath = ("sweep", "stratify")
    wanted = settings.stratify
    if wanted is None or wanted in unparsed:
        return
    choices = [each.name for each in space.parameters if isinstance(each.distribution, ParsedChoice)]
    if isinstance(settings.sampler, Grid):
        yield path, "a grid tries every point; remove stratify, or use another sampler"
    elif wanted not in choices:
        guess = nearest(wanted, choices)
        known = f"the choices are {', '.join(choices)}" if choices else "sweep.search has no choice"
        remedy = f"did you mean {guess}?" if guess else known
        yield path, f"must be the path of a choice in sweep.search, got {describe(wanted)}; {remedy}"


def _check_pruner(settings: SweepConfig, max_epochs: int) -> Iterator[tuple[KeyPath, str]]:
    pruner, objectives = settings.pruner, settings.objectives
    if isinstance(pruner, NoPruner):
        return
    if len(objectives) > 1:
        yield (
            _PRUNER_PATH,
            f"{pruner.kind} compares trials by one objective, got {len(objectives)}; remove the pruner",
        )
    elif objectives[0].metric == "parameters":
        message = f"{pruner.kind} compares trials by epoch, but parameters never changes; remove the pruner"
        yield _PRUNER_PATH, message
    if isinstance(pruner, ASHA | Hyperband) and 0 < max_epochs < pruner.min_epochs:
        message = f"must be at most {max_epochs}, the epochs of the longest trial, got {pruner.min_epochs}"
        yield ("sweep", "pruner", "min_epochs"), message
