"""Columns that are no features: constants, row numbers, identifiers and free text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mxtrain.config.data_section import ColumnKind
from mxtrain.data.kinds.cell_problems import CellProblem
from mxtrain.data.readers.columns import CategoricalColumn, Column

LEFT_OUT: dict[ColumnKind, str] = {
    "identifier": "an identifier: its values differ from row to row",
    "text": "free text",
    "constant": "constant: every row has the same value",
    "index": "it counts the rows",
}
"""The reason for which a column of a kind is no feature."""

_UNIQUE_SHARE, _UNIQUE_ROWS, _FEWEST_ROWS = 0.95, 50, 10
"""Share of different values of an identifier; with fewer than 50 rows, all must differ; fewer than 10 are too few."""
_WORDS_OF_TEXT, _DISTINCT_TEXTS = 5, 20
"""Mean number of words, and the smallest number of different values, of free text."""
_IDENTIFIER_NAME = re.compile(
    r"|unnamed.*|index|idx|id|ids|uid|uuid|guid|.*[_\s.-](id|no|nr|key|code|number|index)|.*[a-z](Id|ID|No|Key)|"
    r"row[_\s.-]?(names?|num|no|number|id)?|rownames|nr|no|num|number|#|obs|observation|case|(?-i:X\.?1?)|sl\.?\s?no\.?|"
    r"s\.?\s?no\.?|serial.*|record.*|key",
    re.IGNORECASE,
)
"""Names of columns that number or name the rows."""
_INDEX_NAME = re.compile(r"|i|unnamed.*|index|idx|#|(?-i:X1?)|\.\.\.1|row[_\s.-]?names?|rownames|row", re.IGNORECASE)
"""Names of columns that programs add to number the rows."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A column as it was read.

    Attributes:
        kind: what the column holds.
        column: its values; None for a column that is no feature.
        problems: the values that do not suit the kind.
    """

    kind: ColumnKind
    column: Column | None
    problems: Sequence[CellProblem] = ()


def without_feature(reading: Reading, name: str, has_row_names: bool) -> Reading:
    """Return a column as it was read, or that it is constant, an index, an identifier or free text.

    Args:
        reading: the column.
        name: its name.
        has_row_names: True if the header does not name it.
    """
    kind, column = reading.kind, reading.column
    if column is None or reading.problems:
        return reading
    missing, n = column.missing, len(column.missing)
    present = n - int(np.count_nonzero(missing))
    if present == 0:
        return Reading("constant", None)
    if isinstance(column, CategoricalColumn):
        return _category_without_feature(reading, column, present, has_row_names)
    values = column.values
    if present == n and n > 1 and values[0] == values[-1] and (values == values[0]).all():
        return Reading("constant", None)
    may_count = has_row_names or _INDEX_NAME.fullmatch(name) is not None
    may_identify = has_row_names or _IDENTIFIER_NAME.fullmatch(name) is not None
    if kind != "number" or present < n or n < _FEWEST_ROWS or not (may_count or may_identify):
        return reading
    if (values == np.round(values)).all():
        if may_count and values[0] in (0, 1) and (np.diff(values) == 1).all():
            return Reading("index", None)
        if may_identify and len(np.unique(values)) == n:
            return Reading("identifier", None)
    return reading


def _category_without_feature(
    reading: Reading, column: CategoricalColumn, present: int, has_row_names: bool
) -> Reading:
    used = np.flatnonzero(np.bincount(column.codes + 1, minlength=len(column.labels) + 1)[1:])
    if len(used) == 1 and present == len(column.codes) and present > 1:
        return Reading("constant", None)
    if reading.kind == "boolean" or present < _FEWEST_ROWS:
        return reading
    labels = [column.labels[code] for code in used[:1000]]
    words = sum(len(label.split()) for label in labels) / len(labels)
    if words >= _WORDS_OF_TEXT and len(used) > _DISTINCT_TEXTS:
        return Reading("text", None)
    all_differ = len(used) == present
    nearly = present >= _UNIQUE_ROWS and len(used) >= _UNIQUE_SHARE * present
    if has_row_names and all_differ:
        return Reading("index", None)
    return Reading("identifier", None) if all_differ or nearly else reading
