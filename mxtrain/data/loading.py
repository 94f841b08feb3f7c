"""Loading of tables from files and from the package, and selection of their columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import ColumnKind, DataConfig
from mxtrain.config.data_sources import TABLES, has_ending
from mxtrain.data.kinds.typed_columns import ValueFormats, resolved_fields, type_columns, use_only_columns
from mxtrain.data.preprocessing.table import Table, table_from_arrays, table_from_columns
from mxtrain.data.readers.columns import (
    Columns,
    ColumnSelector,
    check_names_exist,
    check_selected_names,
    select_features,
)
from mxtrain.data.readers.numpy_files import read_npz
from mxtrain.data.readers.open_file import open_data_file
from mxtrain.data.readers.raw_table import RawTable
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
    if has_ending(source, TABLES):
        return training_table(read_columns(config, classes), config, classes)
    assert isinstance(target, str), "DataConfig requires one name for an archive"
    with open_data_file(source) as file:
        return table_from_arrays(read_npz(file, source, target, config.features), source, target, classes)


def training_table(
    columns: Columns, config: DataConfig, classes: bool, sample_weights: NDArray[np.float64] | None = None
) -> Table:
    """Return the table of the columns that `select_training_columns` selects.

    Args:
        columns: these columns.
        config: the data section.
        classes: True if the targets are class labels, False if they are numbers.
        sample_weights: (n,), the weights of the samples if they are no column.

    Raises:
        DataError: as `table_from_columns`.
    """
    table = table_from_columns(
        columns,
        config.target_names,
        classes,
        config.missing,
        weight=config.weight_column,
        sample_weights=sample_weights,
        groups=config.groups,
    )
    others = [name for name in (*config.target_names, config.weight_column, config.groups) if name is not None]
    return replace(table, found=resolved_fields(columns, others))


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


def value_formats(config: DataConfig) -> ValueFormats:
    """Return the spelling of values that a config sets."""
    return ValueFormats(
        config.missing_values or (),
        config.decimal,
        config.thousands,
        config.date_format or {},
        named=config.features or (),
    )


def read_columns(config: DataConfig, classes: bool) -> Columns:
    """Read the columns of a table file that a config selects, with their kinds.

    Raises:
        DataError: the file is missing, cannot be read, or holds invalid values.
    """
    raw = read_raw(config.source, config)
    kinds = select_training_columns(config, classes)(raw.header, raw.names)
    check_selected_names(raw.names, kinds, raw.header)
    columns = type_training_columns(raw, kinds, config)
    if raw.found.get("header") is False or isinstance(config.header, tuple):
        columns = replace(columns, positions=tuple(raw.names))
    return columns


def type_training_columns(raw: RawTable, kinds: Mapping[str, ColumnKind | None], config: DataConfig) -> Columns:
    """Return the columns to train on: also free text that is wanted, and row numbers if no other feature is left.

    Args:
        raw: the table.
        kinds: the columns that `select_training_columns` selects.
        config: the data section.

    Raises:
        DataError: a row is malformed, or a value is invalid.
    """
    formats = value_formats(config)
    columns = type_columns(raw, kinds, formats)
    named = [name for name in formats.named if kinds[name] is None]
    texts = [name for name in columns.left_out if columns.kinds[name] == "text"]
    chosen = [name for name in texts if config.text == "hash" or name in named]
    found = type_columns(raw, dict.fromkeys(chosen, "category"), formats)
    left_out = {name: reason for name, reason in columns.left_out.items() if name not in chosen}
    columns = replace(columns, columns={**columns.columns, **found.columns}, left_out=left_out)
    roles = [*config.target_names, *(name for name in (config.weight_column, config.groups) if name is not None)]
    columns = use_only_columns(columns, raw, formats, roles)
    ordered = {name: columns.columns[name] for name in kinds if name in columns.columns}
    return replace(columns, columns=ordered)


def select_training_columns(config: DataConfig, classes: bool) -> ColumnSelector:
    """Return the selector of the columns that a config names: the features and, last, the targets."""
    targets, categorical = config.target_names, config.categorical or ()
    known: dict[str, ColumnKind] = dict.fromkeys(config.date_format or (), "date")
    known |= {**(config.columns or {}), **dict.fromkeys(categorical, "category")}
    roles: dict[str, ColumnKind | None] = {}
    if config.groups is not None:
        roles[config.groups] = "category"
    if config.weight_column is not None:
        roles[config.weight_column] = "number"

    def select(header: str, names: Sequence[str]) -> Mapping[str, ColumnKind | None]:
        named: dict[str, Any] = {"exclude": config.exclude, "weight": config.weight_column and [config.weight_column]}
        named |= {"groups": config.groups and [config.groups], "columns": config.columns}
        named |= {"date_format": config.date_format}
        for field, chosen in named.items():
            check_names_exist(f"{header}: data.{field}", "column", names, *(chosen or ()))
        left_out = {*(config.exclude or ()), *roles}
        candidates = [name for name in names if name not in left_out] if config.features is None else names
        features = select_features(header, "column", candidates, targets, config.features)
        check_names_exist(f"{header}: data.categorical", "feature", features, *categorical)
        kinds: dict[str, ColumnKind | None] = {name: known.get(name) for name in features}
        return kinds | dict.fromkeys(targets, "category" if classes else "number") | roles

    return select


def select_inference_columns(
    features: Mapping[str, ColumnKind], targets: Sequence[str], classes: bool, weight: str | None = None
) -> ColumnSelector:
    """Return the selector of a trained model's features and, if they exist, of the targets and of the weights."""

    def select(header: str, names: Sequence[str]) -> Mapping[str, ColumnKind | None]:
        check_names_exist(header, "column", names, *features)
        kinds: dict[str, ColumnKind | None] = dict(features)
        kinds |= {name: "category" if classes else "number" for name in targets if name in names}
        return kinds | ({weight: "number"} if weight is not None and weight in names else {})

    return select
