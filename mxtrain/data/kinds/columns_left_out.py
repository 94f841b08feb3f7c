"""Columns that are no features: identifiers, free text, constants and row numbers."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import ColumnKind
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
LABELS_OF_TEXT = 1000
"""Number of labels, in alphabetical order, whose words are counted."""
_WORDS_OF_TEXT, _DISTINCT_TEXTS = 5, 20
"""Mean number of words, and the smallest number of different values, of free text."""
_IDENTIFIER_NAME = re.compile(
    r"|unnamed.*|index|idx|id|ids|uid|uuid|guid|.*[_\s.-](id|no|nr|key|code|number|index)|.*[a-z](Id|ID|No|Key)|"
    r"row[_\s.-]?(names?|num|no|number|id)?|rownames|nr|no|num|number|#|obs|observation|case|x\.?1?|sl\.?\s?no\.?|"
    r"s\.?\s?no\.?|serial.*|record.*|key",
    re.IGNORECASE,
)
"""Names of columns that number or name the rows."""
_INDEX_NAME = re.compile(r"|i|unnamed.*|index|idx|#|(?-i:X1?)|\.\.\.1|row[_\s.-]?names?|rownames|row", re.IGNORECASE)
"""Names of columns that programs add to number the rows."""


def kind_without_feature(
    kind: ColumnKind, column: Column | None, name: str, *, is_row_names: bool
) -> ColumnKind | None:
    """Return the kind of a column that is no feature; None for a feature.

    Args:
        kind: the kind that the values of the column suggest.
        column: the column.
        name: its name.
        is_row_names: True if the header does not name the column.

    Example:
        >>> from mxtrain.data.readers.columns import NumericColumn
        >>> kind_without_feature("number", NumericColumn(np.arange(20.0) + 7), "customer_id", is_row_names=False)
        'identifier'
    """
    if column is None:
        return None
    if isinstance(column, CategoricalColumn):
        return _category_without_feature(kind, column, is_row_names=is_row_names)
    values = column.values
    n = len(values)
    present = n - int(np.count_nonzero(column.missing))
    if present == 0:
        return "constant"
    if present < n or n == 1:
        return None
    if values[0] == values[-1] and (values == values[0]).all():
        return "constant"
    may_be_index = is_row_names or _INDEX_NAME.fullmatch(name) is not None
    may_be_identifier = is_row_names or _IDENTIFIER_NAME.fullmatch(name) is not None
    if kind != "number" or n < _FEWEST_ROWS or not (may_be_index or may_be_identifier) or not _are_whole(values):
        return None
    if may_be_index and values[0] in (0, 1) and (np.diff(values) == 1).all():
        return "index"
    return "identifier" if may_be_identifier and len(np.unique(values)) == n else None


def _are_whole(values: NDArray[np.float64]) -> bool:
    return bool((values == np.round(values)).all())


def _category_without_feature(kind: ColumnKind, column: CategoricalColumn, *, is_row_names: bool) -> ColumnKind | None:
    counts = np.bincount(column.codes + 1, minlength=len(column.labels) + 1)[1:]
    used = np.flatnonzero(counts)
    present = int(counts.sum())
    if present == 0:
        return "constant"
    if len(used) == 1 and present == len(column.codes) and present > 1:
        return "constant"
    if kind == "boolean":
        return None
    labels = [column.labels[code] for code in used[:LABELS_OF_TEXT]]
    return kind_of_words(labels, len(used), present, is_row_names=is_row_names)


def kind_of_words(labels: Sequence[str], distinct: int, present: int, *, is_row_names: bool) -> ColumnKind | None:
    """Return the kind of a column of text that is no feature; None for categories.

    Args:
        labels: the first different texts in alphabetical order, at most `LABELS_OF_TEXT`.
        distinct: the number of different texts.
        present: the number of rows that have one.
        is_row_names: True if the header does not name the column.

    Example:
        >>> kind_of_words([f"C-{i}" for i in range(100)], distinct=100, present=100, is_row_names=False)
        'identifier'
    """
    if present < _FEWEST_ROWS:
        return None
    words = sum(len(label.split()) for label in labels) / len(labels)
    if words >= _WORDS_OF_TEXT and distinct > _DISTINCT_TEXTS:
        return "text"
    nearly_all_differ = present >= _UNIQUE_ROWS and distinct >= _UNIQUE_SHARE * present
    if is_row_names and distinct == present:
        return "index"
    return "identifier" if distinct == present or nearly_all_differ else None
