"""Kinds of columns, found from their values or declared, and the problems of a table."""

from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from mxtrain.config import DataConfig
from mxtrain.data.kinds.frames import raw_table_of
from mxtrain.data.kinds.summary import left_out_note, summarize_columns
from mxtrain.data.kinds.typed_columns import ValueFormats, resolved_fields, type_columns
from mxtrain.data.readers.columns import CategoricalColumn
from mxtrain.data.readers.raw_table import RawTable
from mxtrain.errors import DataError

nan = np.nan


def read(values, kind=None, name="x", **options):
    """Return the columns of a CSV file with one column of these cells; None is a blank cell."""
    series = pl.Series(name, values, pl.String)
    raw = RawTable("a.csv", {name: series}, lambda row: f"a.csv:{row + 2}", "a.csv:1", has_types=False)
    return type_columns(raw, {name: kind}, ValueFormats(**options))


def typed(values, kind=None, name="x"):
    return type_columns(raw_table_of({name: values}), {name: kind})


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["1", "2.5", "-3e2"], [1, 2.5, -300]),
        (["1", None, "3"], [1, nan, 3]),
        (["NA", "-", "?", ".", "#N/A", "None", "<NA>", "unknown", "nil", "7"], [nan] * 9 + [7]),
        (["1,5", "2", "3,25"], [1.5, 2, 3.25]),
        (["1,234", "12,500.5", "7"], [1234, 12500.5, 7]),
        (["1.234,5", "0,5"], [1234.5, 0.5]),
        (["1 234", "12\u00a0500", "7"], [1234, 12500, 7]),
        (["1'234.5", "7"], [1234.5, 7]),
        (["$1,200.50", "$900", "NA"], [1200.5, 900, nan]),
        (["3 €", "1.200 €", "0,5 €"], [3, 1200, 0.5]),
        (["12%", "3.5", "7 %"], [12, 3.5, 7]),
        (["(300)", "45"], [-300, 45]),
        (["\u22123", "4"], [-3, 4]),
    ],
)
def test_numbers_as_people_write_them(cells, numbers):
    columns = read(cells)
    assert columns.kinds == {"x": "number"}
    np.testing.assert_array_equal(columns.columns["x"].values, numbers)


def test_the_decimal_mark_of_a_file_decides_ambiguous_numbers():
    assert read(["1,234", "5"], decimal=",").columns["x"].values.tolist() == [1.234, 5]
    assert read(["1,234", "5"], decimal=".").columns["x"].values.tolist() == [1234, 5]


@pytest.mark.parametrize(
    ("cells", "days", "has_time"),
    [
        (["1970-01-02", "1970-02-01"], [1, 31], False),
        (["02.01.1970", "01.02.1970"], [1, 31], False),
        (["01/02/1970", "02/01/1970"], [1, 31], False),
        (["31/01/1970", "01/02/1970"], [30, 31], False),
        (["1970-01-02 06:00", "1970-01-03T12:00:00"], [1.25, 2.5], True),
        (["1970-01-02T06:00:00Z", "1970-01-02T06:00:00+06:00"], [1.25, 1.0], True),
        (["2 January 1970", "3 January 1970"], [1, 2], False),
        (["19700102", "19700103"], [1, 2], False),
        (["1970-01-02", "NA", "unknown", None], [1, nan, nan, nan], False),
        (["1969-12-31", "1970-01-01"], [-1, 0], False),
    ],
)
def test_dates_have_one_format_for_the_whole_column(cells, days, has_time):
    columns = read(cells)
    assert columns.kinds == {"x": "date"}
    np.testing.assert_array_equal(columns.columns["x"].values, days)
    assert columns.columns["x"].has_time == has_time


TEXTS = [f"the {i} bottle tastes of {i} and berries" for i in range(30)]


@pytest.mark.parametrize(
    ("name", "cells", "kind"),
    [
        ("x", ["True", "false", "TRUE"], "boolean"),
        ("x", ["yes", "no", "yes"], "category"),
        ("x", ["big", "small", "big"], "category"),
        ("zip", ["01234", "12345", "01234"], "category"),
        ("x", ["7", "7", "7"], "constant"),
        ("x", ["a", "a", "a"], "constant"),
        ("x", [None, None, None], "constant"),
        ("x", ["a", "a", None], "category"),
        ("code", [f"W{i}" for i in range(30)], "identifier"),
        ("customer_id", [str(100 + 7 * i) for i in range(30)], "identifier"),
        ("size", [str(100 + 7 * i) for i in range(30)], "number"),
        ("", [str(i) for i in range(30)], "index"),
        ("Unnamed: 0", [str(i + 1) for i in range(30)], "index"),
        ("note", TEXTS, "text"),
    ],
)
def test_other_kinds(name, cells, kind):
    assert read(cells, name=name).kinds == {name: kind}


def test_columns_that_are_no_features_are_left_out_with_the_reason():
    raw = RawTable(
        "a.csv",
        {"code": pl.Series([f"W{i}" for i in range(30)]), "note": pl.Series(TEXTS), "gap": pl.Series([None] * 30)},
        str,
        "a.csv:1",
        has_types=False,
    )
    columns = type_columns(raw, {"code": None, "note": None, "gap": None})
    assert columns.columns == {}
    assert left_out_note(columns) == "left out: code (an identifier); note (free text); gap (it has no values)"


def test_one_word_among_numbers_is_a_problem_with_both_remedies():
    cells = [str(i / 7) for i in range(60)]
    cells[50] = "strong"
    with pytest.raises(DataError) as error:
        read(cells, name="alcohol")
    assert str(error.value) == (
        "a.csv:52: column 'alcohol': must be a number, as most values of the column, got 'strong'; correct it, or, if "
        "it marks a missing value, set data.missing_values: [strong], or, if the column holds categories, "
        "data.columns: {alcohol: category}"
    )
    assert np.isnan(read(cells, missing_values=["strong"]).columns["x"].values[50])
    assert read(cells, "category").kinds == {"x": "category"}


def test_problems_of_all_columns_are_reported_together_in_the_order_of_the_rows():
    numbers = [str(i / 7) for i in range(40)]
    data = {
        "a": pl.Series([*numbers[:30], "high", *numbers[31:]]),
        "b": pl.Series([*numbers[:10], "low", *numbers[11:]]),
    }
    raw = RawTable("a.csv", data, lambda row: f"a.csv:{row + 2}", "a.csv:1", has_types=False)
    with pytest.raises(DataError) as error:
        type_columns(raw, {"a": None, "b": None})
    assert [line.split(": must")[0] for line in str(error.value).splitlines()] == [
        "a.csv:12: column 'b'",
        "a.csv:32: column 'a'",
    ]


@pytest.mark.parametrize(
    ("kind", "cells", "message"),
    [
        ("number", ["1", "two"], "a.csv:3: column 'x': must be a number, got 'two'"),
        ("boolean", ["true", "maybe"], "a.csv:3: column 'x': must be true or false, got 'maybe'"),
        ("date", ["1970-01-02", "never"], "got 'never'"),
    ],
)
def test_values_that_do_not_suit_a_declared_kind(kind, cells, message):
    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        read(cells, kind)


def labels(columns):
    column = columns.columns["x"].merge_spellings()
    assert isinstance(column, CategoricalColumn)
    return [None if code < 0 else column.labels[code] for code in column.codes]


@pytest.mark.parametrize(
    "spellings",
    [["1", "1.0", "1.00"], ["True", "true", "TRUE"], ["Su\u0308d", "Süd"]],
)
def test_spellings_of_a_value_are_one_category(spellings):
    found = labels(read([*spellings, "2"], "category"))
    assert len(set(found[:-1])) == 1
    assert len(set(found)) == 2


def test_marks_of_missing_categories_and_words_that_are_categories():
    assert labels(read(["a", "NA", None, "?", "none", "unknown"], "category")) == [
        "a",
        None,
        None,
        None,
        "none",
        "unknown",
    ]
    assert labels(read(["a", "NA"], "category", kept={"x": ["NA"]})) == ["a", "NA"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.array([1, 2, 3]), "number"),
        (np.array([1.5, nan], np.float16), "number"),
        ([True, False, None], "boolean"),
        ([date(1970, 1, 2), None, date(1970, 1, 3)], "date"),
        ([datetime(1970, 1, 2, tzinfo=UTC), datetime(1970, 1, 3, tzinfo=UTC)], "date"),
        (np.array(["1970-01-02", "NaT"], "datetime64[ns]"), "date"),
        (["1970-01-02", "1970-01-03"], "date"),
        (["1", "2"], "number"),
        (["a", 1, True], "category"),
        (pl.Series(["a", "b"], dtype=pl.Categorical), "category"),
        (pl.Series(["a", "b"], dtype=pl.Enum(["b", "a"])), "category"),
    ],
)
def test_values_of_python(values, kind):
    assert typed(values).kinds == {"x": kind}


def test_numbers_as_text_among_typed_columns():
    data = {"code": ["1", "2", "1"], "mass": ["70.12", "69.9", "71"], "n": [1, 2, 3]}
    columns = type_columns(raw_table_of(data), dict.fromkeys(data))
    assert columns.kinds == {"code": "category", "mass": "number", "n": "number"}


def test_equal_values_of_python_are_one_category():
    assert len(set(labels(typed([1, 1.0, np.int8(1)], "category")))) == 1
    found = labels(typed([True, "TRUE", "false"], "category"))
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("options", [{}, {"dtype_backend": "numpy_nullable"}, {"dtype_backend": "pyarrow"}])
def test_columns_of_pandas(options):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "n": [1, None, 3],
            "s": ["a", None, "b"],
            "b": [True, None, False],
            "t": pandas.to_datetime(["1970-01-02"] * 3),
        }
    )
    frame = frame.convert_dtypes(**options) if options else frame
    frame["c"] = frame["s"].astype("category")
    columns = type_columns(raw_table_of(frame), dict.fromkeys(frame.columns))
    assert dict(columns.kinds) == {"n": "number", "s": "category", "b": "boolean", "t": "constant", "c": "category"}
    np.testing.assert_array_equal(columns.columns["n"].values, [1, nan, 3])
    assert [int(column.missing.sum()) for column in columns.columns.values()] == [1, 1, 1, 1]


def test_infinite_numbers_are_problems():
    with pytest.raises(DataError, match="data: row 2: column 'x': must be a finite number, got inf"):
        typed([1.0, float("inf")])


def test_kinds_that_were_found_give_the_same_columns_when_declared():
    rows = 40
    data = {
        "n": [f"{i / 7:.2f}" for i in range(rows)],
        "c": ["ab"[i % 2] for i in range(rows)],
        "b": ["True" if i % 3 else "false" for i in range(rows)],
        "d": [f"{i % 28 + 1:02}.02.2020" for i in range(rows)],
        "code": [f"W{i}" for i in range(rows)],
    }
    raw = RawTable("a.csv", {name: pl.Series(cells) for name, cells in data.items()}, str, "", has_types=False)
    first = type_columns(raw, dict.fromkeys(data))
    second = type_columns(raw, resolved_fields(first, [])["columns"])
    assert (
        first.kinds
        == second.kinds
        == {"n": "number", "c": "category", "b": "boolean", "d": "date", "code": "identifier"}
    )
    assert first.left_out == second.left_out
    for name, column in first.columns.items():
        field = "codes" if isinstance(column, CategoricalColumn) else "values"
        np.testing.assert_array_equal(getattr(column, field), getattr(second.columns[name], field))


def test_summary_of_columns():
    raw = raw_table_of({"age": [3.5, None, 7], "size": ["b", "a", "b"], "year": [1, 1, 1], "y": ["u", "v", "u"]})
    columns = type_columns(raw, {"age": None, "size": None, "year": None, "y": "category"})
    summary = summarize_columns(columns, DataConfig(source="a.csv", target="y", missing="mean"))
    assert [(each.name, each.missing, each.distinct, each.values, each.use) for each in summary] == [
        ("age", 1, 2, "3.5 to 7", "scaled; missing: mean"),
        ("size", 0, 2, "b, a", "an input for each category"),
        ("year", None, None, "", "left out: constant: every row has the same value"),
        ("y", 0, 2, "u, v", "target, 2 classes"),
    ]


def test_summary_of_booleans_blank_rows_and_long_texts():
    long = ["the quick brown fox jumps over the lazy dog", "a", "b" * 58, "c"]
    data = {"b": [True, None, False, True], "n": [1, 2, 3.5, None], "c": long, "y": ["u", "v", "u", None]}
    columns = type_columns(raw_table_of(data), {"b": None, "n": None, "c": "category", "y": "category"})
    summary = summarize_columns(columns, DataConfig(source="a.csv", target="y"))
    assert [(each.missing, each.values, each.use) for each in summary] == [
        (1, "true, false", "one input, 0 or 1; missing: the more frequent value and an indicator"),
        (1, "1 to 3.5", "scaled"),  # only the row without a target lacks a number
        (0, f"a, {'b' * 27}..., c, ...", "an input for each category"),
        (1, "u, v", "target, 2 classes"),
    ]


@pytest.mark.parametrize("kind", [None, "number"])
def test_a_word_among_formatted_numbers_is_the_only_problem(kind):
    cells = [f"{i},5" for i in range(40)]
    cells[7] = "much"
    with pytest.raises(DataError, match=r"a\.csv:9: column 'x': must be a number,.* got 'much'") as error:
        read(cells, kind)
    assert len(error.value.problems) == 1


def test_remedies_name_all_marks_of_missing_values_together():
    numbers = [str(i / 7) for i in range(60)]
    data = {"a": pl.Series(["<0.1", *numbers]), "b": pl.Series([*numbers, "low"])}
    raw = RawTable("a.csv", data, lambda row: f"a.csv:{row + 2}", "a.csv:1", has_types=False)
    with pytest.raises(DataError) as error:
        type_columns(raw, {"a": None, "b": None}, ValueFormats(["none"]))
    assert str(error.value).count("set data.missing_values: [none, '<0.1', low]") == 2
    marks = ["none", "<0.1", "low"]
    assert type_columns(raw, {"a": None, "b": None}, ValueFormats(marks)).kinds == {"a": "number", "b": "number"}


@pytest.mark.parametrize(
    ("cells", "line", "value"),
    [
        (["1,5", "1.5", "2,5"], 3, "1.5"),
        (["1,5", *[f"{i}.25" for i in range(30)]], 2, "1,5"),
        ([f"{i},25" for i in range(30)] + ["7.5"], 32, "7.5"),
    ],
)
def test_another_decimal_mark_than_the_rest_of_the_column_is_a_problem(cells, line, value):
    with pytest.raises(DataError, match=rf"^a\.csv:{line}: .*must be a number.* got '{value}';") as error:
        read(cells)
    assert len(error.value.problems) == 1


@pytest.mark.parametrize("odd", ["30.01.2020", "2020-1", "soon"])
@pytest.mark.parametrize("row", [0, 12])
def test_another_value_in_a_column_of_dates_is_a_problem(odd, row):
    cells = [f"2020-01-{day:02}" for day in range(1, 31)]
    cells[row] = odd
    with pytest.raises(DataError, match=rf"a\.csv:{row + 2}: column 'x': must be a date, .* got '{odd}'"):
        read(cells)


def test_remedies_escape_characters_that_are_not_printable():
    with pytest.raises(DataError) as error:
        read([*[str(i / 7) for i in range(40)], "\u202eabc"])
    assert r'set data.missing_values: ["\u202eabc"]' in str(error.value)
    assert "\u202e" not in str(error.value)


@pytest.mark.parametrize("kind", ["number", "category", "boolean", "date"])
@pytest.mark.parametrize("values", [[[1, 2]] * 3, [{"a": 1}] * 3, [b"x"] * 3])
def test_values_that_no_kind_has_are_refused_in_declared_columns_too(values, kind):
    for column in (values, pl.Series(values)):
        with pytest.raises(
            DataError, match=r"column 'x': must hold numbers, text, booleans or dates, got .*; correct it"
        ):
            typed(column, kind)
