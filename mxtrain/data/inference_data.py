"""Inputs and targets for a trained model, from files or from Python."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import Missing
from mxtrain.config.data_sources import ARCHIVES, CLASS_SOURCES, TABLES, has_ending, is_path
from mxtrain.data.kinds.typed_columns import ValueFormats, type_columns
from mxtrain.data.loading import UNKNOWN_FORMAT, load_packaged, select_inference_columns
from mxtrain.data.preprocessing.preprocessing import Preprocessing
from mxtrain.data.preprocessing.table import count_samples, rows_to_keep, rows_with_target
from mxtrain.data.python_columns import column_names, columns_by_name, columns_of, columns_of_records, to_numeric_array
from mxtrain.data.readers.columns import Columns, check_names_exist, check_selected_names, names_in_other_case
from mxtrain.data.readers.dialect import FormatSettings
from mxtrain.data.readers.numpy_files import (
    check_finite_numbers,
    flatten_inputs,
    flatten_targets,
    open_array_pair,
    open_npz,
    open_shards,
    read_array,
)
from mxtrain.data.readers.open_file import open_data_file
from mxtrain.data.readers.raw_table import RawTable
from mxtrain.data.readers.recorded_format import RecordedFormat
from mxtrain.data.readers.table_files import read_raw
from mxtrain.errors import DataError
from mxtrain.names import nfc
from mxtrain.paths import expand_home, url_problem

_Arrays: TypeAlias = tuple[NDArray[Any], NDArray[Any] | None]
"""Inputs, (n, d), and targets, (n,) or (n, k)."""


def inputs_from_memory(
    data: Any, preprocessing: Preprocessing, settings: FormatSettings = UNKNOWN_FORMAT
) -> NDArray[Any]:
    """Return the inputs of a model, (n, d), for data from Python.

    Args:
        data: columns by name or a data frame (pandas, Polars, Arrow), in any order and with any other columns; or an
            array, (n, ...), with the features in the order of training. Masked values are missing.
        preprocessing: the fitted preprocessing of the model.
        settings: the format of the training data.

    Raises:
        DataError: a feature is missing, or a value is invalid.

    Example:
        >>> from mxtrain.data.preprocessing.features import NumericFeature
        >>> fitted = Preprocessing((NumericFeature("age"), NumericFeature("size")), "y", None, "float32")
        >>> inputs_from_memory({"size": np.arange(2), "age": [7, 8]}, fitted).tolist()
        [[7.0, 0.0], [8.0, 1.0]]
    """
    data = columns_of_records(data)
    names = column_names(data)
    if names is not None:
        return preprocessing.apply(read_features(data, names, preprocessing, settings))
    array = to_numeric_array(data, "inputs")
    if not len(array):
        return np.empty((0, len(preprocessing.feature_names)), preprocessing.dtype)
    return preprocessing.apply(array, "inputs")


def read_features(
    data: Any, names: Sequence[str], preprocessing: Preprocessing, settings: FormatSettings, source: str = "data"
) -> Columns:
    """Return the features of a model among columns from Python."""
    kinds = preprocessing.kinds
    check_selected_names(names, kinds, source)
    renamed = names_in_other_case(names, kinds)
    wanted = [name for name in names if renamed.get(name, name) in kinds]
    columns = {renamed.get(name, name): values for name, values in columns_by_name(data, wanted).items()}
    all_names = [renamed.get(name, name) for name in names]
    select = select_inference_columns(kinds, (), classes=False)
    formats = value_formats(preprocessing, settings)
    return columns_of(columns, lambda where, _: select(where, all_names), source, formats)


def value_formats(
    preprocessing: Preprocessing, settings: FormatSettings, found: Mapping[str, Any] | None = None
) -> ValueFormats:
    """Return what a trained model knows of the spelling of values in a table of the format `found`."""
    decimal = (found or {}).get("decimal", settings.decimal)
    thousands = settings.thousands if decimal == settings.decimal else None
    marks, known = settings.missing_values or (), preprocessing.known_categories
    return ValueFormats(marks, decimal, thousands, preprocessing.date_formats, known)


def recorded_format(preprocessing: Preprocessing, settings: FormatSettings) -> RecordedFormat:
    """Return the format of new tables for a trained model, of whose training data `settings` is the format."""
    kinds = preprocessing.kinds
    return RecordedFormat(
        separator=settings.separator,
        quote=settings.quote,
        decimal=settings.decimal,
        thousands=settings.thousands,
        comment=settings.comment,
        encoding=settings.encoding,
        missing_values=settings.missing_values,
        names=tuple(kinds),
        numbers=frozenset(name for name, kind in kinds.items() if kind == "number"),
        positions=preprocessing.positions,
        targets=frozenset(preprocessing.target_names),
    )


def load_for_prediction(
    path: str,
    preprocessing: Preprocessing,
    with_targets: bool = False,
    missing: Missing = "error",
    settings: FormatSettings = UNKNOWN_FORMAT,
) -> _Arrays:
    """Load the inputs of a model from a file and, if they are wanted and the file has them, the targets.

    Args:
        path: a table, an `.npz` archive, an `.npy` file of inputs, a folder of arrays (with a trailing `/`), or the
            name of a data set of the package.
        preprocessing: the fitted preprocessing of the model.
        with_targets: True to load the targets; otherwise the column of the target may be blank or hold anything.
        missing: with `drop`, samples that lack a value are left out with a warning; if targets are wanted, those
            without one always are.
        settings: the format of the training data; a table may have another one.

    Returns:
        The inputs, (n, d), and the targets, (n,) or (n, k), as the loss takes them, or None; in memory, in the order of
        the file.

    Raises:
        DataError: the file cannot be read, or a column, a value or a class is invalid.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from mxtrain.data.preprocessing.features import NumericFeature
        >>> path = f"{tempfile.mkdtemp()}/new.csv"
        >>> _ = Path(path).write_text("name,age\\nTom,8\\nAnn,4\\n")
        >>> load_for_prediction(path, Preprocessing((NumericFeature("age", 4.0, 2.0),), "y", None, "float32"))
        (array([[2.], [0.]], dtype=float32), None)
    """
    if problem := url_problem(path):
        raise DataError(f"{path}: {problem}")
    path = expand_home(path)
    if path in CLASS_SOURCES:
        table = load_packaged(path, CLASS_SOURCES[path])
        inputs = preprocessing.apply(table.inputs, path)
        return inputs, preprocessing.encode_targets(table.targets, path)
    if not is_path(path):
        raise DataError(f"{path}: must be a table, an .npz archive, an .npy file, or a folder with a / at its end")
    if has_ending(path, TABLES):
        columns = read_inference_table(path, preprocessing, with_targets, settings)
        return encode_table(
            drop_with_warning(columns, preprocessing, missing) if with_targets else columns, preprocessing
        )
    if has_ending(path, ARCHIVES):
        return load_archive(path, preprocessing, with_targets)
    return _load_arrays(path, preprocessing, with_targets)


def with_known_names(raw: RawTable, names: Iterable[str]) -> RawTable:
    """Return a table whose columns have the names that a model knows, where only upper and lower case differ."""
    renamed = names_in_other_case(raw.columns, names)
    if not renamed:
        return raw
    return replace(raw, columns={renamed.get(name, name): column for name, column in raw.columns.items()})


def features_of_table(
    raw: RawTable, preprocessing: Preprocessing, settings: FormatSettings = UNKNOWN_FORMAT
) -> Columns:
    """Return the features of a model from a table; `settings` is the format of the training data.

    Raises:
        DataError: a column is missing, or a value is invalid.
    """
    raw = with_known_names(raw, preprocessing.kinds)
    select = select_inference_columns(preprocessing.kinds, (), classes=False)
    formats = replace(value_formats(preprocessing, settings, raw.found), is_fixed=True)
    return type_columns(raw, select(raw.header, raw.names), formats)


def read_inference_table(
    path: str,
    preprocessing: Preprocessing,
    with_targets: bool = True,
    settings: FormatSettings = UNKNOWN_FORMAT,
    weight: str | None = None,
) -> Columns:
    """Read the features of a model from a table and, as far as the table has them, the targets and the weights."""
    targets = preprocessing.target_names if with_targets else ()
    raw = read_raw(path, recorded_format(preprocessing, settings))
    raw = with_known_names(raw, [*preprocessing.kinds, *targets, *([] if weight is None else [weight])])
    select = select_inference_columns(preprocessing.kinds, targets, preprocessing.has_classes, weight)
    kinds = select(raw.header, raw.names)
    check_selected_names(raw.names, kinds, raw.header)
    columns = type_columns(raw, kinds, value_formats(preprocessing, settings, raw.found))
    if not len(columns):
        raise DataError(f"{path}: has a header but no samples")
    return columns


def encode_table(columns: Columns, preprocessing: Preprocessing, notes: list[str] | None = None) -> _Arrays:
    """Return the inputs in columns and, if the columns have them, the encoded targets."""
    targets = preprocessing.encode_target_columns(columns) if has_targets(columns, preprocessing) else None
    return preprocessing.apply(columns, notes=notes), targets


def has_targets(columns: Columns, preprocessing: Preprocessing) -> bool:
    """Return whether columns have the targets; a DataError if they have some of several."""
    missing = [name for name in preprocessing.target_names if name not in columns.columns]
    if 0 < len(missing) < len(preprocessing.target_names):
        raise DataError(f"{columns.source}: there is no column {missing[0]!r}, one of the targets; add it")
    return not missing


def drop_incomplete_rows(columns: Columns, preprocessing: Preprocessing, missing: Missing) -> tuple[Columns, list[str]]:
    """Return the samples that training would keep: those with a target and, with `drop`, without missing values.

    Args:
        columns: the features and, if they are known, the targets.
        preprocessing: the fitted preprocessing of the model.
        missing: the treatment of missing values in training.

    Returns:
        The columns of these samples, and messages with the number of others, if there are any.
    """
    notes: list[str] = []
    if has_targets(columns, preprocessing):
        kept, notes = rows_with_target(columns, preprocessing.target_names, preprocessing.has_classes)
        columns = columns.take(kept)
    if missing == "drop":
        kept = rows_to_keep(columns, "drop", preprocessing.kinds)
        if len(kept) < len(columns):
            notes.append(f"left out {count_samples(len(columns) - len(kept))} that lack a value (data.missing: drop)")
        columns = columns.take(kept)
    return columns, notes


def drop_with_warning(columns: Columns, preprocessing: Preprocessing, missing: Missing) -> Columns:
    kept, notes = drop_incomplete_rows(columns, preprocessing, missing)
    for note in notes:
        warnings.warn(f"{columns.source}: {note}", UserWarning, stacklevel=4)  # the caller of `evaluate`
    return kept


def load_archive(path: str, preprocessing: Preprocessing, with_targets: bool = True) -> _Arrays:
    """Return the inputs in an archive and, if they are wanted and it has them, the encoded targets."""
    with open_data_file(path) as file:
        archive = open_npz(file, path)
        target, names = preprocessing.target, list(map(nfc, archive.files))
        others = [name for name in names if name != target]
        name = others[0] if len(others) == 1 else preprocessing.array or "inputs"
        check_names_exist(path, "array", others, name)
        inputs = flatten_inputs(read_array(archive, name, path), f"{path}: array {name!r}")
        found = read_array(archive, target, path) if with_targets and target in names else None
    targets = None
    if found is not None:
        where = f"{path}: array {target!r}"
        targets = preprocessing.encode_target_array(flatten_targets(found, len(inputs), where), where)
    return preprocessing.apply(inputs, path), targets


def _load_arrays(path: str, preprocessing: Preprocessing, with_targets: bool) -> _Arrays:
    arrays = open_array_pair(path, None) if has_ending(path, (".npy",)) else open_shards(path)
    inputs = np.empty((len(arrays), arrays.width), dtype=arrays.dtype)
    arrays.gather(np.arange(len(arrays)), inputs)
    check_finite_numbers(inputs, path)
    found = arrays.read_targets() if with_targets else None
    targets = None if found is None else preprocessing.encode_target_array(found, path)
    return preprocessing.apply(inputs, path), targets
