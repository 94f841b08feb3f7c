"""The different texts of a column do not depend on columns that were read before."""

import polars as pl
import pytest

from mxtrain.data.kinds.distinct_texts import DistinctTexts


def test_codes_do_not_depend_on_columns_read_before() -> None:
    texts = pl.Series(["x", None, "y", "x"])
    before = DistinctTexts.of(texts)
    others = pl.Series([f"other {i}" for i in range(100)]).cast(pl.Categorical)
    after = DistinctTexts.of(pl.Series(["y", "z", None]))
    assert before.values.to_list() == ["x", "y"]
    assert before.codes.tolist() == [0, -1, 1, 0]
    assert after.values.to_list() == ["y", "z"]
    assert after.codes.tolist() == [0, 1, -1]
    assert len(others) == 100


@pytest.mark.parametrize("texts", [[], [None, None]])
def test_no_text(texts: list[None]) -> None:
    column = DistinctTexts.of(pl.Series(texts, dtype=pl.String))
    assert len(column.values) == 0
    assert column.codes.tolist() == [-1] * len(texts)
