"""Fitted preprocessing: the transform from columns to model inputs and targets, saved with a run."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import ColumnKind, Unseen
from mxtrain.data.preprocessing.classes import CLASS_DTYPES, class_array, class_indices
from mxtrain.data.preprocessing.encoding import write_inputs
from mxtrain.data.preprocessing.feature_problems import (
    feature_overflow_error,
    overflow_error,
    value_problems,
)
from mxtrain.data.preprocessing.features import (
    BooleanFeature,
    DateFeature,
    Feature,
    NumericFeature,
    OneHotFeature,
    feature_from_dict,
    input_names,
)
from mxtrain.data.preprocessing.multilabel import boolean_array, boolean_targets
from mxtrain.data.preprocessing.scalers import Standardization, TargetScale
from mxtrain.data.preprocessing.table import matrix, numbered_row
from mxtrain.data.readers.columns import (
    CategoricalColumn,
    Column,
    Columns,
    RowLabel,
    check_names_exist,
)
from mxtrain.data.readers.numpy_files import check_finite_numbers, encode_labels
from mxtrain.data.readers.raw_table import problems_error
from mxtrain.errors import DataError
from mxtrain.names import nfc
from mxtrain.types import describe


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """The transform from the columns of a file to the inputs of a model, and from its outputs to names.

    Attributes:
        columns: the features in order, each fitted to the training set.
        target: the name of the column or array that is predicted; those of several columns are joined.
        class_names: the classes in the order of their indices, or None if numbers, or several booleans, are predicted.
        dtype: the dtype of the inputs, `float32` or `float64`.
        target_dtype: the dtype of the targets: `int64` for indices of classes, else that of the inputs.
        unseen: the treatment of a category that does not occur in the training set: `error`, or `ignore`, which sets
            all inputs of the column to 0; a single input stays 1, as it is trained like a bias.
        array: for a model of arrays, the name of the array in an `.npz` file.
        target_scale: the standardization of the targets; None if they are not standardized.
        class_dtype: the dtype of predicted classes, from `classes.class_dtype`; for several boolean targets, not `str`.
        target_columns: the names of k targets; empty for one.
        positions: the names of all columns of the training data, if its file did not name them; otherwise None.

    Example:
        >>> age, size = NumericFeature("age", mean=4.0, scale=2.0), OneHotFeature("size", ("big", "small"))
        >>> fitted = Preprocessing((age, size), "species", ("ant", "cat"), "float32")
        >>> fitted.feature_names
        ('age', 'size=big', 'size=small')
        >>> from mxtrain.data.python_columns import columns_of
        >>> data = {"size": ["small", "big"], "name": ["Tom", "Ann"], "age": [8, 4]}
        >>> fitted.apply(columns_of(data, lambda _, names: fitted.kinds)).tolist()
        [[2.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
        >>> Preprocessing.from_dict(fitted.to_dict()) == fitted
        True
    """

    columns: tuple[Feature, ...]
    target: str
    class_names: tuple[str, ...] | None
    dtype: Literal["float32", "float64"]
    target_dtype: Literal["int64", "float32", "float64"] = "int64"
    unseen: Unseen = "error"
    array: str | None = None
    target_scale: TargetScale | None = None
    class_dtype: str = "str"
    target_columns: tuple[str, ...] = ()
    positions: tuple[str, ...] | None = None

    @property
    def target_names(self) -> tuple[str, ...]:
        """The names of all targets."""
        return self.target_columns or (self.target,)

    @property
    def is_multilabel(self) -> bool:
        """True if several booleans are predicted."""
        return bool(self.target_columns) and self.class_dtype != "str"

    @property
    def has_classes(self) -> bool:
        """True if classes or several booleans are predicted, whose labels are read as text."""
        return self.class_names is not None or self.is_multilabel

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the d inputs of the model; `size=big` for the category `big` of the column `size`."""
        return input_names(self.columns)

    @property
    def kinds(self) -> dict[str, ColumnKind]:
        """The names of the source columns, and their kinds."""
        return {column.name: column.kind for column in self.columns}

    @property
    def known_categories(self) -> dict[str, tuple[str, ...]]:
        """The categories of the columns, and the classes, none of which marks a missing value."""
        found: dict[str, tuple[str, ...]] = {}
        for column in self.columns:
            if isinstance(column, OneHotFeature):
                found[column.name] = tuple(value for value in (*column.values, *column.grouped) if value)
            elif isinstance(column, BooleanFeature):
                found[column.name] = column.values
        return found if self.class_names is None else {**found, self.target: self.class_names}

    @property
    def date_formats(self) -> dict[str, str | None]:
        """The formats of the columns of dates; None for one that had a type in the training data."""
        return {column.name: column.date_format for column in self.columns if isinstance(column, DateFeature)}

    @property
    def standardization(self) -> Standardization:
        """The standardization of the numeric columns."""
        numeric = [column for column in self.columns if isinstance(column, NumericFeature)]
        return Standardization(
            np.array([column.mean for column in numeric], dtype=np.float64),
            np.array([column.scale for column in numeric], dtype=np.float64),
            np.array([column.constant for column in numeric], dtype=bool),
        )

    @property
    def classes(self) -> NDArray[Any] | None:
        """The classes in the order of their indices, in the dtype of the labels; None if numbers are predicted."""
        return None if self.class_names is None else class_array(self.class_dtype, self.class_names)

    @property
    def target_unit(self) -> float | tuple[float, ...]:
        """The difference in the target's own unit that equals a difference of 1 between model outputs."""
        return 1.0 if self.target_scale is None else self.target_scale.scale

    def restore_target_unit(self, decided: NDArray[Any]) -> NDArray[Any]:
        """Return targets or predictions in the target's own unit; float64 if the targets are standardized.

        Several boolean targets are returned in the dtype of their labels.

        Example:
            >>> prices = Preprocessing((), "price", None, "float32", "float32", target_scale=TargetScale(200.0, 100.0))
            >>> prices.restore_target_unit(np.array([-1, 3], dtype=np.float32))
            array([100., 500.])
        """
        if self.is_multilabel:
            return decided.astype(self.class_dtype)
        return decided if self.target_scale is None else self.target_scale.restore(decided)

    def apply(self, data: Columns | NDArray[Any], source: str = "data", notes: list[str] | None = None) -> NDArray[Any]:
        """Return the model inputs, (n, d).

        Args:
            data: columns, of which the model's are used, or an array, (n, ...), with the features in order.
            source: the name of an array in error messages.
            notes: receives a message for each column with unseen categories; without it, they are warnings.

        Raises:
            DataError: a column is missing, or has missing values that cannot be replaced; a category does not occur in
                the training set; an array has another number of features; or a number is too large.
        """
        if isinstance(data, Columns):
            check_names_exist(data.source, "column", data.columns, *self.kinds)
            selected = {name: data.columns[name] for name in self.kinds}
            labels = {name: column.labels for name, column in selected.items() if isinstance(column, CategoricalColumn)}
            found: list[str] = []
            inputs = self.transform(matrix(selected, np.arange(len(data))), labels, data.row_label, data.source, found)
            if notes is None:
                for note in found:
                    warnings.warn(f"{data.source}: {note}", UserWarning, stacklevel=3)
            else:
                notes.extend(found)
            return inputs
        if not all(isinstance(column, NumericFeature) for column in self.columns):
            raise DataError(f"{source}: the model has columns of text, which an array cannot hold; use a table")
        flat = data.reshape(len(data), -1)
        if flat.shape[1] != len(self.columns):
            raise DataError(f"{source}: must have {len(self.columns)} features, got {flat.shape[1]}")
        return self.transform(flat, {}, lambda row: f"{source}: [{row}]", source)

    def transform(
        self,
        inputs: NDArray[Any],
        labels: Mapping[str, Sequence[str]],
        row_label: RowLabel = numbered_row,
        source: str = "data",
        notes: list[str] | None = None,
        unseen: Unseen | None = None,
    ) -> NDArray[Any]:
        """Return the model inputs, (n, d), for the inputs of a `Table`.

        Args:
            inputs: (n, c), one column for each feature; indices of labels for text, days for dates, and NaN for
                missing values.
            labels: the labels of the columns of text.
            row_label: the name of a row in error messages.
            source: the name of the data in error messages.
            notes: receives a message for each column with unseen categories.
            unseen: the treatment of unseen categories, if it differs from that of the run.

        Raises:
            DataError: as for `apply`; all missing values and unseen categories at once.
        """
        problems = value_problems(self.columns, inputs, labels, row_label, unseen or self.unseen)
        if problems:
            raise problems_error(problems)
        numeric = [index for index, column in enumerate(self.columns) if isinstance(column, NumericFeature)]
        is_all_numeric = len(numeric) == len(self.columns)
        numbers = inputs if is_all_numeric else inputs[:, numeric]
        standardized = self._standardize(self._fill_missing(numbers), source)
        if is_all_numeric and len(self.feature_names) == len(self.columns):
            return standardized
        out = np.zeros((len(inputs), len(self.feature_names)), dtype=self.dtype)
        start = 0
        remaining = iter(standardized.T)
        for index, column in enumerate(self.columns):
            stop = start + len(column.input_names)
            if isinstance(column, NumericFeature):
                out[:, start] = next(remaining)
                if column.indicator:
                    out[:, start + 1] = np.isnan(inputs[:, index])
            else:
                write_inputs(column, inputs[:, index], labels.get(column.name, ()), out[:, start:stop], notes)
            start = stop
        return out

    def _fill_missing(self, numbers: NDArray[Any]) -> NDArray[Any]:
        if numbers.dtype.kind != "f" or not np.isnan(numbers).any():
            return numbers
        fills = [column.fill for column in self.columns if isinstance(column, NumericFeature)]
        return np.where(np.isnan(numbers), np.array(fills, dtype=np.float64), numbers)

    def _standardize(self, numbers: NDArray[Any], source: str) -> NDArray[Any]:
        standardization = self.standardization
        standardized = standardization.apply(numbers, self.dtype)
        is_finite = np.isfinite(standardized).all(axis=0)
        if not is_finite.all():
            index = int(is_finite.argmin())
            values = standardization.apply(numbers, np.float64)[:, index]
            name = [column.name for column in self.columns if isinstance(column, NumericFeature)][index]
            raise feature_overflow_error(source, name, self.dtype, values, standardization)
        return standardized

    def encode_targets(self, values: NDArray[Any], source: str) -> NDArray[Any]:
        """Return targets as the loss takes them: standardized numbers or indices of classes, in `target_dtype`.

        Args:
            values: (n,) or (n, k), numbers in the target's own unit, or indices of classes.
            source: the name of the data in error messages.

        Raises:
            DataError: a target is too large for the dtype.
        """
        scale = self.target_scale
        with np.errstate(over="ignore"):
            exact = values if scale is None else scale.apply(values)
            targets = exact.astype(self.target_dtype, copy=False)
        if targets.dtype.kind == "f" and not np.isfinite(targets).all():
            remedy = "set data.standardize_target: true" if scale is None else "correct it, or leave its sample out"
            raise overflow_error(source, self.target, self.target_dtype, exact.astype(np.float64), remedy)
        return targets

    def encode_target_columns(self, columns: Columns) -> NDArray[Any]:
        """Return the targets among the columns of data that the model was not trained on; see `encode_targets`.

        Raises:
            DataError: a value is missing or too large, or a class does not occur in training.
        """
        found: list[Column] = [columns.columns[name] for name in self.target_names]
        for name, column in zip(self.target_names, found, strict=True):
            if column.missing.any():
                row = columns.row_label(int(column.missing.argmax()))
                raise DataError(f"{row}: column {name!r}: a value is missing; fill it in")
        if self.is_multilabel:
            return self.encode_targets(boolean_targets(columns, self.target_names)[0], columns.source)
        if isinstance(found[0], CategoricalColumn):
            indices = self._class_indices(found[0].labels, found[0].codes, columns.row_label)
            return self.encode_targets(indices, columns.source)
        numbers = [column.values for column in found if not isinstance(column, CategoricalColumn)]
        values = np.stack(numbers, axis=1) if self.target_columns else numbers[0]
        return self.encode_targets(values, columns.source)

    def encode_target_array(self, values: NDArray[Any], where: str) -> NDArray[Any]:
        """Return the targets in an array of data that the model was not trained on; see `encode_targets`.

        Raises:
            DataError: a value is not a finite number or too large, a class does not occur in training, or the array has
                another number of targets.
        """
        found = 1 if values.ndim == 1 else values.shape[1]
        if found != len(self.target_names):
            per = "one value" if not self.target_columns else f"{len(self.target_names)} values"
            raise DataError(f"{where}: must hold {per} for each sample, got the shape {values.shape}")
        if self.is_multilabel:
            return self.encode_targets(boolean_array(values, where)[0], where)
        if self.class_names is None:
            check_finite_numbers(values, where)
            return self.encode_targets(values, where)
        labels, codes = encode_labels(values, where)
        return self.encode_targets(self._class_indices(labels, codes, lambda row: f"{where}: [{row}]"), where)

    def _class_indices(self, labels: Sequence[str], codes: NDArray[np.int64], row_label: RowLabel) -> NDArray[np.int64]:
        names = self.class_names or ()
        indices = np.array(class_indices(labels, names), dtype=np.int64)[codes]
        if (indices < 0).any():
            row = int((indices < 0).argmax())
            some = ", ".join(map(repr, names[:8])) + (", ..." if len(names) > 8 else "")
            label = describe(labels[int(codes[row])])
            message = f"the class {label} does not occur in the training data, which have {some}"
            raise DataError(f"{row_label(row)}: column {self.target!r}: {message}")
        return indices

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON represents exactly."""
        fields = {
            "columns": [column.to_dict() for column in self.columns],
            "target": self.target,
            "class_names": None if self.class_names is None else list(self.class_names),
            "dtype": self.dtype,
            "target_dtype": self.target_dtype,
            "unseen": self.unseen,
            "array": self.array,
            "target_scale": None if self.target_scale is None else asdict(self.target_scale),
        }
        fields |= {"target_columns": list(self.target_columns)} if self.target_columns else {}
        fields |= {} if self.class_dtype == "str" else {"class_dtype": self.class_dtype}
        return fields if self.positions is None else fields | {"positions": list(self.positions)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Preprocessing":
        """Return the object whose `to_dict` returned `data`; a DataError if the values are malformed."""
        try:
            fields = dict(data)
            fields["columns"] = tuple(map(feature_from_dict, fields["columns"]))
            names, scale = fields["class_names"], fields["target_scale"]
            fields["class_names"] = None if names is None else tuple(names)
            if scale is not None:  # JSON has lists for tuples
                scale = TargetScale(*(tuple(s) if isinstance(s, list) else s for s in (scale["mean"], scale["scale"])))
            fields["target_scale"] = scale
            fields["target_columns"] = tuple(map(nfc, fields.get("target_columns", ())))
            for name in ("target", "array"):
                fields[name] = None if fields[name] is None else nfc(fields[name])
            if fields.get("positions") is not None:
                fields["positions"] = tuple(map(str, fields["positions"]))
            if fields.get("class_dtype", "str") not in CLASS_DTYPES:
                raise ValueError(f"{fields['class_dtype']!r} is not a dtype of classes")
            restored = cls(**fields)
            _ = restored.classes  # raises a ValueError if a class does not fit the dtype
            return restored
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the preprocessing of a run is damaged: {error!r}") from None
