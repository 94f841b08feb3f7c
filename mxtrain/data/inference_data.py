"""Inputs and targets for a trained model, from files or from Python."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mxtrain.config.data_section import ARCHIVES, CLASS_SOURCES, TABLES, Missing, has_ending, is_path
from mxtrain.data.batches import InMemorySamples
from mxtrain.data.preprocessing.preprocessing import Preprocessing
from mxtrain.data.preprocessing.table import check_names_exist, row_number, rows_with_values
from mxtrain.data.preprocessing.targets import encode_classes, encode_target_column, encode_targets
from mxtrain.data.readers.columns import Columns, columns_of
from mxtrain.data.readers.csv_file import check_selected_names
from mxtrain.data.readers.in_memory import (
    array_of_rows,
    column_names_of,
    columns_by_name,
    describe_data,
    target_column,
    unpack_pair,
)
from mxtrain.data.readers.npy_files import open_array_pair, open_shards
from mxtrain.data.readers.npz_file import (
    check_finite_numbers,
    flatten_inputs,
    flatten_targets,
    labels_of,
    open_npz,
    read_array,
)
from mxtrain.data.readers.open_file import opened
from mxtrain.data.sources import load_packaged, read_columns, select_inference_columns
from mxtrain.errors import DataError
from mxtrain.names import nfc
from mxtrain.paths import expand_home, url_problem


class Frame(Protocol):
    """A data frame, of pandas, Polars or Arrow: columns that are got by name."""

    def __getitem__(self, name: str, /) -> Any: ...


Data: TypeAlias = tuple[ArrayLike, Any] | Mapping[str, Iterable[object]] | Frame
"""`(X, y)`, with X of (n, ...) and y of (n,); or columns by name, or a data frame, the target among them."""


def inputs_from_memory(given: Any, preprocessing: Preprocessing) -> NDArray[Any]:
    """The inputs of a model, (n, d).

    Args:
        given: a mapping from names to columns or a data frame (pandas, Polars, Arrow), whose other columns do not
            matter, nor their order; or an array, (n, ...), with the features in theirs. What a masked array masks
            is missing.
        preprocessing: what was fitted when the model was trained.

    Raises:
        DataError: a feature is missing, or a value is not as in training.

    Example:
        >>> from mxtrain.data.preprocessing.preprocessing import Number
        >>> fitted = Preprocessing((Number("age"), Number("size")), "y", None, "float32")
        >>> inputs_from_memory({"size": np.arange(2), "age": [7, 8]}, fitted).tolist()
        [[7.0, 0.0], [8.0, 1.0]]
    """
    names = column_names_of(given)
    if names is not None:
        kinds = preprocessing.kinds
        check_selected_names(names, kinds, "data")
        columns = columns_by_name(given, (name for name in names if name in kinds))
        choose = select_inference_columns(kinds, "", classes=False)
        return preprocessing.apply(columns_of(columns, lambda where, _: choose(where, names)))
    array = array_of_rows(given, "inputs")
    if not len(array):
        return np.empty((0, len(preprocessing.feature_names)), preprocessing.dtype)
    return preprocessing.apply(array, "inputs")


def samples_from_memory(given: Any, preprocessing: Preprocessing) -> tuple[NDArray[Any], NDArray[Any]]:
    """The inputs of a model, (n, d), and the targets to compare its predictions with, (n,).

    Args:
        given: see `Data`.
        preprocessing: what was fitted when the model was trained.

    Raises:
        DataError: there is no target, or no sample, or a value or a class is not as in training.

    Example:
        >>> from mxtrain.data.preprocessing.preprocessing import Number
        >>> fitted = Preprocessing((Number("age"),), "species", ("ant", "cat"), "float32")
        >>> samples_from_memory({"age": [7, 8], "species": ["cat", "ant"]}, fitted)[1].tolist()
        [1, 0]
    """
    target, classes = preprocessing.target, preprocessing.class_names is not None
    if isinstance(given, tuple):
        features, targets = unpack_pair(given)
        inputs, column, name = inputs_from_memory(features, preprocessing), target_column(targets, classes), "y"
    else:
        names = column_names_of(given)
        if names is None:
            raise DataError(f"data: must be (X, y), or columns by name, got {describe_data(given)}")
        if target not in names:
            raise DataError(f"data: has no {target!r} to compare predictions with")
        check_selected_names(names, [target], "data")
        inputs, name = inputs_from_memory(given, preprocessing), target
        found = columns_of(columns_by_name(given, [target]), select_inference_columns({}, target, classes))
        column = found.columns[target]
    if len(inputs) != len(column.missing) or not len(inputs):
        got = f"{len(inputs)} samples and {len(column.missing)} values of {name!r}"
        raise DataError(f"data: must have one target for each sample, and at least one sample, got {got}")
    return inputs, encode_target_column(column, preprocessing, lambda row: f"data: {row_number(row)}", "data")


_Arrays = tuple[NDArray[Any], NDArray[Any] | None]


def load_for_prediction(path: str, preprocessing: Preprocessing, with_targets: bool = False) -> _Arrays:
    """The inputs of a model and, if they are asked for and the file has them, the targets; in the order of the file.

    Args:
        path: a table, an `.npz` archive, an `.npy` file of inputs, a folder of arrays with a `/` at its end, or the
            name of a data set in the package.
        preprocessing: what was fitted when the model was trained.
        with_targets: whether to read the targets; where predictions are made, they may be blank, or anything.

    Returns:
        The inputs, (n, d), and the targets, (n,), as the loss takes them, or None; all in memory.

    Raises:
        DataError: the file cannot be read, or a column, a value or a class is not as in training.

    Example:
        >>> import tempfile
        >>> from mxtrain.data.preprocessing.preprocessing import Number
        >>> path = f"{tempfile.mkdtemp()}/new.csv"
        >>> from pathlib import Path
        >>> _ = Path(path).write_text("name,age\\nTom,8\\nAnn,4\\n")
        >>> load_for_prediction(path, Preprocessing((Number("age", 4.0, 2.0),), "y", None, "float32"))
        (array([[2.], [0.]], dtype=float32), None)
    """
    if problem := url_problem(path):
        raise DataError(f"{path}: {problem}")
    path = expand_home(path)
    if path in CLASS_SOURCES:
        table = load_packaged(path, CLASS_SOURCES[path])
        inputs = preprocessing.apply(table.inputs, path)
        return inputs, encode_targets(table.targets, preprocessing, path)
    if not is_path(path):
        raise DataError(f"{path}: must be a table, an .npz archive, an .npy file, or a folder with a / at its end")
    if has_ending(path, TABLES):
        return _from_table(path, preprocessing, "error", with_targets)
    if has_ending(path, ARCHIVES):
        return _from_archive(path, preprocessing, with_targets)
    return _from_arrays(path, preprocessing, with_targets)


def load_held_out_file(path: str, preprocessing: Preprocessing, missing: Missing) -> InMemorySamples:
    """A part to validate or to test on, from a file of its own."""
    is_table = has_ending(path, TABLES)
    inputs, targets = _from_table(path, preprocessing, missing) if is_table else _from_archive(path, preprocessing)
    if targets is None:
        noun = "column" if is_table else "array"
        raise DataError(f"{path}: there is no {noun} {preprocessing.target!r}, the target")
    return InMemorySamples(inputs, targets)


def _from_table(path: str, preprocessing: Preprocessing, missing: Missing, with_targets: bool = True) -> _Arrays:
    target = preprocessing.target if with_targets else ""
    is_class = preprocessing.class_names is not None
    columns = read_columns(path, select_inference_columns(preprocessing.kinds, target, is_class))
    if not len(columns):
        raise DataError(f"{path}: has a header but no samples")
    if missing == "drop":
        columns = _drop_incomplete_rows(columns)
    truth = columns.columns.get(target)
    targets = None if truth is None else encode_target_column(truth, preprocessing, columns.place, path)
    return preprocessing.apply(columns), targets


def _drop_incomplete_rows(columns: Columns) -> Columns:
    rows = rows_with_values(columns, columns.columns, "drop", {})
    kept = {name: column.take(rows) for name, column in columns.columns.items()}
    return Columns(columns.source, kept, lambda row: columns.place(int(rows[row])))


def _from_archive(path: str, preprocessing: Preprocessing, with_targets: bool = True) -> _Arrays:
    with opened(path) as file:
        archive = open_npz(file, path)
        target, names = preprocessing.target, list(map(nfc, archive.files))
        others = [name for name in names if name != target]
        name = others[0] if len(others) == 1 else preprocessing.array or "inputs"
        check_names_exist(path, "array", others, name)
        inputs = flatten_inputs(read_array(archive, name, path), f"{path}: array {name!r}")
        found = read_array(archive, target, path) if with_targets and target in names else None
    where = f"{path}: array {target!r}"
    targets = (
        None if found is None else encode_target_array(flatten_targets(found, len(inputs), where), preprocessing, where)
    )
    return preprocessing.apply(inputs, path), targets


def encode_target_array(found: NDArray[Any], preprocessing: Preprocessing, where: str) -> NDArray[Any]:
    """Targets in an array of another file than the training's, (n,)."""
    if preprocessing.class_names is None:
        check_finite_numbers(found, where)
        return encode_targets(found, preprocessing, where)
    labels, codes = labels_of(found, where)
    indices = encode_classes(tuple(labels), codes, preprocessing, lambda row: f"{where}: [{row}]")
    return encode_targets(indices, preprocessing, where)


def _from_arrays(path: str, preprocessing: Preprocessing, with_targets: bool) -> _Arrays:
    arrays = open_array_pair(path, None) if has_ending(path, (".npy",)) else open_shards(path)
    inputs = np.empty((len(arrays), arrays.width), dtype=arrays.dtype)
    arrays.gather(np.arange(len(arrays)), inputs)
    check_finite_numbers(inputs, path)
    found = arrays.read_targets() if with_targets else None
    return preprocessing.apply(inputs, path), None if found is None else encode_target_array(found, preprocessing, path)
