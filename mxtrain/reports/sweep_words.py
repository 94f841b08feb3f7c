"""A sweep in a few sentences."""

from collections.abc import Mapping, Sequence

from mxtrain.numbers import count, duration, short
from mxtrain.reports.dimensions import Dimension, plain
from mxtrain.reports.sweep_facts import STATES, SweepFacts, Trial, told_value


def summary(sweep: SweepFacts, importances: Sequence[Mapping[str, float]]) -> list[str]:
    """How many trials there were, the best of them, what mattered, and what pruning saved."""
    mattered = [
        _mattered(it.metric, shares) for it, shares in zip(sweep.objectives, importances, strict=True) if shares
    ]
    return [part for part in (f"{_trials(sweep)} {_best(sweep)}", " ".join(mattered), _saved(sweep)) if part]


def good_values(sweep: SweepFacts, importance: Mapping[str, float]) -> dict[str, list[str]]:
    """Of each searched value: how much it mattered, what was tried, and what the best quarter and the best have."""
    ranked = sweep.ranked()
    top = ranked[: max(1, len(ranked) // 4)]
    order = sorted(sweep.dimensions, key=lambda it: -importance.get(it.name, 0.0))
    return {
        it.name: [
            f"{importance[it.name]:.0%}" if it.name in importance else "–",
            _span(it, sweep.trials),
            _span(it, top),
            _span(it, ranked[:1]),
        ]
        for it in order
    }


def front_values(sweep: SweepFacts) -> dict[str, list[str]]:
    """The trials on the front, by the first objective: their objectives and what they tried."""
    sign = -1 if sweep.objectives[0].maximize else 1
    return {
        f"trial {trial.number}": [
            *(told_value(it.metric, value) for it, value in zip(sweep.objectives, trial.values, strict=True)),
            *(_span(dimension, [trial]) for dimension in sweep.dimensions),
        ]
        for trial in sorted(sweep.best, key=lambda it: sign * it.values[0])
    }


def listed(trials: Sequence[Trial]) -> str:
    """The numbers of some trials."""
    shown = ", ".join(str(it.number) for it in trials[:12])
    return f"{shown} and {len(trials) - 12} more" if len(trials) > 12 else shown


def _trials(sweep: SweepFacts) -> str:
    counted = {state: len(sweep.counted(state)) for state in STATES}
    told = ", ".join(f"{number} {state}" for state, number in counted.items() if number)
    ended = sum(counted[state] for state in ("complete", "pruned", "failed"))
    if ended < sweep.total:
        return f"{ended} of {count(sweep.total, 'trial')} have ended: {told}." if told else "No trial has begun."
    return f"{count(sweep.total, 'trial')}: {told}."


def _best(sweep: SweepFacts) -> str:
    best = sweep.best
    if not best:
        return "None is complete."
    if len(sweep.objectives) > 1:
        return f"On the Pareto front: {'trial' if len(best) == 1 else 'trials'} {listed(best)}."
    [trial] = best
    metric = sweep.objectives[0].metric
    value = told_value(metric, trial.values[0])
    spread = f" ± {short(trial.spread[0])} over the seeds" if trial.spread else ""
    inside = [it for it in sweep.dimensions if trial.number in it.values]
    params = ", ".join(f"{it.name} {plain(it.values[trial.number])}" for it in inside)
    return f"The best is trial {trial.number}, with {metric} {value}{spread}: {params}."


def _mattered(metric: str, shares: Mapping[str, float]) -> str:
    (first, share), *others = shares.items()
    told = f"For {metric}, {first} mattered most, with {share:.0%} of the importance"
    if not others or others[0][1] < 0.05:
        return f"{told}; nothing else mattered much."
    return f"{told}, then {others[0][0]} with {others[0][1]:.0%}."


def _saved(sweep: SweepFacts) -> str:
    pruned = [it for it in sweep.counted("pruned") if it.epochs]
    longest = max((it.epochs for it in sweep.counted("complete")), default=0)
    spent = sum(it.seconds for it in sweep.trials)
    saved = sum(max(0, longest - it.epochs) * it.seconds / it.epochs for it in pruned)
    if not pruned or not saved:
        return f"Training took {duration(spent)}." if spent else ""
    early = f"Pruning ended {count(len(pruned), 'trial')} early"
    whole = f"of the about {duration(saved + spent)} that training all to the end would have taken"
    return f"{early} and saved {saved / (saved + spent):.0%} {whole}."


def _span(dimension: Dimension, trials: Sequence[Trial]) -> str:
    """Between which values some trials are, or which words they have."""
    values = [dimension.values[it.number] for it in trials if it.number in dimension.values]
    if not values:
        return "–"
    if dimension.scale == "words":
        counts = {word: values.count(word) for word in dimension.words if word in values}
        if len(trials) > 1 and len(counts) > 1 and len(trials) <= len(dimension.values) // 2:
            return ", ".join(f"{word} ({number}×)" for word, number in counts.items())
        return ", ".join(counts)
    numbers = [value for value in values if not isinstance(value, str)]
    low, high = plain(min(numbers)), plain(max(numbers))
    return low if low == high else f"{low} to {high}"
