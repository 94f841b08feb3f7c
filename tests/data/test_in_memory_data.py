"""Training data passed from Python: accepted types, conversion, and error messages."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from mxtrain.config import RunConfig, run_from_dict
from mxtrain.data import prepare, read_in_memory_data
from mxtrain.errors import ConfigError, DataError

X = [[1.0, 2.0], [3.0, 4.0], [5.0, 7.0], [0.0, 9.0]]
NUMBERS = [1.0, 2.0, 3.0, 5.0]
PETS = {"age": [1, 2, 8, 9], "size": ["small", "small", "big", "big"], "species": ["cat", "cat", "dog", "dog"]}


def config(loss: str = "squared_error", **data: Any) -> RunConfig:
    return run_from_dict(
        {
            "data": {"source": "in_memory", "validation": 0, "missing": "error", "standardize_target": False, **data},
            "model": {"kind": "linear"},
            "loss": loss,
            "optimizer": {"kind": "sgd"},
            "dtype": "float64",
        }
    )


CLASSES = config("softmax_cross_entropy")
TABLE = config("softmax_cross_entropy", target="species")


def trained_on(run: RunConfig, data: Any) -> tuple[Any, ...]:
    """Return the inputs, targets, names and fingerprint of data."""
    loaded = read_in_memory_data(run, data)
    assert loaded is not None
    dataset = prepare(run, loaded)
    part = dataset.training
    batches = list(part.in_order(len(part), 0, len(part)))
    inputs, targets = batches[0]
    return inputs.tolist(), targets.tolist(), dataset.feature_names, dataset.class_names, loaded.fingerprint()


def read_only(values: Any) -> Any:
    array = np.array(values)
    array.flags.writeable = False
    return array


class OnDevice:
    """An array as in CuPy, which NumPy cannot convert implicitly."""

    __cuda_array_interface__: Any = {}

    def __init__(self, values: Any) -> None:
        self.values = np.array(values)
        self.dtype, self.shape, self.ndim = self.values.dtype, self.values.shape, self.values.ndim

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        raise TypeError("implicit conversion to a NumPy array is not allowed")

    def get(self) -> Any:
        return self.values

    def tolist(self) -> Any:
        return self.values.tolist()


ARRAYS: dict[str, Callable[[Any], Any]] = {
    "lists": lambda values: values,
    "tuples": lambda values: [tuple(row) if isinstance(row, list) else row for row in values],
    "float32": lambda values: np.array(values, "float32"),
    "float16": lambda values: np.array(values, "float16"),
    "big-endian": lambda values: np.array(values, ">f8"),
    "whole numbers": lambda values: np.array(values, "int64"),
    "bytes": lambda values: np.array(values, "uint8"),
    "columns first": lambda values: np.array(values, order="F"),
    "every other row": lambda values: np.repeat(np.array(values), 2, axis=0)[::2],
    "read-only": read_only,
    "on a device": OnDevice,
    "masked nowhere": np.ma.array,
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS.keys())
def test_equal_numbers_of_any_type_are_the_same_data(array: Callable[[Any], Any]) -> None:
    data = array(X), array(NUMBERS)
    assert trained_on(config(), data) == trained_on(config(), (np.array(X), np.array(NUMBERS)))


def test_more_than_a_buffer_of_numbers_of_any_layout_is_the_same_data_to_the_bit() -> None:
    inputs = np.random.default_rng(0).standard_normal((20_000, 2)).astype("float32")
    targets = inputs @ [1.0, 2.0]
    first = trained_on(config(), (inputs, targets))
    assert trained_on(config(), (np.asfortranarray(inputs, "float64"), targets[:, None])) == first


def test_samples_of_any_shape_are_flattened() -> None:
    images = np.arange(16.0).reshape(4, 2, 2)
    assert trained_on(config(), (images, NUMBERS)) == trained_on(config(), (images.reshape(4, 4), NUMBERS))


def test_booleans_are_the_numbers_0_and_1() -> None:
    truths = np.array(X) > 2.5
    assert trained_on(config(), (truths, NUMBERS))[:2] == trained_on(config(), (truths.astype(int), NUMBERS))[:2]


@pytest.mark.parametrize(
    ("targets", "names", "indices"),
    [
        (["b", "a", "b", "c"], ("a", "b", "c"), [1, 0, 1, 2]),
        (np.array(["b", "a", "b", "c"]), ("a", "b", "c"), [1, 0, 1, 2]),
        (np.array(["b", "a", "b", "c"], dtype=object), ("a", "b", "c"), [1, 0, 1, 2]),
        (pl.Series(["b", "a", "b", "c"]), ("a", "b", "c"), [1, 0, 1, 2]),
        (np.array([10, 9, -3, 9]), ("-3", "9", "10"), [2, 1, 0, 1]),
        (np.array([10.0, 9.0, -3.0, 9.0], "float32"), ("-3", "9", "10"), [2, 1, 0, 1]),
        (np.array([[7], [3], [3], [7]], dtype="uint8"), ("3", "7"), [1, 0, 0, 1]),
        (np.array([True, False, False, True]), ("false", "true"), [1, 0, 0, 1]),
    ],
)
def test_classes_may_be_text_or_any_whole_numbers(targets: Any, names: tuple[str, ...], indices: list[int]) -> None:
    _, found, _, class_names, _ = trained_on(CLASSES, (X, targets))
    assert (class_names, found) == (names, indices)


STRUCTURED = np.array(list(zip(*PETS.values(), strict=True)), [("age", "i4"), ("size", "U5"), ("species", "U3")])


@pytest.mark.parametrize(
    "columns",
    [
        PETS,
        PETS | {"other": object()},
        dict(reversed(PETS.items())) | {"species": iter(PETS["species"])},
        {name: np.array(column) for name, column in PETS.items()},
        PETS | {"age": np.array(PETS["age"], ">f2")},
        pl.DataFrame(PETS),
        STRUCTURED,
    ],
    ids=["lists", "one that is not asked for", "a stream", "arrays", "a half", "a data frame", "a structured array"],
)
def test_columns_are_read_like_a_file(columns: Any) -> None:
    run = config("softmax_cross_entropy", target="species", features=["age", "size"])
    inputs, targets, names, classes, fingerprint = trained_on(run, columns)
    assert (names, classes, targets) == (("age", "size=big", "size=small"), ("cat", "dog"), [0, 0, 1, 1])
    assert [row[1:] for row in inputs] == [[0, 1], [0, 1], [1, 0], [1, 0]]
    assert fingerprint == trained_on(run, PETS)[-1]


def test_missing_values_are_treated_as_the_config_says() -> None:
    ages = np.ma.array(PETS["age"], mask=[False, True, False, False])
    for gaps in ([1, None, 8, 9], np.array([1, np.nan, 8, 9]), ages, pl.Series([1, None, 8, 9])):
        data = PETS | {"age": gaps}
        means = config("softmax_cross_entropy", target="species", missing="mean", standardize="none")
        assert [row[0] for row in trained_on(means, data)[0]] == [1, 6, 8, 9]
        dropped = config("softmax_cross_entropy", target="species", missing="drop", standardize="none")
        assert [row[0] for row in trained_on(dropped, data)[0]] == [1, 8, 9]
        with pytest.raises(DataError, match="data: row 2: column 'age': a value is missing; fill it in, or set"):
            trained_on(TABLE, data)


class NAType:
    """A missing value as in pandas, which has no truth value."""

    def __eq__(self, other: object) -> Any:
        return self

    def __hash__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


@pytest.mark.parametrize("column", ["age", "size"])
def test_missing_values_of_pandas_are_missing(column: str) -> None:
    data = PETS | {column: [PETS[column][0], NAType(), *PETS[column][2:]]}
    with pytest.raises(DataError, match=f"data: row 2: column '{column}': a value is missing"):
        trained_on(TABLE, data)


def test_no_memory_is_shared() -> None:
    inputs, targets = np.array(X), np.array(NUMBERS)
    before = trained_on(config(standardize="none"), (inputs, targets))
    loaded = read_in_memory_data(config(standardize="none"), (inputs, targets))
    assert loaded is not None
    inputs[:], targets[:] = 7, 7
    assert loaded.fingerprint() == before[-1]
    dataset = prepare(config(standardize="none"), loaded)
    assert dataset.training.targets.tolist() == before[1]


@pytest.mark.parametrize(
    "other",
    [
        ([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0], [0.0, 9.5]], NUMBERS),
        (X, [1.0, 2.0, 3.0, 5.5]),
        (X[::-1], NUMBERS[::-1]),
        (X[:3], NUMBERS[:3]),
        (np.array(X).reshape(4, 2)[:, ::-1], NUMBERS),
    ],
)
def test_different_numbers_have_different_fingerprints(other: Any) -> None:
    loaded, changed = read_in_memory_data(config(), (X, NUMBERS)), read_in_memory_data(config(), other)
    assert loaded is not None
    assert changed is not None
    assert loaded.fingerprint() != changed.fingerprint()


@pytest.mark.parametrize(
    "changed", [{"age": [1, 2, 8, 8]}, {"size": ["big"] * 4}, {"species": ["dog", *["cat", "cat", "dog"]]}]
)
def test_different_values_in_columns_have_different_fingerprints(changed: Any) -> None:
    assert trained_on(TABLE, PETS | changed)[-1] != trained_on(TABLE, PETS)[-1]


def with_gap(values: Any) -> Any:
    array = np.array(values)
    array[1] = np.nan
    return array


ROWS = "data: X must be numbers, one row for each sample"
PAIRS: dict[str, tuple[Any, Any, str]] = {
    "lengths": (X, [1, 2, 3], "data: X and y must be of one length, got 4 and 3 samples"),
    "no samples": (np.empty((0, 2)), [], "data: X: must hold at least one sample and one feature, got the shape (0, 2)"),
    "no features": (np.empty((4, 0)), NUMBERS, "data: X: must hold at least one sample and one feature, got the shape (4, 0)"),
    "NaN": (with_gap(X), NUMBERS, "data: X: [1, 0]: must be a finite number, got nan"),
    "infinity": ([[1, 2], [3, np.inf]], [1, 2], "data: X: [1, 1]: must be a finite number, got inf"),
    "masked": (np.ma.masked_greater(np.array(X), 8), NUMBERS, "data: X: [3, 1]: must be a finite number, got nan"),
    "one dimension": (NUMBERS, NUMBERS, f"{ROWS}, got float64 of (4,); use reshape(-1, 1) for one feature, or reshape(1, -1) for one sample"),
    "a number": (3.0, NUMBERS, f"{ROWS}, got float64 of ()"),
    "nothing": (None, NUMBERS, f"{ROWS}, got object of ()"),
    "complex": (np.array(X, complex), NUMBERS, f"{ROWS}, got complex128 of (4, 2)"),
    "objects": (np.array(X, object), NUMBERS, f"{ROWS}, got object of (4, 2); if all values are numbers, pass astype(float)"),
    "text": ([["a"], ["b"]], [1, 2], f"{ROWS}, got <U1 of (2, 1)"),
    "ragged": ([[1, 2], [3]], [1, 2], f"{ROWS}: setting an array element with a sequence"),
    "columns": (pl.DataFrame({"a": [1, 2]}), [1, 2], "data: X is a table, whose names (X, y) would lose; pass one table that includes the target, and name it in data.target"),
    "y is a table": (X, pl.DataFrame({"y": NUMBERS}), "data: y is a table; pass the column that is to be predicted"),
    "y has three axes": (X, np.zeros((4, 2, 1)), "data: y must hold one value for each sample, got the shape (4, 2, 1)"),
    "y is a number": (X, 3, "data: column 'y': must hold one value for each sample, got 3"),
    "y is nothing": (X, None, "data: column 'y': must hold one value for each sample, got null"),
    "y has NaN": (X, with_gap(NUMBERS), "data: row 2: column 'y': a value is missing; fill it in, or leave the sample out of X and y"),
    "y has infinity": (X, [1, 2, np.inf, 3], "data: row 3: column 'y': must be a finite number, got inf"),
    "y is text": (X, list("abcd"), "data: row 1: column 'y': must be a number, got 'a'"),
    "y is complex": (X, np.array(NUMBERS, complex), "data: row 1: column 'y': must hold numbers, text, booleans or dates, got (1+0j)"),
    "y is dates": (X, np.arange(4).astype("M8[s]"), "data: column 'y': must hold numbers, got dates; turn them into numbers"),
}  # fmt: skip


@pytest.mark.parametrize(("features", "targets", "message"), PAIRS.values(), ids=PAIRS.keys())
def test_errors_of_pairs(features: Any, targets: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        trained_on(config(), (features, targets))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([0.5, 1, 2, 1], "a class must be a whole number or text, got 0.5; to predict numbers, set loss: squared_error"),
        ([1, 1, 1, 1], "every sample is of the class '1'; there must be at least two classes"),
        (["a", None, "b", "a"], "row 2: column 'y': a value is missing"),
        (np.array([0, np.nan, 1, 0]), "row 2: column 'y': a value is missing"),
        (np.eye(4), "got the shape (4, 4); for one-hot classes, pass y.argmax(axis=1)"),
        (["a", "", "b", "a"], "row 2: column 'y': a value is missing"),
    ],
)  # fmt: skip
def test_errors_of_classes(targets: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        trained_on(CLASSES, (X, targets))
    assert message in str(caught.value)


class DuplicateColumns:
    """A data frame with two columns of one name, as pandas allows."""

    columns = ("age", "age", "species")

    def __getitem__(self, name: str) -> Any:
        return PETS[name]


TABLES: dict[str, tuple[Any, str]] = {
    "lengths": (PETS | {"age": [1]}, "data: the columns must be of one length, got 1 for 'age' and 4 for 'species'"),
    "no samples": (dict.fromkeys(PETS, ()), "data: has no samples"),
    "no columns": ({}, "data: data.target: there is no column 'species'; there are none"),
    "another target": ({"age": [1], "specie": ["a"]}, "data: data.target: there is no column 'species'; did you mean 'specie'?"),
    "the target alone": ({"species": ["a", "b"]}, "data: there is no column besides the target 'species'"),
    "numbers for names": ({1: [1]}, "data: the names of columns must be text"),
    "two of one name": (DuplicateColumns(), "data: 2 columns are named 'age'; rename them"),
    "nested": (PETS | {"age": np.zeros((4, 2))}, "data: column 'age': must hold one value for each sample, got an array of the shape (4, 2); pass arrays without names"),
    "lists in a column": (PETS | {"age": X}, "data: column 'age': must hold numbers, text, booleans or dates, got List(Float64); set data.exclude: [age]"),
    "a lazy frame": (pl.LazyFrame(PETS), "data: lazy frames are not supported, got LazyFrame; pass data.collect()"),
    "an array": (np.array(X), "data: must be (X, y), columns by name, or a data frame, got an array of the shape (4, 2)"),
    "a list": (X, "data: must be (X, y), columns by name, or a data frame, got a list"),
    "a path": ("pets.csv", "data: must be (X, y), columns by name, or a data frame, got 'pets.csv'"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "message"), TABLES.values(), ids=TABLES.keys())
def test_errors_of_columns(data: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        trained_on(TABLE, data)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("data", [(X,), (X, NUMBERS, NUMBERS), ()])
def test_a_tuple_must_be_a_pair(data: Any) -> None:
    with pytest.raises(DataError, match=rf"data: must be a pair \(X, y\), got a tuple of {len(data)}"):
        read_in_memory_data(config(), data)


def test_a_target_is_named_only_for_columns() -> None:
    with pytest.raises(
        ConfigError, match=r"data.target: 'species' names a column, and \(X, y\) has none; leave it out"
    ):
        read_in_memory_data(TABLE, (X, NUMBERS))
    with pytest.raises(ConfigError, match=r"data.target: required, as data= holds columns: .* 'age', 'size', 'spe"):
        read_in_memory_data(CLASSES, PETS)
