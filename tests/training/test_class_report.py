"""Confusion matrices, measures by class and thresholds agree with scikit-learn."""

import warnings

import numpy as np
import pytest
from sklearn import metrics

from mxtrain.training.class_report import class_report
from mxtrain.training.thresholds import best_threshold, check_threshold


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize(("k", "n", "absent"), [(2, 40, 0), (5, 200, 2), (30, 60, 3), (3, 1, 1)])
def test_every_measure_is_that_of_scikit_learn(k: int, n: int, absent: int, is_weighted: bool) -> None:
    generator = np.random.default_rng(k)
    targets, predicted = generator.integers(0, k - absent, n), generator.integers(0, k, n)
    weights = generator.uniform(0.1, 3, n) if is_weighted else None
    report = class_report([f"class {i}" for i in range(k)], targets, predicted, weights)
    labels = range(k)
    expected = metrics.confusion_matrix(targets, predicted, labels=labels, sample_weight=weights)
    assert report.matrix == pytest.approx(expected, abs=1e-12)
    assert report.matrix.dtype == (np.float64 if is_weighted else np.int64)
    measures = metrics.precision_recall_fscore_support(
        targets, predicted, labels=labels, sample_weight=weights, zero_division=0
    )
    for found, wanted in zip((report.precision, report.recall, report.f1, report.support), measures, strict=True):
        assert found == pytest.approx(wanted, abs=1e-12)
    for average, means in report.averages().items():
        *wanted, _ = metrics.precision_recall_fscore_support(
            targets, predicted, sample_weight=weights, zero_division=0, average=average
        )
        assert list(means.values()) == pytest.approx(wanted, abs=1e-12)
    assert report.accuracy == pytest.approx(
        metrics.accuracy_score(targets, predicted, sample_weight=weights), abs=1e-12
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that are predicted and do not occur
        balanced = metrics.balanced_accuracy_score(targets, predicted, sample_weight=weights)
    assert report.balanced_accuracy == pytest.approx(balanced, abs=1e-12)


def test_the_most_frequent_errors_come_first() -> None:
    targets, predicted = np.array([0, 0, 0, 1, 2, 2, 2, 2]), np.array([0, 1, 1, 0, 1, 1, 1, 2])
    report = class_report("abc", targets, predicted)
    assert report.confusions(2) == [("c", "b", 3), ("a", "b", 2)]
    assert report.confusions(9) == [("c", "b", 3), ("a", "b", 2), ("b", "a", 1)]
    assert class_report("ab", np.array([0, 1]), np.array([0, 1])).confusions(9) == []


SCORERS = {"f1": metrics.f1_score, "balanced_accuracy": metrics.balanced_accuracy_score}


@pytest.mark.parametrize("metric", SCORERS)
@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_no_other_threshold_has_a_better_metric(metric: str, is_weighted: bool, seed: int) -> None:
    generator = np.random.default_rng(seed)
    n = 50
    targets = (generator.random(n) < 0.2).astype(np.int64)
    targets[:2] = 0, 1
    scores = np.clip(generator.random(n) * 0.5 + 0.3 * targets, 0, 1).round(2 if seed % 2 else 9).astype(np.float32)
    weights = generator.uniform(0.1, 3, n) if is_weighted else None

    def score(threshold: float) -> float:
        return float(SCORERS[metric](targets, (scores >= threshold).astype(int), sample_weight=weights))

    threshold = best_threshold(scores, targets, metric, weights)  # type: ignore[arg-type]
    assert score(threshold) == pytest.approx(max(map(score, [*scores.tolist(), *np.linspace(0, 1, 999)])), abs=1e-12)


def test_a_threshold_lies_between_scores_and_ties_are_nearest_to_one_half() -> None:
    targets = np.array([0, 1, 0, 1])
    assert best_threshold(np.array([0.2, 0.9, 0.2, 0.9]), targets, "f1") == pytest.approx(0.55)
    close = np.array([0.5, np.nextafter(0.5, 1), 0.5, np.nextafter(0.5, 1)])
    assert ((close >= best_threshold(close, targets, "balanced_accuracy")) == targets).all()
    # 1 1 0 1 0 0: the first two or the first four give equal balanced accuracies
    scores, targets = np.array([0.99, 0.98, 0.97, 0.6, 0.4, 0.2]), np.array([1, 1, 0, 1, 0, 0])
    assert best_threshold(scores, targets, "balanced_accuracy") == 0.5


@pytest.mark.parametrize("wrong", [0, 1, -0.1, float("nan"), float("inf"), True, None, "accuracy", [0.5]])
def test_thresholds_are_probabilities_or_names(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"^threshold: must be (a number above 0 and below 1, or )?one of fitted, "):
        check_threshold(wrong)
    assert check_threshold(np.float32(0.25)) == 0.25
