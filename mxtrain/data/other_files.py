"""Data in other files than the training's, brought to the same form: for validation, for tests, for predictions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import ARCHIVES, CLASS_SOURCES, TABLES, Missing, has_ending, is_path
from mxtrain.data.arrays import as_rows, check_numbers, labels_of, one_for_each
from mxtrain.data.columns import Columns
from mxtrain.data.npy_folder import array_pair, folder_of_inputs
from mxtrain.data.npz_file import open_npz, read_array
from mxtrain.data.opening import opened
from mxtrain.data.packaged import load_packaged
from mxtrain.data.part import Part
from mxtrain.data.preprocessing import Preprocessing
from mxtrain.data.table import check_known
from mxtrain.data.table_file import columns_to_predict_from, read_columns
from mxtrain.data.tabulate import rows_with_values
from mxtrain.data.targets import as_targets, known_classes, targets_of
from mxtrain.errors import DataError
from mxtrain.names import nfc

_Loaded = tuple[NDArray[Any], NDArray[Any] | None]


def load_for_prediction(path: str, preprocessing: Preprocessing, with_targets: bool = False) -> _Loaded:
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
        >>> from mxtrain.data.preprocessing import Number
        >>> path = f"{tempfile.mkdtemp()}/new.csv"
        >>> from pathlib import Path
        >>> _ = Path(path).write_text("name,age\\nTom,8\\nAnn,4\\n")
        >>> load_for_prediction(path, Preprocessing((Number("age", 4.0, 2.0),), "y", None, "float32"))
        (array([[2.], [0.]], dtype=float32), None)
    """
    if path in CLASS_SOURCES:
        table = load_packaged(path, CLASS_SOURCES[path])
        inputs = preprocessing.apply(table.inputs, path)
        return inputs, as_targets(table.targets, preprocessing, path)
    if not is_path(path):
        raise DataError(f"{path}: must be a table, an .npz archive, an .npy file, or a folder with a / at its end")
    if has_ending(path, TABLES):
        return _from_table(path, preprocessing, "error", with_targets)
    if has_ending(path, ARCHIVES):
        return _from_archive(path, preprocessing, with_targets)
    return _from_arrays(path, preprocessing, with_targets)


def part_of_its_own(path: str, preprocessing: Preprocessing, missing: Missing) -> Part:
    """A part to validate or to test on, from a file of its own."""
    is_table = has_ending(path, TABLES)
    inputs, targets = _from_table(path, preprocessing, missing) if is_table else _from_archive(path, preprocessing)
    if targets is None:
        noun = "column" if is_table else "array"
        raise DataError(f"{path}: there is no {noun} {preprocessing.target!r}, the target")
    return Part(inputs, targets)


def _from_table(path: str, preprocessing: Preprocessing, missing: Missing, with_targets: bool = True) -> _Loaded:
    target = preprocessing.target if with_targets else ""
    is_class = preprocessing.class_names is not None
    columns = read_columns(path, columns_to_predict_from(preprocessing.kinds, target, is_class))
    if not len(columns):
        raise DataError(f"{path}: has a header but no samples")
    if missing == "drop":
        columns = _without_gaps(columns)
    truth = columns.columns.get(target)
    targets = None if truth is None else targets_of(truth, preprocessing, columns.place, path)
    return preprocessing.apply(columns), targets


def _without_gaps(columns: Columns) -> Columns:
    rows = rows_with_values(columns, columns.columns, "drop", {})
    kept = {name: column.take(rows) for name, column in columns.columns.items()}
    return Columns(columns.source, kept, lambda row: columns.place(int(rows[row])))


def _from_archive(path: str, preprocessing: Preprocessing, with_targets: bool = True) -> _Loaded:
    with opened(path) as file:
        archive = open_npz(file, path)
        target, names = preprocessing.target, list(map(nfc, archive.files))
        others = [name for name in names if name != target]
        name = others[0] if len(others) == 1 else preprocessing.array or "inputs"
        check_known(path, "array", others, name)
        inputs = as_rows(read_array(archive, name, path), f"{path}: array {name!r}")
        found = read_array(archive, target, path) if with_targets and target in names else None
    where = f"{path}: array {target!r}"
    targets = None if found is None else array_targets(one_for_each(found, len(inputs), where), preprocessing, where)
    return preprocessing.apply(inputs, path), targets


def array_targets(found: NDArray[Any], preprocessing: Preprocessing, where: str) -> NDArray[Any]:
    """Targets in an array of another file than the training's, (n,)."""
    if preprocessing.class_names is None:
        check_numbers(found, where)
        return as_targets(found, preprocessing, where)
    labels, codes = labels_of(found, where)
    indices = known_classes(tuple(labels), codes, preprocessing, lambda row: f"{where}: [{row}]")
    return as_targets(indices, preprocessing, where)


def _from_arrays(path: str, preprocessing: Preprocessing, with_targets: bool) -> _Loaded:
    arrays = array_pair(path, None) if has_ending(path, (".npy",)) else folder_of_inputs(path)
    inputs = np.empty((len(arrays), arrays.width), dtype=arrays.dtype)
    arrays.gather(np.arange(len(arrays)), inputs)
    check_numbers(inputs, path)
    found = arrays.read_targets() if with_targets else None
    return preprocessing.apply(inputs, path), None if found is None else array_targets(found, preprocessing, path)
