"""Data frames and columns from Python as raw tables."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mxtrain.data.readers.raw_table import RawTable
from mxtrain.errors import DataError
from mxtrain.types import describe

if TYPE_CHECKING:
    import polars


def raw_table_of(data: Mapping[str, Any], source: str = "data") -> RawTable:
    """Return columns from Python as a raw table.

    Args:
        data: for each name, a NumPy array, a column of a data frame (pandas, Polars, Arrow) or another iterable.
        source: the name of the data in error messages.

    Raises:
        DataError: a column is no sequence of values, or the columns differ in length.

    Example:
        >>> raw = raw_table_of({"age": [3, None], "species": np.array(["cat", "ant"])})
        >>> raw.columns["age"].to_list(), raw.columns["species"].to_list(), raw.row_label(1)
        ([3, None], ['cat', 'ant'], 'data: row 2')
    """
    import polars as pl

    columns = {name: _series(name, values, f"{source}: column {name!r}") for name, values in data.items()}
    lengths = {len(series): name for name, series in columns.items()}
    if len(lengths) > 1:
        (some, one), (more, other), *_ = sorted(lengths.items())
        raise DataError(f"{source}: the columns must be of one length, got {some} for {one!r} and {more} for {other!r}")
    is_text = bool(columns) and all(series.dtype == pl.String for series in columns.values())
    if is_text:
        columns = {name: series.str.strip_chars() for name, series in columns.items()}
    return RawTable(source, columns, lambda row: f"{source}: row {row + 1}", source, has_types=not is_text)


def _series(name: str, values: Any, where: str) -> "polars.Series":
    """Return one column as a Series, whose values share no memory with the caller's."""
    import polars as pl

    if isinstance(values, pl.Series):
        return values.clone()
    if hasattr(values, "__cuda_array_interface__") and hasattr(values, "get"):
        values = values.get()
    if np.ma.isMaskedArray(values):
        return _from_values(name, values.tolist())
    if isinstance(values, np.ndarray):
        return _from_array(name, values)
    if type(values).__module__.partition(".")[0] == "pandas":
        return _from_pandas(name, values)
    if hasattr(values, "to_pylist"):
        arrow: Any = pl.from_arrow(values)
        return pl.Series(name, arrow)
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        remedy = "pass lists of values, or a list of dicts, one for each sample"
        raise DataError(f"{where}: must hold one value for each sample, got {describe(values)}; {remedy}")
    return _from_values(name, list(values))


def _from_array(name: str, array: "np.ndarray[Any, Any]") -> "polars.Series":
    import polars as pl

    if array.dtype.kind in "iufb" and array.dtype != np.float16 and array.dtype.itemsize <= 8:
        return pl.Series(name, np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))))
    if array.dtype.kind == "f":
        return pl.Series(name, array.astype(np.float64))
    if array.dtype.kind == "M":
        unit = "datetime64[us]"
        return pl.Series(name, array.astype(unit)).set(pl.Series(np.isnat(array)), None)
    if array.dtype.kind == "m":
        return pl.Series(name, array.astype("timedelta64[us]"))
    return _from_values(name, array.tolist())


def _from_pandas(name: str, column: Any) -> "polars.Series":
    """Return a column of pandas, without the need for PyArrow; categories keep their dtype."""
    import polars as pl

    dtype = column.dtype
    if type(dtype).__name__ == "CategoricalDtype":
        values = _from_values(name, list(column.astype(object)))
        return values.cast(pl.Categorical) if values.dtype == pl.String else values
    if isinstance(dtype, np.dtype) and dtype.kind in "iufbMm":
        return _from_array(name, column.to_numpy())
    if getattr(dtype, "tz", None) is not None:
        return _from_array(name, column.to_numpy(dtype="datetime64[us]"))  # in UTC
    return _from_values(name, list(column.astype(object)))


def _from_values(name: str, values: Sequence[Any]) -> "polars.Series":
    """Return Python values as a Series: of one type if they have one, otherwise of objects."""
    import polars as pl

    plain = [None if _is_missing(value) else _plain(value) for value in values]
    types = {type(value) for value in plain if value is not None}
    if types <= {int, float} and types:
        dtype = _integer_dtype(plain) if types == {int} else pl.Float64
        if types == {int} and dtype == pl.Float64:
            return pl.Series(name, plain, pl.Object)  # float64 could make one number of several
        with np.errstate(over="ignore"):
            return pl.Series(name, [_to_float(v) if dtype == pl.Float64 else v for v in plain], dtype)
    if len(types) <= 1:
        try:
            return pl.Series(name, plain, strict=True)
        except (TypeError, ValueError, OverflowError, RuntimeError, pl.exceptions.PolarsError):
            pass
    return pl.Series(name, plain, pl.Object)


def _integer_dtype(values: Sequence[Any]) -> "type[polars.DataType]":
    """Return the dtype that holds integers; Float64 if none does."""
    import polars as pl

    present = [value for value in values if value is not None]
    low, high = min(present), max(present)
    return pl.Int64 if low >= -(2**63) and high < 2**63 else pl.UInt64 if low >= 0 and high < 2**64 else pl.Float64


def _to_float(value: float | None) -> float | None:
    try:
        return None if value is None else float(value)
    except OverflowError:
        return float("inf")


def _plain(value: Any) -> Any:
    """Return a scalar of NumPy or a timestamp of pandas as Python's type."""
    if isinstance(value, np.datetime64 | np.timedelta64):
        return value.astype(f"{value.dtype.kind}8[us]").item()
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, "to_pydatetime"):
        return value.to_pydatetime()
    return value


def _is_missing(value: Any) -> bool:
    """Return True for None, NaN, pandas' NA and NaT, and masked values."""
    if isinstance(value, float | np.floating):
        return bool(value != value)
    return (
        value is None
        or type(value).__name__ in ("NAType", "NaTType", "MaskedConstant")
        or (isinstance(value, np.datetime64 | np.timedelta64) and bool(np.isnat(value)))
    )
