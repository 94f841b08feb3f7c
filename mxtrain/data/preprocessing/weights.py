"""Weights of samples: checks, and the scale in which they multiply losses."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.data.kinds.frames import raw_table_of
from mxtrain.data.readers.columns import Columns, NumericColumn, RowLabel
from mxtrain.errors import DataError
from mxtrain.types import DataType, describe


def weights_of_column(columns: Columns, name: str) -> NDArray[np.float64]:
    """Return the weights in a column, (n,); a DataError as for `check_weights`, or if the column has no numbers."""
    column = columns.columns[name]
    where = f"data.weight: column {name!r}"
    if not isinstance(column, NumericColumn):
        raise DataError(f"{columns.source}: {where}: must hold numbers; choose another column")
    return check_weights(column.values, lambda row: f"{columns.row_label(row)}: {where}")


def weights_of_array(weights: Any, samples: int, where: str = "sample_weight") -> NDArray[np.float64]:
    """Return weights that Python passes as float64, (n,).

    Args:
        weights: an array or a list of numbers.
        samples: n.
        where: the name of the argument.

    Raises:
        DataError: they are not n numbers, or as for `check_weights`.

    Example:
        >>> weights_of_array([1, 3], 2)
        array([1., 3.])
        >>> weights_of_array([1, 3], 3)
        Traceback (most recent call last):
        mxtrain.errors.DataError: sample_weight: must hold 3 numbers, one for each sample, got 2
    """
    expected = f"{where}: must hold {samples} numbers, one for each sample"
    array = _numbers(weights)
    if array is None:
        shape = getattr(weights, "shape", ())
        got = f"an array of the shape {tuple(shape)}" if len(shape) > 1 else describe(weights)
        raise DataError(f"{expected}, got {got}")
    if len(array) != samples:
        raise DataError(f"{expected}, got {len(array)}")
    if not array.any():
        raise DataError(f"{where}: the weights of all samples are 0; set one above 0")
    return check_weights(array, lambda row: f"{where}[{row}]")


def _numbers(values: Any) -> NDArray[np.float64] | None:
    """Return an array, a list or a column of a data frame as numbers, NaN for missing ones; None for anything else."""
    import polars as pl

    if len(getattr(values, "shape", (0,))) != 1:
        return None
    try:
        column = raw_table_of({"weights": values}).columns["weights"]
    except DataError:
        return None
    if not column.dtype.is_numeric() and column.dtype not in (pl.Boolean, pl.Null):
        return None
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()


def check_weights(weights: NDArray[np.float64], where: RowLabel) -> NDArray[np.float64]:
    """Return the weights of samples, (n,); a DataError if one is missing, negative or infinite, or if all are 0.

    >>> check_weights(np.array([0.5, 2.0]), lambda row: f"row {row + 1}").tolist()
    [0.5, 2.0]
    """
    is_invalid = ~(np.isfinite(weights) & (weights >= 0))
    if is_invalid.any():
        row = int(is_invalid.argmax())
        got = "is missing" if np.isnan(weights[row]) else f"must be a finite number of at least 0, got {weights[row]:g}"
        raise DataError(f"{where(row)}: the weight of a sample {got}; correct it, or leave the sample out")
    if not weights.any():
        raise DataError(f"{where(0)}: the weights of all samples are 0; set one above 0")
    return weights


def scale_weights(weights: NDArray[np.float64], reference: NDArray[np.int64], dtype: DataType) -> NDArray[Any]:
    """Return weights divided by their mean over the reference rows.

    With the training set as reference, the learning rate keeps its meaning.

    Args:
        weights: (n,), at least 0.
        reference: rows, not all of which have the weight 0.
        dtype: the dtype of the result.

    Raises:
        DataError: a quotient overflows.

    Example:
        >>> scale_weights(np.array([1.0, 3.0, 8.0]), np.array([0, 1]), "float64")
        array([0.5, 1.5, 4. ])
    """
    largest = float(weights[reference].max())
    with np.errstate(over="ignore"):
        scaled = weights / largest  # the sum could overflow
        result: NDArray[Any] = (scaled / float(scaled[reference].mean())).astype(dtype)
    if not np.isfinite(result).all():
        raise DataError("data.weight: weights differ by too much to compute with; choose weights of a similar size")
    return result


def scale_held_out_weights(weights: NDArray[np.float64], dtype: DataType) -> NDArray[Any]:
    """Return the weights of separate data divided by a power of 2, so that their mean is from 1 to 2.

    Metrics do not depend on the scale of weights, and a power of 2 keeps equal sums of weights equal, which medians
    depend on.

    Example:
        >>> scale_held_out_weights(np.array([1.0, 3.0, 8.0]), "float64")
        array([0.25, 0.75, 2.  ])
    """
    largest = float(weights.max())
    _, exponent = np.frexp(float((weights / largest).mean()) * largest)
    scaled: NDArray[Any] = np.ldexp(weights, 1 - exponent).astype(dtype)
    return scaled


def check_part_weights(weights: NDArray[Any], rows: NDArray[np.int64], part: str) -> None:
    """Raise a DataError if all samples of a part of the data have the weight 0."""
    if len(rows) and not weights[rows].any():
        raise DataError(f"data.weight: the weights of all {part} samples are 0; use another seed, or other weights")
