"""Parquet and Arrow readers, using Polars in a subprocess."""

import os
import subprocess
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from mxtrain.data.readers.columns import (
    Choose,
    Column,
    ColumnBuilder,
    Columns,
    Kind,
    Numbers,
    Texts,
    dates,
    mixed,
    unsupported_values_message,
)
from mxtrain.data.readers.csv_file import check_names, check_selected_names
from mxtrain.data.readers.polars_subprocess import REFUSED
from mxtrain.errors import DataError
from mxtrain.names import nfc
from mxtrain.processes import child_path, child_python
from mxtrain.types import describe

if TYPE_CHECKING:
    import polars


def as_arrow_stream(file: BinaryIO, source: str, kind: str) -> BytesIO:
    """The table in a file as an Arrow stream that Polars has written, and reads without harm.

    Args:
        file: the file, open at its beginning.
        source: what messages call it.
        kind: `Parquet`, `Arrow` or `Arrow stream`.

    Raises:
        DataError: it cannot be read.
    """
    child = Path(__file__).with_name("polars_subprocess.py")
    os.lseek(file.fileno(), 0, os.SEEK_SET)  # whatever of it is in a buffer here
    command = [*child_python(), str(child), kind]
    done = subprocess.run(
        command,
        stdin=file,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | child_path(),
        check=False,
    )
    if done.returncode == 0:
        return BytesIO(done.stdout)
    reason = "it is damaged, or too large for this machine's memory"
    if done.returncode == REFUSED:
        reason = (done.stdout.decode(errors="replace").splitlines() or [reason])[0]
    raise DataError(f"{source}: cannot be read as {kind.split()[0]}: {reason}")


def read_parquet(file: BinaryIO, source: str, choose: Choose) -> Columns:
    """Read columns of a Parquet file; the others may hold anything.

    Null, NaN and blank text are missing values. Numbers become float64. A message calls a row by its number, from 1.

    Args:
        file: the file, open in binary.
        source: what messages call it.
        choose: says which columns to read, and as what.

    Raises:
        DataError: with the column and the row; or Polars is not installed.
    """
    return _read_frame(file, source, choose, "Parquet")


def read_arrow(file: BinaryIO, source: str, choose: Choose) -> Columns:
    """Read columns of an Arrow IPC (Feather) file, a file or a stream; see `read_parquet`."""
    begin = file.read(6)
    file.seek(0)
    return _read_frame(file, source, choose, "Arrow" if begin == b"ARROW1" else "Arrow stream")


def _read_frame(file: BinaryIO, source: str, choose: Choose, kind: str) -> Columns:
    try:
        import polars as pl
    except ImportError:
        message = "needs polars, which is not installed; pip install 'mxtrain[tables]'"
        raise DataError(f"{source}: reading {kind.split()[0]} {message}") from None
    frame = pl.read_ipc_stream(as_arrow_stream(file, source, kind))
    check_names(frame.columns, source, "holds no columns")
    names = list(map(nfc, frame.columns))
    wanted = choose(source, names)
    check_selected_names(names, wanted, source)
    index_of = {name: index for index, name in enumerate(names)}
    columns = {
        name: _column_from_series(frame.to_series(index_of[name]), kind, source) for name, kind in wanted.items()
    }
    return Columns(source, columns, lambda row: f"{source}: row {row + 1}")


def _column_from_series(series: "polars.Series", kind: Kind | None, source: str) -> Column:
    import polars as pl

    dtype = series.dtype
    where = f"{source}: column {series.name!r}"
    if dtype.is_temporal() and kind != "text":
        raise DataError(f"{where}: {dates(f' ({dtype})', may_be_categories=kind is None)}")
    if not (
        dtype.is_numeric() or dtype.is_temporal() or dtype in (pl.Boolean, pl.String, pl.Categorical, pl.Enum, pl.Null)
    ):
        raise DataError(f"{where}: {unsupported_values_message(str(dtype))}")
    if dtype == pl.Null and kind == "text":
        return Texts(np.full(len(series), -1), ())
    if dtype == pl.Null or kind == "number" or (kind is None and dtype.is_numeric()):
        return _numeric_column(series, source)
    return _text_column(series, source)


def _numeric_column(series: "polars.Series", source: str) -> Numbers:
    import polars as pl

    if not (series.dtype.is_numeric() or series.dtype == pl.Null):
        row = next((row for row, value in enumerate(series) if value is not None), 0)
        message = mixed("number", describe(series[row]), is_open=False)
        raise DataError(f"{source}: row {row + 1}: column {series.name!r}: {message}")
    values = series.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)
    infinite = np.isinf(values)
    if infinite.any():
        row = int(infinite.argmax())
        message = f"must be a finite number, got {values[row]}"
        raise DataError(f"{source}: row {row + 1}: column {series.name!r}: {message}")
    return Numbers(values)


def _text_column(series: "polars.Series", source: str) -> Texts:
    import polars as pl

    if series.dtype == pl.Boolean:  # spelt as in JSON Lines
        truth = series.cast(pl.Int64).fill_null(-1).to_numpy().astype(np.int64)
        return Texts(truth, ("false", "true"), "bool")
    dtype = str(series.dtype).lower() if series.dtype.is_integer() or series.dtype.is_float() else "str"
    if series.dtype.is_float():
        series = series.fill_nan(None)
    elif series.dtype.is_temporal() or series.dtype.is_decimal():
        # Polars formats these differently from Python, or not at all.
        builder = ColumnBuilder(series.name, "text", lambda row: f"{source}: row {row + 1}")
        for value in series:
            builder.add(value)
        column = builder.column()
        assert isinstance(column, Texts), "its kind is text"
        return column
    stripped = series.cast(pl.String).str.strip_chars()
    whole = stripped.set(stripped == "", None)
    codes = whole.rank("dense").cast(pl.Int64).fill_null(0).to_numpy().astype(np.int64) - 1
    return Texts(codes, tuple(whole.drop_nulls().unique().sort().to_list()), dtype)
