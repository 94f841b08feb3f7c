"""Fitted preprocessing: the transform from columns to model inputs, saved with a run."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import Unseen
from mxtrain.data.preprocessing.classes import CLASS_DTYPES, class_array
from mxtrain.data.preprocessing.scalers import Standardization, TargetScale
from mxtrain.data.preprocessing.table import check_names_exist, matrix, place_of_rows, row_number
from mxtrain.data.readers.columns import Columns, Kind, Place, Texts
from mxtrain.data.readers.values import positions
from mxtrain.errors import DataError
from mxtrain.names import nfc
from mxtrain.types import describe

_LARGEST_SQUARABLE = 1e150
"""Numbers below it have squares that are finite in float64."""


@dataclass(frozen=True, slots=True)
class Number:
    """A column of numbers that becomes the feature `(x - mean) / scale`; `fill` stands for a missing one.

    A column that is `constant` becomes 0 for any value: the feature was 0 in every training sample, so its weights were
    never trained.
    """

    name: str
    mean: float = 0.0
    scale: float = 1.0
    fill: float | None = None
    constant: bool = False


@dataclass(frozen=True, slots=True)
class Category:
    """A column of text that becomes a 0 or 1 for each of its values; the value `""` is a missing one."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """From the columns of a file to the inputs of a model, and back from its outputs to names.

    Attributes:
        columns: the source columns in order, each with what was fitted to it on the training part.
        target: the column or array that is predicted.
        class_names: the classes in the order of their indices, or None for squared_error.
        dtype: of the inputs, `float32` or `float64`.
        target_dtype: of the targets: `int64` for indices of classes, else that of the inputs.
        unseen: what is done with a category that is not among a column's values: `error`, or `ignore`, which sets all
            of the column's features to 0; the feature of a column with one value stays 1, as it is trained like a bias.
        array: for a model of arrays, the name of the array in an `.npz` file.
        target_scale: what was done to the targets; None where they were left as they are.
        class_dtype: the dtype in which classes are predicted, as `classes.class_dtype` finds it.

    Example:
        >>> size = Category("size", ("big", "small"))
        >>> fitted = Preprocessing((Number("age", mean=4.0, scale=2.0), size), "species", ("ant", "cat"), "float32")
        >>> fitted.feature_names
        ('age', 'size=big', 'size=small')
        >>> from mxtrain.data.readers.columns import columns_of
        >>> data = {"size": ["small", "big"], "name": ["Tom", "Ann"], "age": [8, 4]}
        >>> fitted.apply(columns_of(data, lambda _, names: fitted.kinds)).tolist()
        [[2.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
        >>> Preprocessing.from_dict(fitted.to_dict()) == fitted
        True
    """

    columns: tuple[Number | Category, ...]
    target: str
    class_names: tuple[str, ...] | None
    dtype: Literal["float32", "float64"]
    target_dtype: Literal["int64", "float32", "float64"] = "int64"
    unseen: Unseen = "error"
    array: str | None = None
    target_scale: TargetScale | None = None
    class_dtype: str = "str"

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of a model's d inputs; `size=big` for the category `big` of the column `size`."""
        return tuple(name for column in self.columns for name in _feature_names(column))

    @property
    def kinds(self) -> dict[str, Kind]:
        """The source columns, and what each must hold."""
        return {column.name: "number" if isinstance(column, Number) else "text" for column in self.columns}

    @property
    def standardization(self) -> Standardization:
        """The map of the columns of numbers."""
        numbers = [column for column in self.columns if isinstance(column, Number)]
        return Standardization(
            np.array([column.mean for column in numbers], dtype=np.float64),
            np.array([column.scale for column in numbers], dtype=np.float64),
            np.array([column.constant for column in numbers], dtype=bool),
        )

    @property
    def classes(self) -> NDArray[Any] | None:
        """The classes in the order of their indices, in the dtype of the labels; None if numbers are predicted."""
        return None if self.class_names is None else class_array(self.class_dtype, self.class_names)

    @property
    def target_unit(self) -> float:
        """How much of the target's own unit a difference of 1 between a model's outputs is."""
        return 1.0 if self.target_scale is None else self.target_scale.scale

    def restore_target_unit(self, decided: NDArray[Any]) -> NDArray[Any]:
        """Targets or predictions, (n,), as the data have them: where they were standardized in float64, else as given.

        Example:
            >>> prices = Preprocessing((), "price", None, "float32", "float32", target_scale=TargetScale(200.0, 100.0))
            >>> prices.restore_target_unit(np.array([-1, 3], dtype=np.float32))
            array([100., 500.])
        """
        return decided if self.target_scale is None else self.target_scale.restore(decided)

    def apply(self, data: Columns | NDArray[Any], source: str = "data") -> NDArray[Any]:
        """The inputs, (n, d), that a model was trained to predict from.

        Args:
            data: columns, of which those that the model does not know are left out, or an array, (n, ...), with the
                features in their order.
            source: what messages call an array.

        Raises:
            DataError: a column is missing, or has missing values that nothing was fitted for; a category was not seen
                in training; an array has another number of features; or a number is too large.
        """
        if isinstance(data, Columns):
            check_names_exist(data.source, "column", data.columns, *self.kinds)
            rows = np.arange(len(data))
            wanted = {name: data.columns[name] for name in self.kinds}
            labels = {name: column.labels for name, column in wanted.items() if isinstance(column, Texts)}
            return self.transform(matrix(wanted, rows), labels, place_of_rows(data, rows), data.source)
        if any(isinstance(column, Category) for column in self.columns):
            raise DataError(f"{source}: the model has columns of text, which an array cannot hold; use a table")
        flat = data.reshape(len(data), -1)
        if flat.shape[1] != len(self.columns):
            raise DataError(f"{source}: must have {len(self.columns)} features, got {flat.shape[1]}")
        return self.transform(flat, {}, lambda row: f"{source}: [{row}]", source)

    def transform(
        self,
        inputs: NDArray[Any],
        labels: Mapping[str, Sequence[str]],
        place: Place = row_number,
        source: str = "data",
    ) -> NDArray[Any]:
        """The same of a `Table`'s inputs: (n, c), with indices of labels for text, and NaN for what is missing."""
        numbers = [index for index, column in enumerate(self.columns) if isinstance(column, Number)]
        fills = [column.fill for column in self.columns if isinstance(column, Number)]
        plain = len(numbers) == len(self.columns)
        chosen = inputs if plain else inputs[:, numbers]
        if chosen.dtype.kind == "f" and np.isnan(chosen).any():
            self._check_filled(chosen, numbers, fills, place)
            chosen = np.where(np.isnan(chosen), np.array(fills, dtype=np.float64), chosen)
        mapped = self._standardized(chosen, numbers, source)
        if plain:
            return mapped
        out = np.zeros((len(inputs), len(self.feature_names)), dtype=self.dtype)
        start = 0
        remaining = iter(mapped.T)
        for index, column in enumerate(self.columns):
            if isinstance(column, Number):
                out[:, start] = next(remaining)
            else:
                codes = self._category_codes(column, inputs[:, index], labels[column.name], place)
                known = np.flatnonzero(codes >= 0)
                out[known, start + codes[known]] = 1
            start += len(_feature_names(column))
        return out

    def _standardized(self, chosen: NDArray[Any], numbers: Sequence[int], source: str) -> NDArray[Any]:
        standardization = self.standardization
        mapped = standardization.apply(chosen, self.dtype)
        finite = np.isfinite(mapped).all(axis=0)
        if not finite.all():
            index = int(finite.argmin())
            values = standardization.apply(chosen, np.float64)[:, index]
            name = self.columns[numbers[index]].name
            raise feature_overflow_error(source, name, self.dtype, values, standardization)
        return mapped

    def _check_filled(
        self, chosen: NDArray[Any], numbers: Sequence[int], fills: Sequence[float | None], place: Place
    ) -> None:
        for index, fill in enumerate(fills):
            gaps = np.isnan(chosen[:, index])
            if fill is None and gaps.any():
                raise _missing_value_error(place(int(gaps.argmax())), self.columns[numbers[index]].name)

    def _category_codes(
        self, column: Category, found: NDArray[Any], labels: Sequence[str], place: Place
    ) -> NDArray[np.int64]:
        """Which of the column's values each sample has; -1 for none of them."""
        if self.unseen == "ignore" and len(column.values) == 1:
            return np.zeros(len(found), dtype=np.int64)
        gap = column.values.index("") if "" in column.values else -1
        table = np.array([*positions(labels, column.values), gap], dtype=np.int64)
        codes = table[np.where(np.isnan(found), len(labels), found).astype(np.int64)]
        if self.unseen == "error" and (codes < 0).any():
            row = int((codes < 0).argmax())
            if np.isnan(found[row]):
                raise _missing_value_error(place(row), column.name)
            known = ", ".join(map(repr, column.values[:8])) + (", ..." if len(column.values) > 8 else "")
            raise DataError(
                f"{place(row)}: column {column.name!r}: the category {describe(labels[int(found[row])])} does not "
                f"occur in the training part, which has {known}; correct it, or train with data.unseen: ignore"
            )
        return codes

    def to_dict(self) -> dict[str, Any]:
        """As plain values that JSON can hold exactly."""
        columns = [
            {"kind": "number" if isinstance(column, Number) else "category", **_tuples_to_lists(asdict(column))}
            for column in self.columns
        ]
        for column in columns:
            if not column.get("constant", True):
                del column["constant"]
        rest = {name: getattr(self, name) for name in ("target", "class_names", "dtype", "target_dtype")}
        scale = None if self.target_scale is None else asdict(self.target_scale)
        plain = {
            "columns": columns,
            **_tuples_to_lists(rest),
            "unseen": self.unseen,
            "array": self.array,
            "target_scale": scale,
        }
        return plain if self.class_dtype == "str" else plain | {"class_dtype": self.class_dtype}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Preprocessing":
        """The object that `to_dict` was called on; a DataError where the values are not its."""
        try:
            fields = dict(data)
            fields["columns"] = tuple(_column_from_dict(column) for column in fields["columns"])
            names, scale = fields["class_names"], fields["target_scale"]
            fields["class_names"] = None if names is None else tuple(names)
            fields["target_scale"] = None if scale is None else TargetScale(**scale)
            for name in ("target", "array"):
                fields[name] = None if fields[name] is None else nfc(fields[name])
            if fields.get("class_dtype", "str") not in CLASS_DTYPES:
                raise ValueError(f"{fields['class_dtype']!r} is not a dtype of classes")
            found = cls(**fields)
            _ = found.classes  # raises a ValueError if a class does not fit the dtype
            return found
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the preprocessing of a run is damaged: {error!r}") from None


def too_large(source: str, name: str, dtype: str, values: NDArray[np.float64], remedy: str) -> DataError:
    """The error of a column whose numbers do not fit in the run's dtype.

    Args:
        source, name: the file, and the name of the column or array.
        dtype: the run's.
        values: the numbers in float64, as the model would take them.
        remedy: the remedy if float64 does not help.
    """
    if dtype == "float32" and (np.abs(values) < _LARGEST_SQUARABLE).all():
        remedy = "set dtype: float64, or scale it down"
    return DataError(f"{source}: {name!r} has values too large to compute with in {dtype}; {remedy}")


def feature_overflow_error(
    source: str, name: str, dtype: str, values: NDArray[np.float64], standardization: Standardization
) -> DataError:
    """The error of a feature whose `values`, (n,), in float64, do not fit in the run's dtype."""
    is_standardized = standardization.mean.any() or (standardization.scale != 1).any()
    remedy = "correct it, or leave its sample out" if is_standardized else "set data.standardize: features"
    return too_large(source, name, dtype, values, remedy)


def _missing_value_error(place: str, name: str) -> DataError:
    return DataError(
        f"{place}: column {name!r}: a value is missing; fill it in, or train with data.missing: mean on data that lack "
        "some too"
    )


def _feature_names(column: Number | Category) -> tuple[str, ...]:
    if isinstance(column, Number):
        return (column.name,)
    return tuple(f"{column.name}={value}" for value in column.values)


def _tuples_to_lists(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def _column_from_dict(data: Mapping[str, Any]) -> Number | Category:
    fields = {name: value for name, value in data.items() if name != "kind"}
    match data["kind"]:
        case "number":
            return Number(**fields | {"name": nfc(fields["name"])})
        case "category":
            return Category(nfc(fields["name"]), tuple(fields["values"]))
    raise ValueError(f"a column must be a number or a category, got {data['kind']!r}")
