"""A model measured on samples that it is not trained on."""

from collections.abc import Mapping

from mxtrain.data import Samples, in_order
from mxtrain.models import Metric, Model
from mxtrain.types import Array

EVALUATION_BATCH = 1024
"""Samples that are evaluated at once; it bounds memory and changes no result beyond rounding."""


def measure(
    model: Model, params: Mapping[str, Array], part: Samples, metrics: Mapping[str, Metric]
) -> dict[str, float]:
    """The metrics' values on the samples of a part, of which there is at least one.

    Args:
        model: makes outputs of inputs.
        params: its parameters, by name.
        part: the samples.
        metrics: new ones, by name.
    """
    for inputs, targets in in_order(part, EVALUATION_BATCH):
        outputs = model.predict(params, inputs)
        for metric in metrics.values():
            metric.add(outputs, targets)
    return {name: metric.value() for name, metric in metrics.items()}
