"""Tables in five formats: the same columns, the same policies, and error messages with their locations."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mxtrain.config.run_section import RunConfig
from mxtrain.data import Dataset, fingerprint, load_for_prediction, prepare
from mxtrain.errors import DataError, MxtrainError

PETS = {
    "age": [3.0, 5.5, 1.0, 8.0, 2.0, 4.0],
    "size": ["big", "small", "big", "mid", "small", "big"],
    "tame": [True, False, True, True, False, True],
    "legs": [4, 2, 4, 4, 2, 4],
    "species": ["cat", "hen", "cat", "dog", "hen", "dog"],
}
WRITERS: dict[str, Callable[[pl.DataFrame, str], Any]] = {
    ".csv": pl.DataFrame.write_csv,
    ".jsonl": pl.DataFrame.write_ndjson,
    ".ndjson": pl.DataFrame.write_ndjson,
    ".parquet": pl.DataFrame.write_parquet,
    ".arrow": pl.DataFrame.write_ipc,
    ".feather": pl.DataFrame.write_ipc_stream,
}


@pytest.fixture(autouse=True)
def _in_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(data: dict[str, Any], loss: str = "softmax_cross_entropy", seed: int = 0) -> RunConfig:
    sections = {
        "loss": loss,
        "seed": seed,
        "model": {"kind": "linear"},
        "optimizer": {"kind": "sgd"},
        "dtype": "float64",
    }
    return RunConfig.model_validate({"data": data, **sections})


def prepared(source: str, loss: str = "softmax_cross_entropy", **data: Any) -> Dataset:
    return prepare(run({"source": source, "target": "y", "validation": 0, **data}, loss))


def written(columns: dict[str, Any], extension: str, **schema: Any) -> str:
    WRITERS[extension](pl.DataFrame(columns, strict=False, **schema), f"t{extension}")
    return f"t{extension}"


def refusal(source: str, loss: str = "softmax_cross_entropy", **data: Any) -> str:
    with pytest.raises(DataError) as caught:
        prepared(source, loss, **data)
    return str(caught.value)


@pytest.mark.parametrize("extension", WRITERS)
def test_every_format_gives_the_same_inputs(extension: str) -> None:
    dataset = prepared(written(PETS, extension), target="species", standardize="none", categorical=["legs"])
    assert dataset.feature_names == (*("age", "size=big", "size=mid", "size=small", "tame", "legs=2", "legs=4"),)
    assert dataset.training.inputs.tolist() == [
        [3, 1, 0, 0, 1, 0, 1],
        [5.5, 0, 0, 1, 0, 1, 0],
        [1, 1, 0, 0, 1, 0, 1],
        [8, 0, 1, 0, 1, 0, 1],
        [2, 0, 0, 1, 0, 1, 0],
        [4, 1, 0, 0, 1, 0, 1],
    ]
    assert dataset.class_names == ("cat", "dog", "hen")
    assert dataset.training.targets.tolist() == [0, 2, 0, 1, 2, 1]


def test_numbers_are_standardized_and_categories_stay_0_and_1() -> None:
    inputs = prepared(written(PETS, ".csv"), target="species", features=["age", "size"]).training.inputs
    assert inputs[:, 0].mean() == pytest.approx(0, abs=1e-12)
    assert inputs[:, 0].var() == pytest.approx(1)
    assert set(inputs[:, 1:].ravel().tolist()) == {0, 1}


@pytest.mark.parametrize("extension", WRITERS)
def test_a_missing_value_is_an_error_with_its_location(extension: str) -> None:
    place = {".csv": ":3", ".jsonl": ":2", ".ndjson": ":2"}.get(extension, ": row 2")
    source = written({"a": [1.0, None, 3.0], "y": [0, 1, 0]}, extension)
    remedy = "a value is missing; fill it in, or set data.missing: impute or drop"
    assert refusal(source, missing="error") == f"{source}{place}: column 'a': {remedy}"


@pytest.mark.parametrize("extension", WRITERS)
@pytest.mark.parametrize("missing", ["impute", "drop", "error", "mean"])
def test_a_sample_without_a_target_is_left_out_and_counted(extension: str, missing: str) -> None:
    source = written({"a": [1.0, 2.0, 3.0], "y": ["n", None, "m"]}, extension)
    dataset = prepared(source, missing=missing, standardize="none")
    assert dataset.training.inputs.tolist() == [[1], [3]]
    assert dataset.notes == ("left out 1 sample without the target 'y'",)


@pytest.mark.parametrize("extension", WRITERS)
def test_missing_drop_omits_the_sample(extension: str) -> None:
    source = written({"a": [1.0, None, 3.0, 4.0], "b": ["u", "v", "u", None], "y": [7, 8, 9, 9]}, extension)
    dataset = prepared(source, "squared_error", missing="drop", standardize="none", standardize_target=False)
    assert dataset.training.inputs.tolist() == [[1, 1], [3, 1]]
    assert dataset.training.targets.tolist() == [7, 9]


@pytest.mark.parametrize("extension", WRITERS)
def test_missing_mean_uses_the_mean_or_a_separate_category(extension: str) -> None:
    source = written({"a": [1.0, None, 3.0], "b": ["u", None, "v"], "y": [7, 8, 9]}, extension)
    dataset = prepared(source, "squared_error", missing="mean", standardize="none")
    assert dataset.feature_names == ("a", "b=", "b=u", "b=v")
    assert dataset.training.inputs.tolist() == [[1, 0, 1, 0], [2, 1, 0, 0], [3, 0, 0, 1]]


def test_the_mean_and_the_categories_are_those_of_the_training_set() -> None:
    samples = "".join(f"{i % 7},{'uvw'[i % 3]},{i % 2}\n" for i in range(60))
    Path("t.csv").write_text("a,b,y\n" + samples + ",u,0\n" * 10)
    dataset = prepared("t.csv", missing="mean", validation=0.5, standardize="none")
    fill = {column.name: getattr(column, "fill", None) for column in dataset.preprocessing.columns}["a"]
    values = dataset.training.inputs[:, 0]
    known = values[values != fill]
    assert fill == pytest.approx(known.mean())
    assert (dataset.validation.inputs[:, 0] == fill).any()


@pytest.mark.parametrize("mark", ["nan", "NA", "N/A", "null", "?", " "])
def test_marks_of_missing_numbers_in_csv(mark: str) -> None:
    Path("t.csv").write_text(f"x,y\n{mark},0\n1,1\n3,0\n")
    assert prepared("t.csv", missing="mean", standardize="none").training.inputs.tolist() == [[2], [1], [3]]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [[1], [2]]}, "t.parquet: column 'x': must hold numbers, text, booleans or dates, got List(Int64); set data.exclude: [x]"),
        ({"x": [{"a": 1}, {"a": 2}]}, "t.parquet: column 'x': must hold numbers, text, booleans or dates, got Struct({'a': Int64}); set data.exclude: [x]"),
        ({"x": [1.0, float("inf")]}, "t.parquet: row 2: column 'x': must be a finite number, got inf"),
        ({"x": [b"a", b"b"]}, "t.parquet: column 'x': must hold numbers, text, booleans or dates, got Binary; set data.exclude: [x]"),
    ],
)  # fmt: skip
def test_unsupported_columns(columns: dict[str, Any], message: str) -> None:
    source = written({**columns, "y": [0, 1]}, ".parquet")
    assert refusal(source) == message
    with_another = written({**columns, "z": [1, 2], "y": [0, 1]}, ".parquet")
    assert prepared(with_another, features=["z"]).feature_names == ("z",)


def test_the_rarest_of_many_categories_share_an_input() -> None:
    source = written(
        {"id": [f"n{i * i % 997 % 101}" for i in range(2002)], "y": [i % 2 for i in range(2002)]}, ".parquet"
    )
    dataset = prepared(source)
    assert len(dataset.feature_names) == 51
    assert dataset.feature_names[-1] == "id=other"
    inputs = dataset.training.inputs
    assert set(inputs.sum(axis=1).tolist()) == {1.0}
    assert inputs[:, :50].sum(axis=0).min() >= 15
    assert len(prepared(source, max_categories=1000).feature_names) == len({i * i % 997 % 101 for i in range(2002)})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"x": [1], "y": 0}', "t.jsonl:1: column 'x': must hold numbers, text, booleans or dates, got a list; set data.exclude: [x]"),
        ('{"x": {"a": 1}, "y": 0}', "t.jsonl:1: column 'x': must hold numbers, text, booleans or dates, got a mapping; set data.exclude: [x]"),
        ('{"x": 1, "y": 0}\n[1, 2]', "t.jsonl:2: must be a JSON object, got a list"),
        ('{"x": 1, "y": 0}\n{"x": 1,', "t.jsonl:2: is not JSON: Expecting property name enclosed in double quotes at column 9"),
        ('{"x": 1, "x": 2}', "t.jsonl:1: cannot be read: one name appears twice in an object"),
        ('{"x": 1' + "0" * 400 + ', "y": 0}', "t.jsonl:1: column 'x': must be a finite number, got inf"),
        ('{"x": -Infinity, "y": 0}', "t.jsonl:1: column 'x': must be a finite number, got -inf"),
        ('{"x": ' + "[" * 200_000, "t.jsonl:1: is nested too deeply"),
        ('{"x": "\\ud800", "y": 0}', "t.jsonl:1: column 'x': must be Unicode text, got an unpaired surrogate"),
        ("\n\n", "t.jsonl: is empty; it must be an array of objects, or hold an object a line"),
        ('{"x": 1}', "t.jsonl: data.target: there is no column 'y'; there are: 'x'"),
    ],
)  # fmt: skip
def test_errors_in_json_lines_name_their_location(text: str, message: str) -> None:
    Path("t.jsonl").write_text(text)
    assert refusal("t.jsonl") == message


def test_a_column_of_numbers_and_text_can_be_declared_categorical() -> None:
    Path("t.csv").write_text("zip,y\n10,0\nAB,1\n10,0\n")
    assert prepared("t.csv", categorical=["zip"]).feature_names == ("zip=10", "zip=AB")
    assert (
        refusal("t.csv", categorical=["zap"])
        == "t.csv:1: data.categorical: there is no feature 'zap'; did you mean 'zip'?"
    )


@pytest.mark.parametrize("extension", [".parquet", ".arrow", ".feather"])
def test_damaged_files_are_refused_in_one_line(extension: str, capfd: pytest.CaptureFixture[str]) -> None:
    good = Path(written(PETS, extension)).read_bytes()
    for length in range(0, len(good), len(good) // 8):
        changed = good[:length] + bytes([good[length] ^ 0xFF]) + good[length + 1 :]
        for content in (good[:length], changed):
            Path(f"bad{extension}").write_bytes(content)
            message = ""
            try:
                prepared(f"bad{extension}", target="species")
            except MxtrainError as error:
                message = str(error)
            assert "\n" not in message
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not shutil.which("false"), reason="there is no program that fails")
@pytest.mark.parametrize("extension", [".parquet", ".arrow", ".feather"])
def test_a_file_that_crashes_the_reading_process_is_refused(extension: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Polars aborts if a damaged length requests more memory than exists."""
    source = written(PETS, extension)
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    assert refusal(source).endswith(": it is damaged, or too large for this machine's memory")


def test_a_separate_file_for_a_held_out_set() -> None:
    Path("train.csv").write_text("size,age,y\nbig,1,no\nsmall,3,yes\n")
    Path("test.jsonl").write_text(json.dumps({"y": "yes", "age": 5, "size": "big", "more": [1]}))
    dataset = prepared("train.csv", test="test.jsonl")
    assert (len(dataset.training), len(dataset.validation)) == (2, 0)
    assert dataset.test.inputs.tolist() == [[1, 0, 3]]
    assert dataset.test.targets.tolist() == [1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("size,Ages,y\nbig,1,no\n", "own.csv:1: there is no column 'age'; did you mean 'Ages'?"),
        ("size,age\nbig,1\n", "own.csv: there is no column 'y', the target"),
        ("size,age,y\nbig,1,no\nbig,1,maybe\n", "own.csv:3: column 'y': the class 'maybe' does not occur in the training data, which have 'no', 'yes'"),
        ("size,age,y\nbig,one,no\n", "own.csv:2: column 'age': must be a number, got 'one'; correct it, or, if it marks a missing value, set data.missing_values: [one]"),
        ("size,age,y\nhuge,1,no\n", "own.csv:2: column 'size': the category 'huge' does not occur in the training set, which has 'big', 'small'; correct it, or train with data.unseen: ignore"),
        ("size,age,y\nbig,,no\n", "own.csv:2: column 'age': a value is missing; fill it in, or train with data.missing: impute"),
        ("size,age,y\n", "own.csv: has a header but no samples"),
    ],
)  # fmt: skip
def test_a_separate_file_must_match_the_training_file(content: str, message: str) -> None:
    Path("train.csv").write_text("size,age,y\nbig,1,no\nsmall,3,yes\n")
    Path("own.csv").write_text(content)
    assert refusal("train.csv", validation="own.csv", missing="error", unseen="error") == message


def test_an_unseen_category_can_be_ignored() -> None:
    Path("train.csv").write_text("size,y\nbig,no\nsmall,yes\n")
    Path("own.csv").write_text("size,y\nhuge,no\nsmall,no\n")
    dataset = prepared("train.csv", validation="own.csv", unseen="ignore")
    assert dataset.validation.inputs.tolist() == [[0, 0], [0, 1]]


def test_an_unseen_category_of_a_constant_column_does_not_matter() -> None:
    """The input of the column is 1 in all training samples, so its weight adds to the intercept."""
    Path("train.csv").write_text("size,a,y\nbig,1,2\nbig,2,3\n")
    Path("own.csv").write_text("size,a,y\nhuge,1,2\nbig,2,3\n")
    columns = {"size": "category"}
    dataset = prepared("train.csv", "squared_error", validation="own.csv", unseen="ignore", columns=columns)
    assert dataset.validation.inputs[:, 0].tolist() == [1, 1]


def test_the_fingerprint_covers_every_byte_that_is_read() -> None:
    Path("a.csv").write_text("x,y\n1,0\n2,1\n")
    Path("b.csv").write_text("x,y\n1,0\n")
    config = run({"source": "a.csv", "target": "y", "validation": "b.csv"}).data
    before = fingerprint(config)
    Path("a.csv").touch()
    assert fingerprint(config) == before
    Path("b.csv").write_text("x,y\n2,0\n")
    assert fingerprint(config) != before
    assert len({fingerprint(run({"source": name}, loss).data) for name, loss in
                (("digits", "softmax_cross_entropy"), ("diabetes", "squared_error"))}) == 2  # fmt: skip


def test_huge_whole_numbers_are_rounded_to_float64() -> None:
    source = written({"x": np.array([2**64 - 1, 2**53 + 1, 1], dtype=np.uint64), "y": [0, 1, 0]}, ".parquet")
    assert prepared(source, standardize="none").training.inputs.tolist() == [[2.0**64], [2.0**53], [1]]


@pytest.mark.parametrize("extension", WRITERS)
def test_a_column_of_text_may_be_empty_in_a_later_file(extension: str) -> None:
    """An Arrow file then has the type null for the column, not text."""
    source = written({"size": ["big", None, "small"], "y": ["a", "b", "a"]}, ".csv")
    fitted = prepared(source, missing="mean").preprocessing
    later = written({"size": [None, None], "age": [1, 2]}, extension)
    assert load_for_prediction(later, fitted)[0].tolist() == [[1, 0, 0]] * 2
