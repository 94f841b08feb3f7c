"""Fitting of preprocessing to the training set."""

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import Standardize
from mxtrain.config.run_section import RunConfig
from mxtrain.data.preprocessing.preprocessing import Category, Number, Preprocessing
from mxtrain.data.preprocessing.scalers import Standardization, TargetScale
from mxtrain.data.preprocessing.table import Table
from mxtrain.errors import DataError
from mxtrain.types import Array


def fit_preprocessing(table: Table, rows: NDArray[np.int64], config: RunConfig) -> Preprocessing:
    """Fit to the rows of the training part: means, scales, what fills gaps, and the categories of each column of text.

    Raises:
        DataError: a column has no value in the training part; or targets that are to be standardized are all equal.

    Example:
        >>> table = Table(np.array([[1.0, 0], [3.0, 1], [9.0, 1]]), np.zeros(3), ("age", "size"), "y",
        ...     labels={"size": ("small", "big")})
        >>> run = RunConfig.model_validate({"data": {"source": "a.csv", "target": "y"}, "loss": "squared_error",
        ...     "model": {"kind": "linear"}, "optimizer": {"kind": "sgd"}})
        >>> age, size = fit_preprocessing(table, np.array([0, 1]), run).columns
        >>> age.mean, age.scale, size
        (2.0, 1.0, Category(name='size', values=('big', 'small')))
    """
    inputs = table.inputs[rows]
    is_number = np.array([name not in table.labels for name in table.column_names])
    numbers = inputs if is_number.all() else inputs[:, is_number]
    fills = [None] * numbers.shape[1] if config.data.missing != "mean" else _column_means(numbers, table, is_number)
    if config.data.missing == "mean":
        numbers = np.where(np.isnan(numbers), np.array(fills, dtype=np.float64), numbers)
    fitted = measure(numbers, config.data.resolve().standardize or "features")
    maps = iter(zip(fitted.mean.tolist(), fitted.scale.tolist(), fills, fitted.constant.tolist(), strict=True))
    columns: list[Number | Category] = []
    for index, name in enumerate(table.column_names):
        if name in table.labels:
            columns.append(Category(name, _category_values(inputs[:, index], table.labels[name])))
        else:
            columns.append(Number(name, *next(maps)))
    source, target = config.data.source, table.target_name
    return Preprocessing(
        columns=tuple(columns),
        target=target,
        class_names=table.class_names,
        dtype=config.dtype,
        target_dtype="int64" if config.decoding == "softmax_cross_entropy" else config.dtype,
        unseen=config.data.unseen,
        array=table.column_names[0].rpartition("[")[0] if config.data.has_one_array else None,
        target_scale=TargetScale.fit(table.targets[rows], source, target) if config.data.standardize_target else None,
        class_dtype=table.class_dtype,
    )


def measure(inputs: NDArray[np.float64] | Array, standardize: Standardize) -> Standardization:
    """The map that a config asks for."""
    match standardize:
        case "features" if inputs.shape[1]:
            return Standardization.fit(inputs)
        case "whole" if inputs.shape[1]:
            return Standardization.fit_whole(inputs)
    return Standardization.unchanged(inputs)


def _column_means(numbers: NDArray[np.float64], table: Table, is_number: NDArray[np.bool_]) -> list[float]:
    known = ~np.isnan(numbers)
    counts = known.sum(axis=0)
    if not counts.all():
        name = np.array(table.column_names)[is_number][int(counts.argmin())]
        raise DataError(f"column {str(name)!r} has no value in the training part; leave it out with data.features")
    with np.errstate(over="ignore", invalid="ignore"):
        means = np.where(known, numbers, 0.0).sum(axis=0) / counts
        if not np.isfinite(means).all():  # the sum is beyond float64, and no mean of finite numbers is
            means = np.where(np.isfinite(means), means, (np.where(known, numbers, 0.0) / counts).sum(axis=0))
    return means.tolist()  # type: ignore[no-any-return]


def _category_values(codes: NDArray[np.float64], labels: tuple[str, ...]) -> tuple[str, ...]:
    """The categories that occur, sorted; first the empty one, if values are missing."""
    present = np.unique(codes[~np.isnan(codes)]).astype(np.int64).tolist()
    missing = [""] if np.isnan(codes).any() else []
    return (*missing, *sorted(labels[code] for code in present))
