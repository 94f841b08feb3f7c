"""Columns are read alike whether equal texts are found first or not, and whatever was read before."""

import numpy as np
import polars as pl
import pytest

from mxtrain.config.data_section import ColumnKind
from mxtrain.data.kinds import distinct_texts
from mxtrain.data.kinds.detection import ColumnReader
from mxtrain.data.kinds.distinct_texts import DistinctTexts
from mxtrain.data.readers.columns import CategoricalColumn, Column

N = 3000
COLUMNS = {
    "numbers with marks": [f"{i / 7:.4f}" if i % 9 else "NA" for i in range(N)],
    "formatted numbers": [f"{i:,}" if i % 5 else "n.a." for i in range(N)],
    "decimal commas": [f"{i},{i % 10}" for i in range(N)],
    "times": [f"2024-01-{1 + i % 28:02d} {i // 28 % 24:02d}:{i % 60:02d}" if i % 11 else "?" for i in range(N)],
    "identifiers": [f"C-{i}" for i in range(N)],
    "codes": [f"{i:06d}" for i in range(N)],
    "free text": [f"this is the review number {i} of {N}" for i in range(N)],
    "some words": [f"word {i % 1700}" for i in range(N)],
    "errors": [str(i) if i % 100 else f"bad {i}" for i in range(N)],
    "dates with errors": [f"{1 + i % 28:02d}.{1 + i % 12:02d}.{1000 + i % 1900}" if i % 40 else "?!" for i in range(N)],
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("kind", [None, "number", "category", "date", "boolean"])
def test_both_ways_agree(name: str, kind: ColumnKind | None, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pl.Series(name, COLUMNS[name])
    found = []
    for share in (1.0, -1.0):
        monkeypatch.setattr(distinct_texts, "_MOSTLY_DISTINCT", share)
        reader = ColumnReader(name, texts, has_types=False)
        reading = reader.infer() if kind is None else reader.read_as(kind)
        problems = sorted(reading.problems, key=lambda problem: problem.row)
        found.append((reading.kind, values_of(reading.column), problems))
    assert found[0] == found[1]


def values_of(column: Column | None) -> list[object] | None:
    if isinstance(column, CategoricalColumn):
        return [column.labels[code] if code >= 0 else None for code in column.codes]
    return None if column is None else list(np.nan_to_num(column.values, nan=-1.0))


def test_codes_do_not_depend_on_columns_read_before() -> None:
    texts = pl.Series(["x", None, "y", "x"])
    before = DistinctTexts.of(texts)
    others = pl.Series([f"other {i}" for i in range(100)]).cast(pl.Categorical)
    after = DistinctTexts.of(pl.Series(["y", "z", None]), has_codes=True)
    assert before.values.to_list() == ["x", "y"]
    assert before.codes is not None
    assert before.codes.tolist() == [0, -1, 1, 0]
    assert before.counts.tolist() == [2, 1]
    assert after.values.to_list() == ["y", "z"]
    assert after.codes is not None
    assert after.codes.tolist() == [0, 1, -1]
    assert len(others) == 100


@pytest.mark.parametrize("texts", [[], [None, None]])
def test_no_text(texts: list[None]) -> None:
    column = DistinctTexts.of(pl.Series(texts, dtype=pl.String))
    assert len(column.values) == 0
    assert column.counts.tolist() == []
    assert np.isnan(column.expand(np.empty(0))).tolist() == [True] * len(texts)
