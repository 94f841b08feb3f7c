"""Kind and values of one column."""

from collections.abc import Collection
from dataclasses import dataclass, field
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import ColumnKind
from mxtrain.data.kinds.cell_problems import CellProblem, boolean_message, unsupported_column
from mxtrain.data.kinds.date_columns import find_dates, find_most_dates, known_dates, unknown_order_message
from mxtrain.data.kinds.dates import days_since_epoch, find_date_format
from mxtrain.data.kinds.distinct_texts import DistinctTexts
from mxtrain.data.kinds.left_out import Reading, without_feature
from mxtrain.data.kinds.numbers import (
    MISSING_CATEGORIES,
    MISSING_NUMBERS,
    NumberFormat,
    find_number_format,
    formatted_numbers,
    is_formatted_number,
    parse_plain,
    plain_numbers,
    to_float,
    without_marks,
)
from mxtrain.data.kinds.value_texts import as_text, has_leading_zeros, has_unlike_integers, texts_of
from mxtrain.data.readers.columns import CategoricalColumn, DateColumn, NumericColumn
from mxtrain.names import is_unicode
from mxtrain.types import describe

if TYPE_CHECKING:
    import polars

_BOOLEANS = frozenset({"true", "false"})
_NUMERIC_SHARE, _NUMERIC_DISTINCT = 0.5, 10
"""Share of numbers, and their smallest number of different values, from which words among them are errors."""
_EXACT = 2**53
"""Largest absolute value up to which float64 holds all integers."""
_FIRST_DATE, _LAST_DATE = 1500_01_01, 2099_12_31
"""The first and the last date that integers may be."""
_SAMPLE = 1000
"""Number of numbers with a decimal point that are compared with formatted numbers to find the decimal mark."""


@dataclass(frozen=True, slots=True, eq=False)
class ColumnReader:
    """Reads one column of a table.

    Args:
        name: the name of the column.
        values: its values, as in `RawTable`.
        has_types: False if the source has text only.
        marks: marks of missing values, in lower case, in addition to the usual ones.
        decimal: the decimal mark, if it is known.
        thousands: the separator of thousands, if it is known; empty for none.
        row_names: True if the header does not name the column.
        kept: categories that are never marks of missing values, because a trained model knows them.
        date_format: the format of a declared column of dates; None finds it.
        day_first: as for `find_date_format`.
        needs_order: True to refuse dates whose order of day and month is not known.
        is_named: True for a feature that the user named, which is not left out as an identifier, index or constant.

    Example:
        >>> import polars as pl
        >>> reading = ColumnReader("price", pl.Series(["$1,200", "NA", "$900"]), has_types=False).infer()
        >>> reading.kind, reading.column.values.tolist()
        ('number', [1200.0, nan, 900.0])
        >>> reading = ColumnReader("size", pl.Series(["1.0", "big", "1"]), has_types=False).infer()
        >>> reading.kind, reading.column.labels
        ('category', ('1', '1.0', 'big'))
    """

    name: str
    values: "polars.Series"
    has_types: bool
    marks: frozenset[str] = frozenset()
    decimal: str | None = None
    row_names: bool = False
    kept: Collection[str] = field(default_factory=frozenset)
    date_format: str | None = None
    day_first: bool = False
    needs_order: bool = False
    is_named: bool = False
    thousands: str | None = None

    def infer(self) -> Reading:
        """Return the column with the kind that its values suggest."""
        reading = self._infer_typed() if self.has_types else self._infer_text(self._stripped())
        found = without_feature(reading, self.name, self.row_names)
        return reading if self.is_named and found.kind != "text" else found

    def read_as(self, kind: ColumnKind) -> Reading:
        """Return the column as a kind that was declared; values that do not suit it are problems."""
        if problems := unsupported_column(self.values, self.name, is_declared=True):
            return Reading(kind, None, problems)
        match kind:
            case "number":
                return self._declared_numbers()
            case "category":
                return Reading("category", self._categories())
            case "boolean":
                return self._declared_booleans()
            case "date":
                return self._declared_dates()
        return Reading(kind, None)

    def _stripped(self) -> "polars.Series":
        """Return the values as text without surrounding whitespace; numbers of a reader as they are."""
        import polars as pl

        values = self.values
        if values.dtype == pl.Object:
            values = pl.Series(self.name, [as_text(value) for value in values.to_list()], pl.String)
        if values.dtype in (pl.Categorical, pl.Enum):
            values = values.cast(pl.String)
        is_stripped = values.dtype != pl.String or not self.has_types  # readers of text remove blanks
        return values if is_stripped else values.str.strip_chars()

    def _infer_typed(self) -> Reading:
        import polars as pl

        dtype = self.values.dtype
        if dtype.is_numeric() or dtype in (pl.Null, pl.Duration, pl.Time):
            return self._infer_integers(self.values) or self._typed_numbers()
        if dtype == pl.Boolean:
            return Reading("boolean", self._categories())
        if dtype.is_temporal():
            return Reading("date", self._typed_dates())
        if dtype in (pl.Categorical, pl.Enum):
            return Reading("category", self._categories())
        if problems := unsupported_column(self.values, self.name):
            return Reading("category", None, problems)
        if dtype == pl.Object and (found := self._infer_objects()) is not None:
            return found
        texts = self._stripped()
        if texts.drop_nulls().str.contains(r"^[-+]?\d+$").all():
            return Reading("category", self._categories())  # whole numbers that were written as text on purpose
        return self._infer_text(texts)

    def _infer_objects(self) -> Reading | None:
        """Return a column of Python's numbers; None if it has text too."""
        values = self.values.to_list()
        if all(
            value is None or (isinstance(value, Real | Decimal) and not isinstance(value, bool)) for value in values
        ):
            integers = {value for value in values if isinstance(value, int)}
            if len(integers) > len(set(map(to_float, integers))):
                return Reading("category", self._categories())
            return self._typed_numbers()
        return None

    def _infer_text(self, texts: "polars.Series") -> Reading:
        import polars as pl

        if texts.dtype != pl.String:
            return self._infer_integers(texts) or self._typed_numbers()
        numbers = plain_numbers(texts, self._format)
        if numbers.null_count() == len(numbers) and self._may_be_dates(texts):
            present = without_marks(texts.drop_nulls().unique(maintain_order=True), self._number_marks)
            if (dates := find_dates(texts, present, self.day_first)) is not None:
                return Reading("date", dates)
        open_rows = numbers.is_null() & texts.is_not_null()
        if has_leading_zeros(texts, self._number_marks):
            return Reading("category", self._categories())
        words = texts.filter(open_rows).unique(maintain_order=True) if open_rows.any() else texts.clear()
        words = without_marks(words, self._number_marks)
        if not len(words):
            if has_unlike_integers(texts, numbers):
                return Reading("category", self._categories())
            return self._compact_dates(texts) or Reading("number", self._numeric_column(numbers))
        numbers, words = self._with_formatted(texts, numbers, words)
        if not len(words):
            return Reading("number", self._numeric_column(numbers))
        return self._infer_words(texts, numbers, words)

    def _may_be_dates(self, texts: "polars.Series") -> bool:
        """Return True if the first values that are not missing are dates, so that no other kind must be tried."""
        sample = without_marks(texts.drop_nulls().head(_SAMPLE).unique(maintain_order=True), self._number_marks)
        return len(sample) > 0 and find_date_format(sample, self.day_first) is not None

    def _with_formatted(
        self, texts: "polars.Series", numbers: "polars.Series", words: "polars.Series"
    ) -> tuple["polars.Series", "polars.Series"]:
        """Return the numbers with those that are formatted, and the texts that are no numbers in the same notation."""
        import polars as pl

        if not len(words) or has_leading_zeros(texts, self._number_marks):
            return numbers, words
        has_point = (numbers.is_not_null() & texts.str.contains(".", literal=True)).fill_null(value=False)
        pointed = texts.filter(has_point).unique(maintain_order=True)
        found = find_number_format([*words, *pointed.head(_SAMPLE)], self._format)
        if all(found.parse(word) is None for word in words):
            return numbers, words
        written = [*words, *pointed] if found.decimal == "," else list(words)
        others = [text for text in written if found.parse(text) is None]
        return formatted_numbers(texts, numbers, found), pl.Series(others, dtype=pl.String)

    def _infer_words(self, texts: "polars.Series", numbers: "polars.Series", words: "polars.Series") -> Reading:
        """Return the column of text of which not all values are numbers."""
        if set(words.head(3).str.to_lowercase().to_list()) <= _BOOLEANS and numbers.null_count() == len(numbers):
            return Reading("boolean", self._categories())
        present = without_marks(texts.drop_nulls().unique(maintain_order=True), self._number_marks)
        if (dates := find_dates(texts, present, self.day_first)) is not None:
            return Reading("date", dates)
        known = numbers.drop_nulls()
        count = len(texts) - texts.null_count()
        are_mostly_numbers = (
            len(known) >= _NUMERIC_SHARE * count
            and known.n_unique() > _NUMERIC_DISTINCT
            and len(words) < len(known) / 4
        )
        if are_mostly_numbers or (len(known) and len(words) and all(map(is_formatted_number, words))):
            return Reading("number", self._numeric_column(numbers), self._word_problems(texts, words))
        if (found := find_most_dates(texts, present, self.day_first)) is not None:
            return Reading("date", found[0], self._word_problems(texts, found[1], "a date"))
        return Reading("category", self._categories())

    def _infer_integers(self, values: "polars.Series") -> Reading | None:
        """Return integers as dates such as 20240105, or as categories that float64 cannot tell apart; else None."""
        import polars as pl

        low, high = (values.min(), values.max()) if values.dtype.is_integer() else (None, None)
        if not isinstance(low, int) or not isinstance(high, int):
            return None
        if max(-low, high) > _EXACT and values.n_unique() > values.cast(pl.Float64).n_unique():
            return Reading("category", self._categories())
        may_be_dates = not self.has_types and low >= _FIRST_DATE and high <= _LAST_DATE
        return self._compact_dates(values.cast(pl.String)) if may_be_dates else None

    def _compact_dates(self, texts: "polars.Series") -> Reading | None:
        """Return numbers such as 20240105 as dates; None if they are numbers."""
        distinct = without_marks(texts.drop_nulls().head(1000).unique(), self._number_marks)
        found = find_date_format(distinct) if len(distinct) > 1 else None
        if found is None or found.has_time or found.text != "%Y%m%d":
            return None
        present = without_marks(texts.drop_nulls().unique(), self._number_marks)
        dates, others = known_dates(texts, present, found.text)
        return None if len(others) else Reading("date", dates)

    def _typed_numbers(self) -> Reading:
        import polars as pl

        values = self.values
        if not self.has_types:  # readers of text pass numbers that are finite
            return Reading("number", self._numeric_column(values))
        if values.dtype == pl.Object:
            values = pl.Series(self.name, [to_float(value) for value in values.to_list()], pl.Float64)
        if values.dtype == pl.Duration:
            values = values.dt.total_microseconds() / 1e6
        elif values.dtype == pl.Time:
            values = values.cast(pl.Int64) / 1e9
        numbers = values.cast(pl.Float64)
        column = NumericColumn(_floats(numbers))  # NumPy, because the threads of Polars do not survive a fork
        rows = np.flatnonzero(np.isinf(column.values)).tolist()
        problems = [CellProblem(row, f"must be a finite number, got {numbers[row]}") for row in rows]
        return Reading("number", self._numeric_column(numbers.fill_nan(None)) if self.marks else column, problems)

    def _typed_dates(self) -> DateColumn:
        import polars as pl

        days = _floats(days_since_epoch(self.values))
        has_time = self.values.dtype != pl.Date and bool((np.nan_to_num(days) % 1 != 0).any())
        return DateColumn(days, has_time)

    def _declared_numbers(self) -> Reading:
        import polars as pl

        texts = self._stripped()
        if texts.dtype.is_temporal() and texts.dtype not in (pl.Duration, pl.Time):
            return Reading("number", None, [CellProblem(-1, "must hold numbers, got dates; turn them into numbers")])
        if texts.dtype == pl.Boolean:
            return Reading("number", self._numeric_column(texts.cast(pl.Float64)))
        if texts.dtype != pl.String:
            return self._typed_numbers()
        numbers = plain_numbers(texts, self._format)
        open_rows = numbers.is_null() & texts.is_not_null()
        words = without_marks(texts.filter(open_rows).unique(maintain_order=True), self._number_marks)
        numbers, words = self._with_formatted(texts, numbers, words)
        return Reading("number", self._numeric_column(numbers), self._word_problems(texts, words, is_declared=True))

    def _declared_booleans(self) -> Reading:
        column = self._categories()
        is_other = [label.lower() not in _BOOLEANS and label not in ("0", "1") for label in column.labels]
        rows = np.flatnonzero(np.array([*is_other, False])[column.codes])  # the last for the code -1
        problems = [CellProblem(row, boolean_message(column.labels[column.codes[row]])) for row in rows.tolist()]
        return Reading("boolean", column, problems)

    def _declared_dates(self) -> Reading:
        texts = self._stripped()
        if texts.dtype.is_temporal():
            return Reading("date", self._typed_dates())
        import polars as pl

        texts = texts.cast(pl.String)
        present = without_marks(texts.drop_nulls().unique(maintain_order=True), self._number_marks)
        if self.date_format is not None:
            dates, others = known_dates(texts, present, self.date_format)
            expected = f"a date in the format {self.date_format}"
            return Reading("date", dates, self._word_problems(texts, others, expected, is_declared=True))
        if (found := find_dates(texts, present, self.day_first)) is not None:
            is_refused = self.needs_order and found.other_format is not None
            problems = [CellProblem(-1, unknown_order_message(present))] if is_refused else []
            return Reading("date", found, problems)
        if (most := find_most_dates(texts, present, self.day_first)) is not None:
            return Reading("date", most[0], self._word_problems(texts, most[1], "a date"))
        nothing = DateColumn(np.full(len(texts), np.nan))
        return Reading("date", nothing, self._word_problems(texts, present, "a date", is_declared=True))

    def _word_problems(
        self, texts: "polars.Series", words: "polars.Series", expected: str = "a number", *, is_declared: bool = False
    ) -> list[CellProblem]:
        """Return a problem for each different word; if the kind was declared, one for each row."""
        rows: dict[str, list[int]] = {word: [] for word in words.to_list()}
        indices = texts.is_in(list(rows)).fill_null(value=False).arg_true()
        for row, word in zip(indices.to_list(), texts.gather(indices).to_list(), strict=True):
            rows[word].append(row)
        problems = []
        for word, places in rows.items():
            if is_declared:
                problems += [CellProblem(row, f"must be {expected}, got {describe(word)}", word) for row in places]
                continue
            more = f" here and in {len(places) - 1:,} more rows" if len(places) > 1 else ""
            message = f"must be {expected}, as most values of the column, got {describe(word)}{more}"
            problems.append(CellProblem(places[0], message, word, self.name))
        return problems

    def _categories(self) -> CategoricalColumn:
        """Return the values as labels; spellings of one value are merged later."""
        import polars as pl

        values = self._stripped()
        dtype = "str"
        if values.dtype == pl.Boolean:
            dtype = "bool"
            codes = values.cast(pl.Int64).fill_null(-1).to_numpy().astype(np.int64)
            return CategoricalColumn(codes, ("false", "true"), dtype)
        if values.dtype.is_numeric():
            dtype = str(values.dtype).lower()
        if values.dtype.is_integer() and not values.null_count() and not self.marks:
            distinct, numbers = np.unique(values.to_numpy(), return_inverse=True)
            names = tuple(map(str, distinct.tolist()))
            return CategoricalColumn(numbers.astype(np.int64), names, dtype if self.has_types else None, names)
        if values.dtype.is_float():
            values = values.fill_nan(None)
        column = DistinctTexts.of(texts_of(values))
        order = column.values.arg_sort().to_numpy()
        texts = column.values.gather(order).to_list()
        is_label = [is_unicode(text) and not self._is_missing_category(text) for text in texts]
        labels = tuple(text for text, is_one in zip(texts, is_label, strict=True) if is_one)
        code_of = np.full(len(texts) + 1, -1, dtype=np.int64)  # the last for a missing value
        code_of[order[np.array(is_label, dtype=bool)]] = np.arange(len(labels))
        typed = labels if dtype != "str" else ()
        return CategoricalColumn(code_of[column.codes], labels, dtype if self.has_types else None, typed)

    def _numeric_column(self, numbers: "polars.Series") -> NumericColumn:
        """Return numbers as a column, in which those that mark a missing value are missing."""
        marks = [number for mark in self.marks if (number := parse_plain(mark)) is not None]
        return NumericColumn(_floats(_without_numbers(numbers, marks) if marks else numbers))

    @property
    def _format(self) -> NumberFormat | None:
        """The notation of numbers; None if it is not known."""
        if self.decimal is None and self.thousands is None:
            return None
        return NumberFormat(self.decimal or ("," if self.thousands == "." else "."), self.thousands)

    @property
    def _number_marks(self) -> frozenset[str]:
        return MISSING_NUMBERS | self.marks

    def _is_missing_category(self, text: str) -> bool:
        lower = text.lower()
        return text not in self.kept and (lower in MISSING_CATEGORIES or lower in self.marks)


def _without_numbers(numbers: "polars.Series", marks: Collection[float]) -> "polars.Series":
    """Return numbers of any dtype without those that mark a missing value."""
    import polars as pl

    return numbers.set(numbers.cast(pl.Float64).is_in(list(marks)).fill_null(value=False), None)


def _floats(numbers: "polars.Series") -> NDArray[np.float64]:
    """Return numbers as float64, and null as NaN, without a copy of the column in between."""
    values = np.empty(len(numbers))
    start = 0
    for chunk in numbers.get_chunks():
        values[start : start + len(chunk)] = chunk.to_numpy()
        start += len(chunk)
    return values
