"""Readers of Parquet, Arrow and spreadsheet files, whose columns have types."""

import os
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mxtrain.data.readers.columns import check_header
from mxtrain.data.readers.polars_subprocess import REFUSED
from mxtrain.data.readers.raw_table import RawTable
from mxtrain.data.readers.table_bytes import memory_limit
from mxtrain.errors import DataError
from mxtrain.names import nfc
from mxtrain.processes import child_path, child_python

if TYPE_CHECKING:
    import polars

FRAME_FORMATS: Mapping[str, str] = {
    ".parquet": "Parquet",
    ".pq": "Parquet",
    ".arrow": "Arrow",
    ".feather": "Arrow",
    ".xlsx": "spreadsheet",
    ".xls": "spreadsheet",
    ".xlsb": "spreadsheet",
    ".ods": "spreadsheet",
}
"""The formats of suffixes."""


def frame_format(head: bytes, suffix: str) -> str | None:
    """Return the format of a file by its first bytes; None for text.

    Example:
        >>> frame_format(b"PAR1...", ".csv"), frame_format(b"a,b", ".csv")
        ('Parquet', None)
    """
    if head.startswith(b"PAR1"):
        return "Parquet"
    if head.startswith(b"ARROW1"):
        return "Arrow"
    if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        return "spreadsheet"
    if suffix in (".arrow", ".feather"):
        return "Arrow stream"
    return None


def read_frame(stream: BinaryIO, source: str, kind: str) -> RawTable:
    """Read a table whose columns have types.

    Args:
        stream: the content of the file.
        source: the name of the file in error messages.
        kind: `Parquet`, `Arrow`, `Arrow stream` or `spreadsheet`.

    Raises:
        DataError: the file cannot be read, or holds no columns.
    """
    content = stream.read()
    is_sheet = kind == "spreadsheet"
    frame = _read_spreadsheet(content, source) if is_sheet else _read_in_process(content, source, kind, kind.split()[0])
    check_header(frame.columns, source, "holds no columns")
    first = 2 if kind == "spreadsheet" else 1
    return RawTable(
        source=source,
        columns=_columns(frame),
        row_label=lambda row: f"{source}: row {row + first}",
        header=source,
        has_types=True,
    )


def _columns(frame: "polars.DataFrame") -> dict[str, "polars.Series"]:
    columns: dict[str, polars.Series] = {}
    for index, series in enumerate(frame.get_columns()):
        name = nfc(series.name.strip())
        if not name or name.startswith("__UNNAMED__"):
            if series.null_count() == len(series):
                continue
            name = f"unnamed_{index}"
        columns[name if name not in columns else f"{name}_{index}"] = series
    return columns


def _read_in_process(content: bytes, source: str, kind: str, noun: str) -> "polars.DataFrame":
    """Read a file in a separate process, which a damaged file, or one with too many cells, may crash."""
    import polars as pl

    script = Path(__file__).with_name("polars_subprocess.py")
    result = subprocess.run(
        [*child_python(), str(script), kind, str(memory_limit())],
        input=content,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | child_path(),
        check=False,
    )
    if result.returncode == 0:
        return pl.read_ipc_stream(BytesIO(result.stdout))
    reason = "it is damaged, or too large for this machine's memory"
    if result.returncode == REFUSED:
        reason = (result.stdout.decode(errors="replace").splitlines() or [reason])[0]
    raise DataError(f"{source}: cannot be read as {noun}: {reason}")


def _read_spreadsheet(content: bytes, source: str) -> "polars.DataFrame":
    """Read the first sheet of a spreadsheet, whose first row names the columns."""
    import polars as pl

    if find_spec("fastexcel") is None:
        message = "needs fastexcel, which is not installed; pip install 'mxtrain[excel]'"
        raise DataError(f"{source}: reading a spreadsheet {message}")
    frame = _read_in_process(content, source, "spreadsheet", "a spreadsheet")
    frame = frame.filter(~pl.all_horizontal(pl.all().is_null())) if frame.width else frame
    return frame.with_columns(series.cast(pl.Int64) for series in frame.get_columns() if _is_whole(series))


def _is_whole(series: "polars.Series") -> bool:
    """Return True if all values of a column are whole numbers, which a spreadsheet stores and reads as floats."""
    if not series.dtype.is_float() or series.null_count() == len(series):
        return False
    return bool(((series == series.round()) & (series.abs() < 2**53)).all())
