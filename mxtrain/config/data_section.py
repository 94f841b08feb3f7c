"""The `data` section of a run file: source, splits, batches, preprocessing."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError, core_schema

from mxtrain.config.data_fields import (
    ColumnName,
    ColumnNames,
    DateFormat,
    Encoding,
    Header,
    MissingValues,
    NonEmptyText,
    Quote,
    Separator,
    TargetNames,
)
from mxtrain.config.data_sources import (
    ARCHIVES,
    ARRAYS,
    CLASS_SOURCES,
    IN_MEMORY,
    KNOWN_TABLES,
    TABLES,
    compatible_endings,
    has_ending,
    is_path,
    normalize_source,
    similar_source,
)
from mxtrain.names import nfc
from mxtrain.paths import url_problem
from mxtrain.types import Bounds, Config, PositiveInt, describe, field_error

Standardize = Literal["features", "whole", "none"]
Missing = Literal["impute", "drop", "error", "mean"]
Unseen = Literal["ignore", "error"]
Text = Literal["exclude", "hash"]

_ARGUMENTS = {"validation": "validation", "test": "test", "weight": "sample_weight"}
"""The fields that may be `in_memory` besides `source`, with the arguments of `fit` that pass the data."""


@dataclass(frozen=True, slots=True)
class _FractionOrPath:
    """A fraction of the samples, at least 0 and below 1, or the path of separate data."""

    bounds = Bounds(ge=0, lt=1)

    def check(self, value: object) -> float | str:
        if not isinstance(value, str):
            return self.bounds.check(value)
        if is_path(value) or value == IN_MEMORY:
            return value
        context = {"expected": "a number, or the path of a separate data file", "got": describe(value)}
        raise PydanticCustomError("number", "must be {expected}, got {got}", context)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"type": "number", "minimum": 0, "exclusiveMaximum": 1}, {"type": "string"}]}


FractionOrPath = Annotated[float | str, _FractionOrPath()]
ColumnKind = Literal["number", "category", "boolean", "date", "identifier", "text", "constant", "index"]
"""Kinds of columns; columns of the last four kinds are left out of the features."""
Kinds = Annotated[dict[Annotated[NonEmptyText, AfterValidator(nfc)], ColumnKind], Field(min_length=1)]
"""Kinds of columns by name."""
DateFormats = Annotated[dict[Annotated[NonEmptyText, AfterValidator(nfc)], DateFormat], Field(min_length=1)]
"""Formats of columns of dates by name."""


class DataConfig(Config):
    """Data source, splits, batches and preprocessing.

    Args:
        source: `digits`, `diabetes`, `in_memory` for data that Python passes as `data=`, or a path, relative to the
            run file: a table (`.csv`, `.tsv`, `.txt`, `.json`, `.jsonl`, `.parquet`, `.arrow`, with the extra `excel`
            also `.xlsx` and `.ods`; a pattern such as `part-*.csv` for several), an `.npz` archive,
            an `.npy` file of inputs, or, with a `/` at its end, a folder of `inputs-*.npy` and `targets-*.npy`.
        target: the column of a table, or the array of an archive, to predict; a list of columns for several targets at
            once; for an `.npy` file the `.npy` file of the targets. Required for files and for columns in memory; not
            for folders and arrays in memory.
        features: the columns of a table, or the one array of an archive, to predict from; by default, all except the
            target.
        categorical: columns to treat as categories even if they hold numbers, dates or times; text and booleans always
            are.
        columns: what columns hold, by name: `number`, `category`, `boolean` or `date`; or `identifier`, `text`,
            `constant` or `index`, which are no features. By default the values decide, and a run records the result.
        date_format: the formats of columns of dates, by name, such as `%d/%m/%Y` for 31/12/2020. By default one format
            that fits all values of a column is found, and a run records it.
        exclude: the columns to leave out of the features.
        missing: treatment of missing values in the features of a table: `impute` fills in the median of the training
            part for numbers and dates, with an indicator input for columns that have gaps, and a separate category;
            `drop` leaves the sample out; `error` refuses it; `mean` fills in the mean without an indicator. Samples
            without a target are always left out.
        unseen: treatment of a category that the training part lacks: `ignore` encodes it as no category and reports
            it; `error` refuses it in other data.
        text: `exclude` leaves out columns of free text; `hash` hashes their words into 256 inputs.
        max_categories: the most frequent categories of a column, at most this many, have an input each; all rarer ones
            share one.
        weight: the column of the weights of samples, numbers of at least 0; it is not a feature. `in_memory` stands for
            weights that Python passes as `sample_weight=`.
        groups: a column whose equal values stay in one part when samples are split; it is not a feature.
        batch_size: samples per batch, at least 1.
        validation: fraction of the samples held out for validation, at least 0 and below 1, stratified by class; or the
            path of separate data; or `in_memory` for data that Python passes as `validation=`.
        test: the same for the test part, which is evaluated once, after training.
        shuffle: shuffle the samples in each epoch.
        last_batch: `keep` or `drop` a smaller batch at the end of an epoch.
        standardize: `features` scales each number to mean 0 and variance 1, as measured on the training part; `whole`
            scales all of them together, which suits features that share one unit, such as pixels; `none` leaves them
            unchanged. By default `whole` for digits and `features` for all other sources. Categories stay 0 and 1.
        standardize_target: scale the target to mean 0 and variance 1, as measured on the training part; for losses of
            numbers in the unit of the target. By default true for squared_error, absolute, huber and quantile, except
            for diabetes. The loss is that of the standardized target; predictions, `mae` and `r2` are in the
            target's own unit.
        separator: the separator of a text table, such as `,`, `;` or `\\t`; ` ` stands for any number of blanks. Like
            the other fields of the format below, it is detected by default.
        header: `true` if the first line names the columns; `false` names them by their number, from 0; or their names.
        quote: the character around values that contain separators, or an empty text for none.
        decimal: the decimal mark of numbers, `.` or `,`.
        thousands: the character that groups digits, or an empty text for none.
        comment: the beginning of lines to skip, such as `#`, or an empty text for none.
        encoding: the encoding of a text table, such as `utf-8`, `utf-16` or `cp1252`.
        missing_values: the spellings of a missing value, besides a blank cell.
    """

    hidden_defaults: ClassVar[tuple[str, ...]] = ("date_format", "exclude", "text", "weight", "groups")

    source: Annotated[NonEmptyText, AfterValidator(normalize_source)]
    target: TargetNames | None = None
    features: ColumnNames | None = None
    categorical: ColumnNames | None = None
    columns: Kinds | None = None
    date_format: DateFormats | None = None
    exclude: ColumnNames | None = None
    missing: Missing = "impute"
    unseen: Unseen = "ignore"
    text: Text = "exclude"
    max_categories: PositiveInt = 50
    weight: ColumnName | None = None
    groups: ColumnName | None = None
    batch_size: PositiveInt = 32
    validation: FractionOrPath = 0.2
    test: FractionOrPath = 0.0
    shuffle: bool = True
    last_batch: Literal["keep", "drop"] = "keep"
    standardize: Standardize | None = None
    standardize_target: bool | None = None
    separator: Separator | None = None
    header: Header | None = None
    quote: Quote | None = None
    decimal: Literal[".", ","] | None = None
    thousands: Literal["", ",", ".", " ", "'", "_"] | None = None
    comment: str | None = None
    encoding: Encoding | None = None
    missing_values: MissingValues | None = None

    @property
    def is_file(self) -> bool:
        """True if the source is a file or a folder, not a data set in the package."""
        return self.source not in CLASS_SOURCES and not self.is_in_memory

    @property
    def is_in_memory(self) -> bool:
        """True if Python passes the data, so that the config does not name them."""
        return self.source == IN_MEMORY

    @property
    def weight_column(self) -> str | None:
        """The column of the weights of samples; None without one, also if Python passes weights."""
        return None if self.weight == IN_MEMORY and self.is_in_memory else self.weight

    @property
    def is_table(self) -> bool:
        """True if the data are named columns, not arrays."""
        return has_ending(self.source, TABLES) or (self.is_in_memory and self.target is not None)

    @property
    def target_names(self) -> tuple[str, ...]:
        """The names in `target`; empty without a target."""
        return self.target if isinstance(self.target, tuple) else () if self.target is None else (self.target,)

    @property
    def has_one_array(self) -> bool:
        """True if the features are one array in memory, and are named after it."""
        return has_ending(self.source, ARCHIVES) or (self.is_in_memory and self.target is None)

    @property
    def is_streamed(self) -> bool:
        """True if the source is read from the disk batch by batch."""
        return has_ending(self.source, ARRAYS)

    def split_fraction(self, part: Literal["validation", "test"]) -> float:
        """Return the fraction of the source's samples that a part takes; 0 if the part is a separate file."""
        value: float | str = getattr(self, part)
        return 0.0 if isinstance(value, str) else value

    def resolve(self) -> "DataConfig":
        """Return the config with the default of `standardize` filled in, which depends on the source."""
        if self.standardize is not None:
            return self
        return self.model_copy(update={"standardize": "whole" if self.source == "digits" else "features"})

    def as_saved_before_imputation(self) -> "DataConfig":
        """Return the config of a run with the defaults of the version that saved it, which may lack newer fields."""
        if "max_categories" in self.model_fields_set:
            return self
        old = {"missing": "error", "unseen": "error", "standardize_target": False, "max_categories": 1000}
        return self.model_copy(update={k: v for k, v in old.items() if k not in self.model_fields_set})

    def source_problem(self, in_memory: bool) -> str | None:
        """Return an error message if the source contradicts how data were passed; None otherwise.

        Args:
            in_memory: True if data were passed as `data=`.
        """
        if in_memory == self.is_in_memory:
            return None
        if in_memory:
            return f"data= was passed, but the config has {self.source}; set source: {IN_MEMORY}"
        return "the data are not in the config; pass them in Python as data="

    def in_memory_problems(self, arguments: Collection[str]) -> Iterator[tuple[str, str]]:
        """Yield the fields that contradict the data that Python passes, each with an error message.

        Args:
            arguments: the names of the arguments of `fit` that were passed with data in memory.
        """
        problem = self.source_problem("data" in arguments)
        if problem is not None:
            yield "source", problem
        for field, argument in _ARGUMENTS.items():
            value, is_given = getattr(self, field), argument in arguments
            if field == "weight" and not self.is_in_memory:
                continue  # a column of this name
            if is_given != (value == IN_MEMORY):
                what = "weights" if field == "weight" else f"{field} data"
                yield (
                    field,
                    (
                        f"{argument}= was passed, but the config has {value}; set {field}: {IN_MEMORY}"
                        if is_given
                        else f"the {what} are not in the config; pass them in Python as {argument}="
                    ),
                )

    @field_validator("target")
    @classmethod
    def _normalize_target(cls, target: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        if isinstance(target, tuple):
            return tuple(map(nfc, target))
        return target if target is None or has_ending(target, (".npy",)) else nfc(target)  # paths stay unchanged

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if self.is_in_memory:
            if self.features is not None and not self.is_table:
                raise field_error("features", "needs data.target, the name of the column to predict; set it")
        elif not self.is_file:
            self._reject_fields("its own", "target", "features")
        elif not is_path(self.source):
            if problem := url_problem(self.source):
                raise field_error("source", problem)
            paths = (
                f"the path of a table ({KNOWN_TABLES}), an .npz archive, an .npy file, or a folder with / at its end"
            )
            remedy = f"; did you mean {guess}?" if (guess := similar_source(self.source)) else ""
            message = f"must be digits, diabetes, {IN_MEMORY}, or {paths}, got {self.source!r}{remedy}"
            raise field_error("source", message)
        elif self.source.endswith("/"):
            self._reject_fields("inputs-*.npy and targets-*.npy", "target", "features")
        elif self.target is None:
            raise field_error("source", "a file needs data.target, the name of the column or array to predict")
        elif has_ending(self.source, (".npy",)):
            self._reject_fields("one array", "features")
            if isinstance(self.target, tuple) or not has_ending(self.target, (".npy",)):
                raise field_error("target", f"must be the path of an .npy file, like data.source, got {self.target!r}")
        elif isinstance(self.target, tuple) and not self.is_table:
            message = f"an archive has one array of targets, (n,) or (n, k), got {len(self.target)} names; name one"
            raise field_error("target", message)
        if not self.is_table:
            self._check_table_fields()
        self._check_columns()
        return self

    def _check_table_fields(self) -> None:
        """Refuse fields that only a table can have."""
        if self.categorical is not None:
            raise field_error("categorical", "only a table has categories; remove categorical")
        if self.columns is not None:
            raise field_error("columns", "only a table has kinds of columns; remove columns")
        if self.missing not in ("impute", "error"):
            raise field_error("missing", "only a table can have missing values; remove missing")
        for name in ("date_format", "exclude", "weight", "groups"):
            if getattr(self, name) is not None and not (name == "weight" and self.weight_column is None):
                raise field_error(name, f"only a table has columns; remove {name}")

    def _check_columns(self) -> None:
        """Refuse a column that is used for two purposes, and one mark for two purposes."""
        if self.thousands and self.thousands == self.decimal:
            other = "." if self.decimal == "," else ","
            raise field_error("thousands", f"is the decimal mark {self.decimal!r} too; set it to {other!r} or ''")
        if self.quote and self.quote == self.separator:
            raise field_error("quote", f"is the separator {self.separator!r} too; set it to '\"' or ''")
        for column in self.date_format or ():
            kind = (self.columns or {}).get(column, "date")
            if kind != "date":
                raise field_error("date_format", f"{column!r} is a {kind} in columns; keep one of the two")
        features, targets = self.features or (), self.target_names
        for name in ("weight", "groups"):
            column = getattr(self, name)
            if column is not None and column in (*targets, *features):
                role = "the target" if column in targets else "one of data.features"
                raise field_error(name, f"{column!r} is {role}; choose another column")
        for column in self.exclude or ():
            if column in (*targets, *features):
                role = "the target" if column in targets else "one of data.features"
                raise field_error("exclude", f"{column!r} is {role}; keep one of the two")

    @model_validator(mode="after")
    def _check_split_sources(self) -> Self:
        endings = compatible_endings(self.source)
        if self.is_in_memory:
            endings = TABLES if self.is_table else ARCHIVES
        for name in ("validation", "test"):
            path = getattr(self, name)
            if path == IN_MEMORY:
                continue
            if isinstance(path, str) and not endings:
                raise field_error(name, f"must be a fraction for {self.source}, got {path!r}")
            if isinstance(path, str) and not has_ending(path, endings):
                known = f"a table ({KNOWN_TABLES})" if endings == TABLES else f"a path that ends in {endings[0]}"
                raise field_error(name, f"must be {known}, to match {self.source!r}, got {path!r}")
        if self.split_fraction("validation") + self.split_fraction("test") >= 1:
            raise field_error("test", "validation and test together must be below 1, to leave samples for training")
        return self

    def _reject_fields(self, has: str, *names: str) -> None:
        for name in names:
            if getattr(self, name) is not None:
                raise field_error(name, f"{self.source} has {has}; remove {name}")
