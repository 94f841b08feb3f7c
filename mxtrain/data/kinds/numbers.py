"""Numbers as people write them: decimal commas, thousands, currencies and percent signs."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars

MISSING_NUMBERS = frozenset(
    {"", "na", "n/a", "nan", "null", "?", "#n/a", "#na", "<na>", "nat", "none", "nil", "-", "--", ".", "missing"}
    | {"unknown", "not available", "tbd", "tba", "n.a.", "na.", "#value!", "#div/0!", "#null!"}
)
"""Marks, in lower case, of a missing number, date or boolean; in a column of categories some of them are values."""
MISSING_CATEGORIES = frozenset({"", "na", "n/a", "nan", "null", "?", "#n/a", "#na", "<na>"})
"""Marks, in lower case, of a missing category."""

_SIGN = r"[-+\u2212]?"
_CURRENCY = r"(?:[$€£¥₹₽₩]|USD|EUR|GBP|CHF|JPY|kr\.?|zł)"
_UNITS = re.compile(rf"^({_SIGN})\s?{_CURRENCY}\s?({_SIGN})|\s?(?:{_CURRENCY}|%)$", re.IGNORECASE)
_SPACES = re.compile(r"(?<=\d)[\s'\u2019](?=\d{3}(?!\d))")
_GROUPED = {
    ".": re.compile(rf"{_SIGN}[1-9]\d{{0,2}}(,\d{{2,3}})*,\d{{3}}(\.\d*)?"),
    ",": re.compile(rf"{_SIGN}[1-9]\d{{0,2}}(\.\d{{3}})+(,\d*)?"),
}
"""Numbers with separators of thousands, by their decimal mark; Indian grouping has two digits in a group."""
_PLAIN = {
    ".": re.compile(rf"{_SIGN}(\d+\.?\d*|\.\d+)(e[-+]?\d{{1,4}})?", re.IGNORECASE),
    ",": re.compile(rf"{_SIGN}(\d+,?\d*|,\d+)(e[-+]?\d{{1,4}})?", re.IGNORECASE),
}


def plain_numbers(texts: "polars.Series", known: "NumberFormat | None" = None) -> "polars.Series":
    """Return texts in plain notation as float64, and null for everything else.

    The conversion rounds to the nearest float64, as Python's does. Infinity and NaN are no numbers.

    Args:
        texts: the values of a column.
        known: the notation of the table, if it is known. With a decimal comma, points separate thousands, unless the
            column has no commas, and a point that cannot separate thousands.

    Example:
        >>> import polars as pl
        >>> plain_numbers(pl.Series(["1", "-2.5e3", "inf", "1,5", None])).to_list()
        [1.0, -2500.0, None, None, None]
        >>> [plain_numbers(pl.Series([text, "7"]), NumberFormat(",")).to_list() for text in ("1.234", "1.23")]
        [[1234.0, 7.0], [1.23, 7.0]]
    """
    import polars as pl

    numbers = texts.cast(pl.Float64, strict=False)
    numbers = numbers.set(~numbers.is_finite(), None)
    if known is None or known.decimal != "," or known.thousands not in (None, "."):
        return numbers
    pointed = texts.filter(texts.str.contains(".", literal=True).fill_null(value=False)).unique()
    if not len(pointed) or texts.str.contains(",", literal=True).any():
        return numbers
    are_grouped = pointed.str.contains(f"^(?:{_GROUPED[','].pattern})$").all()
    return formatted_numbers(texts, numbers, known) if are_grouped else numbers


def parse_plain(text: str) -> float | None:
    """Return a number in plain notation; None for other text."""
    return float(text) if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d{1,3})?", text, re.IGNORECASE) else None


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """The notation of formatted numbers.

    Attributes:
        decimal: the decimal mark.
        thousands: the separator of thousands, empty for none; None for the usual ones, of which one is the other mark.

    Example:
        >>> NumberFormat(",").parse("1.234,5 €"), NumberFormat(".").parse("($3,000)"), NumberFormat(".").parse("12 %")
        (1234.5, -3000.0, 12.0)
        >>> NumberFormat(".", "_").parse("1_000.5"), NumberFormat(".", "").parse("1,000")
        (1000.5, None)
    """

    decimal: str
    thousands: str | None = None

    def parse(self, text: str) -> float | None:
        """Return a formatted number; None if the text is none."""
        is_negative = text.startswith("(") and text.endswith(")")
        text = text[1:-1].strip() if is_negative else text
        text = _UNITS.sub(r"\1\2", text, count=2).strip()
        text = self._without_spaces(text)
        if self.thousands in (None, ",", ".") and _GROUPED[self.decimal].fullmatch(text):
            text = text.replace("," if self.decimal == "." else ".", "")
        elif not _PLAIN[self.decimal].fullmatch(text):
            return None
        number = float(text.replace(",", ".").replace("\u2212", "-"))
        return None if number in (float("inf"), -float("inf")) else -number if is_negative else number

    def _without_spaces(self, text: str) -> str:
        if self.thousands == "":
            return text
        if self.thousands == "_":
            return re.sub(r"(?<=\d)_(?=\d{3}(?!\d))", "", text)
        return _SPACES.sub("", text)


def find_number_format(texts: Collection[str], known: NumberFormat | None) -> NumberFormat:
    """Return the format in which most texts are numbers.

    A comma before three digits separates thousands, unless another value of the column has a decimal comma.

    Args:
        texts: the different values that are no plain numbers.
        known: the notation of the table, if it is known.

    Example:
        >>> find_number_format(["1,234", "12,500"], None).decimal, find_number_format(["1,234", "0,5"], None).decimal
        ('.', ',')
    """
    formats = [known] if known else [NumberFormat("."), NumberFormat(",")]
    return max(formats, key=lambda each: sum(each.parse(text) is not None for text in texts))


def is_formatted_number(text: str) -> bool:
    """Return True if a text is a number with either decimal mark.

    >>> is_formatted_number("1,5"), is_formatted_number("$1.5"), is_formatted_number("1.2.3")
    (True, True, False)
    """
    return any(NumberFormat(decimal).parse(text) is not None for decimal in ".,")


def formatted_numbers(texts: "polars.Series", numbers: "polars.Series", found: NumberFormat) -> "polars.Series":
    """Return the numbers of a column in which some are formatted; with a decimal comma, a point separates thousands."""
    import polars as pl

    open_rows = numbers.is_null() & texts.is_not_null()
    if found.decimal == ",":
        open_rows = open_rows | texts.str.contains("[.,]")
    distinct = texts.filter(open_rows).unique().to_list()
    parsed = [found.parse(text) for text in distinct]
    replaced = texts.replace_strict(distinct, parsed, default=None, return_dtype=pl.Float64)
    return numbers.zip_with(~open_rows.fill_null(value=False), replaced)


def to_float(value: Any) -> float | None:
    """Return a number as float64, infinite where it overflows."""
    try:
        return None if value is None else float(value)
    except OverflowError:
        return inf if value > 0 else -inf


def without_marks(words: "polars.Series", marks: Collection[str]) -> "polars.Series":
    """Return the words that are not marks of missing values, which are in lower case.

    Example:
        >>> import polars as pl
        >>> without_marks(pl.Series(["NA", "n/a", "na"]), {"na"}).to_list()
        ['n/a']
    """
    short = words.filter(words.str.len_chars() <= max(map(len, marks)))  # lower case is never shorter
    found = short.filter(short.str.to_lowercase().is_in(list(marks))).unique().to_list()
    return words.filter(~words.is_in(found)) if found else words
