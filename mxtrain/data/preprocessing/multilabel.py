"""Several boolean targets at once: conversion of their labels to 0 and 1, and the dtype of predictions."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.data.preprocessing.classes import CLASS_DTYPES
from mxtrain.data.readers.columns import CategoricalColumn, Columns
from mxtrain.data.readers.raw_table import Problem, problems_error
from mxtrain.errors import DataError
from mxtrain.types import describe

_EXPECTED = "one of several targets must be 0 or 1, or false or true"
_WORDS = {"false": 0.0, "true": 1.0}


def parse_boolean(label: str) -> float | None:
    """Return a label as 0 or 1; None if it is neither.

    >>> [parse_boolean(label) for label in ("True", "0", "1.0", "2", "yes")]
    [1.0, 0.0, 1.0, None, None]
    """
    text = label.strip().lower()
    try:
        number = _WORDS[text] if text in _WORDS else float(text)
    except ValueError:
        return None
    return number if number in (0, 1) else None


def boolean_targets(columns: Columns, names: Sequence[str]) -> tuple[NDArray[np.float64], str]:
    """Return columns of labels as 0 and 1, (n, k), and the dtype of predictions.

    Args:
        columns: the columns; those that are named have no missing values.
        names: the k targets.

    Raises:
        DataError: a label is neither 0 nor 1; all of them, each with its row.

    Example:
        >>> from mxtrain.data.python_columns import columns_of
        >>> data = {"red": [True, False], "big": [False, False]}
        >>> values, dtype = boolean_targets(columns_of(data, lambda *_: dict.fromkeys(data, "category")), list(data))
        >>> values.tolist(), dtype
        ([[1.0, 0.0], [0.0, 0.0]], 'bool')
    """
    values = np.empty((len(columns), len(names)))
    problems: list[Problem] = []
    dtypes = set()
    for index, name in enumerate(names):
        column = columns.columns[name]
        assert isinstance(column, CategoricalColumn), "boolean targets are read as text"
        numbers = np.array([np.nan if (v := parse_boolean(label)) is None else v for label in column.labels])
        values[:, index] = numbers[column.codes]
        problems += [
            Problem(
                row,
                f"{columns.row_label(row)}: column {name!r}",
                f"{_EXPECTED}, got {describe(column.labels[int(column.codes[row])])}",
            )
            for row in np.flatnonzero(np.isnan(values[:, index])).tolist()
        ]
        occurring = [column.labels[code] for code in np.unique(column.codes).tolist()]
        dtypes.add(_dtype_of_labels(occurring, column.dtype))
    if problems:
        raise problems_error(problems)
    return values, dtypes.pop() if len(dtypes) == 1 else "int64"


def boolean_array(targets: NDArray[Any], where: str) -> tuple[NDArray[np.float64], str]:
    """Return an array of labels, (n, k), as 0 and 1, and the dtype of predictions; see `boolean_targets`.

    >>> boolean_array(np.array([["0", "1"]]), "pets.npz: array 'y'")
    (array([[0., 1.]]), 'int64')
    """
    distinct, codes = np.unique(targets, return_inverse=True)
    labels = [str(label) for label in distinct.tolist()]
    numbers = [parse_boolean(label) for label in labels]
    if None in numbers:
        row, column = np.argwhere(codes.reshape(targets.shape) == numbers.index(None))[0].tolist()
        got = describe(labels[numbers.index(None)])
        remedy = "for one target with several classes, store one label for each sample"
        raise DataError(f"{where}: [{row}, {column}]: {_EXPECTED}, got {got}; {remedy}")
    dtype = None if targets.dtype.kind not in "biuf" else targets.dtype.name
    values = np.array(numbers, dtype=np.float64)[codes].reshape(targets.shape)
    return values, _dtype_of_labels(labels, dtype)


def _dtype_of_labels(labels: Iterable[str], dtype: str | None) -> str:
    """Return the dtype of the predictions of a target: that of its values, and for text bool or int64."""
    if dtype in CLASS_DTYPES and dtype != "str":
        return dtype
    return "bool" if all(label.strip().lower() in _WORDS for label in labels) else "int64"
