"""Small files that expand to more than the memory are refused before they are read."""

import gzip
import zipfile
from pathlib import Path

import polars as pl
import pytest

from mxtrain.config.data_section import DataConfig
from mxtrain.data.readers.table_files import read_raw
from mxtrain.errors import DataError

SETTINGS = DataConfig(source="digits")
LIMIT = 2**26


@pytest.fixture(autouse=True)
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("table_bytes", "table_files", "frame_files"):
        monkeypatch.setattr(f"mxtrain.data.readers.{module}.memory_limit", lambda: LIMIT)


def test_gzip_of_equal_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first chunks tell how large the rest is: of 30 members, few are decompressed."""
    monkeypatch.setattr("mxtrain.data.readers.text_blocks.BLOCK", 2**18)
    path = tmp_path / "rows.csv.gz"
    member = gzip.compress(b"1,2,3\n" * 700_000)
    path.write_bytes(gzip.compress(b"a,b,c\n") + member * 30)
    read = []
    parse = pl.read_csv

    def counted(source: bytes, **options: object) -> pl.DataFrame:
        read.append(len(source))
        return parse(source, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pl, "read_csv", counted)
    with pytest.raises(
        DataError, match=r"rows\.csv\.gz: needs more than 0.0625 GiB, half of .* folder of \.npy arrays"
    ):
        read_raw(str(path), SETTINGS)
    assert sum(read) < 2**25


def test_parquet_of_millions_of_equal_values(tmp_path: Path) -> None:
    path = tmp_path / "zeros.parquet"
    pl.LazyFrame({"x": [0]}).select(pl.col("x").repeat_by(2**23).explode()).sink_parquet(path)
    assert path.stat().st_size < 2**22
    with pytest.raises(DataError, match="8,388,608 rows of 1 columns, too many for this machine's memory; split it"):
        read_raw(str(path), SETTINGS)


@pytest.mark.parametrize(("size", "message"), [(2**29, "expands to 0.5 GiB, too much"), (1000, "another checksum")])
def test_spreadsheet(tmp_path: Path, size: int, message: str) -> None:
    """A sheet is larger than the memory, or larger than its archive declares."""
    path = tmp_path / "sheet.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
            sheet.write(b"<row/>" * 1000)
    content = path.read_bytes()
    assert content.count((6000).to_bytes(4, "little")) > 0
    directory = content.rindex(b"PK\x01\x02")
    declared = content[directory:].replace((6000).to_bytes(4, "little"), size.to_bytes(4, "little"))
    path.write_bytes(content[:directory] + declared)
    with pytest.raises(DataError, match=message):
        read_raw(str(path), SETTINGS)


def test_spreadsheet_with_a_cell_in_the_last_corner(tmp_path: Path) -> None:
    """The reader of spreadsheets allocates all cells of the rectangle, which aborts its process."""
    path = tmp_path / "corner.xlsx"
    sheet = (
        '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>2</v></c></row>'  # the last cell
    )
    write_sheet(path, sheet)
    with pytest.raises(DataError, match=r"corner\.xlsx: cannot be read as a spreadsheet: it is damaged, or too large"):
        read_raw(str(path), SETTINGS)


_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_SHEETS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def write_sheet(path: Path, rows: str) -> None:
    """Write the smallest spreadsheet with these rows."""

    def relation(target: str, kind: str) -> str:
        link = f'<Relationship Id="r1" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        return f'<Relationships xmlns="{_PACKAGE}/relationships">{link}</Relationships>'

    book = f'<workbook xmlns="{_SHEETS}" xmlns:r="{_OFFICE}"><sheets><sheet name="a" sheetId="1" r:id="r1"/></sheets></workbook>'
    members = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"/>',
        "_rels/.rels": relation("xl/workbook.xml", "officeDocument"),
        "xl/workbook.xml": book,
        "xl/_rels/workbook.xml.rels": relation("worksheets/sheet1.xml", "worksheet"),
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{_SHEETS}"><sheetData>{rows}</sheetData></worksheet>',
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
