"""Rankings of the options of conditional parameters."""

from statistics import fmean

import pytest

from mxtrain.config import Objective
from mxtrain.sweeps import rank_choices
from mxtrain.sweeps.trial_result import TrialResult

LOSS, ACCURACY = Objective("val_loss", maximize=False), Objective("val_accuracy", maximize=True)


def trials(*rows, name="optimizer"):
    """Create trials of `(option, values of each seed)`; a text instead of values is a state without any."""
    results = []
    for number, (option, outcome) in enumerate(rows):
        drawn = {name: option, f"{name}[{option}].η": 0.1}
        if isinstance(outcome, str):
            results.append(TrialResult(number, outcome, {}, drawn))
        else:
            by_seed = tuple((value,) for value in outcome) if len(outcome) > 1 else ()
            results.append(TrialResult(number, "complete", {}, drawn, values=(fmean(outcome),), values_by_seed=by_seed))
    return results


def test_options_are_ranked_by_their_best_trial():
    found = trials(("sgd", [0.5]), ("adam", [0.9]), ("sgd", [0.8]), ("adam", [0.2]), ("lion", "failed"))
    for objective, order, best in ((LOSS, ["adam", "sgd", "lion"], 3), (ACCURACY, ["adam", "sgd", "lion"], 1)):
        [ranking] = rank_choices(found, [objective])
        assert (ranking.name, [option.label for option in ranking.options]) == ("optimizer", order)
        assert ranking.options[0].best.number == best
        assert ranking.options[-1].best is None
        assert ranking.seeds == 0
        assert all(option.comparison is None for option in ranking.options)


@pytest.mark.parametrize(
    ("outcomes", "median"),
    [
        ([[0.1], [0.2], [0.9]], 0.2),
        ([[0.1], [0.2]], pytest.approx(0.15)),
        ([[0.1], "failed", [0.2]], 0.2),
        ([[0.1], "pruned", "failed"], None),
        ([[0.1], [0.3], "pruned", "failed"], None),
        ([[0.1], [0.3], "running", "waiting"], pytest.approx(0.2)),
    ],
)
def test_pruned_and_failed_trials_count_as_the_worst_in_the_median(outcomes, median):
    found = trials(*[("sgd", outcome) for outcome in outcomes], ("adam", [0.5]))
    [ranking] = rank_choices(found, [LOSS])
    assert next(option for option in ranking.options if option.label == "sgd").median == median


@pytest.mark.parametrize(
    ("objective", "first", "second", "is_within", "losses"),
    [
        (LOSS, [0.1, 0.2, 0.3], [0.11, 0.21, 0.31], True, 3),  # smaller than the deviation over the seeds
        (LOSS, [0.1, 0.2, 0.3], [0.3, 0.4, 0.5], False, 3),
        (LOSS, [0.1, 0.1, 0.1], [0.09, 0.5, 0.1], True, 1),  # not with every seed
        (LOSS, [0.1, 0.1, 0.1], [0.1, 0.1, 0.1], True, 0),
        (ACCURACY, [0.9, 0.8, 0.7], [0.6, 0.5, 0.4], False, 3),
        (ACCURACY, [0.9, 0.8, 0.7], [0.89, 0.79, 0.69], True, 3),
    ],
)
def test_a_difference_is_within_the_spread_unless_it_is_larger_and_has_one_sign(
    objective, first, second, is_within, losses
):
    [ranking] = rank_choices(trials(("sgd", second), ("adam", first)), [objective])
    best, other = ranking.options
    if first != second:
        assert (best.label, other.label) == ("adam", "sgd")
    assert best.comparison is None
    assert (other.comparison.is_within_spread, other.comparison.losses) == (is_within, losses)
    assert other.comparison.difference == pytest.approx(abs(fmean(first) - fmean(second)))
    assert [option.label for option in ranking.close_options] == [other.label] * is_within
    assert other.to_dict()["within_spread"] is is_within


def test_only_conditional_parameters_with_several_options_are_ranked():
    plain = [TrialResult(0, "complete", {}, {"model.hidden": "[8]", "optimizer.η": 0.1}, values=(1.0,))]
    assert rank_choices(plain, [LOSS]) == ()
    assert rank_choices(trials(("sgd", [0.1]), ("sgd", [0.2])), [LOSS]) == ()
    assert rank_choices([], [LOSS]) == ()
    inner = trials(("exp", [0.1]), ("null", [0.2]), name="optimizer[adam].η_sched")
    assert [ranking.name for ranking in rank_choices(inner, [LOSS])] == ["optimizer[adam].η_sched"]
