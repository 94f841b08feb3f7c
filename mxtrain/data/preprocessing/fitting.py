"""Features fitted to the training set: standardization, replacements of missing values, and categories."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import Missing, Standardize
from mxtrain.data.preprocessing.date_parts import date_parts
from mxtrain.data.preprocessing.features import (
    BooleanFeature,
    DateFeature,
    Feature,
    NumericFeature,
    OneHotFeature,
    TextFeature,
)
from mxtrain.data.preprocessing.scalers import Standardization
from mxtrain.data.preprocessing.table import Table
from mxtrain.errors import DataError


def fit_features(
    table: Table, rows: NDArray[np.int64], missing: Missing, standardize: Standardize, max_categories: int = 50
) -> tuple[Feature, ...]:
    """Fit to the training set: means, scales, replacements of missing values, and the categories of text columns.

    Args:
        table: the data set.
        rows: the rows of the training set.
        missing: with `impute`, missing numbers and dates are replaced by the median of their column, and a column with
            missing values has an indicator input; with `mean`, missing numbers are replaced by the mean.
        standardize: see `Standardization.fit`; dates are always standardized.
        max_categories: the number of categories of a column that have an input of their own; the most frequent have
            one, and all others share one more.

    Raises:
        DataError: with `mean`, a column has no value in the training set.

    Example:
        >>> table = Table(np.array([[1.0, 0], [3.0, 1], [9.0, 1]]), np.zeros(3), ("age", "size"), "y",
        ...     labels={"size": ("small", "big")})
        >>> age, size = fit_features(table, np.array([0, 1]), "error", "features")
        >>> age.mean, age.scale, size
        (2.0, 1.0, OneHotFeature(name='size', values=('big', 'small'), grouped=(), fills_gaps=False))
    """
    inputs = table.inputs[rows]
    is_number = np.array([table.kind(name) == "number" for name in table.column_names])
    names = [name for name in table.column_names if table.kind(name) == "number"]
    numbers = inputs if is_number.all() else inputs[:, is_number]
    fills: list[float] = []
    gaps = np.zeros(len(names), dtype=bool)
    if missing in ("mean", "impute"):
        gaps = np.isnan(numbers).any(axis=0)
        fills = _column_means(numbers, names) if missing == "mean" else _column_medians(numbers)
        if gaps.any():
            numbers = np.where(np.isnan(numbers), np.array(fills, dtype=np.float64), numbers)
    indicators = gaps if missing == "impute" else np.zeros_like(gaps)
    numeric = numeric_features(names, Standardization.fit(numbers, standardize), fills, indicators.tolist())
    return tuple(
        next(numeric)
        if table.kind(name) == "number"
        else _fit_column(table, name, inputs[:, index], missing, max_categories)
        for index, name in enumerate(table.column_names)
    )


def numeric_features(
    names: Sequence[str],
    fitted: Standardization,
    fills: Sequence[float | None] = (),
    indicators: Sequence[bool] = (),
) -> Iterator[NumericFeature]:
    """Yield a feature for each name, with the standardization and the replacements of missing values of its column."""
    fills, indicators = fills or [None] * len(names), indicators or [False] * len(names)
    columns = (fitted.mean.tolist(), fitted.scale.tolist(), fills, fitted.constant.tolist(), indicators)
    return (NumericFeature(*fields) for fields in zip(names, *columns, strict=True))


def _fit_column(table: Table, name: str, values: NDArray[np.float64], missing: Missing, max_categories: int) -> Feature:
    gaps = np.isnan(values)
    has_gaps = missing == "impute" and bool(gaps.any())
    match table.kind(name):
        case "date":
            fitted = _fit_date(name, values, name in table.with_time, missing)
            return replace(fitted, date_format=table.date_formats.get(name))
        case "boolean":
            false, true = sorted(table.labels[name])
            codes = values[~gaps]
            is_true = np.array([label == true for label in table.labels[name]])[codes.astype(np.int64)]
            fill = None if missing in ("error", "drop") else float(len(codes) > 0 and is_true.mean() > 0.5)
            return BooleanFeature(name, (false, true), fill, has_gaps)
        case "text":
            return TextFeature(name)
    kept, grouped = _categories(values, table.labels[name], max_categories)
    return OneHotFeature(name, kept, grouped, fills_gaps=missing == "impute")


def _fit_date(name: str, days: NDArray[np.float64], has_time: bool, missing: Missing) -> DateFeature:
    gaps = np.isnan(days)
    fill = None
    if missing not in ("error", "drop"):
        (fill,) = _column_medians(days[:, None])
        fill = fill if has_time else float(np.floor(fill))
    filled = np.where(gaps, fill or 0.0, days)
    fitted = Standardization.fit(date_parts(filled, has_time))
    mean, scale, constant = map(tuple, (fitted.mean.tolist(), fitted.scale.tolist(), fitted.constant.tolist()))
    return DateFeature(name, mean, scale, constant, has_time, fill, missing == "impute" and bool(gaps.any()))


def _column_means(numbers: NDArray[np.float64], names: Sequence[str]) -> list[float]:
    known = ~np.isnan(numbers)
    counts = known.sum(axis=0)
    if not counts.all():
        name = names[int(counts.argmin())]
        raise DataError(f"column {name!r} has no value in the training set; leave it out with data.features")
    with np.errstate(over="ignore", invalid="ignore"):
        means = np.where(known, numbers, 0.0).sum(axis=0) / counts
        if not np.isfinite(means).all():  # the sum overflows float64, although the mean does not
            means = np.where(np.isfinite(means), means, (np.where(known, numbers, 0.0) / counts).sum(axis=0))
    return means.tolist()  # type: ignore[no-any-return]


def _column_medians(numbers: NDArray[np.float64]) -> list[float]:
    """Return the median of each column; 0 for a column without values."""
    medians = []
    for column in numbers.T:
        known = column[~np.isnan(column)]
        middle = [max(0, len(known) - 1) // 2, len(known) // 2]
        low, high = np.partition(known, middle)[middle].tolist() if len(known) else (0.0, 0.0)
        medians.append(low if low == high else low / 2 + high / 2)  # the sum may overflow
    return medians


def _categories(
    codes: NDArray[np.float64], labels: tuple[str, ...], most: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the most frequent categories, sorted, after the empty one if values are missing; and all others."""
    present, counts = np.unique(codes[~np.isnan(codes)].astype(np.int64), return_counts=True)
    times = {labels[code]: count for code, count in zip(present.tolist(), counts.tolist(), strict=True)}
    by_frequency = sorted(times, key=lambda label: (-times[label], label))
    missing = [""] if np.isnan(codes).any() else []
    return (*missing, *sorted(by_frequency[:most])), tuple(sorted(by_frequency[most:]))
