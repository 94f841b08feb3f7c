"""Features: the columns of a table or array as a model takes them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import ColumnKind
from mxtrain.data.preprocessing.date_parts import date_part_names, date_parts
from mxtrain.data.preprocessing.scalers import Standardization
from mxtrain.data.preprocessing.text_hashing import TEXT_INPUTS, hash_words
from mxtrain.data.readers.values import label_indices
from mxtrain.names import nfc

MISSING = -1
"""Code of a missing value of a column of categories."""
UNSEEN = -2
"""Code of a category that does not occur in the training set."""


@dataclass(frozen=True, slots=True)
class NumericFeature:
    """A column of numbers, standardized as `(x - mean) / scale`.

    Attributes:
        name: the name of the column.
        mean, scale: the mean and the standard deviation of the training set, or 0 and 1.
        fill: the number that replaces a missing value; None if missing values are errors.
        constant: True if the feature is 0 for all values, because it was 0 in every training sample, so that its
            weights were not trained.
        indicator: True for a second input, which is 1 for a missing value, else 0.
    """

    name: str
    mean: float = 0.0
    scale: float = 1.0
    fill: float | None = None
    constant: bool = False
    indicator: bool = False

    @property
    def kind(self) -> ColumnKind:
        """The kind of the column."""
        return "number"

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the model inputs that the feature becomes."""
        return (self.name, f"{self.name}=missing") if self.indicator else (self.name,)

    def to_dict(self) -> dict[str, Any]:
        """Return the feature as plain values for JSON."""
        fields = {"kind": "number", **asdict(self)}
        return {name: value for name, value in fields.items() if value or name not in ("constant", "indicator")}


@dataclass(frozen=True, slots=True)
class OneHotFeature:
    """A column of text that becomes one model input, 0 or 1, for each of its categories.

    Attributes:
        name: the name of the column.
        values: the categories of the training set; `""` stands for a missing value.
        grouped: the rarer categories of the training set, which share one input. Unseen categories have it too.
        fills_gaps: True if a missing value is no category, instead of an error, although the training set had none.
    """

    name: str
    values: tuple[str, ...]
    grouped: tuple[str, ...] = ()
    fills_gaps: bool = False

    @property
    def kind(self) -> ColumnKind:
        """The kind of the column."""
        return "category"

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the model inputs that the feature becomes."""
        other = "other categories" if "other" in self.values else "other"
        return tuple(f"{self.name}={value}" for value in (*self.values, *([other] if self.grouped else [])))

    def to_dict(self) -> dict[str, Any]:
        """Return the feature as plain values for JSON."""
        fields: dict[str, Any] = {"kind": "category", "name": self.name, "values": list(self.values)}
        if self.grouped:
            fields["grouped"] = list(self.grouped)
        return fields | ({"fills_gaps": True} if self.fills_gaps else {})

    def encode(self, codes: NDArray[Any], labels: Sequence[str]) -> NDArray[np.int64]:
        """Return the input that is 1 for each sample; MISSING or UNSEEN if the training set lacks its category.

        Args:
            codes: (n,), indices into `labels`, and NaN for a missing value.
            labels: the texts in the column.
        """
        known = label_indices(labels, (*self.values, *self.grouped))
        indices = [min(index, len(self.values)) if index >= 0 else UNSEEN for index in known]
        gap = self.values.index("") if "" in self.values else MISSING
        table = np.array([*indices, gap], dtype=np.int64)
        return table[np.where(np.isnan(codes), len(labels), codes).astype(np.int64)]


@dataclass(frozen=True, slots=True)
class BooleanFeature:
    """A column with two values that becomes one model input, 0 or 1.

    Attributes:
        name: the name of the column.
        values: the texts of false and of true.
        fill: the input of a missing or unseen value; None if missing values are errors.
        indicator: True for a second input, which is 1 for a missing value, else 0.
    """

    name: str
    values: tuple[str, str]
    fill: float | None = None
    indicator: bool = False

    @property
    def kind(self) -> ColumnKind:
        """The kind of the column."""
        return "boolean"

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the model inputs that the feature becomes."""
        return (self.name, f"{self.name}=missing") if self.indicator else (self.name,)

    def to_dict(self) -> dict[str, Any]:
        """Return the feature as plain values for JSON."""
        return {"kind": "boolean", **asdict(self), "values": list(self.values)}

    def encode(self, codes: NDArray[Any], labels: Sequence[str]) -> NDArray[np.int64]:
        """Return 0 for false, 1 for true, MISSING, or UNSEEN; see `OneHotFeature.encode`."""
        indices = [index if index >= 0 else UNSEEN for index in label_indices(labels, self.values)]
        table = np.array([*indices, MISSING], dtype=np.int64)
        return table[np.where(np.isnan(codes), len(labels), codes).astype(np.int64)]


@dataclass(frozen=True, slots=True)
class DateFeature:
    """A column of dates that becomes standardized parts; see `date_parts`.

    Attributes:
        name: the name of the column.
        mean, scale, constant: for each part, as in `NumericFeature`.
        has_time: True if the hour is a part.
        fill: the date, in days since 1970-01-01, that replaces a missing value; None if missing values are errors.
        indicator: True for another input, which is 1 for a missing value, else 0.
        date_format: the format of the texts of the training set; None if it had dates with a type.
    """

    name: str
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    constant: tuple[bool, ...]
    has_time: bool = False
    fill: float | None = None
    indicator: bool = False
    date_format: str | None = None

    @property
    def kind(self) -> ColumnKind:
        """The kind of the column."""
        return "date"

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the model inputs that the feature becomes."""
        parts = (*date_part_names(self.has_time), *(["missing"] if self.indicator else []))
        return tuple(f"{self.name}={part}" for part in parts)

    def to_dict(self) -> dict[str, Any]:
        """Return the feature as plain values for JSON."""
        fields = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return {"kind": "date", **{key: value for key, value in fields.items() if key != "date_format" or value}}

    def encode(self, days: NDArray[np.float64], dtype: str) -> NDArray[Any]:
        """Return the standardized parts of dates without missing values, (n, parts)."""
        fitted = Standardization(np.array(self.mean), np.array(self.scale), np.array(self.constant))
        return fitted.apply(date_parts(days, self.has_time), dtype)


@dataclass(frozen=True, slots=True)
class TextFeature:
    """A column of free text, whose words are hashed; see `hash_words`. A missing text has no words.

    Attributes:
        name: the name of the column.
        inputs: the number of model inputs.
    """

    name: str
    inputs: int = TEXT_INPUTS

    @property
    def kind(self) -> ColumnKind:
        """The kind that readers return its texts as."""
        return "category"

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the model inputs that the feature becomes."""
        return tuple(f"{self.name}#{index}" for index in range(self.inputs))

    def to_dict(self) -> dict[str, Any]:
        """Return the feature as plain values for JSON."""
        return {"kind": "text", **asdict(self)}

    def encode(self, codes: NDArray[Any], labels: Sequence[str]) -> NDArray[np.float64]:
        """Return the hashed words of each sample, (n, inputs); see `OneHotFeature.encode`."""
        gaps = np.isnan(codes)
        present, positions = np.unique(np.where(gaps, len(labels), codes).astype(np.int64), return_inverse=True)
        texts = (*labels, "")
        return hash_words([texts[code] for code in present.tolist()], self.inputs)[positions]


Feature: TypeAlias = NumericFeature | OneHotFeature | BooleanFeature | DateFeature | TextFeature


def input_names(features: Iterable[Feature]) -> tuple[str, ...]:
    """Return the names of the model inputs that features become."""
    return tuple(name for feature in features for name in feature.input_names)


def feature_from_dict(data: Mapping[str, Any]) -> Feature:
    """Return the feature whose `to_dict` returned `data`; a ValueError, KeyError or TypeError if it is malformed."""
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    del fields["kind"]
    fields["name"] = nfc(fields["name"])
    match data["kind"]:
        case "number":
            return NumericFeature(**fields)
        case "category":
            return OneHotFeature(**fields)
        case "boolean":
            return BooleanFeature(**fields)
        case "date":
            parts = len(date_part_names(fields["has_time"]))
            if any(len(fields[name]) != parts for name in ("mean", "scale", "constant")):
                raise ValueError(f"a date has {parts} parts")
            return DateFeature(**fields)
        case "text":
            return TextFeature(**fields)
    raise ValueError(f"a column must be a number, category, boolean, date or text, got {data['kind']!r}")
