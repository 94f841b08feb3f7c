"""Samples with targets and weights for a trained model, from files or from Python, to measure it on."""

import warnings
from typing import Any

from numpy.typing import NDArray

from mxtrain.config.data_section import Missing
from mxtrain.config.data_sources import TABLES, has_ending
from mxtrain.data.batches import InMemorySamples
from mxtrain.data.inference_data import (
    drop_incomplete_rows,
    encode_table,
    has_targets,
    inputs_from_memory,
    load_for_prediction,
    read_features,
    read_inference_table,
    value_formats,
)
from mxtrain.data.loading import UNKNOWN_FORMAT, select_inference_columns
from mxtrain.data.preprocessing.preprocessing import Preprocessing
from mxtrain.data.preprocessing.weights import scale_held_out_weights, weights_of_array, weights_of_column
from mxtrain.data.python_columns import (
    column_names,
    columns_by_name,
    columns_of,
    columns_of_records,
    describe_data,
    read_target_columns,
    unpack_pair,
)
from mxtrain.data.readers.columns import Columns, check_selected_names
from mxtrain.data.readers.dialect import FormatSettings
from mxtrain.errors import DataError


def samples_from_memory(
    data: Any, preprocessing: Preprocessing, missing: Missing = "error", settings: FormatSettings = UNKNOWN_FORMAT
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the inputs and the encoded targets of `read_samples`.

    Example:
        >>> from mxtrain.data.preprocessing.features import NumericFeature
        >>> fitted = Preprocessing((NumericFeature("age"),), "species", ("ant", "cat"), "float32")
        >>> samples_from_memory({"age": [7, 8], "species": ["cat", "ant"]}, fitted)[1].tolist()
        [1, 0]
    """
    samples = read_samples(data, preprocessing, missing, settings=settings)
    return samples.inputs, samples.targets


def read_samples(
    data: Any,
    preprocessing: Preprocessing,
    missing: Missing = "error",
    *,
    weight: str | None = None,
    settings: FormatSettings = UNKNOWN_FORMAT,
    source: str = "data",
    notes: list[str] | None = None,
) -> InMemorySamples:
    """Return samples from Python with encoded targets, and weights if there are any.

    Args:
        data: see `HeldOut`, without fractions and paths.
        preprocessing: the fitted preprocessing of the model.
        missing: with `drop`, samples that lack a value are left out, as those without a target always are.
        weight: the column of the weights; data without this column have equal weights.
        settings: the format of the training data.
        source: the name of the data in error messages.
        notes: receives messages about what was left out and about unseen categories; without it, they are warnings.

    Raises:
        DataError: there is no target or no sample, or a value, a class or a weight is invalid.
    """
    if isinstance(data, tuple):
        return _read_pair(data, preprocessing, settings, source)
    data, targets = columns_of_records(data), preprocessing.target_names
    names = column_names(data)
    if names is None:
        raise DataError(f"{source}: must be (X, y), or columns by name, got {describe_data(data)}")
    for target in targets:
        if target not in names:
            raise DataError(f"{source}: has no {target!r} to compare predictions with")
    others = [*targets, *([weight] if weight in names and weight is not None else ())]
    check_selected_names(names, others, source)
    columns = read_features(data, names, preprocessing, settings, source)
    select = select_inference_columns({}, targets, preprocessing.has_classes, weight)
    found = columns_of(columns_by_name(data, others), select, source, value_formats(preprocessing, settings))
    _check_lengths(len(columns), len(found), targets[0], source)
    joined = Columns(source, {**columns.columns, **found.columns}, found.row_label)
    return _encode(joined, preprocessing, missing, weight, notes)


def load_samples(
    path: str,
    preprocessing: Preprocessing,
    missing: Missing = "error",
    *,
    weight: str | None = None,
    settings: FormatSettings = UNKNOWN_FORMAT,
    notes: list[str] | None = None,
    no_target: str | None = None,
) -> InMemorySamples:
    """Load samples with encoded targets from a file, and weights if there are any.

    Args:
        path: a table, an archive or a folder of arrays, or the name of a data set of the package.
        preprocessing, missing, weight, notes: as for `read_samples`.
        settings: the format of the training data; a table may have another one.
        no_target: the message of the error if the file has no targets.

    Raises:
        DataError: as for `load_for_prediction`, or the file has no targets.
    """
    no_target = no_target or f"has no {preprocessing.target!r} to compare predictions with"
    if has_ending(path, TABLES):
        columns = read_inference_table(path, preprocessing, True, settings, weight)
        if not has_targets(columns, preprocessing):
            raise DataError(f"{path}: {no_target}")
        return _encode(columns, preprocessing, missing, weight, notes)
    inputs, targets = load_for_prediction(path, preprocessing, True, missing, settings)
    if targets is None:
        raise DataError(f"{path}: {no_target}")
    return InMemorySamples(inputs, targets)


def _read_pair(
    data: tuple[Any, ...], preprocessing: Preprocessing, settings: FormatSettings, source: str
) -> InMemorySamples:
    """Return the samples of `(X, y)` or `(X, y, weights)`."""
    features, targets = unpack_pair(data if len(data) != 3 else data[:2], source)
    inputs = inputs_from_memory(features, preprocessing, settings)
    names = preprocessing.target_names
    columns = read_target_columns(targets, preprocessing.has_classes, len(names) > 1, source)
    _check_lengths(len(inputs), len(columns), "y", source)
    if len(columns.columns) != len(names):
        raise DataError(f"{source}: y must hold {len(names)} values for each sample, got {len(columns.columns)}")
    named = dict(zip(names, columns.columns.values(), strict=True))
    encoded = preprocessing.encode_target_columns(Columns(source, named, columns.row_label))
    weights = None
    if len(data) == 3 and data[2] is not None:
        found = weights_of_array(data[2], len(inputs), f"{source}: weights")
        weights = scale_held_out_weights(found, preprocessing.dtype)
    return InMemorySamples(inputs, encoded, weights=weights)


def _encode(
    columns: Columns, preprocessing: Preprocessing, missing: Missing, weight: str | None, notes: list[str] | None
) -> InMemorySamples:
    """Return the samples in columns; those that training would leave out are left out with a note."""
    columns, found = drop_incomplete_rows(columns, preprocessing, missing)
    weights = None
    if weight is not None and weight in columns.columns:
        values = weights_of_column(columns, weight)
        weights = scale_held_out_weights(values, preprocessing.dtype)
    elif weight is not None:
        found.append(f"there is no column {weight!r} (data.weight), so all samples count alike")
    inputs, targets = encode_table(columns, preprocessing, found)
    for note in found:
        if notes is None:
            warnings.warn(f"{columns.source}: {note}", UserWarning, stacklevel=6)  # the caller of `evaluate`
        else:
            notes.append(f"{columns.source}: {note}")
    assert targets is not None, "the columns have targets"
    return InMemorySamples(inputs, targets, weights=weights)


def _check_lengths(inputs: int, targets: int, name: str, source: str) -> None:
    if inputs != targets or not inputs:
        got = f"{inputs} samples and {targets} values of {name!r}"
        raise DataError(f"{source}: must have one target for each sample, and at least one sample, got {got}")
