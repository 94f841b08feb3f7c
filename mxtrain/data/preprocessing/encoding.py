"""Encoding of categories, booleans, dates and text as inputs of a model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.data.preprocessing.feature_problems import unseen_notes
from mxtrain.data.preprocessing.features import (
    UNSEEN,
    BooleanFeature,
    DateFeature,
    Feature,
    OneHotFeature,
    TextFeature,
)


def write_inputs(
    feature: Feature, values: NDArray[Any], labels: Sequence[str], out: NDArray[Any], notes: list[str] | None = None
) -> None:
    """Write the inputs of a feature that is not a number.

    Args:
        feature: the feature.
        values: (n,), indices into `labels`, or days for dates; NaN for missing values.
        labels: the labels of the column; empty for dates.
        out: (n, inputs of the feature), zeros, written.
        notes: receives a message if there are unseen categories.

    Example:
        >>> out = np.zeros((3, 2), dtype=np.float32)
        >>> write_inputs(OneHotFeature("size", ("big", "small")), np.array([0.0, 1.0, 2.0]), ("small", "big", "?"), out)
        >>> out.tolist()
        [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]
    """
    match feature:
        case OneHotFeature():
            codes = feature.encode(values, labels)
            if notes is not None:
                notes.extend(unseen_notes(feature.name, values, labels, codes))
            if len(feature.input_names) == 1:
                codes = np.zeros_like(codes)  # a single input is trained like a bias
            elif feature.grouped:
                codes = np.where(codes == UNSEEN, len(feature.values), codes)
            known = np.flatnonzero(codes >= 0)
            out[known, codes[known]] = 1
        case BooleanFeature():
            codes = feature.encode(values, labels)
            if notes is not None:
                notes.extend(unseen_notes(feature.name, values, labels, codes))
            out[:, 0] = np.where(codes < 0, feature.fill or 0.0, codes)
            if feature.indicator:
                out[:, 1] = codes < 0
        case DateFeature():
            gaps = np.isnan(values)
            parts = feature.encode(np.where(gaps, feature.fill or 0.0, values), out.dtype.name)
            out[:, : parts.shape[1]] = parts
            if feature.indicator:
                out[:, -1] = gaps
        case TextFeature():
            out[...] = feature.encode(values, labels)
