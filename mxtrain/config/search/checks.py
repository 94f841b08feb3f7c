"""Whether every run that a sweep can come to is valid, before the first one starts."""

from collections.abc import Iterator, Sequence

from mxtrain.config.nodes import MapNode, dotted, find
from mxtrain.config.report import Report
from mxtrain.config.run import RunConfig
from mxtrain.config.search.combining import combined
from mxtrain.config.search.section import SweepConfig
from mxtrain.config.search.space import Filled, Space, levels
from mxtrain.config.search.trials import trial_run
from mxtrain.errors import ConfigError, Problem

ALL_COMBINATIONS = 500
"""Up to so many combinations of ends and choices are all tried; of more, each value alone, and pairs of two."""


class TrialChecker:
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
        faulty: Sequence[tuple[str, ...]],
        settings: SweepConfig | None,
    ) -> None:
        self.tree, self.base, self.space, self.settings = tree, base, space, settings
        self.faulty = [dotted(path) for path in faulty]
        self.seen: set[Problem] = set()
        self.max_epochs = 0

    def check(self, report: Report) -> int:
        """Report what is wrong; the most epochs that a trial can have, 0 where none is valid."""
        choices = [levels(parameter) for parameter in self.space.parameters]
        unexplained: Sequence[Problem] = ()
        can_compare = True
        for indices in combined([len(choice) for choice in choices], ALL_COMBINATIONS):
            parts = [choice[i] for i, choice in zip(indices, choices, strict=True)]
            values = self.space.filled({name: value for part in parts for name, value in part.items()})
            varied = [i for i, index in enumerate(indices) if index]
            found = [problem for problem in self._problems(values) if not self._is_of_faulty(problem)]
            problems = [problem for problem in found if problem not in self.seen]
            self.seen.update(problems)
            if not varied:
                reference, unexplained, can_compare = values, problems, self.max_epochs > 0
                continue
            if len(varied) == 1 and not found:  # so it is this one's first value that something was wrong with
                _tell(report, unexplained, [reference[varied[0]]])
                unexplained = ()
            _tell(report, problems, [values[i] for i in varied] if can_compare else [])
        _tell(report, unexplained, [])
        return self.max_epochs

    def _problems(self, values: Sequence[Filled]) -> Sequence[Problem]:
        try:
            run = trial_run(self.base, values)
        except ConfigError as error:
            return error.problems
        self.max_epochs = max(self.max_epochs, run.fit.epochs)
        return [] if self.settings is None else list(self._not_measured(run, self.settings))

    def _not_measured(self, run: RunConfig, settings: SweepConfig) -> Iterator[Problem]:
        for path, metric in objective_paths(settings):
            if metric != "parameters" and (reason := run.why_not_measured(metric)):
                node, place = find(self.tree, path)
                yield Problem(dotted(path), reason, node.location if node else place)

    def _is_of_faulty(self, problem: Problem) -> bool:
        return any(
            f"{problem.path}.".startswith(f"{path}.") or f"{path}.".startswith(f"{problem.path}.")
            for path in self.faulty
        )


def objective_paths(settings: SweepConfig) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where each objective's metric is written, and the metric."""
    several = isinstance(settings.objective, tuple)
    for i, objective in enumerate(settings.objectives):
        below = (i,) if several else ()
        yield ("sweep", "objective", *below, "maximize" if objective.maximize else "minimize"), objective.metric


def _tell(report: Report, problems: Sequence[Problem], varied: Sequence[Filled]) -> None:
    for problem in problems:
        told = _blamed(problem, varied)
        report.add(told.path, told.message, told.location)


def _blamed(problem: Problem, varied: Sequence[Filled]) -> Problem:
    """A problem that only some trials have, at the value that makes the difference."""
    if not varied or problem.path.startswith("sweep.search"):
        return problem
    *others, last = varied
    beside = "".join(f" and {dotted(other.source.value)}" for other in others)
    message = f"with this{beside}, {problem.path}: {problem.message}"
    return Problem(dotted(last.source.value), message, last.node.location)
