"""Parquet, Arrow and spreadsheet files as raw tables."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from mxtrain.config.data_section import DataConfig
from mxtrain.data.readers.table_files import raw_chunks, read_raw
from mxtrain.errors import DataError

FRAME = pl.DataFrame({"n": [1, None, 3], "s": ["x", "y", None], "d": [date(2024, 1, 5), None, date(2024, 2, 6)]})
SETTINGS = DataConfig(source="digits")


@pytest.mark.parametrize("name", ["t.parquet", "t.pq", "T.FEATHER", "t.arrow", "stream.arrow", "named.csv"])
def test_columns_keep_their_types(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name.startswith("stream"):
        FRAME.write_ipc_stream(path)
    elif name.lower().endswith((".feather", ".arrow")):
        FRAME.write_ipc(path)
    else:
        FRAME.write_parquet(path)
    table = read_raw(str(path), SETTINGS)
    assert pl.DataFrame(table.columns).equals(FRAME)
    assert (table.has_types, table.row_label(2)) == (True, f"{path}: row 3")


def test_spreadsheets(tmp_path: Path) -> None:
    pytest.importorskip("fastexcel")
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["n", "s", None], [1, "x", None], [2.5, None, None]):
        book.active.append(row)
    book.save(tmp_path / "t.XLSX")
    table = read_raw(str(tmp_path / "t.XLSX"), SETTINGS)
    assert {name: column.to_list() for name, column in table.columns.items()} == {"n": [1, 2.5], "s": ["x", None]}
    assert table.row_label(0).endswith("row 2")


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "t.xlsx"])
def test_damaged_files(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"not a table")
    with pytest.raises(DataError) as error:
        read_raw(str(tmp_path / name), SETTINGS)
    assert str(error.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(error.value)


def test_chunks_of_a_table_that_is_read_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mxtrain.data.readers.table_files._CHUNK_ROWS", 2)
    FRAME.write_parquet(tmp_path / "t.parquet")
    chunks = list(raw_chunks(str(tmp_path / "t.parquet"), SETTINGS))
    assert [len(chunk) for chunk in chunks] == [2, 1]
    assert chunks[1].row_label(0).endswith("t.parquet: row 3")
