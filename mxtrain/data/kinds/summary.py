"""Summary of the columns of a table: what each holds, and what is done with it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import ColumnKind, DataConfig
from mxtrain.data.readers.columns import CategoricalColumn, Column, Columns, DateColumn

_IMPUTED = {
    "impute": "missing: median and an indicator",
    "mean": "missing: mean",
    "drop": "missing: samples left out",
    "error": "missing: refused",
}
"""Treatment of missing numbers and dates, by `data.missing`."""
_IMPUTED_BOOLEANS = _IMPUTED | {
    "impute": "missing: the more frequent value and an indicator",
    "mean": "missing: the more frequent value",
}
"""Treatment of missing booleans, by `data.missing`."""
_MAX_TEXT, _MAX_SHOWN = 30, 60
"""Largest length of a category in a summary, and the length from which no further categories are added."""


@dataclass(frozen=True, slots=True)
class ColumnSummary:
    """A line of the table that `mxtrain validate` prints.

    Attributes:
        name: the name of the column.
        kind: what it holds.
        missing: the number of missing values; None for a column that was not converted.
        distinct: the number of different values; None as above.
        values: the range of numbers and dates, or the most frequent categories.
        use: what is done with the column.
    """

    name: str
    kind: ColumnKind
    missing: int | None
    distinct: int | None
    values: str
    use: str


def summarize_columns(columns: Columns, config: DataConfig) -> list[ColumnSummary]:
    """Return a summary of each column that a config selects, in the order of the table, and the target last.

    Example:
        >>> from mxtrain.data.readers.columns import NumericColumn
        >>> pets = Columns("pets.csv", {"age": NumericColumn(np.array([3.0, 5.0]))}, str, {"age": "number"})
        >>> summarize_columns(pets, DataConfig(source="pets.csv", target="species"))[0].use
        'scaled'
    """
    summaries = []
    labelled = _has_targets(columns, config)
    for name, kind in columns.kinds.items():
        column = columns.columns.get(name)
        if column is None:
            summaries.append(ColumnSummary(name, kind, None, None, "", f"left out: {columns.left_out[name]}"))
            continue
        column = column.merge_spellings() if isinstance(column, CategoricalColumn) else column
        missing, distinct = int(column.missing.sum()), count_distinct(column)
        if name in config.target_names:
            use = _use_of_target(column, distinct, len(config.target_names))
        elif name in (config.weight_column, config.groups):
            use = "weight of the sample" if name == config.weight_column else "group: stays in one part"
        else:
            use = _use_of_feature(kind, int((column.missing & labelled).sum()), distinct, config)
        summaries.append(ColumnSummary(name, kind, missing, distinct, describe_values(column), use))
    return summaries


def left_out_note(columns: Columns) -> str | None:
    """Return a line that names the columns that were left out, by reason; None if there are none.

    Example:
        >>> left_out_note(Columns("pets.csv", {}, str, left_out={"id": "an identifier", "tag": "an identifier"}))
        'left out: id, tag (an identifier)'
    """
    reasons: dict[str, list[str]] = {}
    for name, reason in columns.left_out.items():
        reasons.setdefault(reason.partition(":")[0], []).append(name)
    if not reasons:
        return None
    return "left out: " + "; ".join(f"{_some(names)} ({reason})" for reason, names in reasons.items())


def describe_values(column: Column) -> str:
    """Return a short description of the values of a column, for a table of all columns.

    Example:
        >>> from mxtrain.data.readers.columns import NumericColumn
        >>> describe_values(NumericColumn(np.array([3.0, np.nan, 7.5])))
        '3 to 7.5'
        >>> describe_values(CategoricalColumn(np.array([0, 1, 0]), ("cat", "ant")))
        'cat, ant'
    """
    if isinstance(column, CategoricalColumn):
        counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.labels))
        order = [column.labels[code] for code in np.argsort(-counts, kind="stable") if counts[code]]
        return _some_labels(order)
    values = column.values[~column.missing]
    if not len(values):
        return ""
    low, high = float(values.min()), float(values.max())
    if isinstance(column, DateColumn):
        start, end = (str(np.datetime64(int(np.floor(day)), "D")) for day in (low, high))
        return f"{start} to {end}"
    return f"{low:.6g} to {high:.6g}"


def count_distinct(column: Column) -> int:
    """Return the number of different values of a column, missing ones not counted."""
    if isinstance(column, CategoricalColumn):
        return len(np.unique(column.codes[column.codes >= 0]))
    return len(np.unique(column.values[~column.missing]))


def _use_of_target(column: Column, distinct: int, targets: int) -> str:
    if targets > 1:
        return f"one of {targets} targets"
    return f"target, {distinct:,} classes" if isinstance(column, CategoricalColumn) else "target"


def _use_of_feature(kind: ColumnKind, missing: int, distinct: int, config: DataConfig) -> str:
    if kind in ("number", "date"):
        standardize = config.standardize or "features"
        use = {"number": "unchanged" if standardize == "none" else "scaled", "date": "parts and elapsed days"}[kind]
        return f"{use}; {_IMPUTED[config.missing]}" if missing else use
    if kind == "text":
        return "hashed words"
    if kind == "boolean" and distinct == 2:
        return f"one input, 0 or 1; {_IMPUTED_BOOLEANS[config.missing]}" if missing else "one input, 0 or 1"
    has_rare = distinct > config.max_categories
    use = (
        f"an input for each of {config.max_categories} categories, and of the others"
        if has_rare
        else "an input for each category"
    )
    if missing:
        use += f"; {_IMPUTED[config.missing] if config.missing in ('drop', 'error') else 'missing: a category'}"
    return use


def _has_targets(columns: Columns, config: DataConfig) -> NDArray[np.bool_]:
    """Return the rows that have all targets, (n,); the others are left out, such as blank rows at the end of a file."""
    targets = [columns.columns[name].missing for name in config.target_names if name in columns.columns]
    lacking: NDArray[np.bool_] = np.logical_or.reduce([np.zeros(len(columns), dtype=bool), *targets])
    return ~lacking


def _some_labels(labels: Sequence[str], most: int = 4) -> str:
    """Return up to four labels, and fewer or only their beginning if they are long."""
    shown: list[str] = []
    for label in labels[:most]:
        text = label if len(label) <= _MAX_TEXT else f"{label[: _MAX_TEXT - 3]}..."
        if shown and len(", ".join([*shown, text])) > _MAX_SHOWN:
            break
        shown.append(text)
    return ", ".join(shown) + (", ..." if len(labels) > len(shown) else "")


def _some(names: Sequence[str] | Collection[str], most: int = 5) -> str:
    shown = list(names)[:most]
    return ", ".join(shown) + (", ..." if len(names) > most else "")
