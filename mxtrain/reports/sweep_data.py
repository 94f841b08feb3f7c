"""Data of a sweep report: trials, searched dimensions and the importance of their values."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from mxtrain.atomic_io import read_file
from mxtrain.config import Objective, read_sweep
from mxtrain.config.search.distributions import Distribution, Int, LogUniform
from mxtrain.config.search.space import Parameter, ParsedChoice, Space, all_parameters
from mxtrain.errors import ConfigError
from mxtrain.formatting import format_value as format_config_value
from mxtrain.reports.charts import Value, literal
from mxtrain.sweeps import ChoiceRanking, SweepFolder, TrialResult, rank_choices
from mxtrain.sweeps.run_sweep import silence_optuna
from mxtrain.sweeps.trial_result import TrialState
from mxtrain.training import Row
from mxtrain.training.run_folder.history import read_history
from mxtrain.types import describe

Scale = Literal["linear", "log", "words"]
STATES: tuple[TrialState, ...] = ("complete", "pruned", "failed", "running", "waiting")
MIN_TRIALS, MIN_COMPLETE = 10, 5
"""Smallest numbers of ended and of complete trials for which importances are computed."""
_MIN_LOG_RATIO = 50.0
"""Smallest ratio of the extreme values at which a logarithmic scale is assumed, if the config is unreadable."""
_MAX_CATEGORIES = 12
"""Largest number of distinct values for which repeated numbers are treated as categories."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """One searched value.

    Attributes:
        name: its path; inside of a choice, with the choice that it belongs to, as in `optimizer[adam].η`.
        scale: the scale of its axis; `words` for categories.
        words: the categories in the order of the file, for `words`.
        values: its values, by the numbers of the trials that use it.
    """

    name: str
    scale: Scale
    words: tuple[str, ...]
    values: Mapping[int, Value]

    @property
    def numbers(self) -> list[float]:
        """The values that are numbers."""
        return [value for value in self.values.values() if not isinstance(value, str)]

    @property
    def varies(self) -> bool:
        """True if trials differ in the value."""
        return len(set(self.values.values())) > 1


@dataclass(frozen=True, slots=True)
class SweepData:
    """Everything that the report of a sweep shows.

    Attributes:
        path: the sweep's folder.
        name: its name.
        objectives: its objectives.
        trials: the trials in the order of their numbers.
        total: the planned number of trials.
        dimensions: the searched values in the order of the file.
        histories: the metrics of each epoch, by number of the trial; of its first seed.
        front: the numbers of the complete trials on the Pareto front.
        file: the text of sweep.yaml.
    """

    path: Path
    name: str
    objectives: tuple[Objective, ...]
    trials: tuple[TrialResult, ...]
    total: int
    dimensions: tuple[Dimension, ...]
    histories: Mapping[int, list[Row]]
    front: tuple[int, ...]
    file: str

    def in_state(self, *states: TrialState) -> list[TrialResult]:
        """Return the trials in one of some states."""
        return [trial for trial in self.trials if trial.state in states]

    def ranked(self, objective: int = 0) -> list[TrialResult]:
        """Return the complete trials, the best by an objective first."""
        sign = -1 if self.objectives[objective].maximize else 1
        return sorted(self.in_state("complete"), key=lambda trial: (sign * value_of(trial, objective), trial.number))

    def nested(self, dimension: Dimension) -> list[Dimension]:
        """Return the searched values inside of a choice."""
        prefixes = f"{dimension.name}[", f"{dimension.name}."
        return [other for other in self.dimensions if other.name.startswith(prefixes)]

    @property
    def rankings(self) -> tuple[ChoiceRanking, ...]:
        """The rankings of the options of each conditional parameter."""
        return rank_choices(self.trials, self.objectives)

    @property
    def best(self) -> list[TrialResult]:
        """The best trial; with several objectives, the trials on the Pareto front."""
        if len(self.objectives) == 1:
            return self.ranked()[:1]
        return [trial for trial in self.trials if trial.number in self.front]


def read_sweep_data(path: Path) -> SweepData:
    """Read the folder of a sweep.

    Raises:
        SweepError: it has no results yet, or damaged ones.
    """
    folder = SweepFolder(path)
    result = folder.read_results()
    try:
        dimensions = searched_dimensions(read_sweep(folder.file).space, result.trials)
    except (ConfigError, LookupError):  # the data may be missing, or the file be of another version
        dimensions = inferred_dimensions(result.trials)
    return SweepData(
        path=path,
        name=result.name,
        objectives=result.objectives,
        trials=result.results,
        total=result.total,
        dimensions=dimensions,
        histories={trial.number: read_history(trial.run_dir) for trial in result.results},
        front=tuple(row["number"] for row in result.front),
        file=read_file(folder.file).decode(errors="replace"),
    )


def seed_histories(trial: TrialResult) -> list[list[Row]]:
    """Read the metrics of each epoch, for each seed of a trial."""
    first = trial.run_dir
    folders = [first.with_name(f"seed-{i}") for i in range(len(trial.values_by_seed))]
    return [read_history(folder) for folder in (folders if first.name == "seed-0" else [first])]


def value_of(trial: TrialResult, objective: int = 0) -> float:
    """Return the value of a trial that has one: a complete trial, or a pruned one at its last rung."""
    assert trial.values is not None
    return trial.values[objective]


def searched_dimensions(space: Space, rows: Sequence[Mapping[str, Any]]) -> tuple[Dimension, ...]:
    """Return the dimensions of a search space with the values of the trials.

    Raises:
        LookupError: the rows belong to another search space.
    """
    found = (_searched_dimension(parameter, rows) for parameter in all_parameters(space.parameters))
    return tuple(dimension for dimension in found if dimension.values)


def inferred_dimensions(rows: Sequence[Mapping[str, Any]]) -> tuple[Dimension, ...]:
    """Infer the dimensions from the rows of the trials alone."""
    paths = list(dict.fromkeys(path for row in rows for path in row["params"]))
    return tuple(_inferred_dimension(path, paths, rows) for path in paths)


def format_value(value: object) -> str:
    """Format a value with the precision of a report.

    >>> format_value([64, 64]), format_value(0.00123456789)
    ('[64, 64]', '0.001235')
    """
    return format_config_value(value, digits=4)


def is_wide(values: Sequence[float], objective: Objective) -> bool:
    """Return whether values need a logarithmic axis: positive ones that are minimized and span orders of magnitude."""
    return not objective.maximize and len(values) > 1 and min(values) > 0 and max(values) > 20 * min(values)


def importances(sweep: SweepData, objective: int = 0) -> dict[str, float]:
    """Compute how much each value decided whether a trial is among the best.

    Pruned and failed trials rank below all complete ones, because their values tell as much about what is bad.

    Returns:
        The shares, the largest first. Empty if too few trials have ended or nothing differs between them, and for the
        objective `parameters`, which follows from the config.
    """
    if sweep.objectives[objective].metric == "parameters":
        return {}
    names = {literal(dimension.name): dimension.name for dimension in sweep.dimensions if dimension.varies}
    ended = sweep.in_state("complete", "pruned", "failed")
    if len(ended) < MIN_TRIALS or len(sweep.in_state("complete")) < MIN_COMPLETE or not names:
        return {}
    with silence_optuna():
        found = get_param_importances(importance_study(sweep, objective), evaluator=importance_evaluator(sweep))
    return {names[name]: float(share) for name, share in found.items()} if sum(found.values()) > 0 else {}


def trial_ranks(sweep: SweepData, objective: int = 0) -> dict[int, int]:
    """Return the ranks of the ended trials, 0 for the best; pruned and failed trials share the last rank."""
    distinct = list(dict.fromkeys(value_of(trial, objective) for trial in sweep.ranked(objective)))
    rank_of = {value: rank for rank, value in enumerate(distinct)}
    return {
        trial.number: rank_of[value_of(trial, objective)] if trial.state == "complete" else len(distinct)
        for trial in sweep.in_state("complete", "pruned", "failed")
    }


def importance_study(sweep: SweepData, objective: int = 0) -> optuna.Study:
    """Create an Optuna study of the ended trials that minimizes their ranks; texts are escaped for Plotly."""
    ranks = trial_ranks(sweep, objective)
    dimensions = {literal(dimension.name): dimension for dimension in sweep.dimensions if dimension.varies}
    distributions = {name: _distribution(dimension) for name, dimension in dimensions.items()}
    with silence_optuna():
        study = optuna.create_study()
        for trial in sweep.in_state("complete", "pruned", "failed"):
            used = {
                name: dimension.values[trial.number]
                for name, dimension in dimensions.items()
                if trial.number in dimension.values
            }
            study.add_trial(
                optuna.create_trial(
                    value=float(ranks[trial.number]),
                    params={name: literal(value) if isinstance(value, str) else value for name, value in used.items()},
                    distributions={name: distributions[name] for name in used},
                )
            )
    return study


def importance_evaluator(sweep: SweepData) -> PedAnovaImportanceEvaluator:
    """Create the evaluator that compares the best trials with all."""
    ended = sweep.in_state("complete", "pruned", "failed")
    return PedAnovaImportanceEvaluator(target_quantile=number_of_best(sweep) / len(ended))


def number_of_best(sweep: SweepData) -> int:
    """Return how many trials count as the best: a quarter of those that ended, at most half of the complete ones."""
    ended, complete = sweep.in_state("complete", "pruned", "failed"), sweep.in_state("complete")
    return max(MIN_COMPLETE, min(len(ended) // 4, len(complete) // 2))


def _searched_dimension(parameter: Parameter, rows: Sequence[Mapping[str, Any]]) -> Dimension:
    sampled = {row["number"]: row["drawn"][parameter.name] for row in rows if parameter.name in row["drawn"]}
    distribution = parameter.distribution
    if isinstance(distribution, ParsedChoice):
        words = {repr(label): label if isinstance(label, str) else describe(label) for label in distribution.labels}
        values = {number: words[repr(value)] for number, value in sampled.items()}
        return Dimension(parameter.name, "words", tuple(words.values()), values)
    is_log = isinstance(distribution, LogUniform) or (isinstance(distribution, Int) and distribution.log)
    numbers = {number: _number(distribution, value) for number, value in sampled.items()}
    return Dimension(parameter.name, "log" if is_log else "linear", (), numbers)


def _number(distribution: Distribution, sampled: Any) -> float:
    value = distribution.value(sampled)
    assert isinstance(value, int | float), "only choices have other values"
    return value


def _inferred_dimension(path: str, paths: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Dimension:
    inner_paths = [other[len(path) + 1 :] for other in paths if other.startswith(f"{path}.")]
    found = {row["number"]: row["params"][path] for row in rows if path in row["params"]}
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in found.values()):
        low, high = min(found.values()), max(found.values())
        is_log = low > 0 and high > _MIN_LOG_RATIO * low
        return Dimension(path, "log" if is_log else "linear", (), found)
    texts = {number: _format_without(value, inner_paths) for number, value in found.items()}
    return Dimension(path, "words", tuple(sorted(set(texts.values()))), texts)


def _format_without(value: Any, inner_paths: Sequence[str]) -> str:
    """Format a value without what is searched inside of it, which has its own dimension."""
    if not isinstance(value, Mapping):
        return format_value(value)
    rest = json.loads(json.dumps(value))
    for path in inner_paths:
        *parents, last = path.split(".")
        holder: Any = rest
        for name in parents:
            holder = holder.get(name, {}) if isinstance(holder, dict) else {}
        if isinstance(holder, dict):
            holder.pop(last, None)
    return format_value(rest["kind"]) if rest.keys() == {"kind"} else format_value(rest)


def _distribution(dimension: Dimension) -> BaseDistribution:
    if dimension.scale == "words":
        return CategoricalDistribution([literal(word) for word in dimension.words])
    numbers, distinct = dimension.numbers, sorted(set(dimension.numbers))
    # In a density, repeated numbers would be peaks with nothing between them.
    if 3 * len(distinct) <= len(numbers) and len(distinct) <= _MAX_CATEGORIES:
        return CategoricalDistribution(distinct)
    return FloatDistribution(min(numbers), max(numbers), log=dimension.scale == "log")
