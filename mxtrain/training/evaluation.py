"""A model measured on samples that it is not trained on."""

from collections.abc import Callable, Mapping

from mxtrain.data import Samples, in_order
from mxtrain.models import Metric, Model
from mxtrain.models.custom_loss import CustomLoss
from mxtrain.types import Array

EVALUATION_BATCH = 1024
"""Samples that are evaluated at once; it bounds memory and changes no result beyond rounding."""


def measure(
    model: Model,
    params: Mapping[str, Array],
    part: Samples,
    metrics: Mapping[str, Metric],
    see: Callable[[Array], object] | None = None,
    loss: CustomLoss | None = None,
) -> dict[str, float | None]:
    """The metrics' values on the samples of a part, of which there is at least one; None for one without a value.

    Args:
        model: makes outputs of inputs.
        params: its parameters, by name.
        part: the samples.
        metrics: new ones, by name.
        see: called with the outputs of each batch, in the order of the samples.
        loss: the loss of a custom model; left out, `metrics` contains the loss.
    """
    total = 0.0
    for inputs, targets in in_order(part, EVALUATION_BATCH):
        outputs = model.predict(params, inputs)
        for metric in metrics.values():
            metric.add(outputs, targets)
        if loss is not None:
            total += float(loss(inputs, outputs, targets))
        if see is not None:
            see(outputs)
    values = {name: metric.value() for name, metric in metrics.items()}
    return values if loss is None else {"loss": total / len(part), **values}
