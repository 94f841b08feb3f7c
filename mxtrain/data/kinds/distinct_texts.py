"""Texts of a column, in which equal texts are examined once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars

_SAMPLE = 1000
"""Number of texts that tell whether most of them differ."""
_MOSTLY_DISTINCT = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class DistinctTexts:
    """The texts of a column: each different one once, or all of them where most differ.

    Attributes:
        values: the different texts in the order of their first rows; or, without codes, the texts of all rows.
        codes: (n,); the text of row i is `values[codes[i]]`, and -1 is a missing one. None without codes.
        n: the number of rows.

    Example:
        >>> import polars as pl
        >>> texts = DistinctTexts.of(pl.Series(["b", None, "a", "b"]))
        >>> texts.values.to_list(), texts.codes.tolist(), texts.expand(np.array([2.0, 1.0])).tolist()
        (['b', 'a'], [0, -1, 1, 0], [2.0, nan, 1.0, 2.0])
    """

    values: "polars.Series"
    codes: NDArray[np.int64] | None
    n: int

    @classmethod
    def of(cls, texts: "polars.Series", *, has_codes: bool | None = None) -> Self:
        """Return the texts of a column; `has_codes=True` finds equal ones even if most differ."""
        n = len(texts)
        if has_codes is None:
            sample = texts.gather_every(n // _SAMPLE) if n > 2 * _SAMPLE else texts.clear()
            has_codes = sample.drop_nulls().n_unique() <= _MOSTLY_DISTINCT * len(sample)
        if not has_codes:
            return cls(texts, None, n)
        first, codes = _first_rows(texts)
        return cls(texts.gather(first), codes, n)

    @property
    def counts(self) -> NDArray[np.int64]:
        """The number of rows of each of the values."""
        if self.codes is None:
            return np.ones(len(self.values), dtype=np.int64)
        return np.bincount(self.codes + 1, minlength=len(self.values) + 1)[1:]

    def expand(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a number for each row, from those of the values; NaN for a missing text."""
        return numbers if self.codes is None else np.append(numbers, np.nan)[self.codes]


def _first_rows(texts: "polars.Series") -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first row of each different text, ascending, and for each row the index of its text among them."""
    import polars as pl

    coded = texts.cast(pl.Categorical).to_physical()
    has_text = coded.is_not_null().to_numpy()
    codes = coded.fill_null(0).to_numpy().astype(np.int64)
    rows = np.flatnonzero(has_text)
    # Categories are shared by all columns of a process, so that those of a column need not be consecutive.
    first = np.full(int(codes.max(initial=-1)) + 1, -1, dtype=np.int64)
    first[codes[rows[::-1]]] = rows[::-1]  # of several rows, the last assignment remains
    found = np.sort(first[first >= 0])
    index = np.empty_like(first)
    index[codes[found]] = np.arange(len(found))
    return found, np.where(has_text, index[codes], -1) if len(found) else np.full(len(codes), -1)
