"""Kind and values of one column."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mxtrain.config.data_section import ColumnKind
from mxtrain.data.kinds.cell_problems import CellProblem, boolean_message, unsupported_message, unsupported_values
from mxtrain.data.kinds.columns_left_out import LABELS_OF_TEXT, kind_of_words, kind_without_feature
from mxtrain.data.kinds.dates import days_since_epoch, find_date_format, find_dates, parse_dates
from mxtrain.data.kinds.distinct_texts import DistinctTexts
from mxtrain.data.kinds.numbers import (
    MISSING_CATEGORIES,
    MISSING_NUMBERS,
    find_number_format,
    formatted_candidates,
    formatted_numbers,
    is_formatted_number,
    plain_numbers,
    to_float,
    without_marks,
)
from mxtrain.data.kinds.value_texts import as_text, has_leading_zeros, texts_of
from mxtrain.data.readers.columns import CategoricalColumn, Column, DateColumn, NumericColumn
from mxtrain.names import is_unicode
from mxtrain.types import describe

if TYPE_CHECKING:
    import polars

_BOOLEANS = frozenset({"true", "false"})
_NUMERIC_SHARE, _NUMERIC_DISTINCT = 0.5, 10
"""Share of numbers, and their smallest number of different values, from which words among them are errors."""
_SAMPLE = 1000
"""Number of numbers with a decimal point that are compared with formatted numbers to find the decimal mark."""
_DATE_SHARE = 0.9
_FEWEST_ROWS = 10
"""Smallest number of different values of a column of dates that has other values too."""


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


@dataclass(frozen=True, slots=True, eq=False)
class ColumnReader:
    """Reads one column of a table.

    Args:
        name: the name of the column.
        values: its values, as in `RawTable`.
        has_types: False if the source has text only.
        marks: marks of missing values, in lower case, in addition to the usual ones.
        decimal: the decimal mark, if it is known.
        row_names: True if the header does not name the column.
        kept: categories that are never marks of missing values, because a trained model knows them.

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

    def infer(self) -> Reading:
        """Return the column with the kind that its values suggest."""
        reading = self._infer_typed() if self.has_types else self._infer_text(self._stripped())
        kind = kind_without_feature(reading.kind, reading.column, self.name, is_row_names=self.row_names)
        return reading if reading.problems or kind is None else Reading(kind, None)

    def read_as(self, kind: ColumnKind) -> Reading:
        """Return the column as a kind that was declared; values that do not suit it are problems."""
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
            return self._typed_numbers()
        if dtype == pl.Boolean:
            return Reading("boolean", self._categories())
        if dtype.is_temporal():
            return Reading("date", self._typed_dates())
        if dtype in (pl.Categorical, pl.Enum):
            return Reading("category", self._categories())
        if dtype not in (pl.String, pl.Object):
            return Reading("category", None, [CellProblem(-1, unsupported_message(str(dtype), self.name))])
        if dtype == pl.Object and (found := self._infer_objects()) is not None:
            return found
        texts = self._stripped()
        if texts.drop_nulls().str.contains(r"^[-+]?\d+$").all():
            return Reading("category", self._categories())  # whole numbers that were written as text on purpose
        return self._infer_text(texts)

    def _infer_objects(self) -> Reading | None:
        """Return a column of Python's numbers, or of values that are not supported; None for text among others."""
        values = self.values.to_list()
        if all(value is None or (isinstance(value, Real) and not isinstance(value, bool)) for value in values):
            return self._typed_numbers()
        problems = unsupported_values(values, self.name)
        return Reading("category", None, problems) if problems else None

    def _infer_text(self, texts: "polars.Series") -> Reading:
        import polars as pl

        if texts.dtype != pl.String:
            return self._typed_numbers()
        column = DistinctTexts.of(texts)
        numbers = plain_numbers(column.values)
        if numbers.null_count() == len(numbers) and (dates := self._dates(column)) is not None:
            return dates
        open_rows = numbers.is_null() & column.values.is_not_null()
        are_codes = has_leading_zeros(column.values)
        if not open_rows.any() and not are_codes:
            return self._compact_dates(texts, column) or Reading("number", _numeric_column(numbers, column))
        words = without_marks(column.values.filter(open_rows), self._number_marks)
        if not len(words) and not are_codes:
            return self._compact_dates(texts, column) or Reading("number", _numeric_column(numbers, column))
        if not are_codes:
            numbers, words = self._with_formatted(column.values, numbers, words)
        if not len(words) and not are_codes:
            return Reading("number", _numeric_column(numbers, column))
        return self._infer_words(texts, column, numbers, words)

    def _with_formatted(
        self, texts: "polars.Series", numbers: "polars.Series", words: "polars.Series"
    ) -> tuple["polars.Series", "polars.Series"]:
        """Return the numbers with those that are formatted, and the texts that are no numbers in the same notation."""
        import polars as pl

        if not len(words):
            return numbers, words
        has_point = (numbers.is_not_null() & texts.str.contains(".", literal=True)).fill_null(value=False)
        pointed = texts.filter(has_point)
        candidates = formatted_candidates(words).to_list()
        found = find_number_format([*candidates, *pointed.head(2 * _SAMPLE).unique().head(_SAMPLE)], self.decimal)
        if all(found.parse(word) is None for word in candidates):
            return numbers, words
        parsed = [text for text in candidates if found.parse(text) is not None]
        others = words.filter(~words.is_in(parsed))
        if found.decimal == ",":
            pointed = pointed.unique(maintain_order=True)
            is_other = [found.parse(text) is None for text in pointed.to_list()]
            others = pl.concat([others, pointed.filter(pl.Series(is_other, dtype=pl.Boolean))])
        return formatted_numbers(texts, numbers, found), others

    def _infer_words(
        self, texts: "polars.Series", column: DistinctTexts, numbers: "polars.Series", words: "polars.Series"
    ) -> Reading:
        """Return the column of text of which not all values are numbers."""
        first = words.head(_SAMPLE).unique(maintain_order=True).head(3)
        has_numbers = numbers.null_count() < len(numbers)
        if set(first.str.to_lowercase().to_list()) <= _BOOLEANS and not has_numbers:
            return Reading("boolean", self._categories(column))
        if has_numbers and (dates := self._dates(column)) is not None:
            return dates
        if has_numbers and self._are_numbers(texts, column, numbers, words := words.unique(maintain_order=True)):
            return Reading("number", _numeric_column(numbers, column), self._word_problems(texts, words))
        if (found := self._mostly_dates(texts, column)) is not None:
            return found
        return self._words_without_feature(column) or Reading("category", self._categories(column))

    def _are_numbers(
        self, texts: "polars.Series", column: DistinctTexts, numbers: "polars.Series", words: "polars.Series"
    ) -> bool:
        """Return True if the words among the numbers of a column are errors."""
        known = column.counts[numbers.is_not_null().to_numpy()].sum()
        are_mostly_numbers = (
            known >= _NUMERIC_SHARE * (len(texts) - texts.null_count())
            and numbers.drop_nulls().n_unique() > _NUMERIC_DISTINCT
            and len(words) < known / 4
        )
        return are_mostly_numbers or (len(words) > 0 and all(map(is_formatted_number, words)))

    def _words_without_feature(self, column: DistinctTexts) -> Reading | None:
        """Return a column of texts of which most differ, if it is left out; None if it is a feature."""
        if column.codes is not None:
            return None
        present = without_marks(column.values.drop_nulls(), MISSING_CATEGORIES | self.marks, self.kept)
        labels = present.bottom_k(4 * LABELS_OF_TEXT).unique().sort().head(LABELS_OF_TEXT)
        if len(labels) < LABELS_OF_TEXT < len(present):
            labels = present.unique().sort().head(LABELS_OF_TEXT)
        distinct = int(present.hash().n_unique() or 0)  # equal hashes of different texts are too rare to matter
        kind = kind_of_words(labels.to_list(), distinct, len(present), is_row_names=self.row_names)
        return None if kind is None else Reading(kind, None)

    def _dates(self, column: DistinctTexts) -> Reading | None:
        """Return the column of dates; None if a value is no date."""
        present = without_marks(column.values.drop_nulls(), self._number_marks)
        if not len(present) or (found := find_dates(column.values, present)) is None:
            return None
        return Reading("date", DateColumn(column.expand(_floats(found[2])), found[1]))

    def _mostly_dates(self, texts: "polars.Series", column: DistinctTexts) -> Reading | None:
        """Return a column of dates with a few other words, which are problems; None if it holds no dates."""
        present = without_marks(column.values.drop_nulls(), self._number_marks)
        if len(present) < _FEWEST_ROWS:
            return None
        for row in range(_FEWEST_ROWS):
            date_format = find_date_format(present[row : row + 1])
            if date_format is None:
                continue
            present = present.unique(maintain_order=True)
            parsed = parse_dates(present, *date_format)
            if len(parsed) - parsed.null_count() < _DATE_SHARE * len(present):
                continue
            days = column.expand(_floats(parse_dates(column.values, *date_format)))
            problems = self._word_problems(texts, present.filter(parsed.is_null()), "a date")
            return Reading("date", DateColumn(days, date_format[1]), problems)
        return None

    def _compact_dates(self, texts: "polars.Series", column: DistinctTexts) -> Reading | None:
        """Return numbers such as 20240105 as dates; None if they are numbers."""
        distinct = texts.drop_nulls().head(_SAMPLE).unique()
        if len(distinct) < 2 or find_date_format(distinct) != ("%Y%m%d", False):
            return None
        days = parse_dates(column.values, "%Y%m%d", has_time=False)
        if days.null_count() != column.values.null_count():
            return None
        return Reading("date", DateColumn(column.expand(_floats(days))))

    def _typed_numbers(self) -> Reading:
        import polars as pl

        values = self.values
        if not self.has_types:  # readers of text pass numbers that are finite
            return Reading("number", NumericColumn(_floats(values)))
        if values.dtype == pl.Object:
            values = pl.Series(self.name, [to_float(value) for value in values.to_list()], pl.Float64)
        if values.dtype == pl.Duration:
            values = values.dt.total_microseconds() / 1e6
        elif values.dtype == pl.Time:
            values = values.cast(pl.Int64) / 1e9
        numbers = values.cast(pl.Float64).fill_nan(None)
        infinite = numbers.is_infinite().fill_null(value=False)
        rows = infinite.arg_true().to_list()
        problems = [CellProblem(row, f"must be a finite number, got {numbers[row]}") for row in rows]
        return Reading("number", _numeric_column(numbers), problems)

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
            return Reading("number", _numeric_column(texts.cast(pl.Float64)))
        if texts.dtype != pl.String:
            return self._typed_numbers()
        column = DistinctTexts.of(texts)
        numbers = plain_numbers(column.values)
        open_rows = numbers.is_null() & column.values.is_not_null()
        words = without_marks(column.values.filter(open_rows).unique(maintain_order=True), self._number_marks)
        if not has_leading_zeros(column.values):
            numbers, words = self._with_formatted(column.values, numbers, words)
        problems = self._word_problems(texts, words, is_declared=True)
        return Reading("number", _numeric_column(numbers, column), problems)

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
        column = DistinctTexts.of(texts)
        if (found := self._dates(column) or self._mostly_dates(texts, column)) is not None:
            return found
        present = without_marks(column.values.drop_nulls().unique(maintain_order=True), self._number_marks)
        nothing = DateColumn(np.full(len(texts), np.nan))
        return Reading("date", nothing, self._word_problems(texts, present, "a date", is_declared=True))

    def _word_problems(
        self, texts: "polars.Series", words: "polars.Series", expected: str = "a number", *, is_declared: bool = False
    ) -> list[CellProblem]:
        """Return a problem for each different word; if the kind was declared, one for each row."""
        rows: dict[str, list[int]] = {word: [] for word in words.to_list()}
        found = texts.is_in(words.to_list())
        indices = found.fill_null(value=False).arg_true()
        for row, word in zip(indices.to_list(), texts.gather(indices).to_list(), strict=True):
            rows[word].append(row)
        if is_declared:
            message = f"must be {expected}, got "
            return [CellProblem(row, message + describe(word), word) for word in rows for row in rows[word]]
        problems = []
        for word, places in rows.items():
            more = f" here and in {len(places) - 1:,} more rows" if len(places) > 1 else ""
            message = f"must be {expected}, as most values of the column, got {describe(word)}{more}"
            problems.append(CellProblem(places[0], message, word, self.name))
        return problems

    def _categories(self, column: DistinctTexts | None = None) -> CategoricalColumn:
        """Return the values as labels; spellings of one value are merged later."""
        import polars as pl

        dtype = "str"
        if column is None or column.codes is None:
            values = self._stripped()
            if values.dtype == pl.Boolean:
                codes = values.cast(pl.Int64).fill_null(-1).to_numpy().astype(np.int64)
                return CategoricalColumn(codes, ("false", "true"), "bool")
            if values.dtype.is_numeric():
                dtype = str(values.dtype).lower()
            if values.dtype.is_float():
                values = values.fill_nan(None)
            column = DistinctTexts.of(texts_of(values), has_codes=True)
        assert column.codes is not None
        order = column.values.arg_sort().to_numpy()
        texts = column.values.gather(order).to_list()
        is_label = [text != "" and is_unicode(text) and not self._is_missing_category(text) for text in texts]
        labels = tuple(text for text, is_one in zip(texts, is_label, strict=True) if is_one)
        code_of = np.full(len(texts) + 1, -1, dtype=np.int64)  # the last for a missing value
        code_of[order[np.array(is_label, dtype=bool)]] = np.arange(len(labels))
        typed = labels if dtype != "str" else ()
        return CategoricalColumn(code_of[column.codes], labels, dtype if self.has_types else None, typed)

    @property
    def _number_marks(self) -> frozenset[str]:
        return MISSING_NUMBERS | self.marks

    def _is_missing_category(self, text: str) -> bool:
        lower = text.lower()
        return text not in self.kept and (lower in MISSING_CATEGORIES or lower in self.marks)


def _numeric_column(numbers: "polars.Series", column: DistinctTexts | None = None) -> NumericColumn:
    values = _floats(numbers)
    return NumericColumn(values if column is None else column.expand(values))


def _floats(numbers: "polars.Series") -> NDArray[np.float64]:
    """Return numbers as float64, and null as NaN, without a copy of the column in between."""
    values = np.empty(len(numbers))
    start = 0
    for chunk in numbers.get_chunks():
        values[start : start + len(chunk)] = chunk.to_numpy()
        start += len(chunk)
    return values
