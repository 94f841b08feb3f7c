"""Columns from Parquet and Arrow files, by way of Polars."""

from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from mxtrain.data.columns import Choose, Column, ColumnBuilder, Columns, Kind, Numbers, Texts, dates, mixed, not_plain
from mxtrain.data.csv_file import check_names, check_wanted
from mxtrain.data.polars_process import as_arrow_stream
from mxtrain.errors import DataError
from mxtrain.names import nfc
from mxtrain.types import describe

if TYPE_CHECKING:
    import polars


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
    return _read(file, source, choose, "Parquet")


def read_arrow(file: BinaryIO, source: str, choose: Choose) -> Columns:
    """Read columns of an Arrow IPC (Feather) file, a file or a stream; see `read_parquet`."""
    begin = file.read(6)
    file.seek(0)
    return _read(file, source, choose, "Arrow" if begin == b"ARROW1" else "Arrow stream")


def _read(file: BinaryIO, source: str, choose: Choose, kind: str) -> Columns:
    try:
        import polars as pl
    except ImportError:
        message = "needs polars, which is not installed; pip install 'mxtrain[tables]'"
        raise DataError(f"{source}: reading {kind.split()[0]} {message}") from None
    frame = pl.read_ipc_stream(as_arrow_stream(file, source, kind))
    check_names(frame.columns, source, "holds no columns")
    names = list(map(nfc, frame.columns))
    wanted = choose(source, names)
    check_wanted(names, wanted, source)
    index_of = {name: index for index, name in enumerate(names)}
    columns = {name: _column(frame.to_series(index_of[name]), kind, source) for name, kind in wanted.items()}
    return Columns(source, columns, lambda row: f"{source}: row {row + 1}")


def _column(series: "polars.Series", kind: Kind | None, source: str) -> Column:
    import polars as pl

    dtype = series.dtype
    where = f"{source}: column {series.name!r}"
    if dtype.is_temporal() and kind != "text":
        raise DataError(f"{where}: {dates(f' ({dtype})', may_be_categories=kind is None)}")
    if not (
        dtype.is_numeric() or dtype.is_temporal() or dtype in (pl.Boolean, pl.String, pl.Categorical, pl.Enum, pl.Null)
    ):
        raise DataError(f"{where}: {not_plain(str(dtype))}")
    if dtype == pl.Null and kind == "text":
        return Texts(np.full(len(series), -1), ())
    if dtype == pl.Null or kind == "number" or (kind is None and dtype.is_numeric()):
        return _numbers(series, source)
    return _texts(series, source)


def _numbers(series: "polars.Series", source: str) -> Numbers:
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


def _texts(series: "polars.Series", source: str) -> Texts:
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
