"""Formats and columns whose meaning is not obvious: what is done with them, and what is said."""

from pathlib import Path

import polars as pl
import pytest

from mxtrain.config import run_from_dict
from mxtrain.data.dataset import prepare
from mxtrain.data.in_memory_data import read_in_memory_data
from mxtrain.data.loading import read_columns
from mxtrain.errors import ConfigError, DataError

N = 24
TARGETS = [str(i * 7 % 5) for i in range(N)]


@pytest.fixture(autouse=True)
def _in_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def config(**data):
    section = {"source": "t.csv", "target": "y", "validation": 0.25, **data}
    parts = {"model": {"kind": "linear"}, "loss": "squared_error", "optimizer": {"kind": "sgd", "η": 0.1}}
    return run_from_dict({"data": section, **parts}).resolve()


def write(columns, separator=",", name="t.csv"):
    names = [*columns, "y"]
    rows = zip(*columns.values(), TARGETS, strict=True)
    Path(name).write_text("\n".join(separator.join(row) for row in [names, *rows]) + "\n")


CODES = [f"W{i}" for i in range(N)]
COUNT = [str(i + 1) for i in range(N)]
OTHER = [str(i * i % 13) for i in range(N)]
NOTES = [f"the {i} bottle tastes of {i} and berries" for i in range(N)]


@pytest.mark.parametrize(
    ("columns", "data", "inputs", "note"),
    [
        ({"id": COUNT, "age": OTHER}, {}, ["age"], "left out column 'id': an identifier"),
        ({"id": COUNT}, {}, ["id"], "column 'id': is used, as the only feature, although an identifier"),
        ({"index": COUNT}, {}, ["index"], "column 'index': is used, as the only feature, although it counts the rows"),
        ({"index": COUNT, "a": ["x"] * N}, {}, ["index"], "left out column 'a': constant"),
        ({"id": COUNT, "age": OTHER}, {"features": ["id", "age"]}, ["id", "age"], None),
        ({"a": ["7"] * N, "age": OTHER}, {"features": ["a", "age"]}, ["a", "age"], None),
        ({"note": NOTES, "age": OTHER}, {"features": ["note"]}, [f"note#{i}" for i in range(256)], None),
        ({"note": NOTES, "age": OTHER}, {}, ["age"], "left out column 'note': free text"),
        ({"code": CODES, "age": OTHER}, {"features": ["code"], "max_categories": 2}, 3, None),
    ],
)
def test_features_that_identify_or_count_the_rows(columns, data, inputs, note):
    write(columns)
    for given in (None, {**columns, "y": TARGETS}):
        run = config(**data) if given is None else config(**data, source="in_memory")
        dataset = prepare(run, read_in_memory_data(run, given))
        names = list(dataset.feature_names)
        assert len(names) == inputs if isinstance(inputs, int) else names == inputs
        assert [each for each in dataset.notes if note and each.startswith(note)] or note is None


def test_a_table_without_features_says_why_each_column_is_left_out():
    write({"code": CODES, "a": ["x"] * N, "b": [""] * N})
    with pytest.raises(DataError) as caught:
        prepare(config())
    assert str(caught.value).rpartition("t.csv:")[2] == (
        " no column is left to predict 'y' from ('code': an identifier: its values differ from row to row; "
        "'a': constant: every row has the same value; 'b': it has no values); say with data.columns what a column "
        "holds, such as data.columns: {code: category}"
    )
    prepare(config(columns={"code": "category"}))


POINTS = [f"{1 + i % 9}.{100 + 37 * i % 900}" for i in range(N)]
SHARES = [f"0.{i % 9}5" for i in range(N)]
COMMAS = [f"{i},{i % 9}5" for i in range(N)]


@pytest.mark.parametrize(
    ("columns", "data", "first", "note"),
    [
        ({"x": POINTS, "z": COMMAS}, {}, 1100, None),
        ({"x": POINTS[:-1] + ["1.5"], "z": COMMAS}, {}, 1.1, None),
        ({"x": SHARES, "z": COMMAS}, {}, 0.05, None),
        (
            {"x": POINTS, "z": OTHER},
            {},
            1.1,
            "column 'x': the point of 1.100 is taken for a decimal point; set data.decimal: ',' if",
        ),
        ({"x": POINTS, "z": OTHER}, {"decimal": ","}, 1100, None),
        ({"x": POINTS, "z": OTHER}, {"thousands": "."}, 1100, None),
        ({"x": POINTS, "z": OTHER}, {"decimal": "."}, 1.1, None),
        ({"x": [p.replace(".", ",") for p in POINTS], "z": OTHER}, {}, 1100, None),
        ({"x": [p.replace(".", ",") for p in POINTS], "z": OTHER}, {"thousands": ""}, None, None),
        ({"x": [p.replace(".", "_") for p in POINTS], "z": OTHER}, {"thousands": "_"}, 1100, None),
        ({"x": [p.replace(".", "'") for p in POINTS], "z": OTHER}, {"thousands": "'"}, 1100, None),
    ],
)
def test_points_and_commas_of_a_column_have_one_meaning(columns, data, first, note):
    write(columns, ";")
    table = read_columns(config(**data).data, classes=False)
    assert (table.kinds["x"] == "number") == (first is not None)
    if first is not None:
        assert table.columns["x"].values[0] == first
    assert len(table.notes) == (note is not None)
    assert all(each.startswith(note) for each in table.notes)


def test_the_separator_of_thousands_is_not_the_decimal_mark():
    with pytest.raises(ConfigError, match=r"thousands: is the decimal mark ',' too; set it to '\.' or ''"):
        config(decimal=",", thousands=",")


@pytest.mark.parametrize("separator", [";", "::", "\t"])
def test_a_separator_that_the_table_does_not_have(separator):
    write({"x": OTHER})
    with pytest.raises(DataError) as caught:
        prepare(config(separator=separator))
    assert str(caught.value).rpartition("t.csv:")[2] == (
        f"1: has no {separator!r}; remove data.separator to detect it, or set it to ','"
    )
    prepare(config(separator=","))


@pytest.mark.parametrize(
    "lines",
    [
        ["continuous\tdiscrete\tcontinuous", "\tmeta\tclass"],
        ["c\td\tc", "\t\tclass"],
        ["c\tno yes\tc", "\t\t"],
        ["continuous\td\tc"],
    ],
)
def test_lines_of_types_under_a_header_are_skipped(lines):
    rows = [f"{i}.5\t{'no' if i % 3 else 'yes'}\t{i % 5}" for i in range(N)]
    Path("t.tab").write_text("\n".join(["x\tz\ty", *lines, *rows]) + "\n")
    table = read_columns(config(source="t.tab").data, classes=False)
    assert table.kinds == {"x": "number", "z": "category", "y": "number"}
    assert (len(table), table.row_label(0).rpartition(":")[2]) == (N, str(2 + len(lines)))


def test_letters_that_are_values_are_not_types():
    rows = [f"{'cd'[i % 2]},{'cds'[i % 3]},{i % 5}" for i in range(N)]
    Path("t.csv").write_text("\n".join(["x,z,y", *rows]) + "\n")
    assert len(read_columns(config().data, classes=False)) == N


def test_unprintable_characters_are_escaped_in_the_place_and_in_the_remedy():
    write({"a\u202eb": [*OTHER[:-1], "x\x1b\u202ey"], "x": OTHER})
    with pytest.raises(DataError) as caught:
        prepare(config(columns={"a\u202eb": "number"}))
    assert str(caught.value).rpartition("t.csv:")[2] == (
        r"25: column 'a\u202eb': must be a number, got 'x\x1b\u202ey'; correct it, or, if it marks a missing "
        r'value, set data.missing_values: ["x\x1b\u202ey"]'
    )
    assert str(caught.value).isprintable()


def test_fractions_written_as_text_among_typed_columns_are_numbers():
    frame = pl.DataFrame(
        {"x": [f"{60 + i}.{i:02}" for i in range(N)], "z": list(range(N)), "y": list(map(int, TARGETS))}
    )
    given = read_in_memory_data(config(source="in_memory"), frame)
    assert given.columns.kinds["x"] == "number"
