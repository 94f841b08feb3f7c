"""Values that do not suit their column, with the remedies."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from numbers import Real

import numpy as np

from mxtrain.errors import escape_unprintable
from mxtrain.names import is_unicode
from mxtrain.types import describe

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

    def explain(self, marks: Sequence[str]) -> str:
        """Return the message with its remedies; `marks` are all values of `data.missing_values` to set."""
        if self.mark is None:
            return self.message
        shown = ", ".join(map(yaml_text, marks))
        remedy = f"correct it, or, if it marks a missing value, set data.missing_values: [{shown}]"
        if self.category is not None:
            remedy += f", or, if the column holds categories, data.columns: {{{yaml_text(self.category)}: category}}"
        return f"{self.message}; {remedy}"


def unsupported_message(found: str, name: str) -> str:
    """Return the message for a column whose values have another type."""
    return f"must hold numbers, text, booleans or dates, got {found}; set data.exclude: [{yaml_text(name)}]"


def unsupported_values(values: Sequence[object], name: str) -> list[CellProblem]:
    """Return a problem for each value of Python that a column may not hold."""
    problems = []
    for row, value in enumerate(values):
        if isinstance(value, str) and not is_unicode(value):
            problems.append(CellProblem(row, "must be Unicode text, got an unpaired surrogate"))
        elif value is not None and not isinstance(value, _SCALARS):
            problems.append(CellProblem(row, unsupported_message(describe(value), name)))
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
