"""Dates and times, in any notation, are categories only if the config declares them."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mxtrain.config.run_section import RunConfig
from mxtrain.data import Dataset, inputs_from_memory, prepare, read_in_memory_data
from mxtrain.data.readers.values import find_date
from mxtrain.errors import DataError

DAYS = [date(2024, 1, 1) + timedelta(days=i) for i in range(40)]
FORMS = [
    *("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%m/%d/%y", "%Y-%m-%dT%H:%M:%SZ", "%Y%m%dT%H%M%S", "%Y-%m-%d %H:%M"),
    *("%d %b %Y", "%d %B %Y", "%d. %B %Y", "%d-%b-%Y", "%d-%b-%y", "%d%b%Y", "%b %d, %Y", "%B %d, %Y", "%B %d %Y"),
    *("%A, %B %d, %Y", "%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S UTC %Y", "%a, %d %b %Y %H:%M:%S +0000", "%d %b %Y %H:%M"),
    *("%d %B %Y at 10:15 pm", "%b %d, %Y %I:%M %p", "%G-W%V", "%G-W%V-%u", "%Y-%m", "%m/%Y", "%b %Y", "%B %Y", "%b-%y"),
    *("%Yq1", "Q2 %Y", "%Y年%m月%d日", "%H:%M", "%I:%M %p", "%-H:%M:%S"),
]  # fmt: skip
TIMES = ["8:15", "08:15", "12:30:05.5", "8:15 am", "8:15PM", "8 a.m.", "08:15Z", "08:15:00+01:00", "125:30:01"]


@pytest.fixture(autouse=True)
def _in_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def prepared(values: Any, **data: Any) -> Dataset:
    sections = {"loss": "squared_error", "model": {"kind": "linear"}, "optimizer": {"kind": "sgd"}}
    source = {"source": "in_memory", "target": "y", "validation": 0, **data}
    config = RunConfig.model_validate({"data": source, **sections})
    return prepare(
        config, read_in_memory_data(config, {"when": values, "b": np.arange(len(values)), "y": np.arange(len(values))})
    )


@pytest.mark.parametrize("form", FORMS)
def test_dates_are_recognized(form: str) -> None:
    moments = [datetime(day.year, day.month, day.day, 8 + i % 4, 7 * i % 60, tzinfo=UTC) for i, day in enumerate(DAYS)]
    texts = [moment.strftime(form) for moment in moments]
    with pytest.raises(DataError, match="column 'when': holds dates or times, such as "):
        prepared(texts)
    for mark in ("NA", "n/a", "unknown", "-", "nan", "not available"):
        assert find_date([mark, texts[0]]) == texts[0]


@pytest.mark.parametrize("text", TIMES)
def test_times_are_recognized(text: str) -> None:
    assert find_date([text]) == text


@pytest.mark.parametrize(
    "texts",
    [
        ["Monday", "Tuesday"],
        ["January", "May", "Dec"],
        ["Q1", "Q2"],
        ["16:9", "4:3", "16:10"],
        ["SEPT2", "MARCH1", "2-Sep"],
        ["1.2.3", "1.10.0"],
        ["v2024", "May Fair", "march on"],
        ["192.168.0.1", "10.0.0.1"],
        ["2009-10", "2013-14", "2014-15"],
        ["90210-1234", "12345-6789"],
        ["1-2", "3-4"],
        ["A 12", "12 Main St"],
        ["10k", "50-60%", "1:2"],
        ["unknown", "NA"],
    ],
)
def test_other_text_is_a_category(texts: Sequence[str]) -> None:
    assert find_date(texts) is None


COLUMNS: dict[str, Any] = {
    "dates": DAYS[:6],
    "datetimes": [datetime(2024, 1, 1 + i, 8 * (i % 2), tzinfo=None) for i in range(6)],  # noqa: DTZ001
    "times": [time(8 + i) for i in range(6)],
    "durations": [timedelta(hours=i) for i in range(6)],
    "NumPy's days": np.array(DAYS[:6], dtype="M8[D]"),
    "NumPy's nanoseconds": np.array(DAYS[:6], dtype="M8[ns]"),
    "NumPy's scalars": list(np.array(DAYS[:6], dtype="M8[ns]")),
    "NumPy's durations": np.arange(6).astype("m8[h]"),
    "Polars": pl.Series(DAYS[:6]),
    "text": [*map(str, DAYS[:5]), "NA"],
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_the_remedies_for_dates_work(kind: str) -> None:
    values = COLUMNS[kind]
    with pytest.raises(DataError, match=r"column 'when': holds dates or times.*data\.features; .* data\.categorical$"):
        prepared(values)
    assert prepared(values, features=["b"]).n_features == 1
    dataset = prepared(values, categorical=["when"])
    assert dataset.n_features == 7
    known = inputs_from_memory({"when": values, "b": np.arange(6)}, dataset.preprocessing)
    assert known[:, :6].tolist() == dataset.training.inputs[:, :6].tolist()


def test_a_day_is_one_category_in_every_type() -> None:
    fitted = prepared([str(day) for day in DAYS[:3]], categorical=["when"], features=["when"]).preprocessing
    for values in (DAYS[:3], np.array(DAYS[:3], "M8[s]"), ["2024-01-01 00:00:00", "2024-01-02T00:00:00", "2024-01-03"]):
        assert inputs_from_memory({"when": values}, fitted).tolist() == np.eye(3).tolist()


def test_dates_in_parquet_are_categories_if_declared() -> None:
    dtypes = {"day": pl.Date, "ns": pl.Datetime("ns"), "utc": pl.Datetime("ms", "UTC"), "t": pl.Time, "d": pl.Duration}
    columns = {name: pl.Series([1, None, 36_000]).cast(dtype) for name, dtype in dtypes.items()}
    pl.DataFrame({**columns, "y": [1, 2, 3]}).write_parquet("t.parquet")
    data = {"source": "t.parquet", "target": "y", "missing": "mean", "validation": 0}
    sections = {"loss": "squared_error", "model": {"kind": "linear"}, "optimizer": {"kind": "sgd"}}
    with pytest.raises(DataError, match=r"holds dates or times \(Date\).*name the column in data\.categorical$"):
        prepare(RunConfig.model_validate({"data": data, **sections}))
    dataset = prepare(RunConfig.model_validate({"data": {**data, "categorical": list(dtypes)}, **sections}))
    assert dataset.feature_names[:3] == ("day=", "day=1970-01-02", "day=2068-07-25")
    assert dataset.n_features == 3 * len(dtypes)


def test_declared_categorical_columns_may_hold_any_values() -> None:
    values = [1, 2.5, True, "a", date(2024, 1, 5), Decimal("1.50"), "5 Jan 2024", "1,234"]
    assert prepared(values, categorical=["when"], features=["when"]).feature_names == (
        *("when=1", "when=1,234", "when=1.5", "when=2.5", "when=2024-01-05", "when=5 Jan 2024", "when=a", "when=true"),
    )
    with pytest.raises(
        DataError,
        match="row 2: column 'when': must be a number, got 'a'; correct it, or, to take the whole column as text",
    ):
        prepared([1, "a"])


def test_the_remedy_for_too_many_dates_does_not_name_categories() -> None:
    days = [str(date(2000, 1, 1) + timedelta(days=i)) for i in range(1001)]
    with pytest.raises(DataError, match=r"leave the column out with data\.features$"):
        prepared(days)
