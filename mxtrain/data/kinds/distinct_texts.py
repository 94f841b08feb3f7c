"""Texts of a column, each different one once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True, slots=True, eq=False)
class DistinctTexts:
    """The different texts of a column.

    Attributes:
        values: the different texts in the order of their first rows.
        codes: (n,); the text of row i is `values[codes[i]]`, and -1 is a missing one.

    Example:
        >>> import polars as pl
        >>> texts = DistinctTexts.of(pl.Series(["b", None, "a", "b"]))
        >>> texts.values.to_list(), texts.codes.tolist()
        (['b', 'a'], [0, -1, 1, 0])
    """

    values: "polars.Series"
    codes: NDArray[np.int64]

    @classmethod
    def of(cls, texts: "polars.Series") -> "DistinctTexts":
        """Return the different texts of a column."""
        import polars as pl

        coded = texts.cast(pl.Categorical).to_physical()
        has_text = coded.is_not_null().to_numpy()
        codes = coded.fill_null(0).to_numpy().astype(np.int64)
        rows = np.flatnonzero(has_text)
        # Categories are shared by all columns of a process, so that those of a column need not be consecutive.
        first = np.full(int(codes.max(initial=-1)) + 1, -1, dtype=np.int64)
        first[codes[rows[::-1]]] = rows[::-1]  # of several rows, the last assignment remains
        found = np.sort(first[first >= 0])
        if not len(found):
            return cls(texts.clear(), np.full(len(texts), -1, dtype=np.int64))
        index = np.empty_like(first)
        index[codes[found]] = np.arange(len(found))
        return cls(texts.gather(found), np.where(has_text, index[codes], -1))
