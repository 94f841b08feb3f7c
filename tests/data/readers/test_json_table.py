"""JSON tables: arrays, lines, columns; types of values; malformed lines and arrays."""

from pathlib import Path

import polars as pl
import pytest

from mxtrain.config.data_section import DataConfig
from mxtrain.data.readers.raw_table import RawTable
from mxtrain.data.readers.table_files import read_raw
from mxtrain.errors import DataError


@pytest.fixture(autouse=True)
def _in_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(content: str | bytes, name: str = "t.json") -> RawTable:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read_raw(name, DataConfig(source="digits"))


@pytest.mark.parametrize(
    ("content", "row_1"),
    [
        pytest.param('[{"a": 1, "b": "x"}, {"a": null, "b": "y"}]', "t.json: object 2", id="array"),
        pytest.param('[\n{"a": 1, "b": "x"},\n{"b": "y"}\n]\n', "t.json:3", id="array on lines"),
        pytest.param('{"a": 1, "b": "x"}\n\n{"b": "y"}\n', "t.json:3", id="lines"),
        pytest.param('{"a": [1, null], "b": ["x", "y"]}', "t.json: row 2", id="lists of columns"),
        pytest.param('{"a": {"0": 1, "1": null}, "b": {"0": "x", "1": "y"}}', "t.json: row 2", id="pandas"),
        pytest.param('\ufeff[{"a": 1, "b": "x"},\r\n{"b": "y"}]', "t.json:2", id="byte order mark"),
        pytest.param('[{"a": 1, "b": "x"},\n{"b": "y"}]'.encode("utf-16"), "t.json:2", id="UTF-16"),
    ],
)
def test_notations_of_one_table(content: str | bytes, row_1: str) -> None:
    table = read(content)
    assert {name: column.to_list() for name, column in table.columns.items()} == {"a": [1, None], "b": ["x", "y"]}
    assert (table.has_types, table.row_label(1)) == (True, row_1)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ("1, 2", pl.Int64),
        ("1, 2.5", pl.Float64),
        ("true, null", pl.Boolean),
        ('"1", "x"', pl.String),
        ("1, true", pl.Object),
        ('1, "x"', pl.Object),
        ("null, null", pl.Null),
        ("1, 100000000000000000000000", pl.Object),
        ("[1], {}", pl.Object),
    ],
)
def test_types_of_columns(values: str, dtype: pl.DataType) -> None:
    assert read(f'{{"a": [{values}]}}').columns["a"].dtype == dtype


def test_all_malformed_lines_are_reported() -> None:
    table = read('{"a": 1}\n{"a": 1\n[1]\n{"a": 1, "a": 2}\n{"a": 2}\n', "t.jsonl")
    assert [str(problem) for problem in table.problems] == [
        "t.jsonl:2: is not JSON: Expecting ',' delimiter at column 8",
        "t.jsonl:3: must be a JSON object, got a list",
        "t.jsonl:4: cannot be read: one name appears twice in an object",
    ]
    assert table.columns["a"].to_list() == [1, None, None, None, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "t.json: is empty; it must be an array of objects, or hold an object a line"),
        ("[]", "t.json: is empty; it must be an array of objects, or hold an object a line"),
        ('[{"a": 1},\n{"a": 2}', "t.json:2: is not JSON: the array is not closed, or lacks a comma"),
        ('[{"a": 1},\n{"a" 2}]', "t.json:2: is not JSON: Expecting ':' delimiter at column 6"),
        ("[" * 100_000, "t.json:1: is nested too deeply"),
    ],
)
def test_files_that_are_refused(content: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        read(content)
    assert str(error.value) == message


def test_objects_that_share_no_names_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mxtrain.data.readers.json_table.memory_limit", lambda: 2**20)
    with pytest.raises(DataError, match="holds 200 objects with 200 different names, too many values"):
        read("".join(f'{{"k{i}": 1}}\n' for i in range(200)))
