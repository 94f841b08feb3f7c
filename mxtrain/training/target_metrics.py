"""Metrics of each of several targets."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.config import RunConfig
from mxtrain.data import Preprocessing
from mxtrain.nn import build_metric
from mxtrain.types import MetricName


def metrics_by_target(
    names: Iterable[MetricName],
    config: RunConfig,
    preprocessing: Preprocessing,
    outputs: NDArray[Any],
    targets: NDArray[Any],
    mean: NDArray[Any],
    weights: NDArray[Any] | None = None,
) -> dict[str, dict[str, float | None]]:
    """Return metrics of each target alone.

    Args:
        names: the metrics.
        config: the resolved config.
        preprocessing: it has the names and the units of the k targets.
        outputs: (n, k), the outputs of the model.
        targets: (n, k), as the loss takes them.
        mean: (k,), the mean of the targets of the training part.
        weights: (n,), the weights of the samples, or None.
    """
    scale = preprocessing.target_scale
    units = np.ones(targets.shape[1]) if scale is None else np.asarray(scale.scale)
    origins = np.zeros(targets.shape[1]) if scale is None else np.asarray(scale.mean)
    found: dict[str, dict[str, float | None]] = {}
    for index, target in enumerate(preprocessing.target_columns):
        output, truth = np.ascontiguousarray(outputs[:, index : index + 1]), np.ascontiguousarray(targets[:, index])
        measured = found.setdefault(target, {})
        for name in names:
            shift = 0.0 if preprocessing.has_classes else float(mean[index])
            unit, origin = float(units[index]), float(origins[index])
            metric = build_metric(name, config.loss_spec, shift, unit=unit, origin=origin)
            metric.add(output, truth, weights)
            measured[name] = metric.value()
    return found
