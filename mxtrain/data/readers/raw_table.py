"""A table as it was read, before the kinds of its columns are known: the common output of all table readers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mxtrain.data.readers.columns import RowLabel
from mxtrain.errors import DataError
from mxtrain.processes import polars_threads

if TYPE_CHECKING:
    import polars

_MAX_REPORTED = 20
"""Largest number of problems that an error lists; the rest are counted."""


@dataclass(frozen=True, slots=True)
class RawTable:
    """The columns of a table before type inference.

    Attributes:
        source: the name of the table in error messages.
        columns: the columns by name in NFC, all of the same length. In a source without types (CSV), values are text
            without surrounding whitespace, and null if the cell was blank and not quoted; a reader may pass a column
            as numbers if every cell is null or a number in plain notation. In a source with types (JSON, Parquet,
            frames), values have the types of the source.
        row_label: the name of a row, 0 for the first, in error messages, such as `train.csv:17`.
        header: the location of the names in error messages, such as `train.csv:1`.
        has_types: False if the source has text only, so that `NA` may be a missing number and `1` a category.
        row_names: the name of a first column that the header does not name, as R writes it; None without one.
        found: the fields of `data` that describe the file's format, as they were set or found, such as
            `{"separator": ";", "decimal": ","}`.
        problems: the malformed rows, which have null in every column; `problems_error` reports them together with the
            problems of values.
    """

    source: str
    columns: "Mapping[str, polars.Series]"
    row_label: RowLabel
    header: str
    has_types: bool
    row_names: str | None = None
    found: Mapping[str, Any] = field(default_factory=dict)
    problems: Sequence["Problem"] = ()

    def __len__(self) -> int:
        return max(map(len, self.columns.values()), default=0)

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return list(self.columns)

    def take(self, rows: NDArray[np.int64]) -> "RawTable":
        """Return the given rows, in increasing order, with their names in error messages and their problems."""
        columns = {name: series[rows] for name, series in self.columns.items()}
        index_of = {int(row): index for index, row in enumerate(rows)}
        problems = [replace(each, row=index_of[each.row]) for each in self.problems if each.row in index_of]
        return replace(self, columns=columns, row_label=lambda row: self.row_label(int(rows[row])), problems=problems)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A problem of a table, with its location.

    Attributes:
        row: the row, 0 for the first, and -1 for the whole table or its header; problems are reported in this order.
        where: the location, such as `train.csv:17: column 'age'`.
        message: what is wrong, the value found, and the remedy.
    """

    row: int
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class TableError(DataError):
    """The problems of a table.

    Attributes:
        problems: all problems, in the order of the rows.
    """

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


def check_polars(source: str) -> None:
    """Raise a DataError in a forked process whose parent had started Polars: reading would wait forever."""
    if polars_threads.are_lost:
        raise DataError(
            f"{source}: cannot be read in a process that was forked after its parent had read a table with Polars; "
            "start the process with the method spawn or forkserver, or pass arrays"
        )


def problems_error(problems: Sequence[Problem]) -> TableError:
    """Return the error that reports all problems of a table, one a line, in the order of the rows.

    Example:
        >>> print(problems_error([Problem(4, "a.csv:6", "must have 3 values, got 2"), Problem(0, "a.csv:2", "...")]))
        a.csv:2: ...
        a.csv:6: must have 3 values, got 2
    """
    ordered = sorted(problems)
    lines = [str(problem) for problem in ordered[:_MAX_REPORTED]]
    if len(ordered) > _MAX_REPORTED:
        lines.append(f"and {len(ordered) - _MAX_REPORTED:,} more problems")
    return TableError("\n".join(lines), ordered)
