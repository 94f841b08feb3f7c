"""Inputs for a trained model from Python: columns by name, arrays, and error messages."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import mxtrain
from mxtrain.data import Preprocessing, columns_of, inputs_from_memory
from mxtrain.data.preprocessing.features import NumericFeature, OneHotFeature
from mxtrain.data.readers.columns import CategoricalColumn
from mxtrain.errors import DataError

MIXED = Preprocessing((NumericFeature("age", 4.0, 2.0), OneHotFeature("size", ("big", "small"))), "y", None, "float32")
NUMBERS = Preprocessing((NumericFeature("age", fill=9.0), NumericFeature("width")), "y", None, "float32")


@pytest.mark.parametrize(
    "ages",
    [
        [8, 4],
        (8.0, 4.0),
        np.array([8, 4]),
        np.array([8, 4], dtype=">f4"),
        [np.int64(8), np.float32(4)],
        range(8, 3, -4),
    ],
)
@pytest.mark.parametrize(
    "sizes", [["small", "big"], np.array(["small", "big"]), np.array(["small", "big"], dtype=object)]
)
def test_columns_of_any_kind(ages: Any, sizes: Any) -> None:
    assert inputs_from_memory({"size": sizes, "y": object(), "age": ages}, MIXED).tolist() == [[2, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize("kind", [None, "number", "category"])
@pytest.mark.parametrize(
    "array",
    [
        np.array([3, -1, 3]),
        np.array([2**64 - 1, 0, 1], dtype="uint64"),
        np.array([0.1, np.nan, -0.0], dtype="float32"),
        np.array([0.1, np.inf, 1.0]),
        np.ma.masked_equal([1, 2, 3], 2),
        np.array([True, False, True]),
        np.array([], dtype="float64"),
        np.arange(6)[::-2],
    ],
)
def test_an_array_is_read_as_its_values_one_by_one(array: Any, kind: Any) -> None:
    def read(values: Any) -> Any:
        try:
            column = columns_of({"x": values}, lambda *_: {"x": kind}).columns.get("x")
        except DataError as error:
            return str(error)
        if column is None:
            return "left out"
        if isinstance(column, CategoricalColumn):
            return [column.labels[code] if code >= 0 else None for code in column.codes]
        return column.values.tobytes(), column.missing.tolist()

    assert read(array) == read(array.tolist())


class Frame:
    """A data frame as in pandas: names in an index, and columns by name."""

    columns = np.array(["size", "name", "age"], dtype=object)

    def __getitem__(self, name: str) -> Any:
        return {"size": np.array(["small", "big"], dtype=object), "age": np.array([8, 4])}[name]


@pytest.mark.parametrize(
    "frame", [pl.DataFrame({"size": ["small", "big"], "name": ["a", "b"], "age": [8, 4]}), Frame()]
)
def test_the_columns_of_a_data_frame_are_found_by_name(frame: Any) -> None:
    assert inputs_from_memory(frame, MIXED).tolist() == [[2, 0, 1], [0, 1, 0]]


def test_a_data_frame_of_numbers_is_matched_by_name() -> None:
    assert inputs_from_memory(pl.DataFrame({"width": [1, 2], "age": [3, 4]}), NUMBERS).tolist() == [[3, 1], [4, 2]]


def test_the_columns_of_a_structured_array_are_found_by_name() -> None:
    rows = np.array([("small", 8), ("big", 4)], [("size", "U5"), ("age", ">i4")])
    assert inputs_from_memory(rows, MIXED).tolist() == [[2, 0, 1], [0, 1, 0]]


def test_device_arrays_are_copied_to_the_host() -> None:
    class OnDevice:
        __cuda_array_interface__: Any = {}

        def get(self) -> Any:
            return np.array([[1.0, 2.0], [3.0, 4.0]])

    assert inputs_from_memory(OnDevice(), NUMBERS).tolist() == [[1, 2], [3, 4]]


def test_masked_values_are_missing() -> None:
    masked = np.ma.masked_array([[1.0, 2.0], [3.0, 4.0]], mask=[[True, False], [False, False]])
    assert inputs_from_memory(masked, NUMBERS).tolist() == [[9, 2], [3, 4]]
    assert inputs_from_memory({"age": masked[:, 0], "width": masked[:, 1]}, NUMBERS).tolist() == [[9, 2], [3, 4]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"Ages": [1], "size": ["big"]}, "data: there is no column 'age'; did you mean 'Ages'?"),
        ({"q": [1]}, "data: there are no columns 'age', 'size'; there are: 'q'"),
        ({}, "data: there are no columns 'age', 'size'; there are none"),
        ({1: [1]}, "data: the names of columns must be text"),
        ({"age": 3, "size": ["big"]}, "data: column 'age': must hold one value for each sample, got 3; pass lists of values, or a list of dicts"),
        ({"age": [1], "size": "big"}, "data: column 'size': must hold one value for each sample, got 'big'"),
        ({"age": [1, 2], "size": ["big"]}, "data: the columns must be of one length"),
        ({"age": np.zeros((1, 2)), "size": ["big"]}, "data: column 'age': must hold one value for each sample, got an array of the shape (1, 2); pass arrays without names"),
        ([[1, 2], [3]], "inputs must be numbers, one row for each sample: setting an array element with a sequence"),
        (np.zeros(3), "inputs must be numbers, one row for each sample, got float64 of (3,)"),
        (None, "inputs must be numbers, one row for each sample, got object of ()"),
    ],
)  # fmt: skip
def test_error_messages(data: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        inputs_from_memory(data, MIXED)
    assert str(caught.value).startswith(message)


DROPPED = "age,size,y\n1,big,no\n,big,yes\n3,small,yes\n4,,no\n5,big,\n6,small,nan\n7,big,no\n8,small,yes\n"


@pytest.mark.parametrize("source", ["t.csv", "in_memory"])
def test_evaluation_drops_the_samples_that_training_dropped(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text(DROPPED)
    rows = [line.split(",") for line in DROPPED.split()]
    table = {name: list(column) for name, *column in zip(*rows, strict=True)}
    table["age"] = [int(age) if age else None for age in table["age"]]
    data = table if source == "in_memory" else None
    config: dict[str, Any] = {
        "data": {"source": source, "target": "y", "missing": "drop", "validation": 0},
        "model": {"kind": "linear"},
        "loss": "logistic",
        "optimizer": {"kind": "sgd"},
        "fit": {"epochs": 2},
    }
    mxtrain.fit(config, data=data, run_dir="run")
    run = mxtrain.load_run("run")
    expected = run.evaluate(part="training", data=data)
    name = "data" if data else "t.csv"
    with pytest.warns(UserWarning, match=f"^{name}: left out ") as found:
        assert run.evaluate(data or "t.csv") == expected
    assert [str(warning.message) for warning in found] == [
        f"{name}: left out 2 samples without the target 'y'",
        f"{name}: left out 2 samples that lack a value (data.missing: drop)",
    ]
    with pytest.raises(DataError, match="row 2: column 'age': a value is missing" if data else "t.csv:3: column 'age'"):
        run.predict({name: table[name] for name in ("age", "size")} if data else "t.csv")
