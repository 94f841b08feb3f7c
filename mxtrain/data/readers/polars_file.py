"""Parquet and Arrow readers, using Polars in a subprocess."""

import os
import subprocess
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from mxtrain.data.readers.columns import (
    CategoricalColumn,
    Column,
    Columns,
    ColumnSelector,
    Kind,
    NumericColumn,
    check_header,
    check_selected_names,
)
from mxtrain.data.readers.polars_subprocess import REFUSED
from mxtrain.data.readers.type_inference import (
    ColumnBuilder,
    dates_message,
    mixed_kinds_message,
    unsupported_values_message,
)
from mxtrain.errors import DataError
from mxtrain.names import nfc
from mxtrain.processes import child_path, child_python
from mxtrain.types import describe

if TYPE_CHECKING:
    import polars


def as_arrow_stream(file: BinaryIO, source: str, kind: str) -> BytesIO:
    """Convert a table to an Arrow stream in a separate process, which a damaged file may crash.

    Args:
        file: the file, open at its beginning.
        source: the name of the file in error messages.
        kind: `Parquet`, `Arrow` or `Arrow stream`.

    Raises:
        DataError: the file cannot be read.
    """
    script = Path(__file__).with_name("polars_subprocess.py")
    os.lseek(file.fileno(), 0, os.SEEK_SET)  # the process does not see what is buffered here
    command = [*child_python(), str(script), kind]
    result = subprocess.run(
        command,
        stdin=file,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | child_path(),
        check=False,
    )
    if result.returncode == 0:
        return BytesIO(result.stdout)
    reason = "it is damaged, or too large for this machine's memory"
    if result.returncode == REFUSED:
        reason = (result.stdout.decode(errors="replace").splitlines() or [reason])[0]
    raise DataError(f"{source}: cannot be read as {kind.split()[0]}: {reason}")


def read_parquet(file: BinaryIO, source: str, select: ColumnSelector) -> Columns:
    """Read the selected columns of a Parquet file; other columns may hold anything.

    Null, NaN and blank text are missing values. Numbers become float64. Error messages number rows from 1.

    Args:
        file: the file, open in binary mode.
        source: the name of the file in error messages.
        select: returns the columns to read, and their kinds.

    Raises:
        DataError: the file cannot be read, a value is invalid, or Polars is not installed.
    """
    return _read_frame(file, source, select, "Parquet")


def read_arrow(file: BinaryIO, source: str, select: ColumnSelector) -> Columns:
    """Read the selected columns of an Arrow IPC (Feather) file or stream; see `read_parquet`."""
    magic = file.read(6)
    file.seek(0)
    return _read_frame(file, source, select, "Arrow" if magic == b"ARROW1" else "Arrow stream")


def _read_frame(file: BinaryIO, source: str, select: ColumnSelector, kind: str) -> Columns:
    try:
        import polars as pl
    except ImportError:
        message = "needs polars, which is not installed; pip install 'mxtrain[tables]'"
        raise DataError(f"{source}: reading {kind.split()[0]} {message}") from None
    frame = pl.read_ipc_stream(as_arrow_stream(file, source, kind))
    check_header(frame.columns, source, "holds no columns")
    names = list(map(nfc, frame.columns))
    kinds = select(source, names)
    check_selected_names(names, kinds, source)
    index_of = {name: index for index, name in enumerate(names)}
    columns = {name: _column_from_series(frame.to_series(index_of[name]), kind, source) for name, kind in kinds.items()}
    return Columns(source, columns, lambda row: f"{source}: row {row + 1}")


def _column_from_series(series: "polars.Series", kind: Kind | None, source: str) -> Column:
    import polars as pl

    dtype = series.dtype
    where = f"{source}: column {series.name!r}"
    if dtype.is_temporal() and kind != "text":
        raise DataError(f"{where}: {dates_message(f' ({dtype})', may_be_categories=kind is None)}")
    if not (
        dtype.is_numeric() or dtype.is_temporal() or dtype in (pl.Boolean, pl.String, pl.Categorical, pl.Enum, pl.Null)
    ):
        raise DataError(f"{where}: {unsupported_values_message(str(dtype))}")
    if dtype == pl.Null and kind == "text":
        return CategoricalColumn(np.full(len(series), -1), ())
    if dtype == pl.Null or kind == "number" or (kind is None and dtype.is_numeric()):
        return _numeric_column(series, source)
    return _text_column(series, source)


def _numeric_column(series: "polars.Series", source: str) -> NumericColumn:
    import polars as pl

    if not (series.dtype.is_numeric() or series.dtype == pl.Null):
        row = next((row for row, value in enumerate(series) if value is not None), 0)
        message = mixed_kinds_message("number", describe(series[row]), is_open=False)
        raise DataError(f"{source}: row {row + 1}: column {series.name!r}: {message}")
    values = series.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)
    infinite = np.isinf(values)
    if infinite.any():
        row = int(infinite.argmax())
        message = f"must be a finite number, got {values[row]}"
        raise DataError(f"{source}: row {row + 1}: column {series.name!r}: {message}")
    return NumericColumn(values)


def _text_column(series: "polars.Series", source: str) -> CategoricalColumn:
    import polars as pl

    if series.dtype == pl.Boolean:  # spelled as in JSON Lines
        truth = series.cast(pl.Int64).fill_null(-1).to_numpy().astype(np.int64)
        return CategoricalColumn(truth, ("false", "true"), "bool")
    dtype = str(series.dtype).lower() if series.dtype.is_integer() or series.dtype.is_float() else "str"
    if series.dtype.is_float():
        series = series.fill_nan(None)
    elif series.dtype.is_temporal() or series.dtype.is_decimal():
        # Polars formats these differently from Python, or not at all.
        builder = ColumnBuilder(series.name, "text", lambda row: f"{source}: row {row + 1}")
        builder.extend(series.to_list())
        column = builder.column()
        assert isinstance(column, CategoricalColumn), "its kind is text"
        return column
    stripped = series.cast(pl.String).str.strip_chars()
    whole = stripped.set(stripped == "", None)
    codes = whole.rank("dense").cast(pl.Int64).fill_null(0).to_numpy().astype(np.int64) - 1
    return CategoricalColumn(codes, tuple(whole.drop_nulls().unique().sort().to_list()), dtype)
