"""Parquet, Arrow and spreadsheet files as raw tables."""

from datetime import date
from pathlib import Path
from zipfile import ZipFile

import polars as pl
import pytest

from mxtrain.config.data_section import DataConfig
from mxtrain.data.readers.columns import check_names_exist
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


_SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def _write_xlsx(path: Path, rows: list[list[float | str | None]]) -> None:
    """Write a spreadsheet of one sheet with numbers and texts."""
    cells = [
        f'<c t="inlineStr"><is><t>{value}</t></is></c>'
        if isinstance(value, str)
        else f"<c><v>{'' if value is None else value}</v></c>"
        for row in rows
        for value in row
    ]
    width = len(rows[0])
    lines = "".join(f"<row>{''.join(cells[i : i + width])}</row>" for i in range(0, len(cells), width))
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="r1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_SHEET}" xmlns:r="{_OFFICE}">'
        '<sheets><sheet name="a" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="r1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{_SHEET}"><sheetData>{lines}</sheetData></worksheet>',
    }
    with ZipFile(path, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, f'<?xml version="1.0"?>{text}')


def test_spreadsheets(tmp_path: Path) -> None:
    _write_xlsx(tmp_path / "t.XLSX", [["n", "s"], [1, "x"], [2.5, None]])
    table = read_raw(str(tmp_path / "t.XLSX"), SETTINGS)
    assert {name: column.to_list() for name, column in table.columns.items()} == {"n": [1, 2.5], "s": ["x", None]}
    assert table.row_label(0).endswith("row 2")


def test_whole_numbers_of_a_spreadsheet_are_integers(tmp_path: Path) -> None:
    _write_xlsx(tmp_path / "t.xlsx", [["id", "n", "x", "y"], [10002, 7, 1.5, 1e300], [10003, None, 2, 2e300]])
    columns = read_raw(str(tmp_path / "t.xlsx"), SETTINGS).columns
    assert {name: list(map(str, column)) for name, column in columns.items()} == {
        "id": ["10002", "10003"],
        "n": ["7", "None"],
        "x": ["1.5", "2.0"],
        "y": ["1e+300", "2e+300"],
    }


def test_a_title_above_the_names_is_reported(tmp_path: Path) -> None:
    _write_xlsx(tmp_path / "t.xlsx", [["Accounts", None, None], ["a", "b", "y"], [1, 2, 3]])
    columns = read_raw(str(tmp_path / "t.xlsx"), SETTINGS).columns
    with pytest.raises(DataError, match="no column 'y'; .*; if a later row holds the names, delete the rows above it"):
        check_names_exist("t.xlsx", "column", columns, "y")


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
