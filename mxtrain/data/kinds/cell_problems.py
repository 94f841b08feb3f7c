"""Values that do not suit their column, with the remedies."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from mxtrain.errors import escape_unprintable
from mxtrain.names import is_unicode
from mxtrain.types import describe

if TYPE_CHECKING:
    import polars

_SCALARS = (str, bool, Real, date, time, timedelta, Decimal, np.generic)
"""Types of Python values that a column may hold."""


@dataclass(frozen=True, slots=True)
class CellProblem:
    """A value that does not suit its column.

    Attributes:
        row: the first row that has it; -1 for the whole column.
        message: what is wrong, and the value found.
        mark: the value, if it may be a mark of missing values.
        category: the name of the column, if its values may be categories.
    """

    row: int
    message: str
    mark: str | None = None
    category: str | None = None

    def explain(self, marks: Sequence[str] | None) -> str:
        """Return the message with its remedies.

        Args:
            marks: all values of `data.missing_values` to set; None for a trained model, whose settings are fixed.
        """
        if self.mark is None:
            return self.message
        if marks is None:
            return f"{self.message}; correct it, or leave it blank if it is missing"
        shown = ", ".join(map(yaml_text, marks))
        remedy = f"correct it, or, if it marks a missing value, set data.missing_values: [{shown}]"
        if self.category is not None:
            remedy += f", or, if the column holds categories, data.columns: {{{yaml_text(self.category)}: category}}"
        return f"{self.message}; {remedy}"


def unsupported_column(values: "polars.Series", name: str, is_declared: bool = False) -> list[CellProblem]:
    """Return the problems of a column with values that no kind of column has, such as lists.

    Args:
        values: the column.
        name: its name.
        is_declared: True if its kind was declared, so that it cannot just be left out.
    """
    import polars as pl

    dtype, remedy = values.dtype, "correct it" if is_declared else f"set data.exclude: [{yaml_text(name)}]"
    if dtype == pl.Object:
        return _unsupported_values(values.to_list(), remedy)
    is_known = dtype.is_numeric() or dtype.is_temporal() or dtype in (pl.String, pl.Boolean, pl.Null)
    if is_known or dtype in (pl.Categorical, pl.Enum):
        return []
    return [CellProblem(-1, _unsupported_message(str(dtype), remedy))]


def _unsupported_message(found: str, remedy: str) -> str:
    return f"must hold numbers, text, booleans or dates, got {found}; {remedy}"


def _unsupported_values(values: Sequence[object], remedy: str) -> list[CellProblem]:
    """Return a problem for each value of Python that a column may not hold."""
    problems = []
    for row, value in enumerate(values):
        if isinstance(value, str) and not is_unicode(value):
            problems.append(CellProblem(row, "must be Unicode text, got an unpaired surrogate"))
        elif value is not None and not isinstance(value, _SCALARS):
            problems.append(CellProblem(row, _unsupported_message(describe(value), remedy)))
    return problems


def boolean_message(label: str) -> str:
    """Return the message for a value that is not a boolean."""
    return f"must be true or false, got {describe(label)}; correct it, or declare the column a category"


def yaml_text(text: str) -> str:
    """Return a text as YAML spells it in a flow sequence: quoted if it is not a plain word, with escapes as in `repr`.

    >>> yaml_text("wind speed"), yaml_text("-99"), yaml_text("a\\u202eb")
    ('wind speed', "'-99'", '"a\\\\u202eb"')
    """
    if not text.isprintable():
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escape_unprintable(escaped)}"'
    is_plain = re.fullmatch(r"[^\W\d][\w .-]*", text) and text.lower() not in ("true", "false", "null", "yes", "no")
    return text if is_plain and text == text.strip() else "'" + text.replace("'", "''") + "'"
