"""Ranking of the options of conditional parameters, such as optimizers that have hyperparameters of their own.

The criterion for a difference between two options is descriptive: it compares their best trials seed by seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import atan, cos, sin, sqrt
from statistics import fmean
from typing import Any

from mxtrain.config import Objective
from mxtrain.sweeps.trial_result import TrialResult
from mxtrain.types import describe


@dataclass(frozen=True, slots=True)
class Comparison:
    """The best trial of an option compared with that of the first option.

    Attributes:
        difference: the difference of their values, above 0 if the first option is better.
        spread: the pooled standard deviation of both over the seeds, √((s₁² + s₂²)/2).
        seeds: the number of seeds.
        losses: the number of seeds with which the first option is better.
    """

    difference: float
    spread: float
    seeds: int
    losses: int

    @property
    def is_within_spread(self) -> bool:
        """True unless the difference exceeds the spread and the first option is better with every seed."""
        return self.difference <= self.spread or self.losses < self.seeds


@dataclass(frozen=True, slots=True)
class RankedOption:
    """One option of a choice.

    Attributes:
        label: the option.
        trials: its trials, in the order of their numbers.
        best: its best complete trial, the first of equal ones; None without one.
        median: the median over its ended trials, of which pruned and failed ones count as the worst; None if it is
            none of the complete ones.
        comparison: the comparison with the first option; None for that option, and without several seeds.
    """

    label: str
    trials: tuple[TrialResult, ...]
    best: TrialResult | None
    median: float | None
    comparison: Comparison | None = None

    @property
    def ended(self) -> int:
        """The number of its trials that are complete, pruned or failed."""
        return sum(trial.has_ended for trial in self.trials)

    def count(self, state: str) -> int:
        """Return the number of trials in a state."""
        return sum(trial.state == state for trial in self.trials)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of results.json."""
        entry: dict[str, Any] = {
            "choice": self.label,
            "trials": self.ended,
            "complete": self.count("complete"),
            "best": self.best and self.best.number,
            "value": self.best and _value(self.best),
            "median": self.median,
        }
        if self.best is not None and self.best.std_over_seeds:
            entry["spread"] = self.best.std_over_seeds[0]
        if self.comparison is not None:
            entry["difference"] = self.comparison.difference
            entry["within_spread"] = self.comparison.is_within_spread
        return entry


@dataclass(frozen=True, slots=True)
class ChoiceRanking:
    """The options of one choice, that with the best trial first; those without a complete trial are last.

    Attributes:
        name: the name of the parameter, such as `optimizer`.
        objective: the objective that is compared.
        options: the options, at least two.
    """

    name: str
    objective: Objective
    options: tuple[RankedOption, ...]

    @property
    def seeds(self) -> int:
        """The number of seeds of the best trials that are compared; 0 if none is compared."""
        return max((option.comparison.seeds for option in self.options if option.comparison), default=0)

    @property
    def close_options(self) -> list[RankedOption]:
        """The options after the first whose difference from it is within the spread."""
        return [option for option in self.options if option.comparison and option.comparison.is_within_spread]


def rank_choices(trials: Sequence[TrialResult], objectives: Sequence[Objective]) -> tuple[ChoiceRanking, ...]:
    """Rank the options of each conditional parameter, by the first objective.

    A parameter is conditional if values are drawn only with one of its options: `optimizer`, if there is
    `optimizer[sgd].μ`.

    Args:
        trials: the trials of a sweep, in the order of their numbers.
        objectives: its objectives.

    Returns:
        The rankings of the parameters of which at least two options have been drawn, in the order of the file.
    """
    names = list(dict.fromkeys(name for trial in trials for name in trial.sampler_params))
    nested = [name for name in names if "[" in name]
    conditional = [name for name in names if any(other.startswith(f"{name}[") for other in nested)]
    rankings = [_rank(name, trials, objectives[0]) for name in conditional]
    return tuple(ranking for ranking in rankings if len(ranking.options) > 1)


def chance_of_excess(seeds: int) -> float:
    """Return how often the means of two equally good options differ by more than the pooled standard deviation.

    The probability of |T| > √(n/2) for Student's t with 2n-2 degrees of freedom, for n independent normal values of
    each option.

    >>> round(chance_of_excess(2), 3), round(chance_of_excess(3), 3), round(chance_of_excess(10), 3)
    (0.423, 0.288, 0.038)
    """
    degrees = 2 * seeds - 2
    angle = atan(sqrt(seeds / 2 / degrees))
    term = total = 1.0
    for i in range(1, degrees // 2):
        term *= (2 * i - 1) / (2 * i) * cos(angle) ** 2
        total += term
    return 1 - sin(angle) * total


def _rank(name: str, trials: Sequence[TrialResult], objective: Objective) -> ChoiceRanking:
    sign = -1.0 if objective.maximize else 1.0
    of_label: dict[str, list[TrialResult]] = {}
    for trial in trials:
        if name in trial.sampler_params:
            label = trial.sampler_params[name]
            of_label.setdefault(label if isinstance(label, str) else describe(label), []).append(trial)
    options = [
        RankedOption(label, tuple(group), _best(group, sign), _median(group, sign)) for label, group in of_label.items()
    ]
    options.sort(key=lambda option: (option.best is None, option.best and sign * _value(option.best)))
    first = options[0].best if options else None
    compared = [options[0], *(_compared(option, first, sign) for option in options[1:])]
    return ChoiceRanking(name, objective, tuple(compared))


def _best(trials: Sequence[TrialResult], sign: float) -> TrialResult | None:
    complete = [trial for trial in trials if trial.state == "complete"]
    return min(complete, key=lambda trial: sign * _value(trial), default=None)


def _median(trials: Sequence[TrialResult], sign: float) -> float | None:
    ended = sum(trial.has_ended for trial in trials)
    values = sorted((_value(trial) for trial in trials if trial.state == "complete"), key=lambda value: sign * value)
    middle = {(ended - 1) // 2, ended // 2}
    return fmean(values[i] for i in middle) if ended and max(middle) < len(values) else None


def _compared(option: RankedOption, first: TrialResult | None, sign: float) -> RankedOption:
    """Return an option with its comparison with the best trial of the first option, if both have several seeds."""
    best = option.best
    if first is None or best is None or not (first.std_over_seeds and best.std_over_seeds):
        return option
    pairs = list(zip(first.values_by_seed, best.values_by_seed, strict=False))
    spread = sqrt((first.std_over_seeds[0] ** 2 + best.std_over_seeds[0] ** 2) / 2)
    losses = sum(sign * (other[0] - one[0]) > 0 for one, other in pairs)
    comparison = Comparison(sign * (_value(best) - _value(first)), spread, len(pairs), losses)
    return RankedOption(option.label, option.trials, best, option.median, comparison)


def _value(trial: TrialResult) -> float:
    assert trial.values is not None, "complete trials have values"
    return trial.values[0]
