"""Decision thresholds of classifiers of two classes."""

from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from mxtrain.types import choice_message, describe_argument

ThresholdMetric = Literal["balanced_accuracy", "f1"]
THRESHOLD_CHOICES = ("fitted", *get_args(ThresholdMetric))
"""Ways to choose a threshold; `fitted` is another name of `balanced_accuracy`."""
Threshold: TypeAlias = float | Literal["fitted", "balanced_accuracy", "f1"]
"""A probability, or the metric by which it is chosen on the validation data."""


def check_threshold(threshold: object) -> float | ThresholdMetric:
    """Return a threshold, or the metric by which it is to be chosen; a ValueError for anything else.

    >>> check_threshold(0.3), check_threshold("fitted")
    (0.3, 'balanced_accuracy')
    """
    if isinstance(threshold, str):
        if threshold not in THRESHOLD_CHOICES:
            raise ValueError(f"threshold: {choice_message(THRESHOLD_CHOICES, threshold)}")
        return "f1" if threshold == "f1" else "balanced_accuracy"
    if isinstance(threshold, int | float | np.integer | np.floating) and 0 < threshold < 1:
        return float(threshold)  # no boolean is between 0 and 1
    names = ", ".join(THRESHOLD_CHOICES)
    got = describe_argument(threshold)
    raise ValueError(f"threshold: must be a number above 0 and below 1, or one of {names}, got {got}")


def best_threshold(
    scores: NDArray[np.floating],
    targets: NDArray[np.int64],
    metric: ThresholdMetric,
    weights: NDArray[np.float64] | None = None,
) -> float:
    """Return the threshold that maximizes a metric of two classes; a score at or above it is of class 1.

    All thresholds between different scores are compared. It is halfway between two scores; of equally good thresholds,
    the one nearest to 0.5 is returned.

    Args:
        scores: (n,), the probability of class 1 of each sample.
        targets: (n,), the classes, 0 or 1, with at least one sample of each.
        metric: `f1` of class 1, or `balanced_accuracy`, the mean recall of both classes.
        weights: (n,), the weights of the samples; left out, each counts 1.

    Example:
        >>> best_threshold(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 0, 1, 1]), "f1")
        0.25
    """
    exact = scores.astype(np.float64)
    order = np.argsort(-exact, kind="stable")
    ordered, positive = exact[order], targets[order] == 1
    weight = np.ones(len(ordered)) if weights is None else weights[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    hits, alarms = np.cumsum(weight * positive)[last], np.cumsum(weight * ~positive)[last]
    positives, negatives = hits[-1], alarms[-1]
    if metric == "f1":
        values = 2 * hits / (hits + alarms + positives)
    else:
        values = (hits / positives + 1 - alarms / negatives) / 2
    upper, lower = ordered[last], np.append(ordered[last][1:], 0.0)
    middle = (upper + lower) / 2
    thresholds = np.where(middle > lower, middle, upper)  # adjacent numbers have no number between them
    best = np.flatnonzero(values == values.max())
    return float(thresholds[best[np.abs(thresholds[best] - 0.5).argmin()]])
