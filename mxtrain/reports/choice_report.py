"""Section on a conditional parameter: its options ranked, the criterion for their differences, and charts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mxtrain.formatting import format_count, format_number, format_objective
from mxtrain.reports.charts import Chart
from mxtrain.reports.choice_charts import curves_chart, number_inside, sensitivity_charts, trials_chart
from mxtrain.reports.sweep_data import SweepData, value_of
from mxtrain.sweeps import ChoiceRanking, RankedOption, chance_of_excess


@dataclass(frozen=True, slots=True)
class ChoiceSection:
    """The section on one choice.

    Attributes:
        name: the parameter.
        table: the columns and rows of the ranking.
        notes: the criterion for differences, and the limits of the comparison.
        charts: all trials by option, and the learning curves of the best ones.
        sensitivity: the objective against one number inside of each option.
        sensitivity_note: the explanation of these charts.
        plotted: the names of the dimensions that these charts show.
    """

    name: str
    table: Mapping[str, Any]
    notes: Sequence[str]
    charts: Sequence[Chart]
    sensitivity: Sequence[Chart]
    sensitivity_note: str
    plotted: Sequence[str]


def choice_sections(sweep: SweepData) -> list[ChoiceSection]:
    """Return a section for each conditional parameter of which an option has a complete trial."""
    rankings = [ranking for ranking in sweep.rankings if ranking.options[0].best is not None]
    return [_section(sweep, ranking, f"choice-{i + 1}") for i, ranking in enumerate(rankings)]


def describe_ranking(ranking: ChoiceRanking) -> str:
    """Describe the first option and those within the spread in one sentence; empty without a complete trial."""
    first = ranking.options[0]
    if first.best is None:
        return ""
    text = f"By the best trial of each, {first.label} is the first of {len(ranking.options)} values of {ranking.name}"
    if not ranking.seeds:
        return f"{text}; with one seed, the spread is not known."
    close = [option.label for option in ranking.close_options]
    if not close:
        return f"{text}, and the others are behind by more than the spread over the seeds."
    return f"{text}; within the spread over the seeds: {', '.join(close)}."


def _section(sweep: SweepData, ranking: ChoiceRanking, key: str) -> ChoiceSection:
    numbers = {
        option.label: number
        for option in ranking.options
        if (number := number_inside(sweep, ranking, option)) is not None
    }
    charts = [trials_chart(sweep, ranking, key), curves_chart(ranking, key)]
    return ChoiceSection(
        name=ranking.name,
        table={"columns": _columns(ranking), "rows": _rows(ranking)},
        notes=[_criterion(ranking, len(sweep.objectives) > 1), _limits(ranking)],
        charts=[chart for chart in charts if chart is not None],
        sensitivity=sensitivity_charts(sweep, ranking, numbers, key),
        sensitivity_note=(
            f"One dot for each trial, the best one in orange; the vertical axis is the same for all values of "
            f"{ranking.name}. Other searched numbers differ between the dots too."
        ),
        plotted=[ranking.name, *(number.name for number in numbers.values())],
    )


def _columns(ranking: ChoiceRanking) -> list[str]:
    trials = [] if _trials_each(ranking) else ["trials"]
    compared = ["behind the first", "within the spread"] if ranking.seeds else []
    return ["best", "trial", "median", *trials, *compared]


def _trials_each(ranking: ChoiceRanking) -> int:
    """Return the number of trials of every option, if all are complete and no option has more; otherwise 0."""
    numbers = {option.ended for option in ranking.options} | {option.count("complete") for option in ranking.options}
    return numbers.pop() if len(numbers) == 1 else 0


def _rows(ranking: ChoiceRanking) -> dict[str, list[str]]:
    return {option.label: _cells(ranking, option) for option in ranking.options}


def _cells(ranking: ChoiceRanking, option: RankedOption) -> list[str]:
    metric, best, comparison = ranking.objective.metric, option.best, option.comparison
    states = [f"{number} {state}" for state in ("pruned", "failed") if (number := option.count(state))]
    spread = f" ± {format_number(best.std_over_seeds[0])}" if best is not None and best.std_over_seeds else ""
    cells = {
        "best": "–" if best is None else f"{format_objective(metric, value_of(best))}{spread}",
        "trial": "–" if best is None else str(best.number),
        "median": "–" if option.median is None else format_objective(metric, option.median),
        "trials": ", ".join([str(option.ended), *states]),
        "behind the first": "–",
        "within the spread": "–",
    }
    if comparison is not None:
        seeds = f"{comparison.losses} of {comparison.seeds} seeds"
        cells["behind the first"] = f"{format_number(comparison.difference)}, {seeds}"
        cells["within the spread"] = "yes" if comparison.is_within_spread else "no"
    return [cells[column] for column in _columns(ranking)]


def _criterion(ranking: ChoiceRanking, has_several_objectives: bool) -> str:
    first = ", the first objective," if has_several_objectives else ""
    if not ranking.seeds:
        return (
            f"Ranked by {ranking.objective.metric}{first} of the best trial. With one seed the spread is not known, "
            "and no difference can be judged; sweep.seeds trains each trial with several."
        )
    chance = f"{100 * chance_of_excess(ranking.seeds):.0f}%"
    return (
        f"Ranked by {ranking.objective.metric}{first} of the best trial: the mean ± the standard deviation over its "
        f"{format_count(ranking.seeds, 'seed')}. Behind the first: the difference of the means, and the number of "
        "seeds with which the first is better. A difference is within the spread unless it is larger than the pooled "
        "standard deviation over the seeds of both trials, √((s₁² + s₂²)/2), and the first is better with every seed. "
        "This is a description, not a test of significance: two equally good choices differ by more than the pooled "
        f"deviation in about {chance} of comparisons with {format_count(ranking.seeds, 'seed')}, and this table makes "
        f"{format_count(len(ranking.options) - 1, 'comparison')}."
    )


def _limits(ranking: ChoiceRanking) -> str:
    ended = {option.ended for option in ranking.options}
    budget = f"Each choice has {format_count(min(ended), 'trial')}. " if _trials_each(ranking) else ""
    if len(ended) > 1:
        budget = "Choices with more trials have an advantage; sweep.stratify gives all the same number. "
    return (
        f"{budget}"
        "The best trials are chosen by the values in this table, so they look better than they would on new data. The "
        "median is over all trials of a choice, of which pruned and failed ones count as the worst: it is the result "
        "of settings that are drawn and not tuned."
    )
