"""Type inference for columns of text cells."""

import re
from array import array
from collections.abc import Sequence
from math import isfinite, isnan, nan

import numpy as np

from mxtrain.data.readers.columns import AS_TEXT_REMEDY, Column, Kind, Numbers, Place, Texts, mixed
from mxtrain.data.readers.values import MISSING_VALUE_SPELLINGS
from mxtrain.errors import DataError
from mxtrain.types import describe

_FORMATTED_NUMBER = re.compile(
    r"[-+\u2212]?[$€£¥]?\s?"
    r"(\d+(\.\d+)?|\d+,\d+|\d{1,3}([,'\u2019\s]\d{3})+([.,]\d+)?|\d{1,3}(\.\d{3})+,\d+)"
    r"\s?[%$€£¥]?"
)
"""What people read as a number and `float` does not: `1,234`, `0,5`, `5%`, `$3`."""


class CellColumn:
    """Makes a column of cells that come chunk by chunk.

    Args:
        name: of the column.
        kind: what it holds; None leaves it to the first cell that is not missing.
        place: what messages call a row.
    """

    def __init__(self, name: str, kind: Kind | None, place: Place) -> None:
        self.name, self.kind, self.place = name, kind, place
        self._declared = kind is not None
        self._undecided: list[str] = []
        self._numbers = array("d")
        self._codes = array("q")
        self._labels: dict[str, int] = {}
        self._known_codes: dict[str, int] = {}

    def add(self, cells: Sequence[str]) -> None:
        """Append cells."""
        if self.kind is None:
            start = len(self._undecided)
            self._undecided.extend(cells)
            first = next((row for row, cell in enumerate(cells, start) if not _is_missing_value(cell)), None)
            if first is None:
                return
            self.kind = self._infer_kind(self._undecided[first], first)
            cells, self._undecided = self._undecided, []
        if self.kind == "number":
            self._add_numbers(cells)
        else:
            self._add_texts(cells)

    def column(self) -> Column:
        """The column of all cells so far; of numbers where every cell is missing."""
        if self.kind == "text":
            return Texts(np.array(self._codes, dtype=np.int64), tuple(self._labels))
        return Numbers(np.array(self._numbers if self.kind else [nan] * len(self._undecided), dtype=np.float64))

    def _infer_kind(self, cell: str, row: int) -> Kind:
        if _parse_number(cell) is not None:
            return "number"
        if _FORMATTED_NUMBER.fullmatch(cell.strip()):
            place = f"{self.place(row)}: column {self.name!r}"
            got = describe(cell.strip())
            raise DataError(f"{place}: must be a number written plainly, as 1234.5, got {got}; {AS_TEXT_REMEDY}")
        return "text"

    def _add_numbers(self, cells: Sequence[str]) -> None:
        try:
            numbers = array("d", map(float, cells))
        except ValueError:
            numbers = array("d")
        # Python reads `1_0` as a number, and `1e999` as an infinite one.
        if len(numbers) == len(cells) and not np.isinf(numbers).any() and "_" not in "".join(cells):
            self._numbers.extend(numbers)
            return
        for cell in cells:
            self._numbers.append(self._parse_cell(cell))

    def _parse_cell(self, cell: str) -> float:
        if _is_missing_value(cell):
            return nan
        number = _parse_number(cell)
        if number is not None and isfinite(number):
            return number
        place = f"{self.place(len(self._numbers))}: column {self.name!r}"
        if number is None:
            raise DataError(f"{place}: {mixed('number', describe(cell), not self._declared)}")
        raise DataError(f"{place}: must be a finite number, got {describe(cell)}")

    def _add_texts(self, cells: Sequence[str]) -> None:
        known = self._known_codes
        for cell in cells:
            code = known.get(cell)
            self._codes.append(self._add_label(cell) if code is None else code)

    def _add_label(self, cell: str) -> int:
        label = cell.strip()
        if not self._declared and not _is_missing_value(label) and _parse_number(label) is not None:
            place = f"{self.place(len(self._codes))}: column {self.name!r}"
            raise DataError(f"{place}: {mixed('text', describe(label), is_open=True)}")
        code = self._labels.setdefault(label, len(self._labels)) if label else -1
        self._known_codes[cell] = code
        return code


def _is_missing_value(cell: str) -> bool:
    return cell.strip().lower() in MISSING_VALUE_SPELLINGS


def _parse_number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return None if "_" in cell or isnan(number) else number
