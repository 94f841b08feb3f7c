"""Features: the columns of a table or array as a model takes them, fitted to the training set."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import ColumnKind, Missing, Standardize, Unseen
from mxtrain.data.preprocessing.scalers import Standardization
from mxtrain.data.preprocessing.table import Table
from mxtrain.data.readers.columns import RowLabel
from mxtrain.data.readers.values import label_indices
from mxtrain.errors import DataError
from mxtrain.names import nfc
from mxtrain.types import describe


@dataclass(frozen=True, slots=True)
class NumericFeature:
    """A column of numbers, standardized as `(x - mean) / scale`.

    Attributes:
        name: the name of the column.
        mean, scale: the mean and the standard deviation of the training set, or 0 and 1.
        fill: the number that replaces a missing value; None if missing values are errors.
        constant: True if the feature is 0 for all values, because it was 0 in every training sample, so that its
            weights were not trained.
    """

    name: str
    mean: float = 0.0
    scale: float = 1.0
    fill: float | None = None
    constant: bool = False

    @property
    def kind(self) -> ColumnKind:
        """The kind of the column."""
        return "number"

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the model inputs that the feature becomes."""
        return (self.name,)

    def to_dict(self) -> dict[str, Any]:
        """Return the feature as plain values for JSON."""
        fields = {"kind": "number", **asdict(self)}
        if not self.constant:
            del fields["constant"]
        return fields


@dataclass(frozen=True, slots=True)
class OneHotFeature:
    """A column of text that becomes one model input, 0 or 1, for each of its categories.

    Attributes:
        name: the name of the column.
        values: the categories of the training set; `""` stands for a missing value.
    """

    name: str
    values: tuple[str, ...]

    @property
    def kind(self) -> ColumnKind:
        """The kind of the column."""
        return "category"

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the model inputs that the feature becomes."""
        return tuple(f"{self.name}={value}" for value in self.values)

    def to_dict(self) -> dict[str, Any]:
        """Return the feature as plain values for JSON."""
        return {"kind": "category", "name": self.name, "values": list(self.values)}

    def encode(
        self, codes: NDArray[Any], labels: Sequence[str], row_label: RowLabel, unseen: Unseen
    ) -> NDArray[np.int64]:
        """Return the index of each sample's category in `values`; -1 for an unseen category that is ignored.

        Args:
            codes: (n,), indices into `labels`, and NaN for a missing value.
            labels: the texts in the column.
            row_label: the name of a row in error messages.
            unseen: `error` or `ignore`. With `ignore`, the input of a column with a single category stays 1, because
                it is trained like a bias.

        Raises:
            DataError: a category is unseen, or a value is missing that was never missing in training.
        """
        if unseen == "ignore" and len(self.values) == 1:
            return np.zeros(len(codes), dtype=np.int64)
        missing = self.values.index("") if "" in self.values else -1
        table = np.array([*label_indices(labels, self.values), missing], dtype=np.int64)
        indices = table[np.where(np.isnan(codes), len(labels), codes).astype(np.int64)]
        if unseen == "error" and (indices < 0).any():
            row = int((indices < 0).argmax())
            if np.isnan(codes[row]):
                raise missing_value_error(row_label(row), self.name)
            known = ", ".join(map(repr, self.values[:8])) + (", ..." if len(self.values) > 8 else "")
            raise DataError(
                f"{row_label(row)}: column {self.name!r}: the category {describe(labels[int(codes[row])])} does not "
                f"occur in the training set, which has {known}; correct it, or train with data.unseen: ignore"
            )
        return indices


Feature: TypeAlias = NumericFeature | OneHotFeature


def input_names(features: Iterable[Feature]) -> tuple[str, ...]:
    """Return the names of the model inputs that features become."""
    return tuple(name for feature in features for name in feature.input_names)


def feature_from_dict(data: Mapping[str, Any]) -> Feature:
    """Return the feature whose `to_dict` returned `data`; a ValueError, KeyError or TypeError if it is malformed."""
    fields = {name: value for name, value in data.items() if name != "kind"}
    match data["kind"]:
        case "number":
            return NumericFeature(**fields | {"name": nfc(fields["name"])})
        case "category":
            return OneHotFeature(nfc(fields["name"]), tuple(fields["values"]))
    raise ValueError(f"a column must be a number or a category, got {data['kind']!r}")


def fit_features(
    table: Table, rows: NDArray[np.int64], missing: Missing, standardize: Standardize
) -> tuple[Feature, ...]:
    """Fit to the training set: means, scales, replacements of missing values, and the categories of text columns.

    Args:
        table: the data set.
        rows: the rows of the training set.
        missing: with `mean`, missing numbers are replaced by the mean of their column.
        standardize: see `Standardization.fit`.

    Raises:
        DataError: a column has no value in the training set.

    Example:
        >>> table = Table(np.array([[1.0, 0], [3.0, 1], [9.0, 1]]), np.zeros(3), ("age", "size"), "y",
        ...     labels={"size": ("small", "big")})
        >>> age, size = fit_features(table, np.array([0, 1]), "error", "features")
        >>> age.mean, age.scale, size
        (2.0, 1.0, OneHotFeature(name='size', values=('big', 'small')))
    """
    inputs = table.inputs[rows]
    is_number = np.array([name not in table.labels for name in table.column_names])
    names = [name for name in table.column_names if name not in table.labels]
    numbers = inputs if is_number.all() else inputs[:, is_number]
    fills: list[float] = []
    if missing == "mean":
        fills = _column_means(numbers, names)
        numbers = np.where(np.isnan(numbers), np.array(fills, dtype=np.float64), numbers)
    numeric = numeric_features(names, Standardization.fit(numbers, standardize), fills)
    return tuple(
        OneHotFeature(name, _categories(inputs[:, index], table.labels[name]))
        if name in table.labels
        else next(numeric)
        for index, name in enumerate(table.column_names)
    )


def numeric_features(
    names: Sequence[str], fitted: Standardization, fills: Sequence[float | None] = ()
) -> Iterator[NumericFeature]:
    """Yield a feature for each name, with the standardization and the replacements of missing values of its column."""
    fills = fills or [None] * len(names)
    columns = (fitted.mean.tolist(), fitted.scale.tolist(), fills, fitted.constant.tolist())
    return (NumericFeature(*fields) for fields in zip(names, *columns, strict=True))


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


def _categories(codes: NDArray[np.float64], labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the categories that occur, sorted, after the empty one if values are missing."""
    present = np.unique(codes[~np.isnan(codes)]).astype(np.int64).tolist()
    missing = [""] if np.isnan(codes).any() else []
    return (*missing, *sorted(labels[code] for code in present))


def missing_value_error(row: str, name: str) -> DataError:
    """Return the error for a missing value in a column that had none in training."""
    return DataError(
        f"{row}: column {name!r}: a value is missing; fill it in, or train with data.missing: mean on data "
        "with missing values"
    )
