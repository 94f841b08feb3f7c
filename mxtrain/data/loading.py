"""Loading of tables from files and from the package, and selection of their columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import BinaryIO, cast

from mxtrain.config.data_section import TABLES, ColumnKind, DataConfig, has_ending
from mxtrain.data.kinds.typed_columns import resolved_fields, type_columns
from mxtrain.data.preprocessing.table import Table, table_from_arrays, table_from_columns
from mxtrain.data.readers.columns import (
    Columns,
    ColumnSelector,
    check_names_exist,
    check_selected_names,
    select_features,
)
from mxtrain.data.readers.dialect import FormatSettings
from mxtrain.data.readers.numpy_files import read_npz
from mxtrain.data.readers.open_file import open_data_file
from mxtrain.data.readers.table_files import read_raw
from mxtrain.errors import DataError


@dataclass(frozen=True, slots=True)
class PackagedTable:
    """A file in `tables/`: the name of the array to predict, and the names of the features."""

    target: str
    feature_names: tuple[str, ...]


PACKAGED_TABLES: Mapping[str, PackagedTable] = {
    "digits": PackagedTable("digit", tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8))),
    "diabetes": PackagedTable("progression", ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")),
}
"""`digits`: 1,797 images of 8 x 8 pixels in ten classes. `diabetes`: 442 patients, a number to predict."""


UNKNOWN_FORMAT = DataConfig(source="table.csv", target="target")
"""Settings of a table whose format is detected."""


def load(config: DataConfig, classes: bool) -> Table:
    """Load the table that a config names.

    Args:
        config: the data section; a relative path is relative to the working directory.
        classes: True if the targets are class labels, False if they are numbers.

    Raises:
        DataError: the file is missing, cannot be read, or holds invalid values; or the source is in memory.

    Example:
        >>> table = load(DataConfig(source="diabetes"), classes=False)
        >>> table.column_names[:4], table.targets[:3].tolist()
        (('age', 'sex', 'bmi', 'bp'), [151.0, 75.0, 141.0])
    """
    source, target = config.source, config.target
    if config.is_in_memory:
        raise DataError(f"data.source: {config.source_problem(in_memory=False)}")
    if not config.is_file:
        return load_packaged(source, classes)
    assert target is not None, "DataConfig requires it for every file"
    if has_ending(source, TABLES):
        columns = read_columns(source, select_training_columns(config, classes), config)
        table = table_from_columns(columns, target, classes, config.missing)
        return replace(table, found=resolved_fields(columns, [target]))
    with open_data_file(source) as file:
        return table_from_arrays(read_npz(file, source, target, config.features), source, target, classes)


def load_packaged(name: str, classes: bool) -> Table:
    """Load a data set of the package.

    Example:
        >>> load_packaged("digits", classes=True).inputs.shape
        (1797, 64)
    """
    entry = PACKAGED_TABLES[name]
    with files("mxtrain.data").joinpath("tables", f"{name}.npz").open("rb") as file:
        arrays = read_npz(cast("BinaryIO", file), name, entry.target, None)
    table = table_from_arrays(arrays, name, entry.target, classes)
    return replace(table, column_names=entry.feature_names, class_dtype="int64" if classes else "str")


def read_columns(source: str, select: ColumnSelector, settings: FormatSettings) -> Columns:
    """Read the selected columns of a table file, with their kinds.

    Args:
        source: the path of the file.
        select: returns the columns to read, and the kinds that are known.
        settings: the format of the file, as far as it is known.

    Raises:
        DataError: the file is missing, cannot be read, or holds invalid values.
    """
    raw = read_raw(source, settings)
    kinds = select(raw.header, raw.names)
    check_selected_names(raw.names, kinds, raw.header)
    return type_columns(raw, kinds, settings.missing_values or (), settings.decimal)


def select_training_columns(config: DataConfig, classes: bool) -> ColumnSelector:
    """Return the selector of the columns that a config names: the features and, last, the target."""
    target, categorical = config.target or "", config.categorical or ()
    known: dict[str, ColumnKind] = {**(config.columns or {}), **dict.fromkeys(categorical, "category")}

    def select(header: str, names: Sequence[str]) -> Mapping[str, ColumnKind | None]:
        features = select_features(header, "column", names, target, config.features)
        check_names_exist(f"{header}: data.categorical", "feature", features, *categorical)
        check_names_exist(f"{header}: data.columns", "column", names, *(config.columns or ()))
        kinds: dict[str, ColumnKind | None] = {name: known.get(name) for name in features}
        return kinds | {target: "category" if classes else "number"}

    return select


def select_inference_columns(features: Mapping[str, ColumnKind], target: str | None, classes: bool) -> ColumnSelector:
    """Return the selector of a trained model's features and, if it exists, of the target; None selects no target."""

    def select(header: str, names: Sequence[str]) -> Mapping[str, ColumnKind | None]:
        check_names_exist(header, "column", names, *features)
        kinds: dict[str, ColumnKind | None] = dict(features)
        return kinds | ({target: "category" if classes else "number"} if target is not None and target in names else {})

    return select
