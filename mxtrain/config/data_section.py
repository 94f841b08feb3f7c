"""The `data` section of a run file: source, splits, batches, preprocessing."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, field_validator, model_validator
from pydantic_core import PydanticCustomError, core_schema

from mxtrain.names import nfc
from mxtrain.paths import url_problem
from mxtrain.types import Bounds, Config, ListAsTuple, PositiveInt, describe, field_error

Standardize = Literal["features", "whole", "none"]
Missing = Literal["error", "drop", "mean"]
Unseen = Literal["error", "ignore"]
NonEmptyText = Annotated[str, Field(min_length=1)]

CLASS_SOURCES: dict[str, bool] = {"digits": True, "diabetes": False}
"""The data sets in the package, and whether their targets are classes."""

IN_MEMORY = "handed_over"
"""The source of a run whose data are arrays or columns in memory: Python hands them over as `data=`."""

TABLES = (".csv", ".jsonl", ".ndjson", ".parquet", ".arrow", ".feather")
"""How the name of a table ends."""
ARCHIVES = (".npz",)
"""How the name of an archive of arrays ends."""
ARRAYS = (".npy", "/")
"""How the path of an array, or of a folder of arrays, ends: data that are read from the disk batch by batch."""
_PATHS = (*TABLES, *ARCHIVES, *ARRAYS)


def has_ending(path: str, endings: tuple[str, ...]) -> bool:
    """Return whether a path has one of these endings, in any case.

    >>> has_ending("TRAIN.CSV", TABLES), has_ending("train.csv.gz", TABLES)
    (True, False)
    """
    return path.lower().endswith(endings)


def is_path(text: str) -> bool:
    """Whether a text ends as the path of data does.

    >>> is_path("a/train.csv"), is_path("shards/"), is_path("digits")
    (True, True, False)
    """
    return has_ending(text, _PATHS)


def compatible_endings(source: str) -> tuple[str, ...]:
    """The endings of paths whose data can stand beside those of `source`.

    >>> compatible_endings("train.parquet") == TABLES, compatible_endings("shards/"), compatible_endings("digits")
    (True, ('/',), ())
    """
    if has_ending(source, TABLES):
        return TABLES
    if has_ending(source, ARCHIVES):
        return ARCHIVES
    return ("/",) if has_ending(source, ARRAYS) else ()


@dataclass(frozen=True, slots=True)
class _FractionOrPath:
    """A share of the samples, at least 0 and below 1, or the path of data of their own."""

    bounds = Bounds(ge=0, lt=1)

    def check(self, value: object) -> float | str:
        if not isinstance(value, str):
            return self.bounds.check(value)
        if is_path(value):
            return value
        context = {"expected": "a number, or the path of data of their own", "got": describe(value)}
        raise PydanticCustomError("number", "must be {expected}, got {got}", context)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"type": "number", "minimum": 0, "exclusiveMaximum": 1}, {"type": "string"}]}


FractionOrPath = Annotated[float | str, _FractionOrPath()]
ColumnNames = Annotated[tuple[Annotated[NonEmptyText, AfterValidator(nfc)], ...], ListAsTuple, Field(min_length=1)]
"""Names of columns, in NFC as all names of data are."""


class DataConfig(Config):
    """What to train on, and in which portions.

    Args:
        source: `digits`, `diabetes`, `handed_over`, which are the data that Python gives as `data=`, or a path,
            relative to the run file: a table (`.csv`, `.jsonl`, `.ndjson`; with the extra `tables` also `.parquet`,
            `.arrow`, `.feather`), an `.npz` archive, an `.npy` file of inputs, or, with a `/` at its end, a folder of
            `inputs-*.npy` and `targets-*.npy`.
        target: the column of a table, or the array of an archive, to predict; for an `.npy` file the `.npy` file of
            the targets. Needed for files, not for folders; of what is handed over, columns need it, and arrays have
            none.
        features: the columns of a table, or the one array of an archive, to predict from; left out, all the others.
        categorical: columns to take as categories even where they hold numbers, dates or times; text and booleans
            always are.
        missing: what is done where a table lacks a value: `error`; `drop` leaves the sample out; `mean` puts the mean
            of the training part for a number, and a category of its own for a text.
        unseen: what is done with a category that the training part lacks: `error`, or `ignore`, as if there were none.
        batch_size: samples in a batch, at least 1.
        validation: share of the samples that is held out to validate on, at least 0 and below 1, of each class alike;
            or the path of data of their own.
        test: the same for the samples that are held out to the very end.
        shuffle: whether each epoch draws its own order of the samples.
        last_batch: what happens to a smaller batch at the end of an epoch: `keep` or `drop`.
        standardize: `features` brings each number to mean 0 and variance 1, as measured on the training part; `whole`
            all of them together, which suits features that share one unit, such as pixels; `none` leaves them as they
            are. Left out, `whole` for digits and `features` for everything else. Categories stay 0 and 1.
        standardize_target: whether the target too is brought to mean 0 and variance 1, as measured on the training
            part; for squared_error. The loss is that of the standardized target; predictions, `mae` and `r2` are in the
            target's own unit.
    """

    source: NonEmptyText
    target: NonEmptyText | None = None
    features: ColumnNames | None = None
    categorical: ColumnNames | None = None
    missing: Missing = "error"
    unseen: Unseen = "error"
    batch_size: PositiveInt = 32
    validation: FractionOrPath = 0.2
    test: FractionOrPath = 0.0
    shuffle: bool = True
    last_batch: Literal["keep", "drop"] = "keep"
    standardize: Standardize | None = None
    standardize_target: bool = False

    @property
    def is_file(self) -> bool:
        """Whether the source is a file or a folder rather than a data set in the package."""
        return self.source not in CLASS_SOURCES and not self.is_in_memory

    @property
    def is_in_memory(self) -> bool:
        """Whether the data are not in the config, but handed over in Python."""
        return self.source == IN_MEMORY

    @property
    def is_table(self) -> bool:
        """Whether the data are columns with names, rather than arrays."""
        return has_ending(self.source, TABLES) or (self.is_in_memory and self.target is not None)

    @property
    def has_one_array(self) -> bool:
        """Whether the features are one array in memory, whose name they bear."""
        return has_ending(self.source, ARCHIVES) or (self.is_in_memory and self.target is None)

    @property
    def is_streamed(self) -> bool:
        """Whether the source stays on the disk, and is read batch by batch."""
        return has_ending(self.source, ARRAYS)

    def split_fraction(self, part: Literal["validation", "test"]) -> float:
        """The share of the source's own samples that a part takes: 0 where it has a file of its own."""
        value: float | str = getattr(self, part)
        return 0.0 if isinstance(value, str) else value

    def resolve(self) -> "DataConfig":
        """The config with nothing left open: `standardize` follows from the source where it was left out."""
        if self.standardize is not None:
            return self
        return self.model_copy(update={"standardize": "whole" if self.source == "digits" else "features"})

    def source_problem(self, in_memory: bool) -> str | None:
        """What is wrong with the source where data are handed over, or are not; None where it suits."""
        if in_memory == self.is_in_memory:
            return None
        if in_memory:
            return f"data were handed over, but the config has {self.source}; set source: {IN_MEMORY}"
        return "the data are not in the config; hand them over in Python with data=, or name a file"

    @field_validator("target")
    @classmethod
    def _normalize_target(cls, target: str | None) -> str | None:
        return target if target is None or has_ending(target, (".npy",)) else nfc(target)  # a path stays as it is

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if self.is_in_memory:
            if self.features is not None and not self.is_table:
                raise field_error("features", "goes with data.target, the name of the column to predict; leave it out")
        elif not self.is_file:
            self._reject_fields("its own", "target", "features")
        elif not is_path(self.source):
            if problem := url_problem(self.source):
                raise field_error("source", problem)
            paths = f"a path that ends in {', '.join(_PATHS[:-1])} or, for a folder, /"
            raise field_error("source", f"must be digits, diabetes, {IN_MEMORY}, or {paths}, got {self.source!r}")
        elif self.source.endswith("/"):
            self._reject_fields("inputs-*.npy and targets-*.npy", "target", "features")
        elif self.target is None:
            raise field_error("source", "a file needs data.target, the name of what is to be predicted")
        elif has_ending(self.source, (".npy",)):
            self._reject_fields("one array", "features")
            if not has_ending(self.target, (".npy",)):
                raise field_error("target", f"must be the path of an .npy file, as data.source is, got {self.target!r}")
        if not self.is_table:
            if self.categorical is not None:
                raise field_error("categorical", "only a table has categories; leave categorical out")
            if self.missing != "error":
                raise field_error("missing", "only a table may lack values; leave missing out")
        return self

    @model_validator(mode="after")
    def _check_split_sources(self) -> Self:
        endings = compatible_endings(self.source)
        for name in ("validation", "test"):
            path = getattr(self, name)
            if isinstance(path, str) and not endings:
                raise field_error(name, f"must be a share of {self.source}, got {path!r}")
            if isinstance(path, str) and not has_ending(path, endings):
                raise field_error(name, f"must end in {', '.join(endings)}, to go with {self.source!r}, got {path!r}")
        if self.split_fraction("validation") + self.split_fraction("test") >= 1:
            raise field_error(
                "test", "validation and test together must be below 1, so that some samples are trained on"
            )
        return self

    def _reject_fields(self, has: str, *names: str) -> None:
        for name in names:
            if getattr(self, name) is not None:
                raise field_error(name, f"{self.source} has {has}; leave {name} out")
