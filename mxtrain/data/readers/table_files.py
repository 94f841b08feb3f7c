"""Reading of table files of all formats."""

import csv
from io import StringIO
from pathlib import Path
from typing import Protocol

from mxtrain.data.readers.columns import check_header
from mxtrain.data.readers.open_file import open_data_file
from mxtrain.data.readers.raw_table import Problem, RawTable
from mxtrain.names import nfc


class FormatSettings(Protocol):
    """The fields of the `data` section that describe the format of a table; None where it is to be detected."""

    @property
    def separator(self) -> str | None: ...
    @property
    def header(self) -> bool | tuple[str, ...] | None: ...
    @property
    def quote(self) -> str | None: ...
    @property
    def decimal(self) -> str | None: ...
    @property
    def thousands(self) -> str | None: ...
    @property
    def comment(self) -> str | None: ...
    @property
    def encoding(self) -> str | None: ...
    @property
    def missing_values(self) -> tuple[str, ...] | None: ...


def read_raw(source: str, settings: FormatSettings) -> RawTable:
    """Read a table file.

    Args:
        source: the path of the file.
        settings: the format of the file, as far as it is known.

    Raises:
        DataError: the file is missing or cannot be read; malformed rows are in `RawTable.problems`.
    """
    import polars as pl

    suffix = Path(source).suffix.lower()
    if suffix in (".parquet", ".arrow", ".feather"):
        return _read_frame(source, suffix)
    if suffix in (".jsonl", ".ndjson"):
        return _read_json_lines(source)
    with open_data_file(source) as file:
        text = file.read().decode("utf-8-sig")
    rows = csv.reader(StringIO(text, newline=""))
    names = [nfc(name.strip()) for name in next(rows, [])]
    check_header(names, f"{source}:1", "is empty; the first line must name the columns")
    lines: list[int] = []
    cells: list[list[str | None]] = []
    problems: list[Problem] = []
    for row in rows:
        if not row:
            continue
        if len(row) != len(names):
            message = f"must have {len(names)} values, as the header has, got {len(row)}"
            problems.append(Problem(len(lines), f"{source}:{rows.line_num}", message))
            row = [""] * len(names)
        lines.append(rows.line_num)
        cells.append([cell.strip() or None for cell in row])
    columns = {name: pl.Series(name, [row[i] for row in cells], pl.String) for i, name in enumerate(names)}
    return RawTable(source, columns, lambda row: f"{source}:{lines[row]}", f"{source}:1", False, problems=problems)


def _read_frame(source: str, suffix: str) -> RawTable:
    import polars as pl

    from mxtrain.data.readers.polars_file import as_arrow_stream

    with open_data_file(source) as file:
        magic = file.read(6)
        kind = "Parquet" if suffix == ".parquet" else "Arrow" if magic == b"ARROW1" else "Arrow stream"
        frame = pl.read_ipc_stream(as_arrow_stream(file, source, kind))
    columns = {nfc(series.name): series for series in frame}
    return RawTable(source, columns, lambda row: f"{source}: row {row + 1}", source, has_types=True)


def _read_json_lines(source: str) -> RawTable:
    import polars as pl

    from mxtrain.data.readers.text_files import _objects

    with open_data_file(source) as file:
        found = list(_objects(file, source))
    names = list(dict.fromkeys(name for _, record in found for name in record))
    check_header(names, source, "is empty; each line must be a JSON object with a sample's values")
    columns = {}
    for name in names:
        values = [record.get(name) for _, record in found]
        kinds = {type(value) for value in values if value is not None}
        strict = len(kinds) <= 1 or kinds == {int, float}
        columns[name] = pl.Series(name, values, strict=False) if strict else pl.Series(name, values, pl.Object)
    return RawTable(source, columns, lambda row: f"{source}:{found[row][0]}", source, has_types=True)
