"""A data set in memory, and the choice of what in it is predicted from what."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.data.columns import Place
from mxtrain.errors import DataError
from mxtrain.names import nearest
from mxtrain.types import describe


def row_number(row: int) -> str:
    """What messages call a row of a table that no file says more about."""
    return f"row {row + 1}"


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A data set in memory: n samples of c columns, and what is to be predicted for each.

    Attributes:
        inputs: (n, c), of the dtype in which they were found. A column of text holds indices into its labels. Of a
            table that may lack values, NaN stands for them.
        targets: (n,); float64 numbers, or int64 indices into `class_names`.
        column_names: c names.
        target_name: the column or array that the targets come from.
        class_names: the classes in order, or None where the targets are numbers.
        class_dtype: the dtype in which classes are predicted, as `classes.class_dtype` finds it.
        labels: for each column of text the texts in it, in any order.
        place: what messages call a row.
    """

    inputs: NDArray[Any]
    targets: NDArray[np.float64] | NDArray[np.int64]
    column_names: tuple[str, ...]
    target_name: str
    class_names: tuple[str, ...] | None = None
    class_dtype: str = "str"
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    place: Place = row_number

    def __len__(self) -> int:
        return len(self.inputs)


def choose_features(
    where: str, noun: str, names: Sequence[str], target: str, features: Sequence[str] | None
) -> tuple[str, ...]:
    """The names to predict from: `features`, or all but the target where that is None.

    Args:
        where: the place that an error names, such as `train.csv:1`.
        noun: what the names are names of, `column` or `array`.
        names, target, features: what there is, and what of it was asked for.

    Raises:
        DataError: a name is unknown, given twice, or both target and feature; or there is no feature.

    Example:
        >>> choose_features("iris.csv:1", "column", ["width", "length", "species"], "species", None)
        ('width', 'length')
    """
    check_known(f"{where}: data.target", noun, names, target)
    chosen = tuple(name for name in names if name != target) if features is None else tuple(features)
    check_known(f"{where}: data.features", noun, names, *chosen)
    if target in chosen:
        raise DataError(f"{where}: data.features: {target!r} is the target; leave it out")
    for name, times in Counter(features or ()).items():
        if times > 1:
            raise DataError(f"{where}: data.features: {name!r} is named twice")
    if not chosen:
        raise DataError(f"{where}: there is no {noun} besides the target {target!r} to predict it from")
    return chosen


def check_known(where: str, noun: str, names: Iterable[str], *wanted: str) -> None:
    """Refuse the first name that is not among those there are, and say which was probably meant."""
    known = dict.fromkeys(names)
    unknown = next((name for name in wanted if name not in known), None)
    if unknown is None:
        return
    meant = nearest(unknown, known)
    some = ", ".join(map(describe, islice(known, 8))) + (", ..." if len(known) > 8 else "")
    remedy = f"did you mean {meant!r}?" if meant else f"there are: {some}" if known else "there is none at all"
    raise DataError(f"{where}: there is no {noun} {unknown!r}; {remedy}")
