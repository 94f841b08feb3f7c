"""Predictions of a model compared with the targets."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.data import PartName
from mxtrain.training.class_report import ClassReport, class_report


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Predictions for some samples, and their targets.

    Attributes:
        part: the name of the part of the run's data; None for other samples.
        targets: (n,), class indices, or numbers in the original unit of the target; (n, k) for k targets.
        predicted: of the same kind and shape.
        metrics: the metrics that `evaluate` returns for the samples.
        samples: the number of samples in each part of the run's data; empty for other samples.
        class_names: the classes in the order of their indices; None for a regression.
        threshold: the probability of the second class from which it is predicted; None for the more likely class.
        weights: (n,), the weights of the samples, which the metrics use; None if all count alike.
        by_target: the metrics of each target alone if there are several; otherwise empty.
    """

    part: PartName | None
    targets: NDArray[Any]
    predicted: NDArray[Any]
    metrics: dict[str, float | None]
    samples: dict[PartName, int]
    class_names: tuple[str, ...] | None = None
    threshold: float | None = None
    weights: NDArray[np.float64] | None = None
    by_target: dict[str, dict[str, float | None]] = field(default_factory=dict)

    def class_report(self) -> ClassReport | None:
        """Return the confusion matrix, and precision, recall and F1 of each class; None for a regression."""
        if self.class_names is None:
            return None
        return class_report(self.class_names, self.targets, self.predicted, self.weights)
