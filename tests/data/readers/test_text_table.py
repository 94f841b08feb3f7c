"""Text tables: formats that are detected, settings, malformed rows with all their lines, and chunks."""

import bz2
import gzip
import lzma
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mxtrain.config.data_section import DataConfig
from mxtrain.data.readers import text_blocks, text_table
from mxtrain.data.readers.raw_table import RawTable
from mxtrain.data.readers.table_files import raw_chunks, read_raw
from mxtrain.errors import DataError

ROWS = [["3", "Köln", "2.5"], ["4", "Rom", "0.25"], ["7", "Köln", "11.5"]]
NAMES = ["age", "city", "price"]


@pytest.fixture(autouse=True)
def _in_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def settings(**fields: object) -> DataConfig:
    return DataConfig.model_validate({"source": "digits"} | fields)


def read(content: str | bytes, name: str = "t.csv", **fields: object) -> RawTable:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read_raw(name, settings(**fields))


def text(separator: str = ",", newline: str = "\n", header: bool = True) -> str:
    rows = [NAMES, *ROWS] if header else ROWS
    return "".join(separator.join(row) + newline for row in rows)


def values(table: RawTable) -> list[list[object]]:
    return [column.to_list() for column in table.columns.values()]


PARSED = [[3, 4, 7], ["Köln", "Rom", "Köln"], [2.5, 0.25, 11.5]]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        pytest.param(text(), {"separator": ","}, id="commas"),
        pytest.param(text(";"), {"separator": ";"}, id="semicolons"),
        pytest.param(text("\t"), {"separator": "\t"}, id="tabs"),
        pytest.param(text("|"), {"separator": "|"}, id="bars"),
        pytest.param(text("  "), {"separator": " "}, id="blanks"),
        pytest.param(text("::"), {"separator": "::"}, id="two colons"),
        pytest.param(text(", "), {"separator": ","}, id="blanks after commas"),
        pytest.param(text(newline="\r\n"), {"encoding": "utf-8"}, id="CRLF"),
        pytest.param(text(newline="\r"), {}, id="CR"),
        pytest.param("\ufeff" + text(newline="\r\n"), {"encoding": "utf-8"}, id="byte order mark"),
        pytest.param(text().encode("cp1252"), {"encoding": "cp1252"}, id="Windows-1252"),
        pytest.param(text().encode("utf-16"), {"encoding": "utf-16"}, id="UTF-16"),
        pytest.param(text(newline="\r\n").encode("utf-16-le"), {"encoding": "utf-16-le"}, id="UTF-16 without a mark"),
        pytest.param("sep=;\n" + text(";"), {"separator": ";"}, id="line for spreadsheet programs"),
        pytest.param("# wines\n#\n" + text(), {"comment": "#"}, id="comments"),
        pytest.param("#" + text("\t"), {"comment": "#", "header": True}, id="header in a comment"),
        pytest.param("\n" + text() + "\n\n", {}, id="blank lines around"),
        pytest.param(text(newline="\n\n"), {}, id="blank lines between"),
        pytest.param(text(newline=",\n"), {}, id="separators at the end of lines"),
        pytest.param(text().rstrip("\n"), {}, id="no newline at the end"),
        pytest.param(text().replace("Köln", '"Köln"').replace("age", '"age"'), {"quote": '"'}, id="quotes"),
        pytest.param(text().replace("Köln", "'Köln'").replace("Rom", "'Rom'"), {"quote": "'"}, id="single quotes"),
        pytest.param(text().replace("Köln", '"Köln "').replace("4,", " 4 ,"), {}, id="padding"),
    ],
)
def test_formats_that_are_detected(content: str | bytes, found: dict[str, object]) -> None:
    table = read(content)
    assert table.names == NAMES
    assert values(table) == PARSED
    assert not table.problems
    assert {name: table.found[name] for name in found} == found
    again = read(content, **table.found)
    assert (again.names, values(again), again.found) == (table.names, values(table), table.found)


@pytest.mark.parametrize(
    ("content", "decimal", "first"),
    [
        pytest.param("a;b;c\n1,5;2,25;x\n2,5;3,75;y\n", ",", ["1,5", "2,5"], id="decimal commas"),
        pytest.param("a;b\n1,5;2,25\n2,5;3,75\n", ",", ["1,5", "2,5"], id="decimal commas in all columns"),
        pytest.param('a,b\n"1,5",x\n"2,75",y\n', ",", ["1,5", "2,75"], id="quoted decimal commas"),
        pytest.param('a,b\n"1,500.25",x\n"2,000.50",y\n', ".", ["1,500.25", "2,000.50"], id="thousands"),
        pytest.param('a,b\n"$1,500",x\n"$2,000",y\n', None, ["$1,500", "$2,000"], id="undecided"),
    ],
)
def test_decimal_marks_do_not_hide_separators(content: str, decimal: str | None, first: list[str]) -> None:
    table = read(content)
    assert table.found.get("decimal") == decimal
    assert table.columns["a"].to_list() == first
    assert not table.problems


@pytest.mark.parametrize(
    ("content", "names"),
    [
        pytest.param(text(header=False), ["0", "1", "2"], id="numbers in the first row"),
        pytest.param("a\tb\na\tc\nb\tc\n" * 3, ["0", "1"], id="categories that occur again"),
        pytest.param("city,1990,1991,1992\nBonn,1,2,3\nRom,4,5,6\n", ["city", "1990", "1991", "1992"], id="years"),
        pytest.param(",age\n0,3\n1,4\n", ["unnamed_0", "age"], id="no name for the first column"),
        pytest.param("x,y\na,b\nc,d\n", ["x", "y"], id="texts that differ"),
        pytest.param("age,age,\n1,2,x\n3,4,y\n", ["age", "age_1", "unnamed_2"], id="names that are not unique"),
        pytest.param("sa\u0308ure,b\n1,2\n", ["säure", "b"], id="decomposed name"),
    ],
)
def test_names_of_columns(content: str, names: list[str]) -> None:
    assert read(content).names == names


def test_row_names_of_r() -> None:
    table = read('"age" "city"\n"a" 3 "New York"\n"b" 4 Rom\n', "t.txt")
    assert (table.names, table.row_names) == (["row_names", "age", "city"], "row_names")
    assert values(table) == [["a", "b"], [3, 4], ["New York", "Rom"]]


@pytest.mark.parametrize(
    ("fields", "names", "rows"),
    [
        ({"header": False}, ["0", "1"], 3),
        ({"header": ["x", "y"]}, ["x", "y"], 3),
        ({"header": True}, ["1", "2"], 2),
        ({"comment": "3"}, ["0", "1"], 2),
    ],
)
def test_settings_override_detection(fields: dict[str, object], names: list[str], rows: int) -> None:
    table = read("1,2\n3,4\n5,6\n", **fields)
    assert (table.names, len(table)) == (names, rows)


def test_a_carriage_return_in_quotes_is_part_of_the_value() -> None:
    assert values(read('a,b\n"x\ry",1\n"z",2\n')) == [["x\ry", "z"], [1, 2]]
    assert values(read('a,b\r\n"x\ry",1\r\n"z\r\nw",2\r\n')) == [["x\ry", "z\nw"], [1, 2]]
    assert values(read("a,b\rx,1\rz,2\r")) == [["x", "z"], [1, 2]]


def test_plain_numbers_become_numbers_and_identifiers_stay_text() -> None:
    table = read("i,f,zip,na,big,word\n1,1.5,01234,NA,12345678901234567890,x\n-2,,10115,3,2,y\n")
    assert [column.dtype for column in table.columns.values()] == [
        pl.Int64,
        pl.Float64,
        *(pl.String for _ in range(4)),
    ]
    assert table.columns["zip"].to_list() == ["01234", "10115"]


@pytest.mark.parametrize(
    ("last", "dtype", "value"),
    [
        ("7", pl.Int64, 7),
        ("7.5", pl.Float64, 7.5),
        ("007", pl.String, "007"),
        ("NA", pl.String, "NA"),
        ("", pl.Int64, None),
        ('"7"', pl.Int64, 7),
        ("nan", pl.String, "nan"),
    ],
)
def test_a_late_value_decides_the_type_of_all_blocks(
    last: str, dtype: pl.DataType, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_blocks, "FIRST_BLOCK", 64)
    monkeypatch.setattr(text_blocks, "BLOCK", 128)
    content = "n,s\n" + "".join(f"{i + 1},a{i}\n" for i in range(100)) + f"{last},b\n"
    table = read(content)
    assert table.columns["n"].dtype == dtype
    assert table.columns["n"].to_list()[-1] == value
    assert table.columns["s"].to_list() == [*(f"a{i}" for i in range(100)), "b"]
    assert table.row_label(100) == "t.csv:102"


SHORT = "must have 3 values, as the header has, got {}"


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        pytest.param("a,b,c\n1,2,3\n1,2\n1,2,3,4\n", {3: SHORT.format(2), 4: SHORT.format(4)}, id="short and long"),
        pytest.param("a,b,c\n1,2,3\n\n4,5,6\nTotal 2\n", {5: SHORT.format(1)}, id="footer"),
        pytest.param(
            'a,b,c\n1,"x"y,3\n4,5,6\n7,8,9\n',
            {2: 'has text after a closing quote; double a quote that is part of a value ("")'},
            id="text after a quote",
        ),
        pytest.param('a,b,c\n1,x,3\n4,"5,6\n7,8,9\n', {3: "has a quote that is not closed"}, id="open quote"),
        pytest.param('a,b,c\n1,"x\ny",3\n4,5\n7,8,9\n', {4: SHORT.format(2)}, id="after a value of two lines"),
        pytest.param(
            "a,b,c\n1,ä,3\n1,ö,3\n".encode() + b"1,\xff,3\n4,5,6\n",
            {4: "is not UTF-8 text; save it as UTF-8, or set data.encoding"},
            id="bytes that are not text",
        ),
        pytest.param(
            '"a,b,c"\n"1,2,3"\n', {}, id="whole lines in quotes are one column"
        ),
    ],
)  # fmt: skip
def test_all_malformed_rows_are_reported_with_their_lines(content: str | bytes, problems: dict[int, str]) -> None:
    table = read(content)
    assert {problem.where: problem.message for problem in table.problems} == {
        f"t.csv:{line}": message for line, message in problems.items()
    }
    for problem in table.problems:
        assert table.row_label(problem.row) == problem.where
        assert all(column[problem.row] is None for column in table.columns.values())


def test_duplicate_names_are_a_problem_of_the_header() -> None:
    (problem,) = read("# c\nage,age\n1,2\n").problems
    assert str(problem) == "t.csv:2: 2 columns are named 'age'; rename them"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("", "t.csv:1: is empty; the first line must name the columns", id="empty"),
        pytest.param("\n \n", "t.csv:1: is empty; the first line must name the columns", id="blank"),
        pytest.param("a,b\n1,\0\n", "t.csv:2: has a NUL byte; it is not a text file", id="NUL"),
        pytest.param(
            "a," * 100_001 + "b\n",
            "t.csv: has 100,002 columns, at most 100,000 are read; save the values as an array in an .npz file",
            id="columns without end",
        ),
        pytest.param(gzip.compress(text().encode())[:-12], "t.csv: cannot be read: Compressed file ended", id="cut"),
        pytest.param(b"PAR1" + b"x" * 30, "t.csv: cannot be read as Parquet: ", id="damaged Parquet"),
    ],
)
def test_files_that_are_refused(content: str | bytes, message: str) -> None:
    with pytest.raises(DataError) as error:
        read(content)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_one_open_quote_hides_no_other_rows() -> None:
    rows = "".join(f"{i},x{i},2\n" for i in range(3000))
    table = read('a,b,c\n"' + rows)
    assert [str(problem) for problem in table.problems] == ["t.csv:2: has a quote that is not closed"]
    assert table.names == ["a", "b", "c"]
    assert table.columns["a"].to_list() == [None, *range(1, 3000)]


def test_long_values_and_rows() -> None:
    table = read("a,b\n" + "x" * 200_000 + ",1\n" + "," * 300_000 + "\n")
    assert len(table.columns["a"][0]) == 200_000
    assert [str(problem) for problem in table.problems] == ["t.csv:3: must have 2 values, got 300,001"]


def test_columns_aligned_by_blanks_are_not_shifted() -> None:
    content = "id years who div\n" + "".join(f"{i}   12-15 years   No  0\n" for i in range(9))
    assert {problem.message for problem in read(content, "t.txt").problems} == {
        "must have 4 values, as the header has, got 5"
    }
    content += content.partition("\n")[2]
    summary = min(read(content, "t.txt").problems)
    assert str(summary) == (
        "t.txt:1: 18 of 18 rows do not match this line, split by ' '; delete lines that are not part of the table, or "
        "set data.separator, data.header or data.comment"
    )
    assert read("   x y\n1  3 4\n2  5 6\n", "t.txt").names == ["row_names", "x", "y"]


def test_a_quoted_header_over_plain_values() -> None:
    assert read("'OBS' 'GPA'\n1 2.5\n2 3.5\n", "t.txt").names == ["OBS", "GPA"]


def test_zeros_after_the_beginning_of_a_file_are_refused_at_once() -> None:
    with pytest.raises(DataError, match=r"t\.csv: is not a text file: has NUL bytes after 0\.25 MiB"):
        read(b"a,b\n" + b"1,2\n" * 2**16 + b"\0" * 2**20)


def test_a_quote_that_begins_each_line_is_reported_for_every_row() -> None:
    table = read("a,b\n" + '"1,2\n' * 301)
    assert len(table.problems) - 1 == len(table) == 151
    assert str(table.problems[-2]) == "t.csv:302: has a quote that is not closed"


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), ("", gzip.compress)],
)
def test_compressed_files(suffix: str, compress: object) -> None:
    table = read(compress(text().encode()), f"T.CSV{suffix}")  # type: ignore[operator]
    assert values(table) == PARSED


def test_zstandard() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    with pyarrow.CompressedOutputStream("t.csv.zst", "zstd") as file:
        file.write(text().encode())
    assert values(read_raw("t.csv.zst", settings())) == PARSED
    Path("t.csv.zst").write_bytes(Path("t.csv.zst").read_bytes()[:-9])
    with pytest.raises(DataError, match=r"t\.csv\.zst: cannot be read: "):
        read_raw("t.csv.zst", settings())


def test_archive_of_one_file() -> None:
    with zipfile.ZipFile("t.zip", "w") as archive:
        archive.writestr("folder/", "")
        archive.writestr("folder/t.csv", text())
    assert values(read_raw("t.zip", settings())) == PARSED
    with zipfile.ZipFile("t.zip", "a") as archive:
        archive.writestr("other.csv", text())
    with pytest.raises(DataError, match=r"t\.zip: must hold one file, got 2: folder/t\.csv, other\.csv; extract"):
        read_raw("t.zip", settings())


def test_content_that_is_larger_than_half_of_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mxtrain.data.readers.table_files.memory_limit", lambda: 2**20)
    bomb = gzip.compress(b"a,b\n" + b"1,2\n" * 2**19)
    with pytest.raises(DataError, match=r"t\.csv\.gz: needs more than .* GiB, half of this machine's memory"):
        read(bomb, "t.csv.gz")
    with pytest.raises(DataError, match=r"t\.jsonl\.gz: holds more than .* GiB, half of this machine's memory"):
        read(gzip.compress(b'{"a": 1}\n' * 2**18), "t.jsonl.gz")


def test_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("data").mkdir()
    for part in range(2):
        Path(f"data/part-{part}.csv").write_text(f"n,s\n{part},a\n5{'.5' * part},b\n")
    monkeypatch.setenv("FOLDER", "data")
    table = read_raw("${FOLDER}/part-*.csv", settings())
    assert values(table) == [[0, 5, 1, 5.5], ["a", "b", "a", "b"]]
    assert [table.row_label(row) for row in (1, 2)] == ["data/part-0.csv:3", "data/part-1.csv:2"]
    for source, message in {
        "${NO_SUCH}/t.csv": r"\$\{NO_SUCH\}/t.csv: the environment variable NO_SUCH is not set",
        "none-*.csv": r"none-\*.csv: no file matches this pattern",
        "https://host/t.csv": "https://host/t.csv: is a URL, and only local files are read; download it",
    }.items():
        with pytest.raises(DataError, match=message):
            read_raw(source, settings())
    Path("data/part-2.csv").write_text("n,t\n1,2\n")
    with pytest.raises(DataError, match=r"part-2\.csv:1: must have the columns of data/part-0\.csv.* 's', 't'"):
        read_raw("data/part-*.csv", settings())


def test_chunks_hold_the_rows_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_blocks, "FIRST_BLOCK", 50)
    monkeypatch.setattr(text_blocks, "BLOCK", 90)
    lines = [f'{i},"v{i},\n{i}"' if i % 7 == 3 else f"{i},v{i}" for i in range(60)]
    lines[31] = "31"
    Path("t.csv").write_text("n,s\n" + "\n".join(lines) + "\n")
    whole = read_raw("t.csv", settings())
    chunks = list(raw_chunks("t.csv", settings()))
    assert len(chunks) > 5
    assert sum(map(len, chunks)) == len(whole) == 60
    assert [v for chunk in chunks for v in chunk.columns["s"]] == whole.columns["s"].to_list()
    labels = [chunk.row_label(row) for chunk in chunks for row in range(len(chunk))]
    assert labels == [whole.row_label(row) for row in range(60)]
    problems = [problem.where for chunk in chunks for problem in chunk.problems]
    assert problems == [problem.where for problem in whole.problems] == [whole.row_label(31)]


def test_the_fast_and_the_line_path_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    cells = ["1", "2.5", "", " x ", '"a,b"', '"q""q"', '"l\nm"', '""', "é", "y z"]
    rows = [",".join(rng.choice(cells, 4)) for _ in range(400)]
    content = "p,q,r,s\n" + "\n".join(rows) + "\n"
    fast = read(content)
    monkeypatch.setattr("mxtrain.data.readers.text_table.TextTable._is_plain", lambda *_: False)
    slow = read(content)
    assert values(fast) == values(slow)
    assert [fast.row_label(row) for row in range(400)] == [slow.row_label(row) for row in range(400)]
    assert not fast.problems


def test_a_row_of_millions_of_separators_is_not_given_to_polars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Polars would need 400 bytes for each of them."""
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b,y\n1,2,3\n" + b"," * 3_000_000 + b"\n4,5,6\n")
    parse = text_table._parse

    def parse_short_rows(block: bytes, *arguments: Any) -> Any:
        assert len(block) < 1_000_000
        return parse(block, *arguments)

    monkeypatch.setattr(text_table, "_parse", parse_short_rows)
    raw = read_raw(str(path), DataConfig(source="digits"))
    assert [str(problem) for problem in raw.problems] == [f"{path}:3: must have 3 values, got 3,000,001"]
