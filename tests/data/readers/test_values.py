"""Spellings of one value are one category, class or name; values that only look alike stay distinct."""

import json
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mxtrain.config.run_section import RunConfig
from mxtrain.data import (
    Dataset,
    Preprocessing,
    inputs_from_memory,
    load_for_prediction,
    prepare,
    read_in_memory_data,
    samples_from_memory,
)
from mxtrain.data.readers.values import value_key
from mxtrain.errors import ConfigError, DataError


@pytest.fixture(autouse=True)
def _in_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def prepared(loss: str = "squared_error", data_in_memory: Any = None, **data: Any) -> Dataset:
    sections = {"loss": loss, "model": {"kind": "linear"}, "optimizer": {"kind": "sgd"}, "dtype": "float64"}
    explicit = {"missing": "error", "unseen": "error", "standardize_target": False}
    config = RunConfig.model_validate({"data": {"validation": 0, **explicit, **data}, **sections})
    return prepare(config, read_in_memory_data(config, data_in_memory))


def from_csv(cells: Sequence[str], **data: Any) -> Preprocessing:
    rows = "".join(f"{cell},{row}\n" for row, cell in enumerate(cells))
    Path("train.csv").write_text(f"x,y\n{rows}")
    return prepared(source="train.csv", target="y", **{"categorical": ["x"], **data}).preprocessing


def file(extension: str, values: Sequence[Any]) -> str:
    """Write a table with one column, and return its path."""
    path = Path(f"new{extension}")
    if extension == ".csv":
        path.write_text("x\n" + "".join(f"{value}\n" for value in values))
    else:
        path.write_text("".join(json.dumps({"x": value}) + "\n" for value in values))
    return str(path)


NUMBERS: dict[str, Callable[[], Any]] = {
    "integers": lambda: {"x": [1, 2, 3]},
    "floats": lambda: {"x": [1.0, 2.0, 3.0]},
    "text": lambda: {"x": ["1", "2.0", " 3.00 "]},
    "NumPy's integers": lambda: {"x": np.array([1, 2, 3], dtype=np.int16)},
    "NumPy's floats": lambda: {"x": np.array([1.0, 2.0, 3.0])},
    "NumPy's scalars": lambda: {"x": [np.int64(1), np.float64(2.0), np.float32(3)]},
    "a frame": lambda: pl.DataFrame({"x": [1.0, 2.0, 3.0]}),
    "CSV": lambda: file(".csv", [1, 2, 3]),
    "CSV as pandas writes it beside a missing value": lambda: file(".csv", ["1.0", "2.0", "3.0"]),
    "JSON integers": lambda: file(".jsonl", [1, 2, 3]),
    "JSON floats": lambda: file(".jsonl", [1.0, 2.0, 3.0]),
    "JSON text": lambda: file(".jsonl", ["1", "2", "3.0"]),
}
BOOLEANS: dict[str, Callable[[], Any]] = {
    "list": lambda: {"x": [True, False]},
    "NumPy": lambda: {"x": np.array([True, False])},
    "NumPy's scalars": lambda: {"x": [np.True_, np.False_]},
    **{f"CSV {one}": lambda one=one, other=other: file(".csv", [one, other]) for one, other in (  # type: ignore[misc]
        ("True", "False"), ("true", "false"), ("TRUE", "FALSE"))},
    "JSON": lambda: file(".jsonl", [True, False]),
    "JSON text": lambda: file(".jsonl", ["True", "false"]),
    "a frame": lambda: pl.DataFrame({"x": [True, False]}),
}  # fmt: skip


def inputs(new: Any, fitted: Preprocessing) -> list[list[float]]:
    found = load_for_prediction(new, fitted)[0] if isinstance(new, str) else inputs_from_memory(new, fitted)
    return found.tolist()  # type: ignore[no-any-return]


def test_a_value_is_one_category_in_parquet_too() -> None:
    columns: dict[str, Any] = {"i": [1, 2], "f": [1.0, 2.0], "t": ["1", "2.0"], "b": [True, False]}
    decimals = pl.Series("d", ["1.00", "2.00"]).cast(pl.Decimal(8, 2))
    pl.DataFrame(columns).with_columns(decimals).write_parquet("new.parquet")
    Path("train.csv").write_text("i,f,t,d,b,y\n1,1,1,1,TRUE,0\n2,2.0,2,2.0,False,1\n")
    fitted = prepared(source="train.csv", target="y", categorical=["i", "f", "t", "d"]).preprocessing
    assert inputs("new.parquet", fitted) == [[1, 0] * 4 + [1], [0, 1] * 4 + [0]]


@pytest.mark.parametrize("spelling", ["1 2 3", "1.0 2.0 3.0", "1 2.0 3", "1 1.0 2 3.0 3"])
@pytest.mark.parametrize("source", NUMBERS)
def test_a_number_is_one_category_in_every_format(source: str, spelling: str) -> None:
    fitted = from_csv(spelling.split())
    assert len(fitted.feature_names) == 3
    assert inputs(NUMBERS[source](), fitted) == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("source", NUMBERS)
def test_a_number_is_one_category_if_training_data_have_missing_values(source: str) -> None:
    frame = {"x": np.array([1.0, 2.0, 3.0, np.nan]), "y": np.arange(4.0)}
    fitted = prepared(
        data_in_memory=frame, source="in_memory", target="y", categorical=["x"], missing="mean"
    ).preprocessing
    assert inputs(NUMBERS[source](), fitted) == [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


@pytest.mark.parametrize("source", BOOLEANS)
@pytest.mark.parametrize("trained", ["True False", "true false", "TRUE FALSE True false"])
def test_a_boolean_is_one_value_in_every_format(source: str, trained: str) -> None:
    fitted = from_csv(trained.split(), categorical=None)
    assert fitted.feature_names == ("x",)
    assert inputs(BOOLEANS[source](), fitted) == [[1], [0]]


@pytest.mark.parametrize("trained", ["True False", "true false", "1 0"])
def test_a_class_is_the_same_in_every_format(trained: str) -> None:
    Path("train.csv").write_text("a,x\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(trained.split() * 3)))
    fitted = prepared("logistic", source="train.csv", target="x").preprocessing
    is_bool = "0" not in trained
    for values in ([True, False], np.array([True, False])) if is_bool else ([1, 0], [1.0, 0.0], ["1", "0.0"]):
        assert samples_from_memory({"a": [1, 2], "x": values}, fitted)[1].tolist() == [1, 0]
        assert samples_from_memory(([[1], [2]], values), fitted)[1].tolist() == [1, 0]
    for row in ({"x": True}, {"x": "TRUE"}) if is_bool else ({"x": 1}, {"x": 1.0}, {"x": "1"}):
        Path("new.jsonl").write_text(json.dumps({"a": 1, **row}))
        found = load_for_prediction("new.jsonl", fitted, with_targets=True)[1]
        assert found is not None
        assert found.tolist() == [1]
        np.savez("new.npz", inputs=np.zeros((1, 1)), x=np.array([row["x"]]))
        found = load_for_prediction("new.npz", fitted, with_targets=True)[1]
        assert found is not None
        assert found.tolist() == [1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("01", "1"),
        ("+1", "1"),
        ("1_0", "10"),
        ("yes", "true"),
        ("T", "true"),
        ("0x10", "16"),
        ("½", "0.5"),
        ("①", "1"),
    ],
)
def test_values_that_only_look_alike_stay_distinct(one: str, other: str) -> None:
    assert value_key(one) != value_key(other)
    assert len(from_csv([one, other]).feature_names) == 2
    with pytest.raises(DataError, match="does not occur in the training set"):
        inputs({"x": [other]}, from_csv([one, "zzz"]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("-0.0", "0"), ("1e+20", "100000000000000000000"), ("1e-05", "0.00001"), ("1e-5", "1e-05"), ("1e16", "1e+16"),
        ("2.50e+01", "2.50e+01"), ("2024-01-05", "2024-01-05T00:00:00"), ("2024-01-05 10:00", "2024-01-05T10:00:00.000"),
        ("2024-01-05T10:00:00Z", "2024-01-05 10:00:00+00:00"), ("gr\u00f6\u00dfe", "gro\u0308\u00dfe"),
    ],
)  # fmt: skip
def test_two_spellings_of_one_value(one: str, other: str) -> None:
    assert value_key(one) == value_key(other)


def test_in_a_column_of_text_numbers_are_text() -> None:
    fitted = from_csv(["1", "1.0", "1.0-beta", "1.0", "gro\u0308\u00dfe", "gr\u00f6\u00dfe"])
    assert fitted.feature_names == ("x=1", "x=1.0", "x=1.0-beta", "x=gr\u00f6\u00dfe")
    assert inputs({"x": ["1.0", "1", 1]}, fitted) == [[0, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
    assert inputs({"x": [7.0]}, from_csv(["7", "beta"])) == [[1, 0]]
    frame = {"x": [1, 1.0, "beta", "1"], "y": [1, 2, 3, 4]}
    found = prepared(data_in_memory=frame, source="in_memory", target="y", categorical=["x"])
    assert found.feature_names == ("x=1", "x=beta")


def test_categories_and_classes_keep_the_spelling_of_training() -> None:
    assert from_csv(["True", "False"]).feature_names == ("x=False", "x=True")
    assert from_csv(["1.0", "2.0"]).feature_names == ("x=1", "x=2")
    decomposed = "o\u0308"
    labels = [decomposed, "02"] * 2
    fitted = prepared("logistic", data_in_memory=([[1], [2], [3], [4]], labels), source="in_memory").preprocessing
    assert fitted.class_names == ("02", decomposed)
    zips = prepared("logistic", data_in_memory=([[1], [2]], ["02", "01"]), source="in_memory").preprocessing
    assert zips.class_names == ("01", "02")


def test_a_run_that_was_trained_on_two_spellings_still_distinguishes_them() -> None:
    """Earlier versions did not compare categories as values."""
    old = Preprocessing.from_dict(
        {
            "columns": [{"kind": "category", "name": "gro\u0308\u00dfe", "values": ["1", "1.0", "2"]}],
            "target": "y",
            "class_names": None,
            "dtype": "float32",
            "target_dtype": "float32",
            "unseen": "error",
            "array": None,
            "target_scale": None,
        }
    )
    new = {"gr\u00f6\u00dfe": ["1", "1.0", "2.0"]}
    assert inputs(new, old) == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert Preprocessing.from_dict(old.to_dict()) == old


NFC, NFD = "gr\u00f6\u00dfe", "gro\u0308\u00dfe"
assert unicodedata.normalize("NFD", NFC) == NFD != NFC


@pytest.mark.parametrize(("asked", "found"), [(NFC, NFD), (NFD, NFC)])
@pytest.mark.parametrize("extension", [".csv", ".jsonl", ".parquet", ".npz", "data"])
def test_names_are_compared_in_nfc(extension: str, asked: str, found: str) -> None:
    columns: dict[str, list[Any]] = {found: [1, 2, 3], f"z{found}": [1, 2, 2], "y": [3, 4, 5], f"{found}t": [1, 2, 3]}
    source = f"t{extension}" if extension != "data" else "in_memory"
    if extension == ".csv":
        pl.DataFrame(columns).write_csv(source)
    elif extension == ".jsonl":
        pl.DataFrame(columns).write_ndjson(source)
    elif extension == ".parquet":
        pl.DataFrame(columns).write_parquet(source)
    data_in_memory = pl.DataFrame(columns) if extension == "data" else None
    if extension == ".npz":
        np.savez(source, **{found: np.arange(6.0).reshape(3, 2), f"{found}t": [1, 2, 3], "more": [1]})
        names: dict[str, Any] = {"features": [asked]}
    else:
        names = {"features": [asked, f"z{asked}"], "categorical": [f"z{asked}"]}
    dataset = prepared(data_in_memory=data_in_memory, source=source, target=f"{asked}t", standardize="none", **names)
    assert dataset.training.targets.tolist() == [1, 2, 3]
    assert dataset.target_name == f"{NFC}t"
    if extension == ".npz":
        np.savez("new.npz", **{asked: np.ones((1, 2)), "more": [1], f"{asked}t": [2]})
        assert load_for_prediction("new.npz", dataset.preprocessing, with_targets=True)[1] == [2]
    else:
        assert dataset.feature_names == (NFC, f"z{NFC}=1", f"z{NFC}=2")
        assert inputs({asked: [5], f"z{asked}": [2.0]}, dataset.preprocessing) == [[5, 0, 1]]
        targets = samples_from_memory({asked: [5], f"z{asked}": [2.0], f"{asked}t": [7]}, dataset.preprocessing)[1]
        assert targets.tolist() == [7]


def test_names_that_differ_only_in_their_unicode_composition_are_refused() -> None:
    Path("t.csv").write_text(f"{NFC},{NFD},y\n1,2,3\n4,5,6\n")
    with pytest.raises(DataError, match=f"2 columns are named '{NFC}'; rename them"):
        prepared(source="t.csv", target="y")
    np.savez("t.npz", **{NFC: [1, 2], NFD: [1, 2], "inputs": [[1], [2]]})
    with pytest.raises(DataError, match=f"2 arrays are named '{NFC}'; rename them"):
        prepared(source="t.npz", target=NFC, features=["inputs"])
    Path("shards").mkdir()
    for name in ("inputs-1.npy", "inputs-1.NPY", "targets-1.npy"):
        saved(Path("shards", name), np.arange(3.0))
    with pytest.raises(DataError, match=r"inputs-1.NPY and inputs-1.npy differ only in how they are spelled"):
        prepared(source="shards/")


def test_files_of_a_folder_are_paired_by_their_names_in_nfc() -> None:
    Path("shards").mkdir()
    saved(Path("shards", f"inputs-{NFC}.npy"), np.arange(3.0))
    saved(Path("shards", f"targets-{NFD}.NPY"), np.arange(3.0))
    assert len(prepared(source="shards/").training) == 3


def saved(path: Path, array: Any) -> None:
    with path.open("wb") as stream:
        np.save(stream, array)


TABLE = {"a": [1.0, 2.0, 4.0], "y": [3.0, 4.0, 5.0]}
WRITERS: dict[str, Callable[[str], Any]] = {
    "train.CSV": pl.DataFrame(TABLE).write_csv,
    "Train.Csv": pl.DataFrame(TABLE).write_csv,
    "train.JSONL": pl.DataFrame(TABLE).write_ndjson,
    "train.NDJSON": pl.DataFrame(TABLE).write_ndjson,
    "train.PARQUET": pl.DataFrame(TABLE).write_parquet,
    "train.NPZ": lambda path: [
        np.savez("t.npz", a=np.array(TABLE["a"]).reshape(-1, 1), y=TABLE["y"]),
        Path("t.npz").rename(path),
    ],
    "train.NPY": lambda path: [
        saved(Path(name), np.array(values)) for name, values in ((path, TABLE["a"]), ("y.NPY", TABLE["y"]))
    ],
}


@pytest.mark.parametrize("source", WRITERS)
def test_file_name_extensions_may_have_any_case(source: str) -> None:
    WRITERS[source](source)
    target = "y.NPY" if source.endswith(".NPY") else "y"
    dataset = prepared(source=source, target=target, standardize="none")
    (taken,) = dataset.training.in_order(3, 0, 3)
    assert taken[0].tolist() == [[1], [2], [4]]
    assert taken[1].tolist() == [3, 4, 5]
    assert load_for_prediction(source, dataset.preprocessing)[0].tolist() == [[1], [2], [4]]
    if not source.endswith((".NPY", ".PARQUET")):
        assert len(prepared(source=source, target=target, validation=source).validation) == 3


def test_the_config_refuses_other_extensions() -> None:
    for source in ("train.docx", "train.csv.rar", "train"):
        with pytest.raises((ConfigError, ValueError), match="the path of a table"):
            prepared(source=source, target="y")
