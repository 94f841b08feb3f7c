"""Detection of a header: whether the first row of a text table names the columns."""

import re
from collections.abc import Sequence

_VALUE = re.compile(
    r"[-+]?[$€£]?\s?(\d[\d,.']*|\.\d+)([eE][-+]?\d+)?\s?[%$€£]?"
    r"|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ]\d{1,2}:\d\d.*)?"
    r"|\d{1,2}:\d\d(:\d\d(\.\d+)?)?"
    r"|[-+]?(nan|inf)|true|false",
    re.IGNORECASE,
)
"""Numbers, dates, times and booleans, which are values rather than names."""
_MISSING = frozenset({"", "na", "n/a", "?", "nan", "null", "none", "-", "."})
_MAX_CATEGORIES = 0.5
"""Largest number of distinct values, as a share of the rows, of a column whose values repeat."""


def has_header(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return True if the first row names the columns.

    A text above numbers is a name; a number above numbers is a value, unless the numbers of the first row count up, as
    years do. A text that occurs again in its column is a value.

    Example:
        >>> has_header(["age", "city"], [["3", "Bonn"], ["4", "Rome"]]), has_header(["3", "Bonn"], [["4", "Rome"]])
        (True, False)
        >>> has_header(["city", "1990", "1991", "1992"], [["Bonn", "5", "6", "8"], ["Rome", "7", "8", "9"]])
        True
    """
    cells = [cell.strip() for cell in first]
    body = [[cell.strip() for cell in row] for row in rows if len(row) == len(cells)]
    if not body:
        return not any(map(is_value, cells))
    if _counts_up(cells):
        return True
    names = values = 0
    for index, cell in enumerate(cells):
        column = [row[index] for row in body if row[index].lower() not in _MISSING]
        if not column or cell.lower() in _MISSING:
            continue
        share = sum(map(is_value, column)) / len(column)
        if share > 0.6:
            names += not is_value(cell)
            values += is_value(cell)
        elif is_value(cell):
            values += share > 0
        else:
            names, values = _vote_by_repetition(cell, column, names, values)
    if names == values == 0:
        return len(set(cells)) == len(cells)
    return names >= values


def _vote_by_repetition(cell: str, column: Sequence[str], names: int, values: int) -> tuple[int, int]:
    """Return the counts of names and values with the vote of a text above text that repeats."""
    distinct = set(column)
    if len(distinct) <= _MAX_CATEGORIES * len(column):
        return (names, values + 1) if cell in distinct else (names + 1, values)
    return names, values


def is_value(cell: str) -> bool:
    """Return True for a number, a date, a time or a boolean, which are values rather than names."""
    return _VALUE.fullmatch(cell) is not None


def _counts_up(cells: Sequence[str]) -> bool:
    """Return True if at least three cells are whole numbers with a constant difference, as years and positions are."""
    numbers = [int(cell) for cell in cells if re.fullmatch(r"\d{1,9}", cell)]
    if len(numbers) < 3 or any(is_value(cell) and not cell.isdigit() for cell in cells):
        return False
    steps = {after - before for before, after in zip(numbers, numbers[1:], strict=False)}
    return len(steps) == 1 and steps != {0}


_ORANGE_TYPES = {"continuous": "c", "discrete": "d", "string": "s", "time": "t", "c": "c", "d": "d", "s": "s", "t": "t"}
_ORANGE_FLAGS = frozenset({"", "class", "meta", "ignore", "weight", "c", "m", "i", "w"})


def count_type_lines(rows: Sequence[Sequence[str]]) -> int:
    """Return the number of lines under a header that describe the columns, as the program Orange writes them.

    The first has the types, one of which is above a column of numbers; the second may have the roles of the columns.

    Args:
        rows: the rows under the header.

    Example:
        >>> count_type_lines([["continuous", "no yes"], ["", "class"], ["1.5", "no"], ["2", "yes"]])
        2
        >>> count_type_lines([["c", "d"], ["1.5", "d"], ["2", "c"]]), count_type_lines([["c", "d"], ["d", "c"]])
        (1, 0)
    """
    if len(rows) < 2:
        return 0
    types = [cell.strip().lower() for cell in rows[0]]
    if any(is_value(cell) or (cell not in _ORANGE_TYPES and " " not in cell) for cell in types):
        return 0
    numbers = [i for i, cell in enumerate(types) if _ORANGE_TYPES.get(cell) == "c"]
    below = [row[i].strip() for row in rows[2:] for i in numbers if i < len(row)]
    if not numbers or sum(map(is_value, below)) <= 0.8 * sum(cell.lower() not in _MISSING for cell in below):
        return 0
    flags = [cell.strip().lower().partition(" ")[0].partition("=")[0] for cell in rows[1]]
    return 2 if all(flag in _ORANGE_FLAGS for flag in flags) else 1
