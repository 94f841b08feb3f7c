"""Tables that could be read wrongly without a message: quotes, codes, dates, long integers, and several files."""

import gzip
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mxtrain.config import DataConfig
from mxtrain.data import fingerprint
from mxtrain.data.kinds.frames import raw_table_of
from mxtrain.data.kinds.typed_columns import ValueFormats, type_columns
from mxtrain.data.readers.columns import CategoricalColumn, Columns
from mxtrain.data.readers.raw_table import RawTable
from mxtrain.data.readers.table_files import read_raw
from mxtrain.errors import ConfigError, DataError

SETTINGS = DataConfig(source="digits")


@pytest.fixture(autouse=True)
def _in_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(content: str, name: str = "t.csv") -> RawTable:
    Path(name).write_text(content, encoding="utf-8", newline="")
    return read_raw(name, SETTINGS)


def typed(raw: RawTable) -> Columns:
    return type_columns(raw, dict.fromkeys(raw.names))


def column_file(cells: list[str]) -> str:
    """Return a table with these cells, again and again, between a number and a word."""
    rows = [f"{i}.5,{cells[i % len(cells)]},{'ab'[i % 2]}" for i in range(30)]
    return "x,v,y\n" + "".join(f"{row}\n" for row in rows)


@pytest.mark.parametrize(
    "cells",
    [
        [r'"5\" pipe"', "7", "8"],
        [r'"5\" pipe"', r'"6\" pipe"'],
        [r'"a \"b\", c"', "7", "8"],
        [r'"5\""', "7", r'"8\""'],
        ['"a "quoted" word"', "b"],
    ],
)
def test_quotes_that_are_not_doubled_join_no_rows(cells: list[str]) -> None:
    problems = [str(problem) for problem in read(column_file(cells)).problems]
    assert any(problem.startswith("t.csv:2: has text after a closing quote; double a quote") for problem in problems)


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (['5" pipe', "7", '"a, b"'], ['5" pipe', "7", "a, b"]),
        (['"5"" pipe, x"', '"8, ""y"""', '"""z"""'], ['5" pipe, x', '8, "y"', '"z"']),
        (['"a\nb"', '"c""\nd"'], ["a\nb", 'c"\nd']),
        (["'a,b'", "'c'"], ["a,b", "c"]),
    ],
)
def test_quotes_that_are_valid(cells: list[str], values: list[str]) -> None:
    table = read(column_file(cells))
    assert not table.problems
    assert table.columns["v"].to_list() == [values[i % len(values)] for i in range(30)]


def test_rows_of_a_number_with_a_decimal_comma_are_too_long() -> None:
    """Their first values are no row names, which would shift all columns."""
    table = read(column_file(["1,5"]))
    assert table.names == ["x", "v", "y"]
    assert str(table.problems[0]) == "t.csv:2: must have 3 values, as the header has, got 4"


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([f"{241 * i:05}" for i in range(15)], "category"),
        ([*(f"{241 * i:05}" for i in range(14)), "NA"], "category"),
        ([f"2020{i % 12 + 1:02}{i % 28 + 1:02}" for i in range(15)], "date"),
        ([*(f"2020{i % 12 + 1:02}{i % 28 + 1:02}" for i in range(14)), "NA"], "date"),
        ([f"2020{i % 12 + 1:02}{i % 28 + 1:02}" for i in range(14)] + ["20200230"], "number"),
        ([str(2**53 + i) for i in range(3)], "category"),
        ([str(10**29 + i) for i in range(3)], "category"),
        ([str(10**29 + i) for i in range(2)] + ["NA"], "category"),
        ([str(2**53), str(2**53 + 2)], "number"),
    ],
)
def test_digits_that_are_no_numbers(cells: list[str], kind: str) -> None:
    columns = typed(read(column_file(cells)))
    assert columns.kinds["v"] == kind
    column = columns.columns["v"]
    if isinstance(column, CategoricalColumn):
        assert sorted(column.labels) == sorted(set(cells) - {"NA"})


@pytest.mark.parametrize("series", [pl.Series([2**63, 2**63 + 1], dtype=pl.UInt64), pl.Series([2**53, 2**53 + 1])])
def test_long_integers_of_a_typed_file(series: pl.Series) -> None:
    pl.DataFrame({"v": pl.concat([series] * 10)}).write_parquet("t.parquet")
    assert typed(read_raw("t.parquet", SETTINGS)).kinds == {"v": "category"}


def test_long_integers_of_json() -> None:
    values = ",".join(f'{{"v": {10**30 + i % 3}}}' for i in range(20))
    assert typed(read(f"[{values}]", "t.json")).kinds == {"v": "category"}


def test_a_zero_separates_no_thousands() -> None:
    raw = read("a;b\n" + "".join(f"{i},5;{i % 3}.{100 + i}\n" for i in range(30)))
    assert typed(raw).columns["b"].values[:2].tolist() == [0.1, 1.101]  # type: ignore[union-attr]


@pytest.mark.parametrize("mark", ["0", "0.0"])
def test_an_integer_marks_missing_values(mark: str) -> None:
    raw = read(column_file(["0", "1", "2"]))
    columns = type_columns(raw, {"v": None}, ValueFormats(missing_values=(mark,)))
    assert columns.columns["v"].missing.sum() == 10


def test_files_with_different_decimal_marks_are_refused() -> None:
    Path("a.csv").write_text("x,y\n0.125,1\n2.5,2\n")
    Path("b.csv").write_text("x;y\n0,125;1\n2,5;2\n")
    with pytest.raises(DataError, match=r"^b\.csv:1: has decimal commas, and a\.csv has decimal points; write all"):
        read_raw("*.csv", SETTINGS)


def test_the_format_of_several_files_is_what_they_share() -> None:
    Path("a.csv").write_text("x,y\n0.125,Bonn\n2.5,Rome\n")
    Path("b.csv").write_bytes("x;y\n0.25;Köln\n2.5;Rome\n".encode("cp1252"))
    table = read_raw("*.csv", SETTINGS)
    assert {"separator", "encoding"}.isdisjoint(table.found)
    assert table.found["decimal"] == "."
    again = read_raw("*.csv", SETTINGS.model_copy(update=dict(table.found)))
    assert again.columns["y"].to_list() == ["Bonn", "Rome", "Köln", "Rome"]


def test_the_fingerprint_of_a_pattern_is_that_of_all_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Path(f"{name}.csv").write_text(f"x,y\n{name},1\n")
    pattern = DataConfig(source=str(tmp_path / "*.csv"), target="y")
    before = fingerprint(pattern)
    Path("b.csv").write_text("x,y\nb,2\n")
    after = fingerprint(pattern)
    Path("c.csv").write_text("x,y\nc,2\n")
    assert len({before, after, fingerprint(pattern)}) == 3


def test_a_second_array_is_not_left_out() -> None:
    with pytest.raises(DataError, match=r"^t\.json:2: must end after the array, got '\[\{\"a\": 2\}\]'; write all"):
        read('[{"a": 1}]\n[{"a": 2}]', "t.json")


def test_an_object_with_very_many_names_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mxtrain.data.readers.columns.MAX_COLUMNS", 3)
    with pytest.raises(DataError, match=r"^t\.json: has 4 columns, at most 3 are read; save the values as an array"):
        read('[{"a": 1, "b": 2, "c": 3, "d": 4}]', "t.json")


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.json"])
def test_a_file_larger_than_the_memory_is_refused_before_it_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mxtrain.data.readers.table_files.memory_limit", lambda: 2**20)
    with Path(name).open("wb") as file:
        file.truncate(2**42)
    with pytest.raises(DataError, match=f"^{name}: holds more than 0.000977 GiB, half of this machine's memory"):
        read_raw(name, SETTINGS)


def test_a_compressed_file_is_not_refused_for_its_own_size() -> None:
    Path("t.csv.gz").write_bytes(gzip.compress(b"x,y\n1,2\n"))
    assert len(read_raw("t.csv.gz", SETTINGS)) == 1


@pytest.mark.parametrize("name", ["rot13", "hex", "undefined", "no-such"])
def test_codecs_that_are_no_encodings_of_text(name: str) -> None:
    with pytest.raises((ConfigError, ValueError), match="must be the name of an encoding"):
        DataConfig.model_validate({"source": "t.csv", "target": "y", "encoding": name})


def test_a_quote_is_no_separator() -> None:
    with pytest.raises(ValueError, match="is the separator ';' too"):
        DataConfig.model_validate({"source": "t.csv", "target": "y", "quote": ";", "separator": ";"})


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([2**70 + i for i in range(20)], "identifier"),
        ([2**70 + i % 2 for i in range(20)], "category"),
        ([2**70 * i for i in range(20)], "number"),
        ([Decimal("1.5"), Decimal("1e60")] * 10, "number"),
    ],
)
def test_large_numbers_in_memory(values: list[Any], kind: str) -> None:
    assert typed(raw_table_of({"v": values})).kinds == {"v": kind}


def test_a_decimal_that_float64_does_not_hold() -> None:
    with pytest.raises(DataError, match="row 2: column 'v': must be a finite number, got inf"):
        typed(raw_table_of({"v": [Decimal("1.5"), Decimal("2e400")]}))


def test_times_with_a_zone_of_an_index_and_a_column() -> None:
    pd = pytest.importorskip("pandas")
    index = pd.DatetimeIndex(["1970-01-02", None, "1970-07-02"], tz="Europe/Berlin")
    for times in (index, pd.Series(index)):
        column = typed(raw_table_of({"v": times})).columns["v"]
        assert column.missing.tolist() == [False, True, False]
        assert column.values[[0, 2]].tolist() == [1 - 1 / 24, 182 - 1 / 24]  # type: ignore[union-attr]


def test_the_share_of_a_zip_archive_that_was_read_tells_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that needs more than the memory is refused after its first chunks."""
    monkeypatch.setattr("mxtrain.data.readers.table_files.memory_limit", lambda: 2**26)
    monkeypatch.setattr("mxtrain.data.readers.text_blocks.BLOCK", 2**18)
    with zipfile.ZipFile("t.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.csv", "a,b,c\n" + "1,2,3\n" * 3_000_000)
    read: list[int] = []
    parse = pl.read_csv

    def counted(source: bytes, **options: Any) -> pl.DataFrame:
        read.append(len(source))
        return parse(source, **options)

    monkeypatch.setattr(pl, "read_csv", counted)
    with pytest.raises(DataError, match="needs more than 0.0625 GiB, half of this machine's memory"):
        read_raw("t.zip", SETTINGS)
    assert sum(read) < 2**23
