"""Shared parts of the charts of a sweep: colors and groups of trials, hover texts, and the initial range of values."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from mxtrain.config import Objective
from mxtrain.formatting import format_number, format_objective
from mxtrain.reports.charts import BLUE, GREY, ORANGE, RED, YELLOW
from mxtrain.reports.sweep_data import SweepData, format_value, is_wide, value_of
from mxtrain.sweeps import TrialResult
from mxtrain.sweeps.trial_result import TrialState

STATE_COLORS: Mapping[TrialState, str] = {
    "pruned": GREY,
    "failed": RED,
    "complete": BLUE,
    "running": YELLOW,
    "waiting": YELLOW,
}
"""The color of each state in all charts, from the back to the front; the style sheet has the same hues for texts."""
BEST_COLOR = ORANGE
_OUTLIER_DISTANCE = 20.0
"""Values further from the median than this multiple of the best value's distance are outside the initial view."""


@dataclass(frozen=True, slots=True)
class TrialGroup:
    """Trials that are drawn alike: those of a state, or the best."""

    name: str
    color: str
    trials: Sequence[TrialResult]
    is_best: bool = False


def trial_groups(sweep: SweepData, trials: Iterable[TrialResult]) -> list[TrialGroup]:
    """Divide trials into those of each state and the best, from the back to the front of a chart."""
    best = {trial.number for trial in sweep.best}
    groups: dict[str, list[TrialResult]] = {state: [] for state in STATE_COLORS}
    front: list[TrialResult] = []
    for trial in trials:
        (front if trial.number in best else groups[trial.state]).append(trial)
    found = [TrialGroup(state, color, groups[state]) for state, color in STATE_COLORS.items()]
    found.append(TrialGroup("best" if len(best) == 1 else "on the front", BEST_COLOR, front, is_best=True))
    return [group for group in found if group.trials]


def trial_values(trials: Iterable[TrialResult], index: int = 0) -> list[float]:
    """Return the values of one objective."""
    return [value_of(trial, index) for trial in trials]


def trial_notes(sweep: SweepData, trials: Iterable[TrialResult]) -> list[str]:
    """Describe trials for their hover texts: values, then each parameter on its own line."""
    return [
        "\n".join(
            [
                describe_trial(sweep, trial),
                *(
                    f"{dimension.name} {format_value(dimension.values[trial.number])}"
                    for dimension in sweep.dimensions
                    if trial.number in dimension.values
                ),
            ]
        )
        for trial in trials
    ]


def describe_trial(sweep: SweepData, trial: TrialResult) -> str:
    """Describe a trial by its number, its state and its values."""
    state = "" if trial.state == "complete" else f", {trial.state}"
    if trial.state == "pruned":
        state += f" after epoch {trial.epochs}"
    if not trial.values:
        return f"trial {trial.number}{state}"
    values = []
    for index, objective in enumerate(sweep.objectives):
        spread = f" ± {format_number(trial.std_over_seeds[index])}" if trial.std_over_seeds else ""
        values.append(f"{objective.metric} {format_objective(objective.metric, value_of(trial, index))}{spread}")
    return f"trial {trial.number}{state}: {', '.join(values)}"


def initial_range(values: Sequence[float], objective: Objective) -> tuple[float, float] | None:
    """Return the range to show at first, if outliers would flatten the rest and no logarithmic axis helps.

    >>> initial_range([1.0, 0.5, 0.5, -1e9], Objective("val_r2", maximize=True))
    (-2.0, 1.225)
    >>> initial_range([0.9, 0.8, 0.7, 0.1], Objective("val_accuracy", maximize=True)) is None
    True
    """
    if len(values) < 3 or is_wide(values, objective):
        return None
    best, middle = (max if objective.maximize else min)(values), median(values)
    worst = (min if objective.maximize else max)(values)
    distance = abs(best - middle)
    if not 0 < _OUTLIER_DISTANCE * distance < abs(worst - middle):
        return None
    sign = -1 if objective.maximize else 1
    ends = middle + sign * 5 * distance, best - sign * 0.45 * distance
    return min(ends), max(ends)


def outlier_note(y_range: tuple[float, float] | None) -> str:
    """Return the note on an initial range that excludes outliers; empty without one."""
    return "Outliers are outside the initial view; a double-click shows them." if y_range else ""
