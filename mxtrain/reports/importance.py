"""Which of the searched values mattered: Optuna's PED-ANOVA over the trials that have ended."""

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from mxtrain.reports.dimensions import Dimension
from mxtrain.reports.sweep_facts import SweepFacts
from mxtrain.sweeps.quiet import quiet

ENOUGH = 10
"""Trials that must have ended before anything is said."""
_TOP = 5
"""Trials that must be complete, and be compared with the rest."""
_FEW = 12
"""Numbers that are taken for a choice, where they are drawn again and again."""


def importances(sweep: SweepFacts, objective: int = 0) -> dict[str, float]:
    """How much each value decided whether a trial came to be among the best ones; shares, the largest first.

    Trials that were pruned or failed count as worse than all that are complete: their values tell as much of what is
    bad. Empty where too few trials have ended, or nothing differs between them; and for the count of `parameters`,
    which is no matter of trial.
    """
    if sweep.objectives[objective].metric == "parameters":
        return {}
    ended = sweep.counted("complete", "pruned", "failed")
    complete = sweep.ranked(objective)
    names = {dimension.name: dimension for dimension in sweep.dimensions if dimension.varies}
    if len(ended) < ENOUGH or len(complete) < _TOP or not names:
        return {}
    sign = -1 if sweep.objectives[objective].maximize else 1
    order = sorted({sign * trial.values[objective] for trial in complete})
    ranks = {trial.number: float(order.index(sign * trial.values[objective])) for trial in complete}
    distributions = {name: _distribution(dimension) for name, dimension in names.items()}
    with quiet():
        study = optuna.create_study()
        for trial in ended:
            params = {name: it.values[trial.number] for name, it in names.items() if trial.number in it.values}
            study.add_trial(
                optuna.create_trial(
                    value=ranks.get(trial.number, float(len(order))),
                    params=params,
                    distributions={name: distributions[name] for name in params},
                )
            )
        evaluator = PedAnovaImportanceEvaluator(target_quantile=top(sweep) / len(ended))
        found = get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()} if sum(found.values()) > 0 else {}


def top(sweep: SweepFacts) -> int:
    """How many trials are the best: a quarter, or the better half of those that are complete where these are few."""
    ended, complete = sweep.counted("complete", "pruned", "failed"), sweep.counted("complete")
    return max(_TOP, min(len(ended) // 4, len(complete) // 2))


def _distribution(dimension: Dimension) -> BaseDistribution:
    if dimension.scale == "words":
        return CategoricalDistribution(dimension.words)
    numbers, few = dimension.numbers, sorted(set(dimension.numbers))
    if 3 * len(few) <= len(numbers) and len(few) <= _FEW:  # in a density they would be peaks with nothing between
        return CategoricalDistribution(few)
    return FloatDistribution(min(numbers), max(numbers), log=dimension.scale == "log")
